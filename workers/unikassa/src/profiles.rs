//! A payee's profile, ready to be called: its secrets fetched from where the declaration says they are.

use std::sync::Arc;
use std::time::Duration;

use contract::webhook::Secrets;
use domain::declaration::{Payee, SecretRef, SecretSource, UnikassaProfile};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::dialect::{self, Dialect};

/// Where and how a payee is called.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The base URL: the host of every request.
    pub(crate) url: Url,
    pub(crate) timeout: Duration,
    pub(crate) allow_private: bool,
    /// What is spoken there.
    pub(crate) dialect: Arc<dyn Dialect>,
}

impl Target {
    /// The target of a payee, or why it cannot be called: something an operator has to set right.
    pub(crate) fn of(payee: &Payee) -> Result<Self, String> {
        let profile = payee.unikassa.as_ref().ok_or("the payee has no [unikassa] section")?;
        Ok(Self {
            url: profile.url.clone(),
            timeout: Duration::from_secs(profile.timeout_seconds.into()),
            allow_private: profile.allow_private,
            dialect: dialect::of(profile)?,
        })
    }
}

/// A payee's secrets, fetched from where its declaration says they are, or why they cannot be had here. The reason never
/// repeats a secret.
pub fn secrets_of(profile: &UnikassaProfile) -> Result<Secrets, String> {
    let secret = profile
        .secret
        .as_ref()
        .ok_or("the payee has no secret: declare unikassa.secret")?;
    let text = fetch(secret).map_err(|why| format!("unikassa.secret: {why}"))?;
    Secrets::parse(text.expose_secret()).map_err(|error| format!("unikassa.secret: {error}"))
}

fn fetch(secret: &SecretRef) -> Result<SecretString, String> {
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
