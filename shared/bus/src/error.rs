//! What can go wrong with the broker. Everything here may pass by itself except wrong settings.

use std::path::PathBuf;

use lapin::protocol::{AMQPErrorKind, AMQPSoftError};

/// Why something could not be done at the broker.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The URL cannot be used; it is not repeated here because it holds a password.
    #[error("the broker's URL: {0}")]
    Url(String),
    /// The file with certificates cannot be read.
    #[error("{path}: {source}")]
    CaFile {
        /// As configured.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no connection now; a supervisor is working on it.
    #[error("not connected to the broker")]
    NotConnected,
    /// The broker reads nothing that is published now (memory or disk alarm).
    #[error("the broker does not read what is published now")]
    Blocked,
    /// The broker did not answer in time. What was published may have arrived.
    #[error("the broker did not answer within {0:?}")]
    TimedOut(std::time::Duration),
    /// The broker said no to a message (negative confirm). Publish it again.
    #[error("the broker refused the message")]
    Refused,
    /// No queue took the message, though one must.
    #[error("no queue takes `{0}`")]
    Unroutable(String),
    /// What the topology lacks could not be declared.
    #[error("the topology is not in order")]
    OutOfOrder,
    /// A name or property longer than the protocol's 255 bytes.
    #[error("too long for AMQP: {0}")]
    TooLong(&'static str),
    /// Anything the client library reports.
    #[error(transparent)]
    Protocol(#[from] lapin::Error),
}

impl BusError {
    /// Whether the broker user lacks the right to do it.
    pub(crate) fn is_access_refused(&self) -> bool {
        let Self::Protocol(error) = self else { return false };
        let lapin::ErrorKind::ProtocolError(said) = error.kind() else {
            return false;
        };
        matches!(said.kind(), AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED))
    }
}

/// The session is over and what was not acknowledged goes back to the queue: ask the bus for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the consuming session ended")]
pub struct SessionEnded;
