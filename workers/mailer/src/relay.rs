//! Sends bytes to one recipient through a mail relay, and says how it ended in the three ways a courier knows.
//!
//! It speaks through lettre's connections and leaves its transport aside, for two reasons. An error of the transport does
//! not say whether the message had left. And its pool takes a connection back whose send was given up: the answer that
//! comes late is then read as the answer to the next message, and a mail counts as sent that never was. Here a
//! connection returns to the pool only when every answer on it was read.

mod error;
mod url;

use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use lettre::Address;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use lettre::transport::smtp::response::{Response, Severity};
use secrecy::SecretString;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

pub use self::error::{SendError, Stage};
pub use self::url::{RelayUrlError, Tls};
use crate::clean::one_line;
use crate::message::{MessageError, mailbox};

/// A whole send may take so long. Relays check for viruses before they answer the final dot.
const TIMEOUT: Duration = Duration::from_secs(120);
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
    host: String,
    port: u16,
    tls: Tls,
    credentials: Option<Credentials>,
    hello: ClientId,
    timeout: Duration,
    /// Made when first needed: reading the system's roots takes a moment.
    tls_parameters: OnceLock<TlsParameters>,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: AsyncSmtpConnection,
    since: Instant,
}

/// What goes out.
struct Outgoing<'a> {
    raw: &'a [u8],
    from: Address,
    recipient: Address,
}

impl Relay {
    /// Reads `smtp://[user:password@]host:port[?tls=none|starttls|required]` or `smtps://[user:password@]host[:port]`;
    /// connects to nothing yet. Without `tls`, `smtp` is `starttls`: encrypted where the relay offers it. A password is
    /// never sent unencrypted unless `tls=none` says so.
    pub fn from_url(url: &SecretString) -> Result<Self, RelayUrlError> {
        let place = url::parse(url)?;
        Ok(Self {
            host: place.host,
            port: place.port,
            tls: place.tls,
            credentials: place.login.map(|(user, password)| Credentials::new(user, password)),
            hello: ClientId::default(),
            timeout: TIMEOUT,
            tls_parameters: OnceLock::new(),
            idle: Mutex::default(),
        })
    }

    /// Gives a whole send, from connecting to the relay's last answer, this long instead of two minutes.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// How long a send can take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Connects, encrypts and logs in as a send would, and sends nothing.
    pub async fn check(&self) -> Result<(), SendError> {
        let mut stage = Stage::Connect;
        let checked = self.limited(self.connect(&mut stage)).await;
        match checked {
            Some(connection) => {
                self.put_back(connection?);
                Ok(())
            }
            None => Err(SendError::Timeout {
                stage,
                after: self.timeout,
            }),
        }
    }

    /// Sends `raw` as it stands; `from` and `recipient` may have names. Never fails: every end is one of the three.
    pub async fn send(&self, raw: &[u8], from: &str, recipient: &str) -> Sending {
        let outgoing = match (address(from), address(recipient)) {
            (Ok(from), Ok(recipient)) => Outgoing { raw, from, recipient },
            (Err(error), _) | (_, Err(error)) => return Sending::NotSent { retry: false, error },
        };
        let mut stage = Stage::Connect;
        let ended = self.limited(self.transfer(&mut stage, outgoing)).await;
        match ended {
            Some(Ok(response)) => Sending::Sent {
                response: words(&response),
            },
            Some(Err(error)) => error::judge(stage, error),
            None => error::judge(
                stage,
                SendError::Timeout {
                    stage,
                    after: self.timeout,
                },
            ),
        }
    }

