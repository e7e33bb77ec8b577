//! Which id a message that cannot be read seems to carry, so that its parked row can be found by it. Best effort: it
//! refuses nothing, and what it finds is a label for people, never an identity to act on.

use std::borrow::Cow;
use std::fmt;

use domain::ids::{PaymentId, ReservationId};
use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The ids of an unreadable message as far as they can be seen: up to where its JSON breaks off, and only if it names one.
pub fn ids_of(body: &[u8]) -> (Option<PaymentId>, Option<ReservationId>) {
    let mut seen = Seen::default();
    let json = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    // An error ends the reading; what was seen before it stays.
    let _ = deserializer.deserialize_map(Members(&mut seen));
    (
        seen.payment.as_text().and_then(|t| PaymentId::parse(t).ok()),
        seen.reservation.as_text().and_then(|t| ReservationId::parse(t).ok()),
    )
}

#[derive(Default)]
struct Seen {
    payment: Once,
    reservation: Once,
}

/// A text that was given once, or twice and then says nothing.
#[derive(Default)]
enum Once {
    #[default]
    Absent,
    Text(String),
    Ambiguous,
}

impl Once {
    fn add(&mut self, text: Option<String>) {
        *self = match (&self, text) {
            (Self::Absent, Some(text)) => Self::Text(text),
            (Self::Text(first), Some(text)) if *first == text => return,
            _ => Self::Ambiguous,
        };
    }

    fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Absent | Self::Ambiguous => None,
        }
    }
}

struct Members<'s>(&'s mut Seen);

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key::<Cow<'de, str>>()? {
            match name.as_ref() {
                "payment_id" => self.0.payment.add(members.next_value_seed(TextOrNot)?),
                "reservation_id" => self.0.reservation.add(members.next_value_seed(TextOrNot)?),
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// Reads a text; anything else is passed over.
struct TextOrNot;

impl<'de> DeserializeSeed<'de> for TextOrNot {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TextOrNot {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0199aabb-ccdd-7eef-8001-020304050607";

    fn payment(body: &str) -> Option<PaymentId> {
        ids_of(body.as_bytes()).0
    }

    #[test]
    fn an_id_is_seen_wherever_it_can_be() {
        let id = PaymentId::parse(ID).ok();
        assert_eq!(payment(&format!(r#"{{"payment_id":"{ID}","amount":1.5}}"#)), id);
        assert_eq!(
            payment(&format!(r#"{{"a":{{"b":[1e9,"\ud800"]}},"payment_id":"{ID}","amount"#)),
            id
        );
        assert_eq!(
            payment(&format!(r#"{{"payment_id":"{ID}","x":{}"#, "[".repeat(100_000))),
            id
        );
        let both = format!(r#"{{"payment_id":"{ID}","reservation_id":"{ID}","x":1,"x":2}}"#);
        assert_eq!(ids_of(both.as_bytes()), (id, ReservationId::parse(ID).ok()));
        let not_utf8 = [format!(r#"{{"payment_id":"{ID}","account":""#).as_bytes(), b"\xff\"}"].concat();
        assert_eq!(ids_of(&not_utf8).0, id);
        let twice = format!(r#"{{"payment_id":"{ID}","payment_id":"{ID}"}}"#);
        assert_eq!(payment(&twice), id);
    }

    #[test]
    fn what_is_no_id_is_none() {
        let other = ID.replace('0', "1");
        for body in [
            String::new(),
            "null".into(),
            "[]".into(),
            format!("\"{ID}\""),
            r#"{"payment_id":7}"#.into(),
            r#"{"payment_id":{"a":[]}}"#.into(),
            r#"{"payment_id":"x"}"#.into(),
            format!(r#"{{"x":{{"payment_id":"{ID}"}}}}"#),
            format!(r#"{{"payment_id":"{ID}","payment_id":"{other}"}}"#),
        ] {
            assert_eq!(ids_of(body.as_bytes()), (None, None), "{body}");
        }
    }
}
