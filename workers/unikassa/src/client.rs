//! One HTTP call to a payee, whatever its dialect: hardened, and ended by its own timeout.
//!
//! It says what happened on the wire and nothing more: whether a byte of the request may have left us, the status, the
//! body. Redirects are not followed, proxies of the environment are not used, answers are cut off above the protocol's
//! size, and private addresses are refused unless the payee's profile allows them.

use std::net::IpAddr;
use std::time::Duration;

use domain::declaration::is_private_address;
use domain::limits::PAYEE_ANSWER_MAX_BYTES;
use reqwest::redirect::Policy;

use crate::dialect::HttpRequest;
use crate::profiles::Target;

/// The longest text about an error that is kept, in characters.
const TOLD_MAX: usize = 500;

/// The calling side cannot be set up at all.
#[derive(Debug, thiserror::Error)]
#[error("no HTTP client: {0}")]
pub struct ClientError(#[from] reqwest::Error);

/// What came of a call, on the wire.
#[derive(Debug)]
pub(crate) enum Wire {
    /// No byte of the request left us.
    NotSent(String),
    /// It may have arrived; no readable answer came.
    Lost(String),
    /// An answer came, whole and not too long.
    Answer(Answer),
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// What the payee asks us to wait, in seconds.
    pub(crate) retry_after: Option<u64>,
    /// The body, not longer than the protocol allows.
    pub(crate) body: Vec<u8>,
}

/// Calls payees. Connections are kept and shared by all lanes.
#[derive(Debug)]
pub struct Caller {
    public: reqwest::Client,
    anywhere: reqwest::Client,
}

impl Caller {
    /// One for the whole process.
    pub fn new() -> Result<Self, ClientError> {
        Ok(Self {
            public: client().dns_resolver(PublicOnly).build()?,
            anywhere: client().build()?,
        })
    }

    /// Makes one call. Never takes longer than the target's timeout.
    pub(crate) async fn call(&self, target: &Target, request: HttpRequest, traceparent: Option<&str>) -> Wire {
        match tokio::time::timeout(target.timeout, self.exchange(target, request, traceparent)).await {
            Ok(wire) => wire,
            Err(_) => Wire::Lost(format!("no answer within {} s", target.timeout.as_secs())),
        }
    }

    async fn exchange(&self, target: &Target, request: HttpRequest, traceparent: Option<&str>) -> Wire {
        if let Some(why) = forbidden(target) {
            return Wire::NotSent(why);
        }
        let HttpRequest {
            method,
            url,
            headers,
            body,
            shown: _,
        } = request;
        let mut builder = self.client_for(target).request(method, url);
        for (name, value) in headers {
            builder = builder.header(name, value);
        }
        if !body.is_empty() {
            builder = builder.body(body);
        }
        if let Some(traceparent) = traceparent {
            builder = builder.header("traceparent", traceparent);
        }
        match builder.send().await {
            Ok(response) => read(response).await,
            // Name resolution, connecting and the TLS handshake come before any byte of the request.
            Err(error) if error.is_connect() || error.is_builder() => Wire::NotSent(told(&error)),
            Err(error) => Wire::Lost(told(&error)),
        }
    }
}

/// What a gateway in front of a payee says when nobody is behind it.
const NOBODY_BEHIND: std::ops::RangeInclusive<u16> = 502..=504;

impl Caller {
    /// Whether anybody is there, for a payee that cannot be asked about a number: a request that asks for nothing and is
    /// not signed. Any answer will do.
    pub(crate) async fn greet(&self, target: &Target) -> Result<(), String> {
        if let Some(why) = forbidden(target) {
            return Err(why);
        }
        let greeting = self.client_for(target).head(target.url.clone()).send();
        match tokio::time::timeout(target.timeout, greeting).await {
            Ok(Ok(answer)) if NOBODY_BEHIND.contains(&answer.status().as_u16()) => {
                Err(format!("HTTP {}", answer.status().as_u16()))
            }
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(told(&error)),
            Err(_) => Err(format!("no answer within {} s", target.timeout.as_secs())),
        }
    }

    fn client_for(&self, target: &Target) -> &reqwest::Client {
        if target.allow_private {
            &self.anywhere
        } else {
            &self.public
        }
    }
}

fn client() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        // Well below most payees' timeouts: an address where nobody answers is then *not sent*, not *maybe*.
        .connect_timeout(Duration::from_secs(4))
        .pool_idle_timeout(Duration::from_secs(30))
        .user_agent(concat!("unigate/", env!("CARGO_PKG_VERSION")))
}

async fn read(mut response: reqwest::Response) -> Wire {
    let status = response.status().as_u16();
    let retry_after = response
        .headers()
        .get("retry-after")
        .and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= PAYEE_ANSWER_MAX_BYTES => body.extend_from_slice(&chunk),
            Ok(Some(_)) => return Wire::Lost(format!("HTTP {status}: the answer is longer than 64 KiB")),
            Ok(None) => {
                return Wire::Answer(Answer {
                    status,
                    retry_after,
                    body,
                });
            }
            Err(error) => return Wire::Lost(format!("HTTP {status}: the answer broke off: {}", told(&error))),
        }
    }
}

/// An address in the URL itself never meets the resolver, so it is judged here.
fn forbidden(target: &Target) -> Option<String> {
    if target.allow_private {
        return None;
    }
    let address: IpAddr = match target.url.host()? {
        url::Host::Ipv4(address) => address.into(),
        url::Host::Ipv6(address) => address.into(),
        url::Host::Domain(_) => return None,
    };
    is_private_address(address).then(|| format!("{address} is a private address and allow_private is not set"))
}

/// reqwest's own text names only the URL; the cause says what happened.
fn told(error: &reqwest::Error) -> String {
    let mut text = if error.is_timeout() {
        "timed out".to_owned()
    } else {
        String::new()
    };
    let mut source = std::error::Error::source(error);
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

/// Resolves names, but to public addresses only: a name that leads inside is as private as the address.
struct PublicOnly;

impl reqwest::dns::Resolve for PublicOnly {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            let public: Vec<_> = found.filter(|address| !is_private_address(address.ip())).collect();
            if public.is_empty() {
                return Err(format!("{host} leads to private addresses only and allow_private is not set").into());
            }
            Ok(Box::new(public.into_iter()) as reqwest::dns::Addrs)
        })
    }
}