    /// Within the timeout, and in silence: lettre logs passwords and whole messages at the level `debug`.
    async fn limited<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let silent = work.with_subscriber(NoSubscriber::default());
        tokio::time::timeout(self.timeout, silent).await.ok()
    }

    async fn transfer(&self, stage: &mut Stage, outgoing: Outgoing<'_>) -> Result<Response, SendError> {
        let mut connection = match self.revive().await {
            Some(connection) => connection,
            None => self.connect(stage).await?,
        };
        let ended = dialogue(&mut connection, stage, outgoing).await;
        let in_step = match &ended {
            Ok(_) => true,
            Err(error) => error.code().is_some_and(|code| code != 421),
        };
        if in_step {
            self.put_back(connection);
        }
        ended
    }

    async fn connect(&self, stage: &mut Stage) -> Result<AsyncSmtpConnection, SendError> {
        *stage = Stage::Connect;
        let failed = |source| SendError::Smtp {
            stage: Stage::Connect,
            source,
        };
        let wrapper = (self.tls == Tls::Wrapper)
            .then(|| self.tls_parameters())
            .transpose()
            .map_err(failed)?;
        let place = (self.host.as_str(), self.port);
        let mut connection = AsyncSmtpConnection::connect_tokio1(place, Some(self.timeout), &self.hello, wrapper, None)
            .await
            .map_err(failed)?;
        let wanted = match self.tls {
            Tls::Required => true,
            Tls::Offered => connection.can_starttls(),
            Tls::None | Tls::Wrapper => false,
        };
        if wanted {
            let parameters = self.tls_parameters().map_err(failed)?;
            connection.starttls(parameters, &self.hello).await.map_err(failed)?;
        }
        if let Some(credentials) = &self.credentials {
            *stage = Stage::Login;
            if self.tls != Tls::None && !connection.is_encrypted() {
                return Err(SendError::PasswordInClear);
            }
            let login = connection.auth(DEFAULT_MECHANISMS, credentials).await;
            login.map_err(|source| SendError::Smtp {
                stage: Stage::Login,
                source,
            })?;
        }
        Ok(connection)
    }

    fn tls_parameters(&self) -> Result<TlsParameters, lettre::transport::smtp::Error> {
        if let Some(known) = self.tls_parameters.get() {
            return Ok(known.clone());
        }
        let parameters = TlsParameters::new(self.host.clone())?;
        Ok(self.tls_parameters.get_or_init(|| parameters).clone())
    }

    /// An idle connection that still answers. `RSET` also forgets what a refused message left on it.
    async fn revive(&self) -> Option<AsyncSmtpConnection> {
        loop {
            let Idle { mut connection, since } = self.pool().pop()?;
            if since.elapsed() > IDLE_MAX {
                continue;
            }
            let answer = tokio::time::timeout(REVIVAL_TIMEOUT, connection.command(Rset)).await;
            if let Ok(Ok(_)) = answer {
                return Some(connection);
            }
        }
    }

    fn put_back(&self, connection: AsyncSmtpConnection) {
        let mut pool = self.pool();
        if pool.len() < POOL_SIZE {
            pool.push(Idle {
                connection,
                since: Instant::now(),
            });
        }
    }

    fn pool(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        // Nothing panics while it is held, and a pool is whole after every step.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &self.tls)
            .field("login", &self.credentials.is_some())
            .finish_non_exhaustive()
    }
}

/// One message over a connection that is ready for it. `stage` tells how far it came.
async fn dialogue(
    connection: &mut AsyncSmtpConnection,
    stage: &mut Stage,
    outgoing: Outgoing<'_>,
) -> Result<Response, SendError> {
    let Outgoing { raw, from, recipient } = outgoing;
    *stage = Stage::Sender;
    let parameters = parameters(connection, raw, &from, &recipient)?;
    let answer = connection.command(Mail::new(Some(from), parameters)).await;
    expect(*stage, answer, Severity::PositiveCompletion)?;
    *stage = Stage::Recipient;
    let answer = connection.command(Rcpt::new(recipient, Vec::new())).await;
    expect(*stage, answer, Severity::PositiveCompletion)?;
    *stage = Stage::Data;
    let answer = connection.command(Data).await;
    expect(*stage, answer, Severity::PositiveIntermediate)?;
    *stage = Stage::Message;
    // lettre ends the last line itself; ended twice, the recipient would get a line more than we sent.
    let raw = raw.strip_suffix(b"\r\n").unwrap_or(raw);
    let answer = connection.message(raw).await;
    expect(*stage, answer, Severity::PositiveCompletion)
}

/// What has to be said with `MAIL FROM`, or that the relay cannot take such a message.
fn parameters(
    connection: &AsyncSmtpConnection,
    raw: &[u8],
    from: &Address,
    recipient: &Address,
) -> Result<Vec<MailParameter>, SendError> {
    let server = connection.server_info();
    let mut parameters = Vec::new();
    if ![from, recipient]
        .iter()
        .all(|address| AsRef::<str>::as_ref(*address).is_ascii())
    {
        if !server.supports_feature(Extension::SmtpUtfEight) {
            return Err(SendError::Unsupported("SMTPUTF8"));
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    if !raw.is_ascii() {
        if !server.supports_feature(Extension::EightBitMime) {
            return Err(SendError::Unsupported("8BITMIME"));
        }
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    Ok(parameters)
}

/// Also among good answers only the right kind will do: a relay that is out of step must not count as content.
fn expect(
    stage: Stage,
    answer: Result<Response, lettre::transport::smtp::Error>,
    severity: Severity,
) -> Result<Response, SendError> {
    let answer = answer.map_err(|source| SendError::Smtp { stage, source })?;
    if answer.code().severity == severity {
        Ok(answer)
    } else {
        Err(SendError::OutOfStep {
            stage,
            answer: words(&answer),
        })
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
