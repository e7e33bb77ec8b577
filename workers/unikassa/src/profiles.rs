//! A payee's profile, ready to be called: its secrets fetched from where the declaration says they are.

use std::sync::Arc;
use std::time::Duration;

use contract::unikassa::{CheckAnswer, ListAnswer};
use contract::webhook::Secrets;
use domain::declaration::{Dialect as Word, Payee, SecretRef, UnikassaProfile};
use domain::ids::Number;
use runtime::secret::fetch;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::client::{Answer, Certificates, Reach};
use crate::dialect::{self, Dialect};
use crate::mask::Mask;

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
    /// What it may not say: its secrets.
    pub(crate) mask: Mask,
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
        let basic = basic.transpose()?;
        let certificates = certificates_of(profile)?;
        let secrets = Fetched::of(profile)?;
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
            certificates,
            mask: Mask::of(secrets.all(), basic.as_ref()),
            basic,
            dialect: dialect::of(payee, profile, secrets)?,
        })
    }

    /// What an answer to a check says, without our secrets; see [`Dialect::read_check`].
    pub(crate) fn read_check(&self, number: Option<Number>, answer: &Answer) -> Result<CheckAnswer, String> {
        let read = self.dialect.read_check(number, answer);
        read.map(|answer| self.mask.checked(answer))
            .map_err(|why| self.mask.over(why))
    }

    /// What a page of its list says, without our secrets; see [`Dialect::read_list`].
    pub(crate) fn read_list(&self, body: &[u8]) -> Result<ListAnswer, String> {
        let read = self.dialect.read_list(body);
        read.map(|page| self.mask.listed(page))
            .map_err(|why| self.mask.over(why))
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

/// A payee's secrets, as they stand where its declaration says that they are. They do not print.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// What requests are signed with, or what a described one passes on.
    pub(crate) secret: Option<SecretString>,
    /// The one that is being replaced, of a dialect that signs.
    previous: Option<SecretString>,
}

impl Fetched {
    /// Fetches them, or says why they cannot be had here. The reason never repeats a secret.
    pub(crate) fn of(profile: &UnikassaProfile) -> Result<Self, String> {
        let have = |field: &str, secret: Option<&SecretRef>| secret.map(|secret| fetched(field, secret)).transpose();
        let previous = profile
            .previous_secret
            .as_ref()
            .filter(|_| profile.dialect == Word::Unikassa);
        Ok(Self {
            secret: have("secret", profile.secret.as_ref())?,
            previous: have("previous_secret", previous)?,
        })
    }

    /// All there are.
    pub(crate) fn all(&self) -> impl Iterator<Item = &SecretString> {
        self.secret.iter().chain(&self.previous)
    }

    /// What requests are signed with, or why that is none.
    pub(crate) fn signing(&self) -> Result<Secrets, String> {
        let secret = self
            .secret
            .as_ref()
            .ok_or("the payee has no secret: declare unikassa.secret")?;
        let parsed = |field: &str, text: &SecretString| {
            Secrets::parse(text.expose_secret()).map_err(|error| format!("unikassa.{field}: {error}"))
        };
        let secrets = parsed("secret", secret)?;
        Ok(match &self.previous {
            Some(previous) => secrets.and(parsed("previous_secret", previous)?),
            None => secrets,
        })
    }
}

/// A payee's signing secrets, fetched from where its declaration says they are, or why they cannot be had here. The reason never
/// repeats a secret.
///
/// The secret that is being replaced signs too, as long as it is declared.
pub fn secrets_of(profile: &UnikassaProfile) -> Result<Secrets, String> {
    Fetched::of(profile)?.signing()
}

fn fetched(field: &str, secret: &SecretRef) -> Result<SecretString, String> {
    fetch(secret).map_err(|why| format!("unikassa.{field}: {why}"))
}
