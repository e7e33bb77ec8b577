//! What terminals are answered: one type per message, with exactly the outcomes the contract gives it. Every answer has
//! `outcome`; a refusal has a machine-readable `reason` and a `detail` for people. An answer is a copy of what is stored:
//! building one decides nothing.

mod card;
mod payment;
mod secret;

pub use card::{
    Availability, CardAvailabilityAnswer, CardInHand, CardReleaseAnswer, CardReprintAnswer, CardReserveAnswer,
    CardSellAnswer, Offer, Replacement, ReservedCard, Resolved, Sale,
};
pub use payment::{
    Ask, PaymentAcceptedAnswer, PaymentCheckAnswer, PaymentNumber, PaymentRevokeAnswer, PaymentStatusAnswer,
    PaymentStatusNow, Revocation, Terms,
};
use schemars::JsonSchema;
pub(crate) use secret::SealedContents;
pub use secret::{CardDetails, SecretFields};
use serde::Serialize;

use crate::message::RoutingKey;
use crate::schema::wire;
use crate::unreadable::{Unreadable, clean_detail};
use crate::words::words;

words! {
    /// Why a message was refused.
    Reason {
        /// No such terminal is declared.
        UnknownTerminal = "unknown_terminal",
        /// This broker user may not speak for the terminal, or the terminal not about this payment or reservation.
        NotYourTerminal = "not_your_terminal",
        /// The header `unigate-version` names a version that is not spoken here.
        UnsupportedVersion = "unsupported_version",
        /// Not the strict JSON of the contract, or the wrong shape.
        InvalidRequest = "invalid_request",
        /// No card of the product is left.
        OutOfStock = "out_of_stock",
        /// No such product is declared.
        UnknownProduct = "unknown_product",
        /// The product is not sold at present.
        ProductSuspended = "product_suspended",
        /// The terminal holds as many cards as it may.
        LimitReached = "limit_reached",
        /// The product is not sold at this terminal.
        NotAllowedHere = "not_allowed_here",
        /// The reservation has ended; `state` says how.
        ReservationOver = "reservation_over",
        /// The reservation id was used before with other content.
        ReservationIdReused = "reservation_id_reused",
        /// No such reservation.
        UnknownReservation = "unknown_reservation",
        /// Less than the price answered at the reservation.
        AmountTooSmall = "amount_too_small",
        /// Not the currency of the card or the payee.
        CurrencyDiffers = "currency_differs",
        /// The reservation was sold with other content.
        SaleDiffers = "sale_differs",
        /// Only a sold card is printed again.
        NotSold = "not_sold",
        /// The product's reprint window is over.
        ReprintOver = "reprint_over",
        /// The payee knows no such account.
        AccountNotFound = "account_not_found",
        /// The payee takes no money for this account.
        AccountInactive = "account_inactive",
        /// Below the least or above the most the payee takes.
        AmountOutOfRange = "amount_out_of_range",
        /// No such payee is declared.
        UnknownPayee = "unknown_payee",
        /// The payee takes no payments at present.
        PayeeSuspended = "payee_suspended",
        /// A field, or the account, is not what the payee asks for.
        InvalidField = "invalid_field",
        /// The payee said no.
        RefusedByPayee = "refused_by_payee",
        /// The payment id was used before with other content.
        PaymentIdReused = "payment_id_reused",
        /// Paid before the replay window.
        TooOld = "too_old",
        /// The payment was revoked before it arrived.
        Revoked = "revoked",
        /// An operator has settled it by hand.
        SettledByOperator = "settled_by_operator",
        /// No such payment.
        UnknownPayment = "unknown_payment",
        /// The payee has credited it and cannot take it back.
        AlreadyDelivered = "already_delivered",
        /// It is in a closed register, or the gateway cannot take payments back.
        NotRevocable = "not_revocable",
    }
}

words! {
    /// How a reservation ended, as `reservation_over` says it.
    ReservationOver {
        /// The payer walked away.
        Released = "released",
        /// The hold ended unpaid.
        Expired = "expired",
        /// It was paid.
        Sold = "sold",
        /// Another reservation paid for the card first.
        Superseded = "superseded",
    }
}

/// A refusal: final for the terminal, which stops sending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Refusal {
    /// Why, for machines. An unknown reason means refused all the same.
    #[schemars(with = "wire::AnyReason")]
    pub reason: Reason,
    /// Why, for people; it names the field at fault.
    pub detail: String,
    /// With `reservation_over`: how the reservation ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<ReservationOver>,
}

impl Refusal {
    /// A refusal for `reason`; the detail names the field at fault.
    pub fn new(reason: Reason, detail: impl AsRef<str>) -> Self {
        Self {
            reason,
            detail: clean_detail(detail.as_ref()),
            state: None,
        }
    }

    /// A refusal of a reservation that has ended.
    pub fn reservation_over(state: ReservationOver) -> Self {
        Self {
            state: Some(state),
            ..Self::new(
                Reason::ReservationOver,
                format!("reservation_id: this reservation has ended, it is {state}"),
            )
        }
    }

    /// The answer to any message, also to one whose routing key is unknown.
    pub fn body(&self) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(tag = "outcome", rename_all = "snake_case")]
        enum OnlyRefused<'r> {
            Refused(&'r Refusal),
        }
        to_body(&OnlyRefused::Refused(self))
    }
}

impl From<Unreadable> for Refusal {
    fn from(unreadable: Unreadable) -> Self {
        Self::new(Reason::InvalidRequest, unreadable.detail)
    }
}

/// An answer to one kind of message.
pub trait Answer: Serialize + JsonSchema + From<Refusal> {
    /// The message it answers.
    const TO: RoutingKey;

    /// The answer as it is sent.
    fn body(&self) -> Vec<u8> {
        to_body(self)
    }
}

fn to_body(answer: &impl Serialize) -> Vec<u8> {
    // Strings, integers and maps keyed by strings always have a JSON form.
    serde_json::to_vec(answer).unwrap_or_default()
}

/// Ties an answer to its message and lets every refusal be one.
macro_rules! answers {
    ($($answer:ident to $key:ident,)+) => { $(
        impl crate::answer::Answer for $answer {
            const TO: crate::message::RoutingKey = crate::message::RoutingKey::$key;
        }

        impl From<crate::answer::Refusal> for $answer {
            fn from(refusal: crate::answer::Refusal) -> Self {
                Self::Refused(refusal)
            }
        }
    )+ };
}

use answers;

#[cfg(test)]
mod tests;
