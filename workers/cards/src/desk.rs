//! What both card workers share: the vault, the watermarks of the stock, and the way from a stored card to what a terminal
//! is shown.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use contract::answer::{CardDetails, CardInHand, Offer};
use domain::declaration::{Product, TerminalLimits};
use domain::ids::{ProductId, TerminalId};
use domain::money::{Amount, Currency};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use store::cards::{Card, Want, Watermarks};
use store::declarations::Declarations;
use store::reservations::Reservation;
use store::{StoreError, Tx};

use crate::availability::Counts;
use crate::receipt::Receipts;
use crate::vault::{CardPlace, Details, Vault, seal_for_terminal};

/// What both card workers share.
#[derive(Debug)]
pub struct Desk {
    pub(crate) vault: Arc<Vault>,
    pub(crate) watermarks: Watermarks,
    pub(crate) counts: Counts,
    receipts: Receipts,
    /// What a terminal may take that says nothing of its own, nor does its group.
    pub(crate) limits: TerminalLimits,
}

impl Desk {
    /// A desk with an opened vault.
    pub fn new(vault: Arc<Vault>) -> Self {
        Self {
            vault,
            watermarks: Watermarks::default(),
            counts: Counts::default(),
            receipts: Receipts::default(),
            limits: TerminalLimits::default(),
        }
    }

    /// The same with limits for terminals that say nothing of their own.
    #[must_use]
    pub fn limited(self, limits: TerminalLimits) -> Self {
        Self { limits, ..self }
    }

    /// Opens cards. One that was shredded, or does not open under its batch's key, is not in the result, and neither is one
    /// whose batch has no key that opens.
    pub(crate) async fn open_cards(&self, tx: &Tx, cards: &[&Card]) -> Result<HashMap<i64, Details>, StoreError> {
        Ok(self.open_batches(tx, cards).await?.0)
    }

    /// The same, and those of their batches that have no key that opens: none of their cards does.
    pub(crate) async fn open_batches(
        &self,
        tx: &Tx,
        cards: &[&Card],
    ) -> Result<(HashMap<i64, Details>, Vec<i64>), StoreError> {
        let batches: HashSet<i64> = cards.iter().map(|card| card.batch_id).collect();
        let keys = self.vault.batch_keys(tx, &batches).await?;
        let mut opened = HashMap::with_capacity(cards.len());
        for card in cards {
            let Some((key, sealed)) = keys.get(&card.batch_id).zip(card.sealed.as_ref()) else {
                continue;
            };
            let place = CardPlace {
                batch_id: card.batch_id,
                pos: card.pos,
            };
            match key.open(place, sealed) {
                Ok(details) => {
                    let public = card.public_fields.iter().cloned();
                    let details = details.with(public.map(|(name, value)| (name, value.into())));
                    opened.insert(card.card_id, details);
                }
                Err(error) => {
                    metrics::counter!("unigate_invariant_violations_total", "kind" => "unopenable_card").increment(1);
                    tracing::error!(product = %card.product, serial = card.serial, %error, "a damaged card");
                }
            }
        }
        let shut = batches.into_iter().filter(|batch| !keys.contains_key(batch)).collect();
        Ok((opened, shut))
    }

    /// Opens cards that are held or sold. Damaged ones are noted as faulty.
    pub(crate) async fn open_somebodys(&self, tx: &Tx, cards: &[&Card]) -> Result<HashMap<i64, Details>, StoreError> {
        let opened = self.open_cards(tx, cards).await?;
        let damaged: Vec<i64> = cards
            .iter()
            .map(|card| card.card_id)
            .filter(|card_id| !opened.contains_key(card_id))
            .collect();
        if !damaged.is_empty() {
            store::cards::note_unopenable(tx, &damaged).await?;
        }
        Ok(opened)
    }

