//! The Unikassa protocol (CONTRACT.md section 5): what is asked of a payee that has no protocol of its own, and what it
//! may answer.
//!
//! Requests are read and written as they stand. Answers come from other people's programs: unknown members are passed
//! over, texts are cleaned, a number may be echoed as a JSON string or integer; but an answer that does not echo the
//! number asked about, or whose result is none of ours, is [`Unreadable`] and says nothing about the payment.

use domain::ids::{Number, PaymentId};
use domain::limits::PAYEE_ANSWER_MAX_BYTES;
use domain::money::{Amount, Currency};
use domain::text::{Account, Fields};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

mod answers;
mod reading;

pub use answers::{
    Ask, CancelAnswer, CancelResult, CheckAnswer, CheckResult, ListAnswer, ListItem, PayAnswer, PayResult,
    StatusAnswer, StatusResult,
};
pub use reading::Unreadable;

/// The largest request a payee's program has to read.
pub const REQUEST_MAX_BYTES: usize = domain::limits::MESSAGE_MAX_BYTES;
/// The largest answer that is read; a longer one is [`Unreadable::TooLong`].
pub const ANSWER_MAX_BYTES: usize = PAYEE_ANSWER_MAX_BYTES;

/// Reasons of refusals that have a meaning for the gateway or the terminal. Any other text is allowed.
pub mod reason {
    /// The number is known with another payment_id, account or amount: treated as `unknown`, with an alarm.
    pub const NUMBER_CONFLICT: &str = "number_conflict";
    /// There is no such account.
    pub const ACCOUNT_NOT_FOUND: &str = "account_not_found";
    /// The amount is below or above what the payee takes.
    pub const AMOUNT_OUT_OF_RANGE: &str = "amount_out_of_range";
    /// The payee is paid in another currency.
    pub const CURRENCY_DIFFERS: &str = "currency_differs";
    /// The payment was cancelled before.
    pub const CANCELLED: &str = "cancelled";
    /// The payee does not take payments back by itself.
    pub const CANCEL_NOT_OFFERED: &str = "cancel_not_offered";
}

/// A request, told apart by its member `request`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// May this account be paid, and what does the payee say.
    Check(Check),
    /// Enter this payment.
    Pay(Pay),
    /// What became of this number.
    Status(Status),
    /// Take this payment back.
    Cancel(Cancel),
    /// Which payments were entered in a period, for reconciliation.
    List(List),
}

/// `/check`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// The payment that may follow.
    pub payment_id: PaymentId,
    /// Its number, when one was dealt already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<Number>,
    /// The account with the payee.
    pub account: Account,
    /// The amount, when it is known already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
    /// Its currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// What the payer entered so far.
    #[serde(default)]
    pub fields: Fields,
}

/// `/pay`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pay {
    /// The idempotency key: the same over all attempts.
    pub number: Number,
    /// The payment.
    pub payment_id: PaymentId,
    /// The account with the payee.
    pub account: Account,
    /// What the payee gets.
    pub amount: Amount,
    /// Its currency.
    pub currency: Currency,
    /// When the payer paid.
    pub paid_at: Timestamp,
    /// What the payer entered.
    #[serde(default)]
    pub fields: Fields,
}

/// `/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The payment asked about.
    pub number: Number,
}

/// `/cancel`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cancel {
    /// The payment to take back.
    pub number: Number,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// `/list`: payments entered in a period, a page at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct List {
    /// The first moment of the period.
    pub from: Timestamp,
    /// The first moment after it.
    pub to: Timestamp,
    /// The `next` of the page before; absent for the first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl Request {
    /// The last part of the address, which is also the value of the member `request`.
    pub fn act(&self) -> &'static str {
        match self {
            Self::Check(_) => "check",
            Self::Pay(_) => "pay",
            Self::Status(_) => "status",
            Self::Cancel(_) => "cancel",
            Self::List(_) => "list",
        }
    }

    /// The `webhook-id`: the same over all retries.
    pub fn webhook_id(&self) -> String {
        let act = self.act();
        match self {
            Self::Check(check) => format!("{act}-{}", check.payment_id),
            Self::Pay(Pay { number, .. }) | Self::Status(Status { number }) | Self::Cancel(Cancel { number, .. }) => {
                format!("{act}-{number}")
            }
            Self::List(list) => format!("{act}-{}-{}", list.from.as_second(), list.to.as_second()),
        }
    }

    /// The number the answer has to echo.
    pub fn number(&self) -> Option<Number> {
        match self {
            Self::Check(check) => check.number,
            Self::Pay(Pay { number, .. }) | Self::Status(Status { number }) | Self::Cancel(Cancel { number, .. }) => {
                Some(*number)
            }
            Self::List(_) => None,
        }
    }

    /// The bytes that are signed and sent.
    pub fn to_body(&self) -> Vec<u8> {
        // Every member is a text, a number or a map with text keys: there is nothing serialization could refuse.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a request. The error says what is wrong with it.
    pub fn read(body: &[u8]) -> Result<Self, Unreadable> {
        if body.len() > REQUEST_MAX_BYTES {
            return Err(Unreadable::TooLong);
        }
        reading::parse(body)
    }
}

#[cfg(test)]
mod tests;
