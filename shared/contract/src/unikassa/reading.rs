//! Reading what other people's programs write: lenient in what only informs, strict in the number that is echoed.

use std::fmt;

use domain::ids::Number;
use domain::text::is_field_key;
use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer};

use super::ANSWER_MAX_BYTES;

/// The longest text of a payee that is kept, in characters.
const TEXT_MAX: usize = 500;

/// An answer (or a request) that says nothing: after a `pay` went out it is a *maybe*.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Over [`ANSWER_MAX_BYTES`].
    #[error("is longer than 64 KiB")]
    TooLong,
    /// No body, or only white space.
    #[error("is empty")]
    Empty,
    /// Not JSON, or not of the right shape; the text says where.
    #[error("is not what the protocol says: {0}")]
    Shape(String),
    /// The number asked about is not echoed.
    #[error("does not echo the number")]
    NoNumber,
    /// It echoes another number.
    #[error("echoes another number")]
    OtherNumber,
    /// A result that the protocol does not have.
    #[error("has a result that the protocol does not have")]
    UnknownResult,
}

pub(super) fn parse_answer<T: DeserializeOwned>(body: &[u8]) -> Result<T, Unreadable> {
    if body.len() > ANSWER_MAX_BYTES {
        return Err(Unreadable::TooLong);
    }
    parse(body)
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Unreadable> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(Unreadable::Empty);
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|e| Unreadable::Shape(clean(&e.to_string())))?;
    reader.end().map_err(|e| Unreadable::Shape(e.to_string()))?;
    Ok(value)
}

/// A number as it was echoed: ours, or anything else.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Echoed {
    Ours(Number),
    Foreign,
}

pub(super) fn check_echo(echoed: Option<Echoed>, asked: Number) -> Result<(), Unreadable> {
    match echoed {
        None => Err(Unreadable::NoNumber),
        Some(Echoed::Ours(number)) if number == asked => Ok(()),
        Some(_) => Err(Unreadable::OtherNumber),
    }
}

/// Amounts that only inform: one that makes no sense is left out.
pub(super) fn sensible(minor: Option<i64>) -> Option<i64> {
    minor.filter(|minor| (0..=domain::limits::AMOUNT_MAX).contains(minor))
}

/// Without control characters and of a length a database column and a receipt can take.
fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(TEXT_MAX)
        .collect()
}

/// A JSON string, or an integer written without quotes, as many programs do.
struct Scalar;

impl de::Visitor<'_> for Scalar {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }
}

struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Scalar).map(Self)
    }
}

pub(super) fn clean_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(clean(&Text::deserialize(deserializer)?.0))
}

pub(super) fn some_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<Text>::deserialize(deserializer)?.map(|text| clean(&text.0)))
}

pub(super) fn some_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Echoed>, D::Error> {
    let echoed = Option::<Text>::deserialize(deserializer)?;
    Ok(echoed.map(|text| Number::parse(&text.0).map_or(Echoed::Foreign, Echoed::Ours)))
}

pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Number, D::Error> {
    Number::parse(&Text::deserialize(deserializer)?.0).map_err(de::Error::custom)
}

pub(super) fn field_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let key = String::deserialize(deserializer)?;
    if is_field_key(&key) {
        Ok(key)
    } else {
        Err(de::Error::custom("is not a key of fields"))
    }
}

pub(super) fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
