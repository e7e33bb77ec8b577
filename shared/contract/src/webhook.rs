//! Signatures on requests to payees, after the Standard Webhooks specification 1.0.0 (symmetric scheme, `v1`).
//!
//! What is signed is `id.timestamp.body`, byte for byte. The module knows no HTTP library: the caller hands over the
//! three header values as it found them. It refuses to print a secret, to compare signatures in variable time, and to
//! accept a signature shorter than a whole one.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use hmac::{Hmac, Mac as _};
use secrecy::zeroize::Zeroize as _;
use secrecy::{ExposeSecret as _, SecretSlice};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq as _};

/// Header with the id of the message: the same over all retries.
pub const ID_HEADER: &str = "webhook-id";
/// Header with the moment of this attempt, in seconds since 1970.
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// Header with the signatures, `v1,<base64>`, several separated by spaces while a secret rotates.
pub const SIGNATURE_HEADER: &str = "webhook-signature";
/// How far the timestamp may be from the reader's clock, either way, unless the reader says otherwise.
pub const TOLERANCE_SECONDS: i64 = 300;
/// The specification's shortest secret; [`Secret::is_weak`] tells of shorter ones.
pub const SECRET_MIN_BYTES: usize = 24;

const SECRET_PREFIX: &str = "whsec_";
const VERSION_PREFIX: &str = "v1,";
/// More signatures than anyone rotates; the rest is not looked at, so a header cannot buy work.
const SIGNATURES_MAX: usize = 16;

/// Secrets are typed by hand: missing padding is forgiven.
const FORGIVING: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a text is not a usable secret. Never quotes the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Nothing was given.
    #[error("no secret given; it looks like whsec_<base64>")]
    Missing,
    /// It is not `whsec_…`.
    #[error("a secret begins with whsec_")]
    Prefix,
    /// What follows `whsec_` is not base64, or is empty.
    #[error("what follows whsec_ is not base64, or is empty")]
    Base64,
}

/// One signing key. Wiped from memory when dropped, never printed.
#[derive(Clone)]
pub struct Secret(SecretSlice<u8>);

impl Secret {
    /// Reads `whsec_<base64>`.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(SecretError::Missing);
        }
        let encoded = text.strip_prefix(SECRET_PREFIX).ok_or(SecretError::Prefix)?;
        let mut key = FORGIVING.decode(encoded).map_err(|_| SecretError::Base64)?;
        if key.is_empty() {
            return Err(SecretError::Base64);
        }
        let secret = Self(SecretSlice::from(key.as_slice().to_vec()));
        key.zeroize();
        Ok(secret)
    }

    /// Whether it is shorter than the specification asks for: it works, and deserves a warning.
    pub fn is_weak(&self) -> bool {
        self.0.expose_secret().len() < SECRET_MIN_BYTES
    }

    fn mac(&self, id: &str, timestamp: &str, body: &[u8]) -> [u8; 32] {
        // HMAC takes a key of any length, so this cannot fail; an empty MAC would only ever reject.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.expose_secret()) else {
            return [0; 32];
        };
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(not shown)")
    }
}

/// The secrets in force: one, or several while they rotate. All sign, any one verifies.
#[derive(Clone, Debug)]
pub struct Secrets(Vec<Secret>);

impl Secrets {
    /// Reads one or several secrets separated by spaces or commas, the form of the environment variable.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let secrets = text
            .split(|c: char| c == ',' || c.is_whitespace())
            .filter(|part| !part.is_empty())
            .map(Secret::parse)
            .collect::<Result<Vec<_>, _>>()?;
        if secrets.is_empty() {
            return Err(SecretError::Missing);
        }
        Ok(Self(secrets))
    }

    /// These, and others beside them.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// Whether any of them is shorter than the specification asks for.
    pub fn any_weak(&self) -> bool {
        self.0.iter().any(Secret::is_weak)
    }
}

impl From<Secret> for Secrets {
    fn from(secret: Secret) -> Self {
        Self(vec![secret])
    }
}

/// The reader's clock, and how far a timestamp may be from it either way, both in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// Seconds since 1970.
    pub now: i64,
    /// [`TOLERANCE_SECONDS`] unless configured.
    pub tolerance: i64,
}

