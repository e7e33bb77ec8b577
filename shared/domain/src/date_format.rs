//! How days are written in other people's files: `YYYY-MM-DD`, `DD.MM.YYYY`, `MM/YY`. Read strictly: as many digits as
//! letters, and nothing but what stands in the format between them.

use std::fmt;

use jiff::civil::Date;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::invalid::Invalid;
use crate::text::deserialize_with;

/// The longest format, in characters.
const FORMAT_MAX: usize = 20;

/// A way to write a day. The default is `YYYY-MM-DD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DateFormat(String);

impl Default for DateFormat {
    fn default() -> Self {
        Self("YYYY-MM-DD".to_owned())
    }
}

impl fmt::Display for DateFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl DateFormat {
    /// Takes a format: a year (`YYYY`, or `YY` of this century), a month (`MM`) and, if there is one, a day (`DD`), each once.
    pub fn parse(format: &str) -> Result<Self, Invalid> {
        let wrong = || {
            Invalid::new(
                "date_format",
                "must be made of YYYY or YY, MM and, if there is one, DD, each once, with at most a separator between",
            )
        };
        if format.len() > FORMAT_MAX || !format.is_ascii() {
            return Err(wrong());
        }
        let (mut year, mut month, mut day) = (0, 0, 0);
        let mut rest = format;
        while let Some((part, after)) = next_part(rest) {
            match part {
                Part::Year4 | Part::Year2 => year += 1,
                Part::Month => month += 1,
                Part::Day => day += 1,
                Part::Literal(byte) if byte.is_ascii_alphanumeric() => return Err(wrong()),
                Part::Literal(_) => {}
            }
            rest = after;
        }
        if (year, month) == (1, 1) && day <= 1 {
            Ok(Self(format.to_owned()))
        } else {
            Err(wrong())
        }
    }

    /// Reads a day written this way; without a day it is the last of its month, as on a bank's card.
    pub fn read(&self, text: &str) -> Option<Date> {
        let (mut year, mut month, mut day) = (None, None, None);
        let (mut format, mut text) = (self.0.as_str(), text);
        while let Some((part, after)) = next_part(format) {
            format = after;
            let digits = match part {
                Part::Literal(byte) => {
                    text = text.strip_prefix(char::from(byte))?;
                    continue;
                }
                Part::Year4 => 4,
                Part::Year2 | Part::Month | Part::Day => 2,
            };
            let (number, left) = text.split_at_checked(digits)?;
            text = left;
            if !number.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            match part {
                Part::Year4 => year = number.parse().ok(),
                Part::Year2 => year = number.parse::<i16>().ok().map(|year| 2000 + year),
                Part::Month => month = number.parse().ok(),
                _ => day = Some(number.parse().ok()?),
            }
        }
        if !text.is_empty() {
            return None;
        }
        let first = Date::new(year?, month?, 1).ok()?;
        match day {
            Some(day) => Date::new(first.year(), first.month(), day).ok(),
            None => Some(first.last_of_month()),
        }
    }
}

enum Part {
    Year4,
    Year2,
    Month,
    Day,
    Literal(u8),
}

fn next_part(format: &str) -> Option<(Part, &str)> {
    for (word, part) in [
        ("YYYY", Part::Year4),
        ("YY", Part::Year2),
        ("MM", Part::Month),
        ("DD", Part::Day),
    ] {
        if let Some(rest) = format.strip_prefix(word) {
            return Some((part, rest));
        }
    }
    let byte = *format.as_bytes().first()?;
    // Formats are ASCII: a byte is a character.
    Some((Part::Literal(byte), format.get(1..)?))
}

impl Serialize for DateFormat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for DateFormat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_with(deserializer, "how a day is written, such as DD.MM.YYYY", Self::parse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_as_they_are_written_and_not_otherwise() {
        let read = |format: &str, text: &str| DateFormat::parse(format).unwrap().read(text).map(|day| day.to_string());
        for (format, text, day) in [
            ("YYYY-MM-DD", "2030-01-31", "2030-01-31"),
            ("DD.MM.YYYY", "31.01.2030", "2030-01-31"),
            ("DD.MM.YY", "31.01.30", "2030-01-31"),
            ("YYYYMMDD", "20300131", "2030-01-31"),
            ("MM/YY", "02/28", "2028-02-29"),
            ("MM.YYYY", "12.2029", "2029-12-31"),
        ] {
            assert_eq!(read(format, text).as_deref(), Some(day), "{format} {text}");
        }
        for (format, text) in [
            ("YYYY-MM-DD", "2030-1-31"),
            ("YYYY-MM-DD", "2030-02-30"),
            ("YYYY-MM-DD", "2030-01-31 "),
            ("YYYY-MM-DD", "+030-01-31"),
            ("YYYY-MM-DD", "2030-01-311"),
            ("DD.MM.YYYY", "31/01/2030"),
            ("DD.MM.YYYY", "01.31.2030"),
            ("MM/YY", "13/28"),
            ("DD.MM.YYYY", "3я.01.2030"),
        ] {
            assert_eq!(read(format, text), None, "{format} {text}");
        }
    }

    #[test]
    fn a_format_has_a_year_and_a_month_once() {
        for bad in [
            "",
            "YYYY",
            "MM-DD",
            "YYYY-MM-MM",
            "YYYY-YY-MM",
            "dd.mm.yyyy",
            "%d.%m.%Y",
            "YYYY-MM-DDTHH",
            "ГГГГ-ММ",
        ] {
            assert!(DateFormat::parse(bad).is_err(), "{bad}");
        }
        let json = serde_json::to_string(&DateFormat::default()).unwrap();
        assert_eq!(
            serde_json::from_str::<DateFormat>(&json).unwrap(),
            DateFormat::default()
        );
    }
}
