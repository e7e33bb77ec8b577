//! What an event tells of each thing that happened. No card secret is among it (a serial is none), and texts that somebody
//! else worded are cleaned and cut.

use domain::ids::{Number, ParkedId, PayeeId, PaymentId, ProductId, RegisterId, ReservationId, TerminalId};
use domain::money::{Amount, Currency, Fee};
use domain::payment::PaymentState;
use domain::text::Account;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{CardEvent, EventItem, MessageEvent, PayeeEvent, PaymentEvent, RegisterEvent, RegisterKind, StockEvent};
use crate::schema::wire;
use crate::unreadable::{cleaned, cleaned_text};

/// A payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PaymentItem {
    /// The payment.
    #[schemars(with = "wire::Id")]
    pub payment_id: PaymentId,
    /// The number under which the payee sees it.
    #[schemars(with = "wire::Number")]
    pub number: Number,
    /// Who gets the money.
    #[schemars(with = "wire::Name")]
    pub payee: PayeeId,
    /// The terminal that took it.
    #[schemars(with = "wire::Name")]
    pub terminal: TerminalId,
    /// The payer's account with the payee.
    #[schemars(with = "wire::Account")]
    pub account: Account,
    /// What the payee gets, in minor units.
    #[schemars(with = "wire::Amount")]
    pub amount: Amount,
    /// What the payer paid on top, in minor units.
    #[schemars(with = "wire::Fee")]
    pub fee: Fee,
    /// The currency of amount and fee.
    #[schemars(with = "wire::Currency")]
    pub currency: Currency,
    /// Where it is now.
    #[schemars(with = "wire::State")]
    pub state: PaymentState,
    /// What went wrong, if something did.
    #[schemars(with = "Option<String>")]
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "cleaned")]
    pub error: Option<String>,
}

impl EventItem for PaymentItem {
    type Kind = PaymentEvent;
}

/// A card and the reservation it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CardItem {
    /// The reservation.
    #[schemars(with = "wire::Id")]
    pub reservation_id: ReservationId,
    /// The product.
    #[schemars(with = "wire::Name")]
    pub product: ProductId,
    /// The card's serial.
    pub serial: String,
    /// The terminal that reserved it.
    #[schemars(with = "wire::Name")]
    pub terminal: TerminalId,
    /// What the payer paid, in minor units.
    #[schemars(with = "Option<wire::Amount>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
    /// The currency of the amount.
    #[schemars(with = "Option<wire::Currency>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// Whether the hold was over when it was paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late: Option<bool>,
    /// The reservation that paid first, or that was superseded.
    #[schemars(with = "Option<wire::Id>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_reservation_id: Option<ReservationId>,
}

impl EventItem for CardItem {
    type Kind = CardEvent;
}

/// A product whose stock crossed its threshold; told once per crossing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StockItem {
    /// The product.
    #[schemars(with = "wire::Name")]
    pub product: ProductId,
    /// How many cards are left.
    #[schemars(with = "wire::Count")]
    pub available: u64,
    /// The product's threshold.
    #[schemars(with = "wire::Count")]
    pub threshold: u64,
}

impl EventItem for StockItem {
    type Kind = StockEvent;
}

/// A payee that went down or came up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PayeeItem {
    /// The payee.
    #[schemars(with = "wire::Name")]
    pub payee: PayeeId,
    /// What the last call failed with.
    #[schemars(with = "Option<String>")]
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "cleaned")]
    pub error: Option<String>,
}

impl EventItem for PayeeItem {
    type Kind = PayeeEvent;
}

/// A register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RegisterItem {
    /// The register.
    #[schemars(with = "wire::Id")]
    pub register_id: RegisterId,
    /// Whose payments it lists.
    #[schemars(with = "wire::Name")]
    pub payee: PayeeId,
    /// Regular, or a copy.
    pub kind: RegisterKind,
    /// The payee's sequence of registers that it belongs to.
    pub series: String,
    /// Its place in the series, from 1.
    #[schemars(with = "wire::Count")]
    pub sequence: u32,
    /// When the first of its payments was accepted; without payments, the end of the stretch before.
    #[schemars(with = "wire::Time")]
    pub first_accepted_at: Timestamp,
    /// When the last of its payments was accepted; without payments, the end of its stretch.
    #[schemars(with = "wire::Time")]
    pub last_accepted_at: Timestamp,
    /// How many payments it lists.
    #[schemars(with = "wire::Count")]
    pub count: u64,
    /// The sum of their amounts, in minor units.
    #[schemars(with = "wire::Total")]
    pub total: i64,
    /// The currency of the total.
    #[schemars(with = "wire::Currency")]
    pub currency: Currency,
    /// What went wrong, if something did.
    #[schemars(with = "Option<String>")]
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "cleaned")]
    pub error: Option<String>,
}

impl EventItem for RegisterItem {
    type Kind = RegisterEvent;
}

/// A fact without a home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ParkedItem {
    /// The parked message.
    #[schemars(with = "wire::Id")]
    pub parked_id: ParkedId,
    /// The routing key it came under, which may be one that nobody knows.
    #[schemars(with = "String")]
    #[serde(serialize_with = "cleaned_text")]
    pub routing_key: String,
    /// Why it was refused.
    pub reason: String,
    /// The payment it seems to be about.
    #[schemars(with = "Option<wire::Id>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_id: Option<PaymentId>,
    /// The reservation it seems to be about.
    #[schemars(with = "Option<wire::Id>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reservation_id: Option<ReservationId>,
}

impl EventItem for ParkedItem {
    type Kind = MessageEvent;
}
