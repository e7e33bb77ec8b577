//! One HTTP call to a payee, whatever its dialect: hardened, and ended by its own timeout.
//!
//! It says what happened on the wire and nothing more: whether a byte of the request may have left us, the status, the
//! body. Redirects are not followed, proxies of the environment are not used, answers are cut off above the protocol's
//! size and not read when they come compressed, and private addresses are refused unless the payee's profile allows them.

mod connection;
mod targets;

use std::net::IpAddr;
use std::sync::Arc;

use domain::declaration::Payee;
use domain::limits::PAYEE_ANSWER_MAX_BYTES;
use reqwest::header::{CONTENT_ENCODING, HeaderMap, RETRY_AFTER};
use secrecy::ExposeSecret;
use tokio::time::{Instant, timeout_at};

use crate::dialect::HttpRequest;
use crate::profiles::Target;
use couriers::question::Lines;
use targets::Targets;

pub(crate) use connection::{Certificates, Connections, Reach};

/// The longest text about an error that is kept, in characters.
const TOLD_MAX: usize = 500;
/// The most bytes of names and values of an answer's headers.
const HEADERS_MAX_BYTES: usize = 16 * 1024;

/// The calling side cannot be set up at all.
#[derive(Debug, thiserror::Error)]
#[error("no HTTP client: {0}")]
pub struct ClientError(String);

/// What came of a call, on the wire.
#[derive(Debug)]
pub(crate) enum Wire {
    /// What we call with cannot be used here, a certificate perhaps: that says nothing about the payee.
    NotMade(String),
    /// No byte of the request left us.
    NotSent(String),
    /// It may have arrived; no readable answer came.
    Lost(String),
    /// An answer came. One with status 200 is whole and not too long.
    Answer(Answer),
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// What the payee asks us to wait, in seconds.
    pub(crate) retry_after: Option<u64>,
    /// The body, or its beginning, not longer than the protocol allows.
    pub(crate) body: Vec<u8>,
    /// Whether that is all of it.
    pub(crate) whole: bool,
}

/// Calls payees. Connections are kept and shared by all lanes.
#[derive(Debug)]
pub struct Caller {
    pub(crate) connections: Connections,
    /// Where questions wait for their turn.
    pub(crate) lines: Lines,
    targets: Targets,
}

impl Caller {
    /// One for the whole process.
    pub fn new() -> Result<Self, ClientError> {
        Ok(Self {
            connections: Connections::new().map_err(ClientError)?,
            lines: Lines::default(),
            targets: Targets::default(),
        })
    }

    /// The target of a payee with its secrets as they were a moment ago, or why it cannot be called from here.
    pub(crate) async fn target(&self, payee: &Payee) -> Result<Arc<Target>, String> {
        self.targets.of(payee).await
    }

    /// Makes one call. Never takes longer than the target's timeout.
    pub(crate) async fn call(&self, target: &Target, request: HttpRequest, traceparent: Option<&str>) -> Wire {
        let until = Instant::now() + target.timeout;
        let late = format!("no answer within {} s", target.timeout.as_secs());
        match timeout_at(until, self.exchange(target, request, traceparent)).await {
            Ok(Ok(response)) => read(response, until, &late).await,
            Ok(Err(none)) => none,
            Err(_) => Wire::Lost(late),
        }
    }

    /// Until an answer begins.
    async fn exchange(
        &self,
        target: &Target,
        request: HttpRequest,
        traceparent: Option<&str>,
    ) -> Result<reqwest::Response, Wire> {
        let client = self.client(target)?;
        let HttpRequest {
            method,
            url,
            headers,
            body,
            shown: _,
        } = request;
        let mut builder = authorized(client.request(method, url), target);
        for (name, value) in headers {
            builder = builder.header(name, value);
        }
        if !body.is_empty() {
            builder = builder.body(body);
        }
        if let Some(traceparent) = traceparent {
            builder = builder.header("traceparent", traceparent);
        }
        builder.send().await.map_err(|error| {
            // Name resolution, connecting and the TLS handshake come before any byte of the request that anybody can read.
            if error.is_connect() || error.is_builder() || turns_us_away(&error) {
                Wire::NotSent(told(error))
            } else {
                Wire::Lost(told(error))
            }
        })
    }
}

/// What a gateway in front of a payee says when nobody is behind it.
const NOBODY_BEHIND: std::ops::RangeInclusive<u16> = 502..=504;

