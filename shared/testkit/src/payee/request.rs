//! What was asked, as it came off the wire.

use axum::http::{HeaderMap, Method, Uri};
use bytes::Bytes;
use contract::webhook::{self, Headers, Rejection, Secrets};
use jiff::Timestamp;
use serde_json::Value;

use super::speech::Tongue;

/// The verbs of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// May this account be paid.
    Check,
    /// Credit this payment.
    Pay,
    /// What became of it.
    Status,
    /// Take it back.
    Cancel,
    /// What was credited in a period.
    List,
}

impl Verb {
    pub(super) fn of_path(path: &str) -> Option<Self> {
        match path.strip_prefix(super::BASE)? {
            "/check" => Some(Self::Check),
            "/pay" => Some(Self::Pay),
            "/status" => Some(Self::Status),
            "/cancel" => Some(Self::Cancel),
            "/list" => Some(Self::List),
            _ => None,
        }
    }
}

/// What the signature of a request was worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signature {
    /// The payee has no secret or did not read the body.
    NotChecked,
    /// It fits.
    Good,
    /// It does not, and why.
    Bad(Rejection),
}

/// One request.
#[derive(Debug, Clone)]
pub struct Request {
    /// The tongue it came in.
    pub tongue: Tongue,
    /// The verb; `None` for a path the protocol does not have.
    pub verb: Option<Verb>,
    /// The whole path with its query.
    pub path: String,
    /// All headers, names in small letters.
    pub headers: Vec<(String, String)>,
    /// The body; empty where it was not read.
    pub raw: Bytes,
    /// What was asked: the body as JSON (`null` where it is none), or the same members from another tongue.
    pub body: Value,
    /// When it was read.
    pub at: Timestamp,
    /// What its signature was worth.
    pub signature: Signature,
}

impl Request {
    pub(super) fn new(method: &Method, uri: &Uri, headers: &HeaderMap, raw: Bytes, secrets: Option<&Secrets>) -> Self {
        let at = domain::clock::now();
        let tongue = Tongue::of(uri.path()).unwrap_or_default();
        let (verb, body) = tongue.understand(method, uri, &raw);
        Self {
            tongue,
            verb,
            path: uri.to_string(),
            headers: headers
                .iter()
                .map(|(name, value)| {
                    let value = String::from_utf8_lossy(value.as_bytes());
                    (name.as_str().to_owned(), value.into_owned())
                })
                .collect(),
            body,
            signature: secrets.map_or(Signature::NotChecked, |secrets| check(secrets, headers, &raw, at)),
            raw,
            at,
        }
    }

    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The trace the request belongs to.
    pub fn traceparent(&self) -> Option<&str> {
        self.header("traceparent")
    }

    /// Whether something that the OSMP protocol wants is missing.
    pub(super) fn lacks_parameters(&self) -> bool {
        let wanted: &[&str] = match self.verb {
            Some(Verb::Check | Verb::Pay) => &["number", "account", "amount"],
            _ => &["number"],
        };
        wanted
            .iter()
            .any(|name| self.body.get(name).is_none_or(|value| value == ""))
    }

    /// The number asked about, as text, whether it came as a string or an integer.
    pub fn number(&self) -> Option<String> {
        match self.body.get("number")? {
            Value::String(number) => Some(number.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }
}

fn check(secrets: &Secrets, headers: &HeaderMap, raw: &[u8], at: Timestamp) -> Signature {
    let value = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let shown = Headers {
        id: value(webhook::ID_HEADER),
        timestamp: value(webhook::TIMESTAMP_HEADER),
        signature: value(webhook::SIGNATURE_HEADER),
    };
    match webhook::verify(secrets, shown, raw, at.as_second()) {
        Ok(_) => Signature::Good,
        Err(rejection) => Signature::Bad(rejection),
    }
}
