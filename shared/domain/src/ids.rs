//! Ids, each a type of its own so that no two can be mixed up. They are checked where they enter (`parse`, serde) and
//! never again. Ids chosen by terminals are UUIDs in the hyphenated form; the nil UUID is refused, because two terminals
//! that forgot to choose one would then share a payment.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::invalid::Invalid;
use crate::limits::NAME_ID_MAX;
use crate::text::deserialize_with;

/// The length of a UUID in the hyphenated form, the only one accepted.
const UUID_TEXT_LENGTH: usize = 36;

fn parse_uuid(field: &str, text: &str) -> Result<Uuid, Invalid> {
    let refused = || Invalid::new(field, "must be a UUID in the hyphenated form, not the nil one");
    if text.len() != UUID_TEXT_LENGTH {
        return Err(refused());
    }
    Uuid::try_parse(text)
        .ok()
        .filter(|uuid| !uuid.is_nil())
        .ok_or_else(refused)
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Reads an id in the hyphenated form.
            pub fn parse(text: &str) -> Result<Self, Invalid> {
                parse_uuid($field, text).map(Self)
            }

            /// An id that is already known to be one, for example from the database.
            pub fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID itself.
            pub fn as_uuid(self) -> Uuid {
                self.0
            }

            /// A new id. It rises with time, so that fresh rows lie together; it is not a secret.
            pub fn random() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                Self::parse(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserialize_with(deserializer, "a UUID", Self::parse)
            }
        }
    };
}

uuid_id!(
    /// A payment, chosen by the terminal that took the money.
    PaymentId, "payment_id"
);
uuid_id!(
    /// A reservation of a card, chosen by the terminal.
    ReservationId, "reservation_id"
);
uuid_id!(
    /// A register, regular or copy.
    RegisterId, "register_id"
);
uuid_id!(
    /// One call to a payee about one payment; it fences the record of its ending.
    AttemptId, "attempt_id"
);
uuid_id!(
    /// What an operator asked to be done about payments.
    ActId, "act_id"
);
uuid_id!(
    /// A fact without a home.
    ParkedId, "parked_id"
);

/// Whether a text is an id of a payee, product or terminal: `^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`.
fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= NAME_ID_MAX
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

macro_rules! name_id {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Reads an id.
            pub fn parse(text: &str) -> Result<Self, Invalid> {
                if is_name(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(Invalid::new($field, "must match ^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"))
                }
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        /// Maps keyed by the id can be asked with a plain text.
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                Self::parse(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserialize_with(deserializer, "an id", Self::parse)
            }
        }
    };
}

name_id!(
    /// Who gets the money.
    PayeeId, "payee"
);
name_id!(
    /// A kind of prepaid card.
    ProductId, "product"
);
name_id!(
    /// A terminal that takes money.
    TerminalId, "terminal"
);

/// What the payee sees as the number of a payment: decimal, at most 20 digits, the same for check, every attempt and requeue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number(i64);

impl Number {
    /// The number from the database's sequence; it starts at 1.
    pub fn new(number: i64) -> Result<Self, Invalid> {
        if number >= 1 {
            Ok(Self(number))
        } else {
            Err(Invalid::new("number", "must be 1 or more"))
        }
    }

    /// Reads a number as a payee or an operator writes it: digits and nothing else.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let refused = || Invalid::new("number", "must be a decimal number of 1 or more");
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(refused());
        }
        text.parse()
            .ok()
            .and_then(|number| Self::new(number).ok())
            .ok_or_else(refused)
    }

    /// The number as the database holds it.
    pub fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::str::FromStr for Number {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::parse(text)
    }
}

/// On the wire a number is a string: not every JSON reader holds 64 bits.
impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_with(deserializer, "a number as a string", Self::parse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_hyphenated_and_not_nil() {
        let text = "0199aabb-ccdd-7eef-8001-020304050607";
        let id = PaymentId::parse(text).unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(PaymentId::parse(&text.to_uppercase()).unwrap(), id);
        assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<PaymentId>(&format!("\"{text}\"")).unwrap(), id);
        for bad in [
            "",
            "00000000-0000-0000-0000-000000000000",
            "0199aabbccdd7eef8001020304050607",
            "{0199aabb-ccdd-7eef-8001-020304050607}",
            "0199aabb-ccdd-7eef-8001-02030405060g",
        ] {
            assert_eq!(PaymentId::parse(bad).unwrap_err().field, "payment_id", "{bad}");
        }
        assert!(PaymentId::random() < PaymentId::random());
    }

    #[test]
    fn names_follow_the_pattern() {
        for good in ["a", "9", "T-0001", "mts-100", "a.b_c", &"x".repeat(63)] {
            assert_eq!(PayeeId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", ".a", "_a", "a b", "a/b", "я", "a\n", &"x".repeat(64)] {
            assert_eq!(TerminalId::parse(bad).unwrap_err().field, "terminal", "{bad}");
        }
        assert!(serde_json::from_str::<ProductId>("\"a b\"").is_err());
    }

    #[test]
    fn numbers_are_decimal_and_positive() {
        assert_eq!(Number::parse("42").unwrap().to_string(), "42");
        assert_eq!(serde_json::to_string(&Number::new(7).unwrap()).unwrap(), "\"7\"");
        assert_eq!(serde_json::from_str::<Number>("\"7\"").unwrap().get(), 7);
        for bad in ["", "0", "-1", "+1", " 1", "1.0", "99999999999999999999"] {
            assert!(Number::parse(bad).is_err(), "{bad}");
        }
        assert!(Number::new(0).is_err());
    }
}