    /// Takes cards that open. Damaged ones are taken out of stock on the way; of a batch that does not open those that were
    /// taken, and the rest of it is passed by: it may be a million cards.
    pub(crate) async fn take_opened(&self, tx: &Tx, wants: &[Want]) -> Result<Taken, StoreError> {
        let mut passed_by = self.vault.shut();
        loop {
            let mut taken = store::cards::take(tx, &self.watermarks, wants, &passed_by).await?;
            let all: Vec<&Card> = taken.values().flatten().collect();
            let (mut opened, shut) = self.open_batches(tx, &all).await?;
            let damaged: Vec<i64> = all
                .iter()
                .map(|card| card.card_id)
                .filter(|card_id| !opened.contains_key(card_id))
                .collect();
            if damaged.is_empty() {
                let pair = |card: Card| opened.remove(&card.card_id).map(|details| (card, details));
                let mut pair = pair;
                return Ok(taken
                    .drain()
                    .map(|(product, cards)| {
                        let mut cards: Vec<_> = cards.into_iter().filter_map(&mut pair).collect();
                        // Popped from the end.
                        cards.reverse();
                        (product, cards)
                    })
                    .collect());
            }
            store::cards::mark_faulty(tx, &damaged).await?;
            passed_by.extend(shut);
        }
    }
}

impl Desk {
    /// What a terminal is shown of a card: everything in the open, or, if it has a key of its own, sealed for it alone.
    pub(crate) fn in_hand(&self, showing: Showing<'_>, details: Details) -> Result<CardInHand, StoreError> {
        let Showing {
            declarations,
            terminal,
            offer,
            card,
            held_until,
        } = showing;
        let declared = declarations.products.get(&offer.product);
        let slip = declared.map(|product| (&*product.value, &offer, card, held_until));
        let text: Option<SecretString> = slip.map(|slip| self.receipts.text(slip, &details));
        let shown = CardDetails {
            serial: card.serial.clone(),
            fields: details,
        };
        let key = declarations
            .terminals
            .get(terminal)
            .and_then(|terminal| terminal.value.age_recipient.as_deref());
        match key {
            Some(key) => Ok(CardInHand::sealed(
                offer,
                seal_for_terminal(key, &shown.to_be_sealed(text.as_ref()))?,
            )),
            None => Ok(CardInHand::open(offer, shown, text)),
        }
    }
}

/// A card that is about to be shown.
pub(crate) struct Showing<'a> {
    pub(crate) declarations: &'a Declarations,
    /// To whom.
    pub(crate) terminal: &'a TerminalId,
    /// What was said about it at its reservation.
    pub(crate) offer: Offer,
    pub(crate) card: &'a Card,
    /// Until when it was or is held.
    pub(crate) held_until: Timestamp,
}

/// Cards that were taken, by product; the next to give is last.
pub(crate) type Taken = HashMap<ProductId, Vec<(Card, Details)>>;

/// What is offered for a card: what its file says it is worth and costs, else what the product says.
pub(crate) fn offer_for(product: &Product, card: &Card) -> Result<Offer, StoreError> {
    let own = |amount: Option<i64>, declared: Amount| amount.map_or(Ok(declared), Amount::new);
    Ok(Offer {
        product: product.id.clone(),
        face_value: own(card.face_value, product.face_value)?,
        price: own(card.price, product.price)?,
        currency: product.currency,
    })
}

/// What was offered at a reservation: an answer repeats it, whatever the product costs now.
pub(crate) fn offer_of(reservation: &Reservation) -> Result<Offer, StoreError> {
    let missing = || StoreError::unreadable("a reservation with a card has no product, price or currency");
    Ok(Offer {
        product: reservation.product.clone().ok_or_else(missing)?,
        face_value: Amount::new(reservation.face_value.ok_or_else(missing)?)?,
        price: Amount::new(reservation.price.ok_or_else(missing)?)?,
        currency: Currency::parse(reservation.currency.as_deref().ok_or_else(missing)?)?,
    })
}

/// The fields of a card in the open, for its receipt.
pub(crate) fn exposed(details: &Details) -> Vec<(&str, &str)> {
    details
        .iter()
        .map(|(name, value)| (name, value.expose_secret()))
        .collect()
}