impl Caller {
    /// Whether anybody is there, for a payee that cannot be asked about a number: a request that asks for nothing and is
    /// not signed. Any answer will do.
    pub(crate) async fn greet(&self, target: &Target) -> Result<(), Wire> {
        let client = self.client(target)?;
        let greeting = authorized(client.head(target.url.clone()), target).send();
        match tokio::time::timeout(target.timeout, greeting).await {
            Ok(Ok(answer)) if NOBODY_BEHIND.contains(&answer.status().as_u16()) => {
                Err(Wire::NotSent(format!("HTTP {}", answer.status().as_u16())))
            }
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Wire::NotSent(told(error))),
            Err(_) => Err(Wire::NotSent(format!(
                "no answer within {} s",
                target.timeout.as_secs()
            ))),
        }
    }

    fn client(&self, target: &Target) -> Result<reqwest::Client, Wire> {
        if let Some(why) = forbidden(target) {
            return Err(Wire::NotSent(why));
        }
        self.connections.to(target).map_err(Wire::NotMade)
    }
}

fn authorized(builder: reqwest::RequestBuilder, target: &Target) -> reqwest::RequestBuilder {
    match &target.basic {
        Some((user, password)) => builder.basic_auth(user, Some(password.expose_secret())),
        None => builder,
    }
}

/// Only 200 means what follows it: any other status says enough by itself, however its answer goes on and whether it ends.
async fn read(mut response: reqwest::Response, until: Instant, late: &str) -> Wire {
    let status = response.status().as_u16();
    let headers = response.headers();
    let retry_after = headers.get(RETRY_AFTER).and_then(|value| wait(value.to_str().ok()?));
    let unfinished = |body, why: &str| match status {
        200 => Wire::Lost(format!("HTTP 200: {why}")),
        _ => Wire::Answer(Answer {
            status,
            retry_after,
            body,
            whole: false,
        }),
    };
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if bytes > HEADERS_MAX_BYTES {
        return unfinished(Vec::new(), "the answer's headers are longer than 16 KiB");
    }
    if is_compressed(headers) {
        // It was not asked for, and what it unpacks to has no bound.
        return unfinished(Vec::new(), "the answer is compressed, which was not asked for");
    }
    let mut body = Vec::new();
    loop {
        match timeout_at(until, response.chunk()).await {
            Ok(Ok(Some(chunk))) => {
                let room = PAYEE_ANSWER_MAX_BYTES - body.len();
                body.extend_from_slice(&chunk[..room.min(chunk.len())]);
                if chunk.len() > room {
                    return unfinished(body, "the answer is longer than 64 KiB");
                }
            }
            Ok(Ok(None)) => {
                return Wire::Answer(Answer {
                    status,
                    retry_after,
                    body,
                    whole: true,
                });
            }
            Ok(Err(error)) => return unfinished(body, &format!("the answer broke off: {}", told(error))),
            Err(_) => return unfinished(body, late),
        }
    }
}

/// Seconds, or until a date: in seconds from now, by this machine's clock, none of them if it has passed.
fn wait(retry_after: &str) -> Option<u64> {
    let said = retry_after.trim();
    said.parse().ok().or_else(|| {
        let until = httpdate::parse_http_date(said).ok()?;
        let now = std::time::SystemTime::from(domain::clock::now());
        Some(
            until
                .duration_since(now)
                .map_or(0, |left| left.as_secs().saturating_add(1)),
        )
    })
}

fn is_compressed(headers: &HeaderMap) -> bool {
    headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// An address in the URL itself never meets the resolver, so it is judged here.
fn forbidden(target: &Target) -> Option<String> {
    let address: IpAddr = match target.url.host()? {
        url::Host::Ipv4(address) => address.into(),
        url::Host::Ipv6(address) => address.into(),
        url::Host::Domain(_) => return None,
    };
    target.reach.forbids(address)
}

/// Whether the other side ended the TLS handshake because of who we are. With TLS 1.3 our request is on its way by then; it
/// is dropped with the handshake, unread.
fn turns_us_away(error: &reqwest::Error) -> bool {
    use rustls::AlertDescription as A;
    let mut cause = std::error::Error::source(error);
    while let Some(found) = cause {
        let inner = found.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(rustls::Error::AlertReceived(alert)) = inner.and_then(|inner| inner.downcast_ref()) {
            return matches!(
                alert,
                A::CertificateRequired
                    | A::BadCertificate
                    | A::UnsupportedCertificate
                    | A::CertificateRevoked
                    | A::CertificateExpired
                    | A::CertificateUnknown
                    | A::UnknownCA
                    | A::AccessDenied
                    | A::HandshakeFailure
            );
        }
        cause = found.source();
    }
    false
}

/// The cause says what happened; reqwest's own text, where there is none, without the URL, in whose query a secret may stand.
fn told(error: reqwest::Error) -> String {
    let mut text = if error.is_timeout() {
        "timed out".to_owned()
    } else {
        String::new()
    };
    let error = error.without_url();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    let text = if text.is_empty() { error.to_string() } else { text };
    // It may quote what the other side sent (a certificate's names); it goes into the database and to terminals.
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(TOLD_MAX)
        .collect()
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_told;
