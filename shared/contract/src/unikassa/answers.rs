//! What a payee may answer, and how far it is trusted: the number and the result must be right to the letter, the rest
//! is information, cleaned of control characters and cut to a length, since it goes into the database and on receipts.

use domain::ids::Number;
use domain::money::{Amount, Currency};
use domain::text::Fields;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::reading::{
    Echoed, Unreadable, check_echo, clean_text, field_key, null_is_default, number, parse_answer, sensible,
    some_number, some_text,
};
use crate::words::words;

/// The most fields a payee may ask for.
const ASK_MAX: usize = domain::limits::FIELDS_MAX;

words! {
    /// What `/check` may say.
    CheckResult {
        /// Nothing is missing.
        Payable = "payable",
        /// The same, with fields still to be entered.
        Ask = "ask",
        /// It may not be paid.
        Refused = "refused",
    }
}
words! {
    /// What `/pay` may say.
    PayResult {
        /// Entered now.
        Accepted = "accepted",
        /// Entered before, with the same content.
        AlreadyAccepted = "already_accepted",
        /// Ask `/status`.
        Pending = "pending",
        /// Not entered, for good.
        Refused = "refused",
    }
}
words! {
    /// What `/status` may say.
    StatusResult {
        /// Entered.
        Accepted = "accepted",
        /// Not decided yet.
        Pending = "pending",
        /// Not entered, for good.
        Refused = "refused",
        /// Entered and taken back.
        Cancelled = "cancelled",
        /// The payee knows no such number.
        NotFound = "not_found",
    }
}
words! {
    /// What `/cancel` may say.
    CancelResult {
        /// Taken back now.
        Cancelled = "cancelled",
        /// Taken back before.
        AlreadyCancelled = "already_cancelled",
        /// It stays entered.
        Refused = "refused",
        /// The payee knows no such number.
        NotFound = "not_found",
    }
}

/// The answer to `/check`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckAnswer {
    /// The number, where the request had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<Number>,
    /// What the payee says.
    pub result: CheckResult,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What to show the payer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display: Option<String>,
    /// What is owed, in minor units; never negative.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount_due: Option<i64>,
    /// The currency of the three amounts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// The smallest amount taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_amount: Option<i64>,
    /// The largest amount taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_amount: Option<i64>,
    /// The fields still to be entered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ask: Vec<Ask>,
    /// Fields the payee filled in itself.
    #[serde(skip_serializing_if = "Fields::is_empty")]
    pub fields: Fields,
}

/// A field the payer is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Its key in `fields`.
    #[serde(deserialize_with = "field_key")]
    pub name: String,
    /// What the terminal shows above it.
    #[serde(deserialize_with = "clean_text")]
    pub label: String,
    /// What the value must match, as a whole.
    #[serde(default, deserialize_with = "some_text", skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Whether it must be entered.
    #[serde(default)]
    pub required: bool,
}

/// The answer to `/pay`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PayAnswer {
    /// The number asked about.
    pub number: Number,
    /// What became of it.
    pub result: PayResult,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The payee's own name for the payment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_reference: Option<String>,
}

/// The answer to `/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusAnswer {
    /// The number asked about.
    pub number: Number,
    /// What became of it.
    pub result: StatusResult,
    /// Why not; the protocol does not ask for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The payee's own name for the payment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_reference: Option<String>,
}

/// The answer to `/cancel`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CancelAnswer {
    /// The number asked about.
    pub number: Number,
    /// What became of it.
    pub result: CancelResult,
    /// Why not; the protocol does not ask for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The answer to `/list`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListAnswer {
    /// The payments of this page.
    pub items: Vec<ListItem>,
    /// What to send as `after` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One payment as the payee has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListItem {
    /// Its number.
    #[serde(deserialize_with = "number")]
    pub number: Number,
    /// What was credited.
    pub amount: Amount,
    /// The currency.
    pub currency: Currency,
    /// When it was credited.
    pub credited_at: Timestamp,
    /// The payee's own name for the payment.
    #[serde(default, deserialize_with = "some_text", skip_serializing_if = "Option::is_none")]
    pub provider_reference: Option<String>,
}

