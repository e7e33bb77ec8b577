//! Where a secret of the configuration lies: in an environment variable, in a file, among the credentials that systemd hands to
//! a service, or in the configuration itself. It is read once, at start, and never printed.

use std::fmt;
use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer};

/// Where systemd has put the credentials of a service; by hand it is set to where their files lie.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// `env:NAME`, `file:PATH`, `credential:NAME`, or the value itself.
#[derive(Clone)]
pub struct SecretRef(SecretString);

/// A secret that could not be read. Names where it was looked for, never the value.
#[derive(Debug, thiserror::Error)]
pub enum SecretRefError {
    /// The environment variable is not set, or not text.
    #[error("environment variable {0} is not set, or not text")]
    Environment(String),
    /// There are no credentials.
    #[error(
        "credential {0} cannot be looked for: CREDENTIALS_DIRECTORY is not set (by hand, name the directory of its file)"
    )]
    Credential(String),
    /// The file could not be read.
    #[error("file {path} cannot be read")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl SecretRef {
    /// The reference a text stands for.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// Reads the secret. A line end after it is not part of it.
    pub(crate) fn resolve(&self) -> Result<SecretString, SecretRefError> {
        let text = self.0.expose_secret();
        if let Some(name) = text.strip_prefix("env:") {
            variable(name).ok_or_else(|| SecretRefError::Environment(name.to_owned()))
        } else if let Some(name) = text.strip_prefix("credential:") {
            let directory = variable(CREDENTIALS).ok_or_else(|| SecretRefError::Credential(name.to_owned()))?;
            read(&Path::new(directory.expose_secret()).join(name))
        } else if let Some(path) = text.strip_prefix("file:") {
            read(Path::new(path))
        } else {
            Ok(self.0.clone())
        }
    }
}

fn read(path: &Path) -> Result<SecretString, SecretRefError> {
    let read = std::fs::read_to_string(path).map_err(|source| SecretRefError::File {
        path: path.display().to_string(),
        source,
    })?;
    Ok(SecretString::from(read.trim_end()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the receiver's one place that reads the environment"
)]
fn variable(name: &str) -> Option<SecretString> {
    std::env::var(name).ok().map(SecretString::from)
}

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretRef(not shown)")
    }
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_places() {
        let shown = |secret: &SecretRef| secret.resolve().map(|s| s.expose_secret().to_owned());
        assert_eq!(shown(&SecretRef::new("whsec_x")).unwrap(), "whsec_x");
        assert!(shown(&SecretRef::new("env:PATH")).is_ok());
        let missing = shown(&SecretRef::new("env:UNIGATE_NO_SUCH_VARIABLE")).unwrap_err();
        assert!(missing.to_string().contains("UNIGATE_NO_SUCH_VARIABLE"));
        let file = std::env::temp_dir().join(format!("unigate-secret-{}", uuid::Uuid::now_v7()));
        std::fs::write(&file, "whsec_y\r\n").unwrap();
        assert_eq!(
            shown(&SecretRef::new(format!("file:{}", file.display()))).unwrap(),
            "whsec_y"
        );
        std::fs::remove_file(&file).unwrap();
        assert!(shown(&SecretRef::new(format!("file:{}", file.display()))).is_err());
        assert_eq!(format!("{:?}", SecretRef::new("whsec_x")), "SecretRef(not shown)");
    }
}
