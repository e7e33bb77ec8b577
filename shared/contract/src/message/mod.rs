//! What terminals send, parsed at the edge: past [`parse`] there is no bare id, amount or account. It refuses with
//! [`Unreadable`], naming the member at fault, and knows nothing of who may speak or what is declared.

mod card;
mod payment;
mod read;
mod seen;

pub use card::{CardAvailability, CardRelease, CardReprint, CardReserve, CardSell};
use domain::fingerprint::{Fingerprint, FingerprintBuilder};
use domain::ids::{PaymentId, ReservationId, TerminalId};
pub use payment::{PaymentAccepted, PaymentCheck, PaymentRevoke, PaymentStatus};
pub use seen::ids_of;

use crate::json;
use crate::unreadable::Unreadable;
use crate::words::words;

words! {
    /// What a message is about: its routing key on `<ns>.terminal`.
    RoutingKey {
        /// Hold a card before the payer puts money in.
        CardReserve = "card.reserve",
        /// The payer paid, the receipt is printed.
        CardSell = "card.sell",
        /// The payer walked away.
        CardRelease = "card.release",
        /// Print a sold card once more.
        CardReprint = "card.reprint",
        /// What can be bought.
        CardAvailability = "card.availability",
        /// May this account be paid, and what does the payee say.
        PaymentCheck = "payment.check",
        /// Money was taken for a payee.
        PaymentAccepted = "payment.accepted",
        /// What became of a payment.
        PaymentStatus = "payment.status",
        /// Take a payment back.
        PaymentRevoke = "payment.revoke",
    }
}

impl RoutingKey {
    /// Facts carry money: they are never dropped, and parked when they are refused. The others are questions.
    pub const fn is_fact(self) -> bool {
        match self {
            Self::PaymentAccepted | Self::PaymentRevoke | Self::CardSell | Self::CardRelease => true,
            Self::CardReserve
            | Self::CardReprint
            | Self::CardAvailability
            | Self::PaymentCheck
            | Self::PaymentStatus => false,
        }
    }

    /// The `type` of an answer to it.
    pub const fn reply_kind(self) -> &'static str {
        match self {
            Self::CardReserve => "card.reserve.reply",
            Self::CardSell => "card.sell.reply",
            Self::CardRelease => "card.release.reply",
            Self::CardReprint => "card.reprint.reply",
            Self::CardAvailability => "card.availability.reply",
            Self::PaymentCheck => "payment.check.reply",
            Self::PaymentAccepted => "payment.accepted.reply",
            Self::PaymentStatus => "payment.status.reply",
            Self::PaymentRevoke => "payment.revoke.reply",
        }
    }
}

/// A message that could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// `card.reserve`
    CardReserve(CardReserve),
    /// `card.sell`
    CardSell(CardSell),
    /// `card.release`
    CardRelease(CardRelease),
    /// `card.reprint`
    CardReprint(CardReprint),
    /// `card.availability`
    CardAvailability(CardAvailability),
    /// `payment.check`
    PaymentCheck(PaymentCheck),
    /// `payment.accepted`
    PaymentAccepted(PaymentAccepted),
    /// `payment.status`
    PaymentStatus(PaymentStatus),
    /// `payment.revoke`
    PaymentRevoke(PaymentRevoke),
}

/// Reads the body of a message that came under `key`.
pub fn parse(key: RoutingKey, body: &[u8]) -> Result<Message, Unreadable> {
    let object = json::parse(body)?;
    let read = read::Reader::new(&object);
    Ok(match key {
        RoutingKey::CardReserve => Message::CardReserve(CardReserve::read(&read)?),
        RoutingKey::CardSell => Message::CardSell(CardSell::read(&read)?),
        RoutingKey::CardRelease => Message::CardRelease(CardRelease::read(&read)?),
        RoutingKey::CardReprint => Message::CardReprint(CardReprint::read(&read)?),
        RoutingKey::CardAvailability => Message::CardAvailability(CardAvailability::read(&read)?),
        RoutingKey::PaymentCheck => Message::PaymentCheck(PaymentCheck::read(&read)?),
        RoutingKey::PaymentAccepted => Message::PaymentAccepted(PaymentAccepted::read(&read)?),
        RoutingKey::PaymentStatus => Message::PaymentStatus(PaymentStatus::read(&read)?),
        RoutingKey::PaymentRevoke => Message::PaymentRevoke(PaymentRevoke::read(&read)?),
    })
}

