//! A payee's profile, ready to be called: its secrets fetched from where the declaration says they are.

use std::sync::Arc;
use std::time::Duration;

use contract::webhook::Secrets;
use domain::declaration::{Payee, SecretRef, UnikassaProfile};
use runtime::secret::fetch;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::client::{Certificates, Reach};
use crate::dialect::{self, Dialect};

/// Where and how a payee is called.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The base URL: the host of every request.
    pub(crate) url: Url,
    pub(crate) timeout: Duration,
    pub(crate) reach: Reach,
    /// Whether a connection is used for more than one call.
    pub(crate) reuse: bool,
    pub(crate) certificates: Option<Certificates>,
    /// User and password of HTTP Basic authentication.
    pub(crate) basic: Option<(String, SecretString)>,
    /// What is spoken there.
    pub(crate) dialect: Arc<dyn Dialect>,
}

impl Target {
    /// The target of a payee, or why it cannot be called: something an operator has to set right.
    pub(crate) fn of(payee: &Payee) -> Result<Self, String> {
        let profile = payee.unikassa.as_ref().ok_or("the payee has no [unikassa] section")?;
        let plain = profile.url.scheme() == "http";
        let basic = profile.basic.as_ref().map(|basic| {
            let password = fetched("basic.password", &basic.password)?;
            Ok::<_, String>((basic.user.clone(), password))
        });
        Ok(Self {
            url: profile.url.clone(),
            timeout: Duration::from_secs(profile.timeout_seconds.into()),
            reach: match (profile.allow_private, plain) {
                (false, _) => Reach::Public,
                (true, true) => Reach::Inside,
                (true, false) => Reach::Anywhere,
            },
            // Where a call that may have arrived costs an operator's time, nothing is left to chance.
            reuse: profile.idempotent(),
            certificates: certificates_of(profile)?,
            basic: basic.transpose()?,
            dialect: dialect::of(payee, profile)?,
        })
    }
}

fn certificates_of(profile: &UnikassaProfile) -> Result<Option<Certificates>, String> {
    if profile.ca.is_none() && profile.client_certificate.is_none() {
        return Ok(None);
    }
    let ours = profile.client_certificate.as_ref().map(|ours| {
        let certificate = fetched("client_certificate.certificate", &ours.certificate)?;
        Ok::<_, String>((certificate, fetched("client_certificate.key", &ours.key)?))
    });
    Ok(Some(Certificates {
        ca: profile.ca.as_ref().map(|ca| fetched("ca", ca)).transpose()?,
        ours: ours.transpose()?,
    }))
}

/// A payee's secrets, fetched from where its declaration says they are, or why they cannot be had here. The reason never
/// repeats a secret.
///
/// The secret that is being replaced signs too, as long as it is declared.
pub fn secrets_of(profile: &UnikassaProfile) -> Result<Secrets, String> {
    let secret = profile
        .secret
        .as_ref()
        .ok_or("the payee has no secret: declare unikassa.secret")?;
    let parsed = |field: &str, secret: &SecretRef| {
        let text = fetched(field, secret)?;
        Secrets::parse(text.expose_secret()).map_err(|error| format!("unikassa.{field}: {error}"))
    };
    let secrets = parsed("secret", secret)?;
    Ok(match &profile.previous_secret {
        Some(previous) => secrets.and(parsed("previous_secret", previous)?),
        None => secrets,
    })
}

fn fetched(field: &str, secret: &SecretRef) -> Result<SecretString, String> {
    fetch(secret).map_err(|why| format!("unikassa.{field}: {why}"))
}

/// A payee's secret as it stands, for dialects that only pass it on; `None` where none is declared.
pub(crate) fn secret_of(profile: &UnikassaProfile) -> Result<Option<SecretString>, String> {
    profile
        .secret
        .as_ref()
        .map(|secret| fetched("secret", secret))
        .transpose()
}
