//! Texts that come from outside, held to the contract's lengths and free of control characters. Nothing is trimmed,
//! normalised or cut: a text is taken as it came or refused. This is the hot path: no allocation but the text itself.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::marker::PhantomData;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::invalid::Invalid;
use crate::limits::{ACCOUNT_MAX, FIELD_KEY_MAX, FIELD_VALUE_MAX, FIELDS_MAX, RECEIPT_NUMBER_MAX};

/// Refuses control characters (U+0000 to U+001F, U+007F to U+009F) and more than `max` characters.
pub fn no_control(field: &str, text: &str, max: usize) -> Result<(), Invalid> {
    if is_longer_than(text, max) {
        return Err(Invalid::new(field, format!("is longer than {max} characters")));
    }
    if has_control(text) {
        return Err(Invalid::new(field, "holds a control character"));
    }
    Ok(())
}

fn is_longer_than(text: &str, max: usize) -> bool {
    // Bytes are never fewer than characters, so short texts are not counted at all.
    text.len() > max && text.chars().count() > max
}

fn has_control(text: &str) -> bool {
    if text.is_ascii() {
        text.bytes().any(|byte| byte < 0x20 || byte == 0x7f)
    } else {
        text.chars().any(char::is_control)
    }
}

/// The payer's account with the payee: 1 to 200 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Account(String);

impl Account {
    /// Takes an account as it came.
    pub fn new(account: impl Into<String>) -> Result<Self, Invalid> {
        let account = account.into();
        if account.is_empty() {
            return Err(Invalid::new("account", "is empty"));
        }
        no_control("account", &account, ACCOUNT_MAX)?;
        Ok(Self(account))
    }

    /// The account as it came.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The number printed on the payer's receipt: up to 64 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ReceiptNumber(String);

impl ReceiptNumber {
    /// Takes a receipt number as it came.
    pub fn new(number: impl Into<String>) -> Result<Self, Invalid> {
        let number = number.into();
        no_control("receipt_number", &number, RECEIPT_NUMBER_MAX)?;
        Ok(Self(number))
    }

    /// The receipt number as it came.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the payer entered besides the account: at most 32 texts under keys `^[a-z][a-z0-9_]{0,31}$`, up to 500 characters each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(transparent)]
pub struct Fields(BTreeMap<String, String>);

impl Fields {
    /// Takes the fields as they came.
    pub fn new(fields: BTreeMap<String, String>) -> Result<Self, Invalid> {
        if fields.len() > FIELDS_MAX {
            return Err(too_many_fields());
        }
        fields.iter().try_for_each(|(key, value)| check_field(key, value))?;
        Ok(Self(fields))
    }

    /// The value under `key`, if the payer entered one.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Keys and values in the order of keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was entered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The map itself.
    pub fn into_inner(self) -> BTreeMap<String, String> {
        self.0
    }
}

/// Whether a text is a key of `fields`: `^[a-z][a-z0-9_]{0,31}$`.
pub fn is_field_key(key: &str) -> bool {
    let bytes = key.as_bytes();
    bytes.len() <= FIELD_KEY_MAX
        && bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_')
}

fn check_field(key: &str, value: &str) -> Result<(), Invalid> {
    if !is_field_key(key) {
        // The key itself is hostile text, so it is not repeated.
        return Err(Invalid::new("fields", "a key does not match ^[a-z][a-z0-9_]{0,31}$"));
    }
    no_control(key, value, FIELD_VALUE_MAX).map_err(|refused| refused.within("fields"))
}

fn too_many_fields() -> Invalid {
    Invalid::new("fields", format!("has more than {FIELDS_MAX} entries"))
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> de::Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = BTreeMap::new();
        // `null` means absent everywhere in the contract, here too.
        while let Some((key, value)) = map.next_entry::<String, Option<String>>()? {
            let Some(value) = value else { continue };
            check_field(&key, &value).map_err(de::Error::custom)?;
            if fields.len() == FIELDS_MAX {
                return Err(de::Error::custom(too_many_fields()));
            }
            match fields.entry(key) {
                Entry::Vacant(free) => free.insert(value),
                Entry::Occupied(_) => {
                    return Err(de::Error::custom("fields: a key is given twice"));
                }
            };
        }
        Ok(Fields(fields))
    }
}

/// Deserializes a string through `parse`; borrowed strings are not copied first.
pub(crate) fn deserialize_with<'de, D, T, F>(deserializer: D, expected: &'static str, parse: F) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    F: FnOnce(&str) -> Result<T, Invalid>,
{
    struct Parsed<T, F> {
        expected: &'static str,
        parse: F,
        value: PhantomData<T>,
    }

    impl<T, F: FnOnce(&str) -> Result<T, Invalid>> de::Visitor<'_> for Parsed<T, F> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.expected)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            // The format's own error carries the path already; only the reason is added.
            (self.parse)(text).map_err(|refused| E::custom(refused.why))
        }
    }

    deserializer.deserialize_str(Parsed {
        expected,
        parse,
        value: PhantomData,
    })
}

