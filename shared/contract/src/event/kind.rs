//! The kinds of events, grouped by what their items tell of.

use std::fmt;

use crate::words::words;

words! {
    /// Something happened to payments.
    PaymentEvent {
        /// Stored; the money is our responsibility.
        Accepted = "payment.accepted",
        /// The payee has credited it.
        Delivered = "payment.delivered",
        /// The payee said no, for good.
        Refused = "payment.refused",
        /// It may have been credited; an operator looks.
        Unknown = "payment.unknown",
        /// Certainly not credited, and the retries ran out.
        Failed = "payment.failed",
        /// Taken back.
        Revoked = "payment.revoked",
        /// Could not be taken back.
        RevokeRefused = "payment.revoke_refused",
    }
}

words! {
    /// Something happened to cards.
    CardEvent {
        /// Held for a reservation.
        Reserved = "card.reserved",
        /// Paid.
        Sold = "card.sold",
        /// Given up by the payer.
        Released = "card.released",
        /// The hold ended unpaid.
        Expired = "card.expired",
        /// Another reservation paid for the card first.
        Superseded = "card.superseded",
        /// Paid, but the card was sold to another.
        Conflict = "card.conflict",
    }
}

words! {
    /// Something happened to a product's stock.
    StockEvent {
        /// It fell below the product's threshold.
        Low = "stock.low",
    }
}

words! {
    /// Something happened to a payee's connection.
    PayeeEvent {
        /// It does not answer; nothing is sent until it does.
        Down = "payee.down",
        /// It answers again.
        Up = "payee.up",
    }
}

words! {
    /// Something happened to a register.
    RegisterEvent {
        /// Its file is ready.
        Built = "register.built",
        /// It was mailed to everybody it goes to.
        Mailed = "register.mailed",
        /// It could not be built or mailed.
        Failed = "register.failed",
    }
}

words! {
    /// Something happened to a message itself.
    MessageEvent {
        /// A fact has no home; an operator looks.
        Parked = "message.parked",
    }
}

words! {
    /// The kind of a register.
    RegisterKind {
        /// Each payment is in exactly one of these.
        Regular = "regular",
        /// Payments of regular registers once more.
        Copy = "copy",
    }
}

/// Any kind of event: its routing key on `<ns>.events`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// About payments.
    Payment(PaymentEvent),
    /// About cards.
    Card(CardEvent),
    /// About stock.
    Stock(StockEvent),
    /// About payees.
    Payee(PayeeEvent),
    /// About registers.
    Register(RegisterEvent),
    /// About messages.
    Message(MessageEvent),
}

macro_rules! families {
    ($($family:ident $kind:ident,)+) => {
        impl EventKind {
            /// Routing key and `type`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$family(kind) => kind.as_str(),)+
                }
            }

            /// Reads a routing key.
            pub fn parse(word: &str) -> Option<Self> {
                None$(.or_else(|| $kind::parse(word).map(Self::$family)))+
            }

            /// Every kind, in the order of the contract.
            pub fn all() -> impl Iterator<Item = Self> {
                std::iter::empty()$(.chain($kind::ALL.iter().copied().map(Self::$family)))+
            }
        }

        $(impl From<$kind> for EventKind {
            fn from(kind: $kind) -> Self {
                Self::$family(kind)
            }
        })+
    };
}

families! {
    Payment PaymentEvent,
    Card CardEvent,
    Stock StockEvent,
    Payee PayeeEvent,
    Register RegisterEvent,
    Message MessageEvent,
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
