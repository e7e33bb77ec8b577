//! What went wrong in a send, and which of the three ends that is.

use std::error::Error as _;
use std::time::Duration;

use super::{RESPONSE_MAX, Sending};
use crate::clean::one_line;

/// How far a send came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Finding the relay, connecting, encrypting, greeting.
    Connect,
    /// Logging in.
    Login,
    /// Naming the sender.
    Sender,
    /// Naming the recipient.
    Recipient,
    /// Asking to send the message.
    Data,
    /// The message itself, up to the relay's answer to it.
    Message,
}

impl Stage {
    fn words(self) -> &'static str {
        match self {
            Self::Connect => "connecting to the mail relay",
            Self::Login => "logging in to the mail relay",
            Self::Sender => "naming the sender",
            Self::Recipient => "naming the recipient",
            Self::Data => "asking to send the message",
            Self::Message => "sending the message",
        }
    }
}

/// Why a message was not, or may not have been, sent. Its text is one clean line without any secret.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The relay refused, or the network failed.
    #[error("{}: {}", stage.words(), one_line(&source.to_string(), RESPONSE_MAX))]
    Smtp {
        /// Where.
        stage: Stage,
        /// The relay's refusal or the network's error.
        source: lettre::transport::smtp::Error,
    },
    /// It took too long.
    #[error("{}: no end after {after:?}", stage.words())]
    Timeout {
        /// Where it stood.
        stage: Stage,
        /// The timeout of the whole send.
        after: Duration,
    },
    /// The relay answered something that does not belong here.
    #[error("{}: unexpected answer {answer}", stage.words())]
    OutOfStep {
        /// Where.
        stage: Stage,
        /// The answer, cleaned.
        answer: String,
    },
    /// The sender or recipient is no mail address.
    #[error("{address:?} is no mail address")]
    Address {
        /// The text that should be one.
        address: String,
        /// What is wrong with it.
        source: lettre::address::AddressError,
    },
    /// The message needs something the relay does not offer.
    #[error("the mail relay does not support {0}")]
    Unsupported(&'static str),
    /// The message is larger than the relay says it takes.
    #[error("the mail has {bytes} bytes, and the mail relay takes {most}")]
    TooLarge {
        /// The message, as it goes out.
        bytes: u64,
        /// The relay's limit.
        most: u64,
    },
    /// The connection is not encrypted, and the password would go out in the clear.
    #[error(
        "the connection to the mail relay would not be encrypted; a password goes out like that only with tls=none to a relay on this machine"
    )]
    PasswordInClear,
    /// No encrypted connection came about.
    #[error("encrypting the connection to the mail relay: {0}")]
    Encryption(String),
    /// What the relay needs from us is not to be had here.
    #[error("{0}")]
    Unprepared(String),
}

impl SendError {
    /// What happened while connecting; failures of encryption in words that say what to do.
    pub(super) fn connecting(source: lettre::transport::smtp::Error) -> Self {
        match encryption(&source) {
            Some(why) => Self::Encryption(why),
            None => Self::Smtp {
                stage: Stage::Connect,
                source,
            },
        }
    }

    /// The relay's reply code, where there was one.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Smtp { source, .. } => source.status().map(u16::from),
            _ => None,
        }
    }

    /// Whether the relay never came as far as the message, or said that it lets nobody in like this.
    pub fn is_about_the_relay(&self) -> bool {
        match self {
            Self::Smtp { .. } if self.code().is_some_and(|code| ABOUT_THE_RELAY.contains(&code)) => true,
            Self::Smtp { stage, .. } | Self::Timeout { stage, .. } => *stage <= Stage::Login,
            Self::PasswordInClear | Self::Encryption(_) | Self::Unprepared(_) => true,
            Self::OutOfStep { .. } | Self::Address { .. } | Self::Unsupported(_) | Self::TooLarge { .. } => false,
        }
    }

    /// Whether somebody has to change something before it can go well.
    pub fn is_about_settings(&self) -> bool {
        let refused = || self.code().is_some_and(|code| code >= 500);
        self.is_about_the_relay()
            && match self {
                Self::Smtp { .. } => refused(),
                Self::Timeout { .. } => false,
                _ => true,
            }
    }
}

/// What is wrong with the encryption, if that is what is wrong.
fn encryption(error: &lettre::transport::smtp::Error) -> Option<String> {
    use rustls::CertificateError as C;
    if error.is_tls() {
        return Some(one_line(&error.to_string(), RESPONSE_MAX));
    }
    let mut source = error.source();
    while let Some(cause) = source {
        let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let found = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if let Some(found) = found {
            return Some(match found {
                rustls::Error::InvalidCertificate(C::UnknownIssuer) => {
                    "its certificate is signed by nobody we trust; a CA file can name whom to trust".to_owned()
                }
                rustls::Error::InvalidCertificate(C::Expired | C::ExpiredContext { .. }) => {
                    "its certificate is out of date".to_owned()
                }
                rustls::Error::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => {
                    "its certificate is for another name".to_owned()
                }
                rustls::Error::InvalidMessage(_) => {
                    "it does not speak TLS from the first byte; smtp:// is for relays that begin in the clear"
                        .to_owned()
                }
                other => one_line(&other.to_string(), RESPONSE_MAX),
            });
        }
        source = cause.source();
    }
    None
}

/// The relay asks us to encrypt or to log in: that is about the settings, not about this message.
const ABOUT_THE_RELAY: [u16; 4] = [530, 534, 535, 538];

/// Until the message itself is on its way nothing was sent, whatever happened. From then on only a refusal says so.
pub(super) fn judge(stage: Stage, error: SendError) -> Sending {
    let refusal = error.code().filter(|code| (400..600).contains(code));
    let final_refusal = refusal.filter(|code| *code >= 500 && !ABOUT_THE_RELAY.contains(code));
    match stage {
        Stage::Connect | Stage::Login => Sending::NotSent { retry: true, error },
        Stage::Message if refusal.is_none() => Sending::Maybe { error },
        _ => {
            let hopeless = matches!(error, SendError::Unsupported(_) | SendError::TooLarge { .. });
            let retry = final_refusal.is_none() && !hopeless;
            Sending::NotSent { retry, error }
        }
    }
}
