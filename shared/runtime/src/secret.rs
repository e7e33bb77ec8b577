//! Secrets that declarations refer to, fetched from where they say.

use domain::declaration::{SecretRef, SecretSource};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};

use crate::declared;
use crate::settings::environment;

/// Variables that workers are set up with begin so. Who declares payees need not be who runs workers: none of these is his to send
/// anywhere.
pub const OURS: &str = "UNIGATE_";

/// Fetches a secret, without white space around it, or says why it cannot be had here. The reason never repeats a secret.
pub fn fetch(secret: &SecretRef) -> Result<SecretString, String> {
    match secret.source() {
        SecretSource::Value(value) => Ok(value),
        SecretSource::Env(_) | SecretSource::File(_) => {
            password(secret).map(|kept| SecretString::from(kept.expose_secret().trim()))
        }
    }
}

/// Fetches the password of a file: exactly as it is kept, but for the end of its line. One that stands in a declaration itself
/// is refused, since that is stored.
pub fn password(secret: &SecretRef) -> Result<SecretString, String> {
    match secret.source() {
        SecretSource::Env(name) if name.starts_with(OURS) => {
            Err(format!("{name} is a setting of unigate's own, and no declaration's"))
        }
        SecretSource::Env(name) => environment(name)
            .map(SecretString::from)
            .ok_or_else(|| format!("{name} is not set here")),
        SecretSource::File(path) => {
            let text = Zeroizing::new(declared::read(path)?);
            let text = str::from_utf8(&text).map_err(|_| format!("{}: is not text in UTF-8", path.display()))?;
            Ok(SecretString::from(text.trim_end_matches(['\r', '\n'])))
        }
        SecretSource::Value(_) => Err("must be env:NAME or file:PATH".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_workers_are_set_up_with_is_no_payees() {
        let theirs = SecretRef::parse("env:UNIGATE_DATABASE_URL").unwrap();
        for told in [fetch(&theirs).map(drop), password(&theirs).map(drop)] {
            assert!(told.unwrap_err().contains("a setting of unigate's own"));
        }
    }
}