/// Calls the same accessor on whichever message it is.
macro_rules! of_any {
    ($message:expr, $m:ident => $value:expr) => {
        match $message {
            Message::CardReserve($m) => $value,
            Message::CardSell($m) => $value,
            Message::CardRelease($m) => $value,
            Message::CardReprint($m) => $value,
            Message::CardAvailability($m) => $value,
            Message::PaymentCheck($m) => $value,
            Message::PaymentAccepted($m) => $value,
            Message::PaymentStatus($m) => $value,
            Message::PaymentRevoke($m) => $value,
        }
    };
}

impl Message {
    /// The routing key it came under.
    pub fn routing_key(&self) -> RoutingKey {
        match self {
            Self::CardReserve(_) => RoutingKey::CardReserve,
            Self::CardSell(_) => RoutingKey::CardSell,
            Self::CardRelease(_) => RoutingKey::CardRelease,
            Self::CardReprint(_) => RoutingKey::CardReprint,
            Self::CardAvailability(_) => RoutingKey::CardAvailability,
            Self::PaymentCheck(_) => RoutingKey::PaymentCheck,
            Self::PaymentAccepted(_) => RoutingKey::PaymentAccepted,
            Self::PaymentStatus(_) => RoutingKey::PaymentStatus,
            Self::PaymentRevoke(_) => RoutingKey::PaymentRevoke,
        }
    }

    /// On behalf of which terminal it speaks.
    pub fn terminal(&self) -> &TerminalId {
        of_any!(self, m => &m.terminal)
    }

    /// The payment it is about.
    pub fn payment_id(&self) -> Option<PaymentId> {
        match self {
            Self::PaymentCheck(m) => Some(m.payment_id),
            Self::PaymentAccepted(m) => Some(m.payment_id),
            Self::PaymentStatus(m) => Some(m.payment_id),
            Self::PaymentRevoke(m) => Some(m.payment_id),
            _ => None,
        }
    }

    /// The reservation it is about.
    pub fn reservation_id(&self) -> Option<ReservationId> {
        match self {
            Self::CardReserve(m) => Some(m.reservation_id),
            Self::CardSell(m) => Some(m.reservation_id),
            Self::CardRelease(m) => Some(m.reservation_id),
            Self::CardReprint(m) => Some(m.reservation_id),
            _ => None,
        }
    }

    /// The fingerprint of its content, for the messages that leave something behind under their id: the facts and
    /// `card.reserve`.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        match self {
            Self::CardReserve(m) => Some(m.fingerprint()),
            Self::CardSell(m) => Some(m.fingerprint()),
            Self::CardRelease(m) => Some(m.fingerprint()),
            Self::PaymentAccepted(m) => Some(m.fingerprint()),
            Self::PaymentRevoke(m) => Some(m.fingerprint()),
            Self::CardReprint(_) | Self::CardAvailability(_) | Self::PaymentCheck(_) | Self::PaymentStatus(_) => None,
        }
    }

    /// The message as a terminal would send it.
    pub fn body(&self) -> Vec<u8> {
        // Strings, integers and maps keyed by strings always have a JSON form.
        of_any!(self, m => serde_json::to_vec(m)).unwrap_or_default()
    }
}

/// The version of what [`content`] is hashed over; raise it and nothing stored compares equal any more.
const CONTENT_VERSION: i64 = 1;

/// Begins the fingerprint of "the same content" of a message. Ids are not part of it: contents are compared under one id.
fn content(key: RoutingKey, terminal: &TerminalId) -> FingerprintBuilder {
    Fingerprint::of(key.as_str())
        .integer(CONTENT_VERSION)
        .text(terminal.as_str())
}

#[cfg(test)]
mod tests;
