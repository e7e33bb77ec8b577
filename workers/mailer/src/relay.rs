//! Sends bytes to one recipient through a mail relay, and says how it ended in the three ways a courier knows.
//!
//! It speaks through lettre's connections and leaves its transport aside, for two reasons. An error of the transport does
//! not say whether the message had left. And its pool takes a connection back whose send was given up: the answer that
//! comes late is then read as the answer to the next message, and a mail counts as sent that never was. Here a
//! connection returns to the pool only when every answer on it was read.

mod dialogue;
mod error;

use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use domain::declaration::{RelayTls, RelayUrl, RelayUrlError};
use lettre::Address;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters};
use lettre::transport::smtp::commands::Rset;
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;
use secrecy::{ExposeSecret, SecretString};
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

use self::dialogue::{Outgoing, Size, hand_over};
pub use self::error::{SendError, Stage};
use crate::clean::one_line;
use crate::message::{MessageError, Raw, mailbox};

/// A whole send may take so long. Relays check for viruses before they answer the final dot.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(120);
/// And so much longer as a message takes at this rate.
pub(crate) const BYTES_PER_SECOND: u32 = 64 * 1024;
/// A connection that was idle may take so long to show that it is alive.
const REVIVAL_TIMEOUT: Duration = Duration::from_secs(5);
/// Idle connections older than this are not used again; many relays close theirs after a minute or less.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// So many idle connections are kept.
const POOL_SIZE: usize = 8;
/// The longest answer that is reported.
const RESPONSE_MAX: usize = 300;

/// How a send ended.
#[derive(Debug)]
pub enum Sending {
    /// The relay took the message over.
    Sent {
        /// Its answer, cleaned.
        response: String,
    },
    /// The relay certainly did not take it over.
    NotSent {
        /// Whether the same message may be taken later.
        retry: bool,
        /// Why.
        error: SendError,
    },
    /// The relay may have taken it over: the message was going out or was out, and no answer came.
    Maybe {
        /// What was seen instead of the answer.
        error: SendError,
    },
}

/// A mail relay and the connections to it.
pub struct Relay {
    url: RelayUrl,
    credentials: Option<Credentials>,
    /// PEM: whom to trust instead of the system's authorities.
    ca: Option<String>,
    hello: ClientId,
    timeout: Duration,
    /// Made when first needed: reading the system's roots takes a moment.
    tls_parameters: OnceLock<TlsParameters>,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    link: Link,
    since: Instant,
}

/// A connection that was greeted, and what its relay says of sizes.
struct Link {
    connection: AsyncSmtpConnection,
    size: Size,
}

/// A connection that is ready for a message.
pub struct Session<'r> {
    relay: &'r Relay,
    link: Link,
}

impl Relay {
    /// A relay that is logged in to with `password`, if its URL names a user; connects to nothing yet.
    pub fn new(url: RelayUrl, password: Option<&SecretString>) -> Result<Self, RelayUrlError> {
        let password = password.or(url.password());
        let credentials = match (url.user(), password) {
            (Some(user), Some(password)) => {
                Some(Credentials::new(user.to_owned(), password.expose_secret().to_owned()))
            }
            (None, None) => None,
            _ => return Err(RelayUrlError::Wrong("needs both user and password, or neither")),
        };
        Ok(Self {
            url,
            credentials,
            ca: None,
            hello: ClientId::default(),
            timeout: TIMEOUT,
            tls_parameters: OnceLock::new(),
            idle: Mutex::default(),
        })
    }

    /// A relay whose password, if it needs one, stands in its URL.
    pub fn from_url(url: &SecretString) -> Result<Self, RelayUrlError> {
        Self::new(RelayUrl::parse(url.expose_secret())?, None)
    }

    /// Gives a whole send, from connecting to the relay's last answer, this long instead of two minutes.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Trusts those who sign with these certificates (PEM) instead of the system's authorities.
    #[must_use]
    pub fn with_ca(self, ca: Option<String>) -> Self {
        Self { ca, ..self }
    }

    /// How long a send can take, apart from the time that a large message takes.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Connects, encrypts and logs in as a send would, and sends nothing.
    pub async fn check(&self) -> Result<(), SendError> {
        let session = self.open().await?;
        self.put_back(session.link);
        Ok(())
    }

