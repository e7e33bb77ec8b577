//! Takes the members of a message one by one, each through the type that checks it. It refuses by the member's name and
//! never repeats the value.

use std::collections::{BTreeMap, BTreeSet};

use domain::Invalid;
use domain::limits::SERIAL_MAX;
use domain::text::{Fields, is_field_key, no_control};
use jiff::Timestamp;

use crate::json::{Node, Object};
use crate::time;
use crate::unreadable::Unreadable;

/// Reads the members of one message.
pub(super) struct Reader<'m, 'a> {
    object: &'m Object<'a>,
}

impl<'m, 'a> Reader<'m, 'a> {
    pub(super) fn new(object: &'m Object<'a>) -> Self {
        Self { object }
    }

    /// A text that must be there.
    pub(super) fn text<T>(&self, name: &str, parse: impl FnOnce(&str) -> Result<T, Invalid>) -> Result<T, Unreadable> {
        self.text_if_given(name, parse)?.ok_or_else(|| missing(name))
    }

    /// A text that may be there.
    pub(super) fn text_if_given<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Result<Option<T>, Unreadable> {
        match self.object.get(name) {
            None => Ok(None),
            Some(Node::Text(text)) => parse(text)
                .map(Some)
                .map_err(|refused| Unreadable::of(name, &refused.why)),
            Some(_) => Err(Unreadable::of(name, "must be a string")),
        }
    }

    /// An integer that must be there.
    pub(super) fn integer<T>(
        &self,
        name: &str,
        parse: impl FnOnce(i64) -> Result<T, Invalid>,
    ) -> Result<T, Unreadable> {
        self.integer_if_given(name, parse)?.ok_or_else(|| missing(name))
    }

    /// An integer that may be there.
    pub(super) fn integer_if_given<T>(
        &self,
        name: &str,
        parse: impl FnOnce(i64) -> Result<T, Invalid>,
    ) -> Result<Option<T>, Unreadable> {
        match self.object.get(name) {
            None => Ok(None),
            Some(Node::Integer(number)) => parse(*number)
                .map(Some)
                .map_err(|refused| Unreadable::of(name, &refused.why)),
            Some(_) => Err(Unreadable::of(
                name,
                "must be an integer in range, without fraction or exponent",
            )),
        }
    }

    /// A time that must be there.
    pub(super) fn time(&self, name: &str) -> Result<Timestamp, Unreadable> {
        self.text(name, |text| time::parse(text).map_err(|why| Invalid::new(name, why)))
    }

    /// A card's serial, which may be there.
    pub(super) fn serial_if_given(&self, name: &str) -> Result<Option<String>, Unreadable> {
        self.text_if_given(name, |serial| {
            no_control(name, serial, SERIAL_MAX)?;
            Ok(serial.to_owned())
        })
    }

    /// The payer's fields; none when absent.
    pub(super) fn fields(&self) -> Result<Fields, Unreadable> {
        const NAME: &str = "fields";
        let object = match self.object.get(NAME) {
            None => return Ok(Fields::default()),
            Some(Node::Object(object)) => object,
            Some(_) => return Err(Unreadable::of(NAME, "must be an object of strings")),
        };
        let mut fields = BTreeMap::new();
        for (key, node) in object.iter() {
            match node {
                Node::Text(value) => fields.insert(key.to_owned(), value.to_string()),
                _ if is_field_key(key) => {
                    return Err(Unreadable::of(&format!("{NAME}.{key}"), "must be a string"));
                }
                _ => return Err(Unreadable::of(NAME, "must be an object of strings")),
            };
        }
        Ok(Fields::new(fields)?)
    }

    /// A list of texts that must be there; repetitions are folded.
    pub(super) fn set<T: Ord + Clone>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, Invalid>,
    ) -> Result<Vec<T>, Unreadable> {
        let list = match self.object.get(name) {
            None => return Err(missing(name)),
            Some(Node::List(list)) => list,
            Some(_) => return Err(Unreadable::of(name, "must be a list of strings")),
        };
        let mut seen = BTreeSet::new();
        let mut items = Vec::with_capacity(list.len());
        for (index, node) in list.iter().enumerate() {
            let refused = |why: &str| Unreadable::of(&format!("{name}[{index}]"), why);
            let Node::Text(text) = node else {
                return Err(refused("must be a string"));
            };
            let item = parse(text).map_err(|invalid| refused(&invalid.why))?;
            if seen.insert(item.clone()) {
                items.push(item);
            }
        }
        Ok(items)
    }
}

fn missing(name: &str) -> Unreadable {
    Unreadable::of(name, "is missing")
}
