//! A pattern for a whole value: `[0-9]{4}` does not accept `12345`, with or without `^` and `$`. It is compiled where the
//! declaration is read, so a bad one is refused there and matching costs nothing but the match (in linear time: these
//! expressions cannot be made to run away).

use std::fmt;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::invalid::Invalid;
use crate::text::{deserialize_with, no_control};

/// The longest pattern, in characters.
const PATTERN_MAX: usize = 500;
/// What one compiled pattern may take; `.{1,200}` over Unicode takes about a tenth of it.
const COMPILED_MAX_BYTES: usize = 2 * 1024 * 1024;

/// A compiled pattern that remembers how it was written.
#[derive(Clone)]
pub struct Pattern {
    written: String,
    compiled: Regex,
}

impl Pattern {
    /// Compiles a pattern.
    pub fn parse(written: &str) -> Result<Self, Invalid> {
        no_control("pattern", written, PATTERN_MAX)?;
        // Compiled as written first: the complaint then shows the operator's own text, and `a)|(b` cannot
        // break out of the group that is put around it.
        compile(written)?;
        let compiled = compile(&format!(r"\A(?:{written})\z"))?;
        Ok(Self {
            written: written.to_owned(),
            compiled,
        })
    }

    /// Whether the whole value matches.
    pub fn is_match(&self, value: &str) -> bool {
        self.compiled.is_match(value)
    }

    /// The pattern as it was written; terminals get it like this.
    pub fn as_str(&self) -> &str {
        &self.written
    }
}

fn compile(expression: &str) -> Result<Regex, Invalid> {
    RegexBuilder::new(expression)
        .size_limit(COMPILED_MAX_BYTES)
        .build()
        .map_err(|refused| {
            // The compiler draws the expression over several lines; what is wrong with it stands on the last one.
            let whole = refused.to_string();
            let why = whole.lines().last().unwrap_or_default().trim_start_matches("error: ");
            Invalid::new("pattern", format!("is not a regular expression: {why}"))
        })
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.written, f)
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.written)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_with(deserializer, "a regular expression", Self::parse)
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn the_whole_value_matches() {
        for written in ["[0-9]{4}", "^[0-9]{4}$"] {
            let pattern = Pattern::parse(written).unwrap();
            assert!(pattern.is_match("1234"));
            for other in ["12345", "x1234", "1234\n", ""] {
                assert!(!pattern.is_match(other), "{written} {other:?}");
            }
        }
        let either = Pattern::parse("a|bc").unwrap();
        assert!(either.is_match("a") && either.is_match("bc") && !either.is_match("ac"));
        assert!(Pattern::parse("^.{1,200}$").unwrap().is_match(&"я".repeat(200)));
    }

    #[test]
    fn bad_patterns_are_refused_where_they_are_read() {
        for bad in ["(", "a)|(b", "[z-a]", "(?x)a # no end", "\u{0}"] {
            assert_eq!(Pattern::parse(bad).unwrap_err().field, "pattern", "{bad:?}");
        }
        assert_eq!(
            Pattern::parse("(").unwrap_err().why,
            "is not a regular expression: unclosed group"
        );
        assert!(Pattern::parse("((.{1,500}){1,500}){1,500}").is_err());
    }
}
