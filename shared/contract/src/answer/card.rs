//! Answers to the messages about prepaid cards.

use domain::ids::{ProductId, ReservationId};
use domain::money::{Amount, Currency};
use jiff::Timestamp;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Serialize;

use super::secret::{CardDetails, expose};
use super::{Refusal, answers};
use crate::schema::wire;

answers! {
    CardReserveAnswer to CardReserve,
    CardSellAnswer to CardSell,
    CardReleaseAnswer to CardRelease,
    CardReprintAnswer to CardReprint,
    CardAvailabilityAnswer to CardAvailability,
}

/// Answer to `card.reserve`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum CardReserveAnswer {
    /// The card is held for this reservation; here are its details.
    Reserved(Box<ReservedCard>),
    /// No card is held.
    Refused(Refusal),
}

/// Answer to `card.reprint`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum CardReprintAnswer {
    /// The details once more, as at the reservation.
    Reprinted(Box<ReservedCard>),
    /// Nothing is shown.
    Refused(Refusal),
}

/// A card with what its payer needs, for one reservation.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ReservedCard {
    /// The reservation that holds it.
    #[schemars(with = "wire::Id")]
    pub reservation_id: ReservationId,
    /// The card itself.
    #[serde(flatten)]
    pub card: CardInHand,
    /// Until when it is held, by our clock.
    #[schemars(with = "wire::Time")]
    pub held_until: Timestamp,
    /// On a reprint: this card was given in place of the one with this serial, which the reservation had before.
    #[schemars(with = "Option<wire::Serial>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
}

/// What is sold and for how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The product.
    pub product: ProductId,
    /// What the card is worth, in minor units.
    pub face_value: Amount,
    /// What the payer pays for it, in minor units.
    pub price: Amount,
    /// The currency of both.
    pub currency: Currency,
}

/// A card's details, open or sealed for the terminal, never both.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct CardInHand {
    /// The product.
    #[schemars(with = "wire::Name")]
    product: ProductId,
    /// The details in the open; `null` for a terminal with a registered key.
    card: Option<CardDetails>,
    /// The details as an ASCII-armoured age file that only this terminal can open.
    #[schemars(with = "Option<wire::Sealed>")]
    sealed_card: Option<String>,
    /// What the card is worth, in minor units.
    #[schemars(with = "wire::Amount")]
    face_value: Amount,
    /// What the payer pays for it, in minor units.
    #[schemars(with = "wire::Amount")]
    price: Amount,
    /// The currency of both.
    #[schemars(with = "wire::Currency")]
    currency: Currency,
    /// The text to print, where the product has one; `null` when sealed.
    #[schemars(with = "Option<String>")]
    #[serde(serialize_with = "expose")]
    receipt: Option<SecretString>,
}

impl CardInHand {
    /// A card whose details go out in the open.
    pub fn open(offer: Offer, card: CardDetails, receipt: Option<SecretString>) -> Self {
        Self {
            card: Some(card),
            receipt,
            ..Self::sealed_as(offer, None)
        }
    }

    /// A card whose details and receipt are sealed for the terminal.
    pub fn sealed(offer: Offer, sealed_card: String) -> Self {
        Self::sealed_as(offer, Some(sealed_card))
    }

    fn sealed_as(offer: Offer, sealed_card: Option<String>) -> Self {
        Self {
            product: offer.product,
            card: None,
            sealed_card,
            face_value: offer.face_value,
            price: offer.price,
            currency: offer.currency,
            receipt: None,
        }
    }
}

/// Answer to `card.sell`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum CardSellAnswer {
    /// The card is sold to this reservation.
    Sold(Sale),
    /// The same sale again.
    AlreadySold(Sale),
    /// Another reservation paid for the card first; an operator settles it.
    Conflict {
        /// The reservation.
        #[schemars(with = "wire::Id")]
        reservation_id: ReservationId,
        /// Another card instead, where the product says so and stock allows.
        #[serde(skip_serializing_if = "Option::is_none")]
        replacement: Option<Box<Replacement>>,
    },
    /// The sale does not count; the reservation stands.
    Refused(Refusal),
}

/// A sale that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Sale {
    /// The reservation.
    #[schemars(with = "wire::Id")]
    pub reservation_id: ReservationId,
    /// True when the hold was over, else absent.
    #[schemars(with = "Option<bool>")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
    /// By how much the amount exceeds the price answered at the reservation, in minor units.
    #[schemars(with = "Option<wire::Amount>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub surplus: Option<Amount>,
}

/// A card given for one that was sold to another.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Replacement {
    /// The reservation under which the replacement is sold; it can be reprinted by it.
    #[schemars(with = "wire::Id")]
    pub reservation_id: ReservationId,
    /// The card itself.
    #[serde(flatten)]
    pub card: CardInHand,
}

/// Answer to `card.release`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum CardReleaseAnswer {
    /// The reservation is given up, also in advance.
    Released(Resolved),
    /// It was before.
    AlreadyReleased(Resolved),
    /// Its hold had ended.
    AlreadyExpired(Resolved),
    /// It was paid.
    AlreadySold(Resolved),
    /// The release does not count.
    Refused(Refusal),
}

/// Names the reservation that was resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Resolved {
    /// The reservation.
    #[schemars(with = "wire::Id")]
    pub reservation_id: ReservationId,
}

/// Answer to `card.availability`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum CardAvailabilityAnswer {
    /// What can be bought.
    Ok {
        /// One entry per product that this terminal may sell.
        products: Vec<Availability>,
    },
    /// Nothing is said.
    Refused(Refusal),
}

/// How much of a product there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Availability {
    /// The product.
    #[schemars(with = "wire::Name")]
    pub product: ProductId,
    /// How many cards could be reserved now.
    #[schemars(with = "wire::Count")]
    pub available: u64,
    /// What the payer pays for one, in minor units.
    #[schemars(with = "wire::Amount")]
    pub price: Amount,
    /// The currency of the price.
    #[schemars(with = "wire::Currency")]
    pub currency: Currency,
    /// Whether it is not sold at present.
    pub suspended: bool,
}