impl PayAnswer {
    /// Reads an answer about `asked`.
    pub fn read(body: &[u8], asked: Number) -> Result<Self, Unreadable> {
        let raw = Outcome::read(body, asked)?;
        let result = PayResult::parse(&raw.result).ok_or(Unreadable::UnknownResult)?;
        Ok(Self {
            number: asked,
            result,
            reason: raw.reason,
            provider_reference: raw.provider_reference,
        })
    }
}

impl StatusAnswer {
    /// Reads an answer about `asked`.
    pub fn read(body: &[u8], asked: Number) -> Result<Self, Unreadable> {
        let raw = Outcome::read(body, asked)?;
        let result = StatusResult::parse(&raw.result).ok_or(Unreadable::UnknownResult)?;
        Ok(Self {
            number: asked,
            result,
            reason: raw.reason,
            provider_reference: raw.provider_reference,
        })
    }
}

impl CancelAnswer {
    /// Reads an answer about `asked`.
    pub fn read(body: &[u8], asked: Number) -> Result<Self, Unreadable> {
        let raw = Outcome::read(body, asked)?;
        let result = CancelResult::parse(&raw.result).ok_or(Unreadable::UnknownResult)?;
        Ok(Self {
            number: asked,
            result,
            reason: raw.reason,
        })
    }
}

impl CheckAnswer {
    /// An answer that says only this.
    pub fn bare(number: Option<Number>, result: CheckResult) -> Self {
        Self {
            number,
            result,
            reason: None,
            display: None,
            amount_due: None,
            currency: None,
            min_amount: None,
            max_amount: None,
            ask: Vec::new(),
            fields: Fields::default(),
        }
    }

    /// Reads an answer to a check that had the number `asked`.
    pub fn read(body: &[u8], asked: Option<Number>) -> Result<Self, Unreadable> {
        let raw: Checked = parse_answer(body)?;
        if let Some(asked) = asked {
            check_echo(raw.number, asked)?;
        }
        if raw.ask.len() > ASK_MAX {
            return Err(Unreadable::Shape("it asks for more than 32 fields".to_owned()));
        }
        Ok(Self {
            number: asked,
            result: CheckResult::parse(&raw.result).ok_or(Unreadable::UnknownResult)?,
            reason: raw.reason,
            display: raw.display,
            amount_due: sensible(raw.amount_due),
            currency: raw.currency,
            min_amount: sensible(raw.min_amount),
            max_amount: sensible(raw.max_amount),
            ask: raw.ask,
            fields: raw.fields,
        })
    }
}

impl ListAnswer {
    /// Reads a page.
    pub fn read(body: &[u8]) -> Result<Self, Unreadable> {
        parse_answer(body)
    }
}

/// What pay, status and cancel answers have in common.
#[derive(Deserialize)]
struct Outcome {
    #[serde(default, deserialize_with = "some_number")]
    number: Option<Echoed>,
    result: String,
    #[serde(default, deserialize_with = "some_text")]
    reason: Option<String>,
    #[serde(default, deserialize_with = "some_text")]
    provider_reference: Option<String>,
}

impl Outcome {
    fn read(body: &[u8], asked: Number) -> Result<Self, Unreadable> {
        let raw: Self = parse_answer(body)?;
        check_echo(raw.number, asked)?;
        Ok(raw)
    }
}

#[derive(Deserialize)]
struct Checked {
    #[serde(default, deserialize_with = "some_number")]
    number: Option<Echoed>,
    result: String,
    #[serde(default, deserialize_with = "some_text")]
    reason: Option<String>,
    #[serde(default, deserialize_with = "some_text")]
    display: Option<String>,
    #[serde(default)]
    amount_due: Option<i64>,
    #[serde(default)]
    currency: Option<Currency>,
    #[serde(default)]
    min_amount: Option<i64>,
    #[serde(default)]
    max_amount: Option<i64>,
    #[serde(default, deserialize_with = "null_is_default")]
    ask: Vec<Ask>,
    #[serde(default, deserialize_with = "null_is_default")]
    fields: Fields,
}
