//! The strict JSON of the contract. One pass over one message body checks everything that is refused whoever reads it:
//! size, UTF-8, byte order mark, well-formedness, duplicate members, lone surrogates, control characters, nesting; unknown
//! members are held to it too, since another reader of the same bytes may know them.
//!
//! It refuses to repair anything and to hand out floating point: a number that is not an integer is only known to be one.
//! Texts without escapes are borrowed from the body.

use std::borrow::Cow;
use std::fmt;

use domain::limits::{JSON_MAX_DEPTH, MESSAGE_MAX_BYTES};
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};

use crate::unreadable::Unreadable;

/// Up to here members are compared with each other, beyond they are sorted: neither a usual message nor a hostile one
/// costs much.
const FEW_MEMBERS: usize = 16;

/// A JSON value, checked.
#[derive(Debug, PartialEq)]
pub(crate) enum Node<'a> {
    Null,
    Bool,
    Integer(i64),
    /// A number with a fraction or an exponent, or an integer out of range.
    OtherNumber,
    Text(Cow<'a, str>),
    List(Vec<Node<'a>>),
    Object(Object<'a>),
}

/// A JSON object without duplicates.
#[derive(Debug, PartialEq)]
pub(crate) struct Object<'a>(Vec<(Cow<'a, str>, Node<'a>)>);

impl<'a> Object<'a> {
    /// The member of that name; `null` is as good as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&Node<'a>> {
        self.iter().find(|(key, _)| *key == name).map(|(_, node)| node)
    }

    /// All members that are not `null`.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Node<'a>)> {
        self.0
            .iter()
            .filter(|(_, node)| *node != Node::Null)
            .map(|(key, node)| (key.as_ref(), node))
    }
}

/// Reads one message body.
pub(crate) fn parse(body: &[u8]) -> Result<Object<'_>, Unreadable> {
    if body.len() > MESSAGE_MAX_BYTES {
        return Err(Unreadable::new(format!(
            "the message is larger than {MESSAGE_MAX_BYTES} bytes"
        )));
    }
    let text =
        std::str::from_utf8(body).map_err(|error| Unreadable::new(format!("the message is not UTF-8: {error}")))?;
    if text.starts_with('\u{feff}') {
        return Err(Unreadable::new("the message begins with a byte order mark"));
    }
    let not_json = |error: serde_json::Error| Unreadable::new(error.to_string());
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let node = Strict::ROOT.deserialize(&mut deserializer).map_err(not_json)?;
    deserializer.end().map_err(not_json)?;
    match node {
        Node::Object(object) => Ok(object),
        _ => Err(Unreadable::new("the message is not a JSON object")),
    }
}

/// Where in the message the reader is; only spelled out when something is refused.
#[derive(Clone, Copy)]
enum Path<'p> {
    Root,
    Member(&'p Path<'p>, &'p str),
    Item(&'p Path<'p>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("the message"),
            Self::Member(Self::Root, name) => f.write_str(name),
            Self::Member(parent, name) => write!(f, "{parent}.{name}"),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// Builds a node and refuses what the contract refuses.
#[derive(Clone, Copy)]
struct Strict<'p> {
    path: Path<'p>,
    depth: usize,
}

impl Strict<'static> {
    const ROOT: Self = Self {
        path: Path::Root,
        depth: 0,
    };
}

impl<'p> Strict<'p> {
    fn refuse<E: Error>(&self, why: &str) -> E {
        E::custom(format_args!("{}: {why}", self.path))
    }

    fn deeper<E: Error>(&self) -> Result<usize, E> {
        let depth = self.depth + 1;
        if depth > JSON_MAX_DEPTH {
            // The path of something this deep would be longer than any detail.
            return Err(E::custom(format_args!("nesting is deeper than {JSON_MAX_DEPTH}")));
        }
        Ok(depth)
    }

    fn text<'de, E: Error>(&self, text: Cow<'de, str>) -> Result<Node<'de>, E> {
        if has_control(&text) {
            return Err(self.refuse("holds a control character"));
        }
        Ok(Node::Text(text))
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Node<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Node<'de>, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Node<'de>, E> {
        Ok(Node::Bool)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Node<'de>, E> {
        Ok(Node::Integer(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Node<'de>, E> {
        Ok(i64::try_from(number).map_or(Node::OtherNumber, Node::Integer))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Node<'de>, E> {
        Ok(Node::OtherNumber)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Node<'de>, E> {
        self.text(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node<'de>, E> {
        self.text(Cow::Owned(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node<'de>, A::Error> {
        let depth = self.deeper()?;
        let mut list = Vec::new();
        while let Some(node) = items.next_element_seed(Strict {
            path: Path::Item(&self.path, list.len()),
            depth,
        })? {
            list.push(node);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Node<'de>, A::Error> {
        let depth = self.deeper()?;
        // Only the message itself is likely to be wide; a hostile list of empty objects must not cost memory.
        let mut object = Vec::with_capacity(if depth == 1 { FEW_MEMBERS } else { 0 });
        while let Some(key) = members.next_key_seed(Key)? {
            if has_control(&key) {
                return Err(self.refuse("the name of a member holds a control character"));
            }
            let node = members.next_value_seed(Strict {
                path: Path::Member(&self.path, &key),
                depth,
            })?;
            object.push((key, node));
        }
        if let Some(twice) = duplicate(&object) {
            let path = Path::Member(&self.path, twice);
            return Err(A::Error::custom(format_args!("{path}: is given twice")));
        }
        Ok(Node::Object(Object(object)))
    }
}

/// Reads the name of a member, borrowed where it has no escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// A name that occurs twice, if one does.
fn duplicate<'o>(members: &'o [(Cow<'_, str>, Node<'_>)]) -> Option<&'o str> {
    if members.len() <= FEW_MEMBERS {
        let again = |(at, name): (usize, &'o str)| {
            let mut before = members[..at].iter();
            before.any(|(other, _)| other == name).then_some(name)
        };
        return names(members).enumerate().find_map(again);
    }
    let mut sorted: Vec<&str> = names(members).collect();
    sorted.sort_unstable();
    sorted
        .windows(2)
        .find_map(|pair| (pair[0] == pair[1]).then_some(pair[0]))
}

fn names<'o>(members: &'o [(Cow<'_, str>, Node<'_>)]) -> impl Iterator<Item = &'o str> {
    members.iter().map(|(name, _)| name.as_ref())
}

/// Whether a text holds U+0000 to U+001F or U+007F to U+009F.
fn has_control(text: &str) -> bool {
    // In UTF-8 the second range begins with the byte C2, so most texts are decided by their bytes alone.
    text.bytes().any(|byte| byte < 0x20 || byte == 0x7f || byte == 0xc2) && text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests;
