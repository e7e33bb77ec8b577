//! Answers to the messages about payments.

use std::collections::BTreeMap;

use domain::ids::{Number, PaymentId};
use domain::money::{Amount, Currency};
use domain::payment::PaymentState;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Refusal, answers};
use crate::schema::wire;
use crate::unreadable::{cleaned, cleaned_text};

answers! {
    PaymentCheckAnswer to PaymentCheck,
    PaymentAcceptedAnswer to PaymentAccepted,
    PaymentStatusAnswer to PaymentStatus,
    PaymentRevokeAnswer to PaymentRevoke,
}

/// Answer to `payment.check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum PaymentCheckAnswer {
    /// The account may be paid and nothing is missing.
    Payable(Terms),
    /// The account may be paid once the fields under `ask` are entered.
    Ask(Terms),
    /// The payee cannot be asked now.
    Unavailable {
        /// Why, for people.
        #[schemars(with = "String")]
        #[serde(serialize_with = "cleaned_text")]
        detail: String,
    },
    /// The account may not be paid like this.
    Refused(Refusal),
}

/// What the payee says about the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Terms {
    /// A text to show to the payer.
    pub display: Option<String>,
    /// What is due, in minor units, if the payee says so.
    #[schemars(with = "Option<wire::Due>")]
    pub amount_due: Option<i64>,
    /// The currency of all amounts here.
    #[schemars(with = "wire::Currency")]
    pub currency: Currency,
    /// The least the payee takes, in minor units.
    #[schemars(with = "wire::Amount")]
    pub min_amount: Amount,
    /// The most the payee takes, in minor units.
    #[schemars(with = "wire::Amount")]
    pub max_amount: Amount,
    /// What is still to be entered.
    pub ask: Vec<Ask>,
    /// What is known already, by name.
    pub fields: BTreeMap<String, String>,
}

/// A field that the payer is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Ask {
    /// The key in `fields`.
    pub name: String,
    /// What to show beside it.
    pub label: String,
    /// A regular expression that the whole value has to match, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Whether the payment is refused without it.
    pub required: bool,
}

/// Answer to `payment.accepted`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum PaymentAcceptedAnswer {
    /// The payment is stored and on its way.
    Accepted(PaymentNumber),
    /// The same payment again.
    AlreadyAccepted(PaymentNumber),
    /// The money has no home: an operator takes care of it.
    Refused(Refusal),
}

/// The number under which the payee sees a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PaymentNumber {
    /// The payment.
    #[schemars(with = "wire::Id")]
    pub payment_id: PaymentId,
    /// Decimal, the same for check, every attempt and requeue.
    #[schemars(with = "wire::Number")]
    pub number: Number,
}

/// Answer to `payment.status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum PaymentStatusAnswer {
    /// Here is what became of it.
    Ok(PaymentStatusNow),
    /// Nothing is said.
    Refused(Refusal),
}

/// What became of a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PaymentStatusNow {
    /// The payment.
    #[schemars(with = "wire::Id")]
    pub payment_id: PaymentId,
    /// The number under which the payee sees it; `null` for one that was revoked in advance.
    #[schemars(with = "Option<wire::Number>")]
    pub number: Option<Number>,
    /// Where it is.
    #[schemars(with = "wire::State")]
    pub state: PaymentState,
    /// How many calls were made to the payee about it.
    #[schemars(with = "wire::Count")]
    pub attempts: u32,
    /// What the last of them failed with, if it did.
    #[schemars(with = "Option<String>")]
    #[serde(serialize_with = "cleaned")]
    pub last_error: Option<String>,
    /// When that last changed.
    #[schemars(with = "wire::Time")]
    pub updated_at: Timestamp,
}

/// Answer to `payment.revoke`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum PaymentRevokeAnswer {
    /// It certainly had not gone out, or the payee took it back; also in advance.
    Revoked(Revocation),
    /// It was before.
    AlreadyRevoked(Revocation),
    /// The end is told by the event `payment.revoked` or `payment.revoke_refused`.
    Revoking(Revocation),
    /// The payment stands.
    Refused(Refusal),
}

/// Names the payment that is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Revocation {
    /// The payment.
    #[schemars(with = "wire::Id")]
    pub payment_id: PaymentId,
}