    /// A connection that is ready for a message: an idle one, or a new one.
    pub async fn open(&self) -> Result<Session<'_>, SendError> {
        let mut stage = Stage::Connect;
        let opening = async {
            match self.revive().await {
                Some(link) => Ok(link),
                None => self.connect(&mut stage).await,
            }
        };
        match limited(self.timeout, opening).await {
            Some(link) => Ok(Session {
                relay: self,
                link: link?,
            }),
            None => Err(SendError::Timeout {
                stage,
                after: self.timeout,
            }),
        }
    }

    /// Sends `raw` as it stands; `from` and `recipient` may have names. Never fails: every end is one of the three.
    pub async fn send(&self, raw: &[u8], from: &str, recipient: &str) -> Sending {
        // What is no address is not worth a connection.
        if let Err(error) = address(from).and(address(recipient)) {
            return Sending::NotSent { retry: false, error };
        }
        match self.open().await {
            Ok(session) => session.send(Raw::whole(raw), from, recipient).await,
            Err(error) => Sending::NotSent { retry: true, error },
        }
    }

    async fn connect(&self, stage: &mut Stage) -> Result<Link, SendError> {
        let wrapper = (self.url.tls() == RelayTls::Wrapper)
            .then(|| self.tls_parameters())
            .transpose()?;
        let place = (self.url.host(), self.url.port());
        let mut connection = AsyncSmtpConnection::connect_tokio1(place, Some(self.timeout), &self.hello, wrapper, None)
            .await
            .map_err(SendError::connecting)?;
        let wanted = match self.url.tls() {
            RelayTls::Required => true,
            RelayTls::Offered => connection.can_starttls(),
            RelayTls::None | RelayTls::Wrapper => false,
        };
        if wanted {
            let parameters = self.tls_parameters()?;
            let encrypted = connection.starttls(parameters, &self.hello).await;
            encrypted.map_err(SendError::connecting)?;
        }
        if let Some(credentials) = &self.credentials {
            *stage = Stage::Login;
            let nobody_listens = self.url.tls() == RelayTls::None && self.url.is_loopback();
            if !connection.is_encrypted() && !nobody_listens {
                return Err(SendError::PasswordInClear);
            }
            let login = connection.auth(DEFAULT_MECHANISMS, credentials).await;
            login.map_err(|source| SendError::Smtp {
                stage: Stage::Login,
                source,
            })?;
        }
        let size = Size::ask(&mut connection, &self.hello).await?;
        Ok(Link { connection, size })
    }

    fn tls_parameters(&self) -> Result<TlsParameters, SendError> {
        if let Some(known) = self.tls_parameters.get() {
            return Ok(known.clone());
        }
        let mut builder = TlsParameters::builder(self.url.host().to_owned());
        if let Some(ca) = &self.ca {
            let ca = Certificate::from_pem(ca.as_bytes()).map_err(SendError::connecting)?;
            builder = builder
                .certificate_store(CertificateStore::None)
                .add_root_certificate(ca);
        }
        let parameters = builder.build().map_err(SendError::connecting)?;
        Ok(self.tls_parameters.get_or_init(|| parameters).clone())
    }

    /// An idle connection that still answers. `RSET` also forgets what a refused message left on it.
    async fn revive(&self) -> Option<Link> {
        loop {
            let Idle { mut link, since } = self.pool().pop()?;
            if since.elapsed() > IDLE_MAX {
                continue;
            }
            let answer = tokio::time::timeout(REVIVAL_TIMEOUT, link.connection.command(Rset)).await;
            if let Ok(Ok(_)) = answer {
                return Some(link);
            }
        }
    }

    fn put_back(&self, link: Link) {
        let mut pool = self.pool();
        if pool.len() < POOL_SIZE {
            pool.push(Idle {
                link,
                since: Instant::now(),
            });
        }
    }

    fn pool(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        // Nothing panics while it is held, and a pool is whole after every step.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session<'_> {
    /// Whether the relay takes a message of this size.
    pub fn takes(&self, bytes: u64) -> Result<(), SendError> {
        self.link.size.takes(bytes)
    }

    /// Sends a message. Never fails: every end is one of the three.
    pub async fn send(mut self, raw: Raw<'_>, from: &str, recipient: &str) -> Sending {
        let outgoing = match (address(from), address(recipient)) {
            (Ok(from), Ok(recipient)) => Outgoing { raw, from, recipient },
            (Err(error), _) | (_, Err(error)) => {
                self.relay.put_back(self.link);
                return Sending::NotSent { retry: false, error };
            }
        };
        let on_the_way = Duration::from_secs(raw.bytes() / u64::from(BYTES_PER_SECOND));
        let after = self.relay.timeout + on_the_way;
        let mut stage = Stage::Sender;
        let Link { connection, size } = &mut self.link;
        let ended = limited(after, hand_over(connection, *size, &mut stage, outgoing)).await;
        let Some(ended) = ended else {
            return error::judge(stage, SendError::Timeout { stage, after });
        };
        let in_step = match &ended {
            Ok(_) => true,
            Err(SendError::TooLarge { .. } | SendError::Unsupported(_)) => true,
            Err(error) => error.code().is_some_and(|code| code != 421),
        };
        if in_step {
            self.relay.put_back(self.link);
        }
        match ended {
            Ok(response) => Sending::Sent {
                response: words(&response),
            },
            Err(error) => error::judge(stage, error),
        }
    }
}

/// Within the timeout, and in silence: lettre logs passwords and whole messages at the level `debug`.
async fn limited<T>(timeout: Duration, work: impl Future<Output = T>) -> Option<T> {
    let silent = work.with_subscriber(NoSubscriber::default());
    tokio::time::timeout(timeout, silent).await.ok()
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("url", &self.url).finish_non_exhaustive()
    }
}

impl fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("relay", &self.relay)
            .finish_non_exhaustive()
    }
}

fn address(text: &str) -> Result<Address, SendError> {
    match mailbox(text) {
        Ok(mailbox) => Ok(mailbox.email),
        Err(MessageError::Address { address, source }) => Err(SendError::Address { address, source }),
        Err(_) => Err(SendError::Unsupported("the address")),
    }
}

fn words(response: &Response) -> String {
    let text = response.message().collect::<Vec<_>>().join(" ");
    one_line(&format!("{} {text}", response.code()), RESPONSE_MAX)
}

#[cfg(test)]
mod tests;
