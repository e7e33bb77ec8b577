//! One message over a connection that is ready for it.

use lettre::Address;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Ehlo, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use lettre::transport::smtp::response::{Response, Severity};

use super::{SendError, Stage, words};
use crate::message::Raw;

/// What goes out.
pub(super) struct Outgoing<'a> {
    pub(super) raw: Raw<'a>,
    pub(super) from: Address,
    pub(super) recipient: Address,
}

/// What a relay says of the size of messages (RFC 1870).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// Nothing.
    Unsaid,
    /// It wants to be told, and may have named a limit.
    Announced(Option<u64>),
}

impl Size {
    /// Asks for it, since lettre does not keep it. A relay that will not be greeted twice said nothing.
    pub(super) async fn ask(connection: &mut AsyncSmtpConnection, hello: &ClientId) -> Result<Self, SendError> {
        match connection.command(Ehlo::new(hello.clone())).await {
            Ok(answer) => Ok(Self::of(answer.message())),
            Err(refused) if refused.status().is_some() => Ok(Self::Unsaid),
            Err(error) => Err(SendError::connecting(error)),
        }
    }

    fn of<'a>(lines: impl Iterator<Item = &'a str>) -> Self {
        for line in lines {
            let mut words = line.split_ascii_whitespace();
            if words.next().is_some_and(|word| word.eq_ignore_ascii_case("SIZE")) {
                // Zero says that there is no limit.
                let most = words.next().and_then(|most| most.parse().ok()).filter(|most| *most > 0);
                return Self::Announced(most);
            }
        }
        Self::Unsaid
    }

    /// Whether it takes so much.
    pub(super) fn takes(self, bytes: u64) -> Result<(), SendError> {
        match self {
            Self::Announced(Some(most)) if bytes > most => Err(SendError::TooLarge { bytes, most }),
            _ => Ok(()),
        }
    }
}

/// Hands a message over. `stage` tells how far it came.
pub(super) async fn hand_over(
    connection: &mut AsyncSmtpConnection,
    size: Size,
    stage: &mut Stage,
    outgoing: Outgoing<'_>,
) -> Result<Response, SendError> {
    *stage = Stage::Sender;
    size.takes(outgoing.raw.bytes())?;
    let parameters = parameters(connection, size, &outgoing)?;
    let Outgoing { raw, from, recipient } = outgoing;
    let answer = connection.command(Mail::new(Some(from), parameters)).await;
    expect(*stage, answer, Severity::PositiveCompletion)?;
    *stage = Stage::Recipient;
    let answer = connection.command(Rcpt::new(recipient, Vec::new())).await;
    expect(*stage, answer, Severity::PositiveCompletion)?;
    *stage = Stage::Data;
    let answer = connection.command(Data).await;
    expect(*stage, answer, Severity::PositiveIntermediate)?;
    *stage = Stage::Message;
    let answer = connection.message_iter(raw.pieces()).await;
    expect(*stage, answer, Severity::PositiveCompletion)
}

/// What has to be said with `MAIL FROM`, or that the relay cannot take such a message.
fn parameters(
    connection: &AsyncSmtpConnection,
    size: Size,
    outgoing: &Outgoing<'_>,
) -> Result<Vec<MailParameter>, SendError> {
    let server = connection.server_info();
    let mut parameters = Vec::new();
    let is_ascii = |address: &Address| AsRef::<str>::as_ref(address).is_ascii();
    if !is_ascii(&outgoing.from) || !is_ascii(&outgoing.recipient) || !outgoing.raw.has_ascii_headers() {
        if !server.supports_feature(Extension::SmtpUtfEight) {
            return Err(SendError::Unsupported("SMTPUTF8"));
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    if !outgoing.raw.is_ascii() {
        if !server.supports_feature(Extension::EightBitMime) {
            return Err(SendError::Unsupported("8BITMIME"));
        }
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    if let (Size::Announced(_), Ok(bytes)) = (size, usize::try_from(outgoing.raw.bytes())) {
        parameters.push(MailParameter::Size(bytes));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_found_among_what_a_relay_offers() {
        let of = |lines: &[&'static str]| Size::of(lines.iter().copied());
        assert_eq!(
            of(&["relay.example", "PIPELINING", "SIZE 10240000", "8BITMIME"]),
            Size::Announced(Some(10_240_000))
        );
        assert_eq!(of(&["relay.example", "size 0"]), Size::Announced(None));
        assert_eq!(of(&["relay.example", "SIZE"]), Size::Announced(None));
        assert_eq!(of(&["relay.example", "SIZELESS 5"]), Size::Unsaid);
        assert!(Size::Announced(Some(10)).takes(10).is_ok());
        assert!(matches!(
            Size::Announced(Some(10)).takes(11),
            Err(SendError::TooLarge { bytes: 11, most: 10 })
        ));
        assert!(Size::Unsaid.takes(u64::MAX).is_ok());
    }
}
