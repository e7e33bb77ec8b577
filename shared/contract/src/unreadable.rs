//! The one error of reading a message. Its detail names the member at fault and goes back to the terminal, into the log
//! and into the parked row, so whatever it quotes is cleaned and cut here.

use domain::Invalid;
use serde::{Serialize, Serializer};

/// The longest detail that is sent or stored, in characters.
const DETAIL_MAX: usize = 500;

/// A message that is `invalid_request`: not JSON, not the strict JSON of the contract, or the wrong shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Unreadable {
    /// Which member is at fault and why, for example `fields.meter_cold: must be a string`.
    pub detail: String,
}

impl Unreadable {
    /// A refusal that concerns the message as a whole.
    pub fn new(detail: impl AsRef<str>) -> Self {
        Self {
            detail: clean_detail(detail.as_ref()),
        }
    }

    /// A refusal of the member at `path`.
    pub fn of(path: &str, why: &str) -> Self {
        Self::new(format!("{path}: {why}"))
    }
}

impl From<Invalid> for Unreadable {
    fn from(invalid: Invalid) -> Self {
        Self::of(&invalid.field, &invalid.why)
    }
}

/// Writes a text for people that somebody else worded (a payee, a library) as a clean detail.
pub(crate) fn cleaned<S: Serializer>(text: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    text.as_deref().map(clean_detail).serialize(serializer)
}

/// The same for a text that is always there.
pub(crate) fn cleaned_text<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&clean_detail(text))
}

/// A text that may quote hostile input, made fit for a log line, a database column and an answer.
pub(crate) fn clean_detail(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' | '\n' | '\r' => ' ',
            c if c.is_control() => char::REPLACEMENT_CHARACTER,
            c => c,
        })
        .take(DETAIL_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_clean_and_short() {
        let refused = Unreadable::of(&"я".repeat(9000), "a\0b");
        assert_eq!(refused.detail.chars().count(), DETAIL_MAX);
        assert_eq!(Unreadable::new("a\0b\u{85}\n").detail, "a\u{fffd}b\u{fffd} ");
    }
}