impl<'de> Deserialize<'de> for Account {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(|refused| de::Error::custom(refused.why))
    }
}

impl<'de> Deserialize<'de> for ReceiptNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(|refused| de::Error::custom(refused.why))
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ReceiptNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: &str) -> Result<Fields, String> {
        serde_json::from_str(json).map_err(|refused| refused.to_string())
    }

    #[test]
    fn lengths_are_counted_in_characters() {
        assert!(Account::new("я".repeat(200)).is_ok());
        assert!(Account::new("я".repeat(201)).is_err());
        assert!(Account::new("").is_err());
        assert!(ReceiptNumber::new("").is_ok());
        assert!(ReceiptNumber::new("9".repeat(65)).is_err());
    }

    #[test]
    fn every_control_character_is_refused() {
        for code in (0..=0xffu32).filter_map(char::from_u32) {
            let control = matches!(code as u32, 0..=0x1f | 0x7f..=0x9f);
            assert_eq!(Account::new(format!("a{code}")).is_err(), control, "{code:?}");
            assert_eq!(no_control("x", &format!("я{code}"), 10).is_err(), control, "{code:?}");
        }
    }

    #[test]
    fn keys_follow_the_pattern() {
        for good in ["a", "meter_cold", "x9", &"a".repeat(32)] {
            assert!(is_field_key(good), "{good}");
        }
        for bad in ["", "A", "9a", "_a", "a-b", "a b", "я", &"a".repeat(33)] {
            assert!(!is_field_key(bad), "{bad}");
        }
    }

    #[test]
    fn fields_are_bounded_and_unique() {
        assert_eq!(
            fields(r#"{"b":"2","a":"1","c":null}"#)
                .unwrap()
                .iter()
                .collect::<Vec<_>>(),
            [("a", "1"), ("b", "2")]
        );
        assert!(fields(r#"{"a":"1","a":"2"}"#).unwrap_err().contains("twice"));
        assert!(fields(r#"{"a":1}"#).is_err());
        assert!(fields("[]").is_err());
        assert!(
            fields(r#"{"payer":"a\u0000b"}"#)
                .unwrap_err()
                .contains("fields.payer: holds a control character")
        );
        assert!(fields(&format!(r#"{{"payer":"{}"}}"#, "я".repeat(501))).is_err());
        assert!(fields(&format!(r#"{{"payer":"{}"}}"#, "я".repeat(500))).is_ok());
        let many = |n: usize| {
            format!(
                "{{{}}}",
                (0..n).map(|i| format!("\"f{i}\":\"\"")).collect::<Vec<_>>().join(",")
            )
        };
        assert_eq!(fields(&many(32)).unwrap().len(), 32);
        assert!(fields(&many(33)).unwrap_err().contains("more than 32"));
    }

    #[test]
    fn fields_round_trip() {
        let given = fields(r#"{"payer":"Иванов И. И.","meter_cold":"00123"}"#).unwrap();
        let json = serde_json::to_string(&given).unwrap();
        assert_eq!(fields(&json).unwrap(), given);
        assert_eq!(Fields::new(given.clone().into_inner()).unwrap(), given);
    }
}
