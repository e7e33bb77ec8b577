//! What is said to a payee that has a protocol of its own, and what it says back, as far as that is described and not
//! programmed: requests made of templates ([`render`]), answers read by selectors ([`read`]), codes by a table. Everything
//! here is pure; what an operator described was checked when it was declared, and what a payee sends is never trusted.

mod document;
mod reading;
mod render;
mod samples;
mod values;
mod xml;

pub use document::{Document, Selector};
pub use reading::{Heard, HeardItem, Page, Sum, read, read_list};
pub use render::{Rendered, render};
pub(crate) use samples::check;
pub use values::{Values, Verb};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but the characters that RFC 3986 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A text as it stands in a query, a form or a path: UTF-8, and everything encoded that could mean something there.
pub fn percent_encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// Names and values as a query or a form.
pub fn percent_encoded_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let pairs: Vec<String> = pairs
        .into_iter()
        .map(|(name, value)| format!("{}={}", percent_encoded(name), percent_encoded(value)))
        .collect();
    pairs.join("&")
}

#[cfg(test)]
mod tests;
