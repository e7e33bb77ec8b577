//! What went wrong in a send, and which of the three ends that is.

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
    /// The relay offers no encryption, and the password would go out in the clear.
    #[error("the mail relay offers no encryption; to send the password without, say tls=none")]
    PasswordInClear,
}

impl SendError {
    /// The relay's reply code, where there was one.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Smtp { source, .. } => source.status().map(u16::from),
            _ => None,
        }
    }
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
            let retry = final_refusal.is_none() && !matches!(error, SendError::Unsupported(_));
            Sending::NotSent { retry, error }
        }
    }
}
