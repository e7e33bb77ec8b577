//! Secrets of payees, fetched from where their declarations say they are.

use domain::declaration::{SecretRef, SecretSource};
use secrecy::SecretString;

/// Fetches a secret, or says why it cannot be had here. The reason never repeats a secret.
pub fn fetch(secret: &SecretRef) -> Result<SecretString, String> {
    match secret.source() {
        SecretSource::Env(name) => runtime::settings::environment(name)
            .map(SecretString::from)
            .ok_or_else(|| format!("{name} is not set here")),
        SecretSource::File(path) => std::fs::read_to_string(path)
            .map(|text| SecretString::from(text.trim()))
            .map_err(|error| format!("{}: {error}", path.display())),
        SecretSource::Value(value) => Ok(value),
    }
}
