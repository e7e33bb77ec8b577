//! The messages about prepaid cards.

use domain::Invalid;
use domain::fingerprint::Fingerprint;
use domain::ids::{ProductId, ReservationId, TerminalId};
use domain::money::{Amount, Currency};
use domain::text::ReceiptNumber;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::read::Reader;
use super::{RoutingKey, content};
use crate::schema::wire;
use crate::unreadable::Unreadable;

/// Hold a card before the payer puts money in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CardReserve {
    /// Chosen by the terminal; every later message about this card carries it.
    #[schemars(with = "wire::Id")]
    pub reservation_id: ReservationId,
    /// The terminal that asks.
    #[schemars(with = "wire::Name")]
    pub terminal: TerminalId,
    /// What is to be sold.
    #[schemars(with = "wire::Name")]
    pub product: ProductId,
    /// How long the card is to be held; shortened to the nearest hold the product offers. Absent: the product's first hold.
    #[schemars(with = "Option<wire::HoldSeconds>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_seconds: Option<u32>,
}

impl CardReserve {
    pub(super) fn read(read: &Reader<'_, '_>) -> Result<Self, Unreadable> {
        Ok(Self {
            reservation_id: read.text("reservation_id", ReservationId::parse)?,
            terminal: read.text("terminal", TerminalId::parse)?,
            product: read.text("product", ProductId::parse)?,
            hold_seconds: read.integer_if_given("hold_seconds", hold)?,
        })
    }

    /// The fingerprint of its content: terminal and product. How long to hold is a wish, not content.
    pub fn fingerprint(&self) -> Fingerprint {
        content(RoutingKey::CardReserve, &self.terminal)
            .text(self.product.as_str())
            .finish()
    }
}

/// A hold longer than any ladder is shortened anyway, so it is only capped here.
fn hold(seconds: i64) -> Result<u32, Invalid> {
    match seconds {
        1.. => Ok(u32::try_from(seconds).unwrap_or(u32::MAX)),
        _ => Err(Invalid::new("hold_seconds", "must be 1 or more")),
    }
}

/// The payer paid for the card and the receipt is printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CardSell {
    /// The reservation that was paid.
    #[schemars(with = "wire::Id")]
    pub reservation_id: ReservationId,
    /// The terminal that reserved the card.
    #[schemars(with = "wire::Name")]
    pub terminal: TerminalId,
    /// When the payer paid, by the terminal's clock. Nothing is judged by it.
    #[schemars(with = "wire::Time")]
    pub paid_at: Timestamp,
    /// What the payer paid, in minor units.
    #[schemars(with = "wire::Amount")]
    pub amount: Amount,
    /// The currency of the amount.
    #[schemars(with = "wire::Currency")]
    pub currency: Currency,
    /// The number printed on the payer's receipt.
    #[schemars(with = "Option<wire::ReceiptNumber>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt_number: Option<ReceiptNumber>,
    /// The product, as the terminal remembers it.
    #[schemars(with = "Option<wire::Name>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<ProductId>,
    /// The serial of the card, as the terminal remembers it.
    #[schemars(with = "Option<wire::Serial>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
}

impl CardSell {
    pub(super) fn read(read: &Reader<'_, '_>) -> Result<Self, Unreadable> {
        Ok(Self {
            reservation_id: read.text("reservation_id", ReservationId::parse)?,
            terminal: read.text("terminal", TerminalId::parse)?,
            paid_at: read.time("paid_at")?,
            amount: read.integer("amount", Amount::new)?,
            currency: read.text("currency", Currency::parse)?,
            receipt_number: read.text_if_given("receipt_number", |t| ReceiptNumber::new(t))?,
            product: read.text_if_given("product", ProductId::parse)?,
            serial: read.serial_if_given("serial")?,
        })
    }

    /// The fingerprint of its content: terminal, product, amount, currency and receipt number. When it was paid is not
    /// part of it, nor is the serial, which follows from the reservation.
    pub fn fingerprint(&self) -> Fingerprint {
        content(RoutingKey::CardSell, &self.terminal)
            .optional(self.product.as_ref().map(ProductId::as_str))
            .integer(self.amount.minor())
            .text(self.currency.code())
            .optional(self.receipt_number.as_ref().map(ReceiptNumber::as_str))
            .finish()
    }
}

/// The payer walked away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CardRelease {
    /// The reservation that is given up.
    #[schemars(with = "wire::Id")]
    pub reservation_id: ReservationId,
    /// The terminal that reserved the card.
    #[schemars(with = "wire::Name")]
    pub terminal: TerminalId,
}

impl CardRelease {
    pub(super) fn read(read: &Reader<'_, '_>) -> Result<Self, Unreadable> {
        Ok(Self {
            reservation_id: read.text("reservation_id", ReservationId::parse)?,
            terminal: read.text("terminal", TerminalId::parse)?,
        })
    }

    /// The fingerprint of its content: the terminal.
    pub fn fingerprint(&self) -> Fingerprint {
        content(RoutingKey::CardRelease, &self.terminal).finish()
    }
}

/// Print the details of a sold card once more, on its own terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CardReprint {
    /// The reservation under which the card was sold.
    #[schemars(with = "wire::Id")]
    pub reservation_id: ReservationId,
    /// The terminal that sold the card.
    #[schemars(with = "wire::Name")]
    pub terminal: TerminalId,
}

impl CardReprint {
    pub(super) fn read(read: &Reader<'_, '_>) -> Result<Self, Unreadable> {
        Ok(Self {
            reservation_id: read.text("reservation_id", ReservationId::parse)?,
            terminal: read.text("terminal", TerminalId::parse)?,
        })
    }
}

/// What can be bought, how much of it there is and for how much.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CardAvailability {
    /// The terminal that asks.
    #[schemars(with = "wire::Name")]
    pub terminal: TerminalId,
    /// The products asked about; an empty list asks about all.
    #[schemars(with = "Vec<wire::Name>")]
    pub products: Vec<ProductId>,
}

impl CardAvailability {
    pub(super) fn read(read: &Reader<'_, '_>) -> Result<Self, Unreadable> {
        Ok(Self {
            terminal: read.text("terminal", TerminalId::parse)?,
            products: read.set("products", ProductId::parse)?,
        })
    }
}
