//! The messages about payments to payees.

use domain::fingerprint::Fingerprint;
use domain::ids::{PayeeId, PaymentId, TerminalId};
use domain::limits::REASON_MAX;
use domain::money::{Amount, Currency, Fee};
use domain::text::{Account, Fields, ReceiptNumber, no_control};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::read::Reader;
use super::{RoutingKey, content};
use crate::schema::wire;
use crate::unreadable::Unreadable;

/// May this account be paid, and what does the payee say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PaymentCheck {
    /// The id of the payment that may follow.
    #[schemars(with = "wire::Id")]
    pub payment_id: PaymentId,
    /// The terminal that asks.
    #[schemars(with = "wire::Name")]
    pub terminal: TerminalId,
    /// Who is to be paid.
    #[schemars(with = "wire::Name")]
    pub payee: PayeeId,
    /// The payer's account with the payee.
    #[schemars(with = "wire::Account")]
    pub account: Account,
    /// What the payee is to get, in minor units, if the payer said so already.
    #[schemars(with = "Option<wire::Amount>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
    /// The currency of the amount.
    #[schemars(with = "Option<wire::Currency>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// What the payer has entered so far.
    #[schemars(with = "Option<wire::Fields>")]
    #[serde(skip_serializing_if = "Fields::is_empty")]
    pub fields: Fields,
}

impl PaymentCheck {
    pub(super) fn read(read: &Reader<'_, '_>) -> Result<Self, Unreadable> {
        Ok(Self {
            payment_id: read.text("payment_id", PaymentId::parse)?,
            terminal: read.text("terminal", TerminalId::parse)?,
            payee: read.text("payee", PayeeId::parse)?,
            account: read.text("account", |t| Account::new(t))?,
            amount: read.integer_if_given("amount", Amount::new)?,
            currency: read.text_if_given("currency", Currency::parse)?,
            fields: read.fields()?,
        })
    }
}

/// Money was taken for a payee.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PaymentAccepted {
    /// Chosen by the terminal; the first content under it stands.
    #[schemars(with = "wire::Id")]
    pub payment_id: PaymentId,
    /// The terminal that took the money.
    #[schemars(with = "wire::Name")]
    pub terminal: TerminalId,
    /// Who gets the money.
    #[schemars(with = "wire::Name")]
    pub payee: PayeeId,
    /// The payer's account with the payee.
    #[schemars(with = "wire::Account")]
    pub account: Account,
    /// What the payer entered besides the account.
    #[schemars(with = "Option<wire::Fields>")]
    #[serde(skip_serializing_if = "Fields::is_empty")]
    pub fields: Fields,
    /// What the payee gets, in minor units.
    #[schemars(with = "wire::Amount")]
    pub amount: Amount,
    /// What the payer paid on top, in minor units; absent is 0.
    #[schemars(with = "Option<wire::Fee>")]
    pub fee: Fee,
    /// The currency of amount and fee.
    #[schemars(with = "wire::Currency")]
    pub currency: Currency,
    /// When the payer paid, by the terminal's clock.
    #[schemars(with = "wire::Time")]
    pub paid_at: Timestamp,
    /// The number printed on the payer's receipt.
    #[schemars(with = "Option<wire::ReceiptNumber>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt_number: Option<ReceiptNumber>,
}

impl PaymentAccepted {
    pub(super) fn read(read: &Reader<'_, '_>) -> Result<Self, Unreadable> {
        Ok(Self {
            payment_id: read.text("payment_id", PaymentId::parse)?,
            terminal: read.text("terminal", TerminalId::parse)?,
            payee: read.text("payee", PayeeId::parse)?,
            account: read.text("account", |t| Account::new(t))?,
            fields: read.fields()?,
            amount: read.integer("amount", Amount::new)?,
            fee: read.integer_if_given("fee", Fee::new)?.unwrap_or(Fee::NONE),
            currency: read.text("currency", Currency::parse)?,
            paid_at: read.time("paid_at")?,
            receipt_number: read.text_if_given("receipt_number", |t| ReceiptNumber::new(t))?,
        })
    }

    /// The fingerprint of its content: everything but the id and when it was paid.
    pub fn fingerprint(&self) -> Fingerprint {
        let content = content(RoutingKey::PaymentAccepted, &self.terminal)
            .text(self.payee.as_str())
            .text(self.account.as_str())
            .integer(self.amount.minor())
            .integer(self.fee.minor())
            .text(self.currency.code())
            .optional(self.receipt_number.as_ref().map(ReceiptNumber::as_str));
        // The fields come last and in the order of their keys, each as a pair, so their number needs no mention.
        self.fields
            .iter()
            .fold(content, |content, (key, value)| content.text(key).text(value))
            .finish()
    }
}

/// What became of a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PaymentStatus {
    /// The payment asked about.
    #[schemars(with = "wire::Id")]
    pub payment_id: PaymentId,
    /// The terminal that took the money.
    #[schemars(with = "wire::Name")]
    pub terminal: TerminalId,
}

impl PaymentStatus {
    pub(super) fn read(read: &Reader<'_, '_>) -> Result<Self, Unreadable> {
        Ok(Self {
            payment_id: read.text("payment_id", PaymentId::parse)?,
            terminal: read.text("terminal", TerminalId::parse)?,
        })
    }
}

/// Take a payment back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PaymentRevoke {
    /// The payment to take back.
    #[schemars(with = "wire::Id")]
    pub payment_id: PaymentId,
    /// The terminal that took the money.
    #[schemars(with = "wire::Name")]
    pub terminal: TerminalId,
    /// Why, in words; the payee and the operator may read it.
    #[schemars(with = "Option<wire::ReasonText>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl PaymentRevoke {
    pub(super) fn read(read: &Reader<'_, '_>) -> Result<Self, Unreadable> {
        Ok(Self {
            payment_id: read.text("payment_id", PaymentId::parse)?,
            terminal: read.text("terminal", TerminalId::parse)?,
            reason: read.text_if_given("reason", |reason| {
                no_control("reason", reason, REASON_MAX)?;
                Ok(reason.to_owned())
            })?,
        })
    }

    /// The fingerprint of its content: the terminal. The reason is a remark.
    pub fn fingerprint(&self) -> Fingerprint {
        content(RoutingKey::PaymentRevoke, &self.terminal).finish()
    }
}
