//! Templates that operators write: of the receipts of cards, of the requests to payees, of registers. They are filled with what other
//! people typed, while somebody waits. So they can print, choose and repeat, and nothing else: no calls, no arithmetic, no
//! variables of their own, no other files. A template ends after a bounded number of steps and a bounded length, and what
//! is put in is escaped for the place it is put in, and never looked at again.

mod filters;
mod grammar;
mod text;

use std::fmt::Write as _;
use std::io;
use std::sync::LazyLock;

use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};

pub use filters::in_groups;
pub(crate) use filters::{Money, ZONE, group_into};
pub(crate) use grammar::names;
pub use text::{Template, Values};

/// The most instructions of the engine that one text may take: a thousand lines, and done within a millisecond.
const FUEL: u64 = 10_000;

/// Why a template came to nothing. It repeats no value that was to be printed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct TemplateError {
    /// Where in the template, counted from 1.
    pub line: usize,
    /// What went wrong.
    pub why: String,
}

/// What a printed value is put into. What the template itself says is never escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escape {
    /// Nothing that could be broken out of.
    Nothing,
    /// A part of a URL's path.
    Path,
    /// The inside of a JSON string.
    Json,
    /// A text or an attribute of XML.
    Xml,
}

impl Escape {
    fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Path => "path",
            Self::Json => "json",
            Self::Xml => "xml",
        }
    }

    fn write(word: &str, out: &mut minijinja::Output<'_>, text: &str) -> std::fmt::Result {
        match word {
            "path" => out.write_str(&crate::exchange::percent_encoded(text)),
            "json" => {
                let quoted = serde_json::to_string(text).map_err(|_| std::fmt::Error)?;
                let inside = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
                out.write_str(inside.unwrap_or_default())
            }
            _ => text.chars().try_for_each(|c| match c {
                '&' => out.write_str("&amp;"),
                '<' => out.write_str("&lt;"),
                '>' => out.write_str("&gt;"),
                '"' => out.write_str("&quot;"),
                '\'' => out.write_str("&#39;"),
                other => out.write_char(other),
            }),
        }
    }
}

/// The engine as templates get it. Made once: it holds nothing of anybody.
static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut engine = Environment::empty();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_auto_escape_callback(|name| match name {
        "path" => AutoEscape::Custom("path"),
        "json" => AutoEscape::Custom("json"),
        "xml" => AutoEscape::Custom("xml"),
        _ => AutoEscape::None,
    });
    engine.set_fuel(Some(FUEL));
    // A line that only says `{% if … %}` leaves no blank line.
    engine.set_trim_blocks(true);
    engine.set_lstrip_blocks(true);
    // What is not there is printed as nothing, not as the engine's word for it.
    engine.set_formatter(|out, state, value| {
        if value.is_none() {
            return Ok(());
        }
        match state.auto_escape() {
            AutoEscape::Custom(context) => Ok(Escape::write(context, out, &value.to_string())?),
            _ => minijinja::escape_formatter(out, state, value),
        }
    });
    filters::add_to(&mut engine);
    engine
});

/// Fills in what [`names`] has let pass; `longest` is in bytes.
pub(crate) fn fill(template: &str, escape: Escape, values: Value, longest: usize) -> Result<String, Error> {
    let mut text = Limited {
        taken: Vec::with_capacity(longest.min(1024)),
        longest,
    };
    ENGINE
        .template_from_named_str(escape.as_str(), template)?
        .render_captured_to(values, &mut text)?;
    // The engine writes whole strings, so this is UTF-8.
    String::from_utf8(text.taken).map_err(|_| Error::new(ErrorKind::BadSerialization, "the text is not UTF-8"))
}

/// The engine's detail may repeat a value, so it is told of samples only.
pub(crate) fn refusal_of(error: &Error, with_detail: bool) -> TemplateError {
    let too_long = std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<io::Error>())
        .filter(|source| source.kind() == io::ErrorKind::StorageFull);
    let why = match (error.kind(), error.detail()) {
        _ if too_long.is_some() => too_long.map(ToString::to_string).unwrap_or_default(),
        (ErrorKind::OutOfFuel, _) => "takes too many steps".to_owned(),
        (kind, Some(detail)) if with_detail => format!("{kind}: {detail}"),
        (kind, _) => kind.to_string(),
    };
    TemplateError {
        line: error.line().unwrap_or(1),
        why,
    }
}

/// Takes so much and no more.
struct Limited {
    taken: Vec<u8>,
    longest: usize,
}

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.taken.len() + bytes.len() > self.longest {
            let why = format!("comes to more than {} bytes", self.longest);
            return Err(io::Error::new(io::ErrorKind::StorageFull, why));
        }
        self.taken.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
