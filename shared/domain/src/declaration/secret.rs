//! Where a secret is to be had: `env:NAME`, `file:PATH`, or the value itself. This crate never resolves one, and neither
//! `Debug` nor an error shows more than which of the three it is.
//!
//! `Serialize` does write the whole reference, because declarations are kept in the database and would be useless
//! without it; what people are shown goes through `Declaration::to_public_json`, which masks values.

use std::fmt;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::invalid::Invalid;
use crate::text::deserialize_with;

/// A reference to a secret, or the secret.
#[derive(Clone)]
pub struct SecretRef(SecretString);

/// Where to look for the secret.
#[derive(Debug)]
pub enum SecretSource<'a> {
    /// The environment variable of this name.
    Env(&'a str),
    /// The content of this file, without the white space around it.
    File(&'a Path),
    /// The secret itself.
    Value(SecretString),
}

impl SecretRef {
    /// What a masked value reads as.
    pub const MASK: &str = "(secret)";

    /// Reads a reference; it is not followed.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let names_nothing = matches!(text, "" | "env:" | "file:");
        let bad_name = text.strip_prefix("env:").is_some_and(|name| name.contains(['=', ' ']));
        if names_nothing || bad_name || text.chars().any(char::is_control) {
            return Err(Invalid::new(
                "secret",
                "must be env:NAME, file:PATH or the value itself, on one line",
            ));
        }
        Ok(Self(text.into()))
    }

    /// Where to look.
    pub fn source(&self) -> SecretSource<'_> {
        let text = self.0.expose_secret();
        match (text.strip_prefix("env:"), text.strip_prefix("file:")) {
            (Some(name), _) => SecretSource::Env(name),
            (_, Some(path)) => SecretSource::File(Path::new(path)),
            _ => SecretSource::Value(self.0.clone()),
        }
    }

    /// The whole reference, for the file that it is written into: of a value, the secret itself.
    pub fn as_written(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether it says where the secret is, and is not the secret.
    pub fn is_reference(&self) -> bool {
        !matches!(self.source(), SecretSource::Value(_))
    }

    /// How it may be shown: a reference as it is, a value masked.
    pub fn redacted(&self) -> &str {
        match self.source() {
            SecretSource::Value(_) => Self::MASK,
            SecretSource::Env(_) | SecretSource::File(_) => self.0.expose_secret(),
        }
    }
}

impl PartialEq for SecretRef {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose_secret() == other.0.expose_secret()
    }
}

impl Eq for SecretRef {}

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.source() {
            SecretSource::Env(_) => "SecretRef(env)",
            SecretSource::File(_) => "SecretRef(file)",
            SecretSource::Value(_) => "SecretRef(value)",
        })
    }
}

impl Serialize for SecretRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose_secret())
    }
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_with(deserializer, "a reference to a secret", Self::parse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_told_apart_and_values_never_printed() {
        let env = SecretRef::parse("env:ISP_SECRET").unwrap();
        assert!(matches!(env.source(), SecretSource::Env("ISP_SECRET")));
        let file = SecretRef::parse("file:/run/secrets/isp").unwrap();
        assert!(matches!(file.source(), SecretSource::File(path) if path == Path::new("/run/secrets/isp")));
        let value = SecretRef::parse("whsec_c2VjcmV0").unwrap();
        assert!(matches!(value.source(), SecretSource::Value(found) if found.expose_secret() == "whsec_c2VjcmV0"));
        assert_eq!(
            format!("{env:?} {file:?} {value:?}"),
            "SecretRef(env) SecretRef(file) SecretRef(value)"
        );
        assert!(!format!("{:?}", value.source()).contains("c2VjcmV0"));
        assert_eq!((env.redacted(), value.redacted()), ("env:ISP_SECRET", SecretRef::MASK));
        assert_eq!(serde_json::to_string(&value).unwrap(), "\"whsec_c2VjcmV0\"");
    }

    #[test]
    fn a_reference_to_nothing_is_refused_without_repeating_it() {
        for bad in ["", "env:", "file:", "env:A B", "whsec_x\ny"] {
            let refused = serde_json::from_value::<SecretRef>(bad.into()).unwrap_err().to_string();
            assert!(bad.is_empty() || !refused.contains("whsec_x"), "{refused}");
        }
    }
}
