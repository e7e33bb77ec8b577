//! Card details on their way to a terminal. Nothing here prints them: they come out in the bytes of an open answer, or in
//! the plaintext that is about to be sealed for one terminal, and nowhere else.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::schema::wire;

/// A card's fields by name, in the order of its file: the secret ones, and with them, kept the same way, those that are not.
#[derive(Debug, Clone, Default)]
pub struct SecretFields(Vec<(String, SecretString)>);

impl SecretFields {
    /// The fields in the order in which a person should read them.
    pub fn new(fields: Vec<(String, SecretString)>) -> Self {
        Self(fields)
    }

    /// The same with more fields after them.
    #[must_use]
    pub fn with(mut self, more: impl IntoIterator<Item = (String, SecretString)>) -> Self {
        self.0.extend(more);
        self
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &SecretString)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl Serialize for SecretFields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, value.expose_secret())?;
        }
        map.end()
    }
}

impl JsonSchema for SecretFields {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "SecretFields".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        wire::Details::json_schema(generator)
    }
}

/// A card's serial, which is no secret, and its fields, which are.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct CardDetails {
    /// Printed on the card or its receipt; people correspond by it.
    pub serial: String,
    /// Pin, login, password and the like, by name.
    pub fields: SecretFields,
}

impl CardDetails {
    /// What is to be sealed for a terminal with a key of its own: `{"serial","fields","receipt"}`. It is wiped when
    /// dropped.
    pub fn to_be_sealed(&self, receipt: Option<&SecretString>) -> Zeroizing<Vec<u8>> {
        let contents = SealedContents {
            serial: &self.serial,
            fields: &self.fields,
            receipt: receipt.map(ExposeSecret::expose_secret),
        };
        // Strings and maps keyed by strings always have a JSON form.
        Zeroizing::new(serde_json::to_vec(&contents).unwrap_or_default())
    }
}

/// What a terminal finds in `sealed_card` once it has opened it.
#[derive(Serialize, JsonSchema)]
pub(crate) struct SealedContents<'c> {
    /// The card's serial.
    serial: &'c str,
    /// The card's details by name.
    fields: &'c SecretFields,
    /// The text to print, where the product has one.
    receipt: Option<&'c str>,
}

/// Writes a secret text into an open answer.
pub(super) fn expose<S: Serializer>(secret: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(ExposeSecret::expose_secret).serialize(serializer)
}