impl From<i64> for Clock {
    fn from(now: i64) -> Self {
        Self {
            now,
            tolerance: TOLERANCE_SECONDS,
        }
    }
}

/// The three header values as they came; `None` where the header is absent or not text.
#[derive(Debug, Clone, Copy, Default)]
pub struct Headers<'a> {
    /// Value of [`ID_HEADER`].
    pub id: Option<&'a str>,
    /// Value of [`TIMESTAMP_HEADER`].
    pub timestamp: Option<&'a str>,
    /// Value of [`SIGNATURE_HEADER`].
    pub signature: Option<&'a str>,
}

/// Why a request is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// A header is absent or unreadable.
    #[error("header {0} is missing or unreadable")]
    Header(&'static str),
    /// Signed too long ago: a replay, or one of the two clocks is wrong.
    #[error("the timestamp is too old (or a clock is wrong)")]
    TooOld,
    /// Signed in the future: one of the two clocks is wrong.
    #[error("the timestamp is too far ahead (or a clock is wrong)")]
    TooNew,
    /// No signature fits any secret.
    #[error("no signature fits")]
    Signature,
}

impl<'a> Headers<'a> {
    /// Checks what can be checked before the body is read: that all three are there and the time is right. Returns
    /// the signed moment, in seconds since 1970.
    pub fn check_time(&self, clock: impl Into<Clock>) -> Result<i64, Rejection> {
        let Clock { now, tolerance } = clock.into();
        let (_, timestamp, _) = self.parts()?;
        // Only digits passed, so what fails here is too large for any clock.
        let at: i64 = timestamp.parse().map_err(|_| Rejection::TooNew)?;
        if at < now.saturating_sub(tolerance) {
            Err(Rejection::TooOld)
        } else if at > now.saturating_add(tolerance) {
            Err(Rejection::TooNew)
        } else {
            Ok(at)
        }
    }

    fn parts(&self) -> Result<(&'a str, &'a str, &'a str), Rejection> {
        // A dot in the id would make `id.timestamp.body` ambiguous.
        let id = self
            .id
            .filter(|id| !id.is_empty() && !id.contains('.'))
            .ok_or(Rejection::Header(ID_HEADER))?;
        let timestamp = self
            .timestamp
            .filter(|t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit()))
            .ok_or(Rejection::Header(TIMESTAMP_HEADER))?;
        let signature = self.signature.ok_or(Rejection::Header(SIGNATURE_HEADER))?;
        Ok((id, timestamp, signature))
    }
}

/// The value of [`SIGNATURE_HEADER`] for a body: one signature per secret.
pub fn sign(secrets: &Secrets, id: &str, timestamp: i64, body: &[u8]) -> String {
    let timestamp = timestamp.to_string();
    let signatures: Vec<String> = secrets
        .0
        .iter()
        .map(|secret| format!("{VERSION_PREFIX}{}", STANDARD.encode(secret.mac(id, &timestamp, body))))
        .collect();
    signatures.join(" ")
}

/// Believes a request, or says why not. `clock` is the reader's: its seconds since 1970, or with a tolerance of its own.
/// Returns the signed moment, which orders the attempts of one request.
pub fn verify(secrets: &Secrets, headers: Headers<'_>, body: &[u8], clock: impl Into<Clock>) -> Result<i64, Rejection> {
    let at = headers.check_time(clock)?;
    let (id, timestamp, signature) = headers.parts()?;
    let expected: Vec<[u8; 32]> = secrets.0.iter().map(|secret| secret.mac(id, timestamp, body)).collect();
    let mut fits = Choice::from(0);
    for given in signature
        .split_ascii_whitespace()
        .filter_map(|part| part.strip_prefix(VERSION_PREFIX))
        .take(SIGNATURES_MAX)
        .filter_map(|encoded| FORGIVING.decode(encoded).ok())
    {
        for mac in &expected {
            fits |= mac.as_slice().ct_eq(&given);
        }
    }
    if bool::from(fits) {
        Ok(at)
    } else {
        Err(Rejection::Signature)
    }
}

#[cfg(test)]
mod tests;
