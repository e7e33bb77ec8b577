//! What a batch of facts touches, in memory under locks, and what it has come to so far.

use std::collections::BTreeSet;

use contract::event::CardItem;
use domain::ids::ReservationId;
use store::declarations::Declarations;
use store::reservations::{CardChange, Case, Locked, Reservation, Written};

/// What a batch of facts touches.
pub(super) struct Model<'d> {
    pub(super) declarations: &'d Declarations,
    pub(super) locked: Locked,
    /// Releases that were remembered in this very batch and not answered yet.
    pub(super) remembered: BTreeSet<ReservationId>,
    pub(super) changed: BTreeSet<ReservationId>,
    /// Cards that changed.
    pub(super) changed_cards: BTreeSet<i64>,
    pub(super) cases: Vec<Case>,
    /// Sales that met a card sold to another, at their places; the first of each reservation may get a replacement.
    pub(super) conflicts: Vec<Conflict>,
}

/// A sale that met a card sold to another.
#[derive(Clone, Copy)]
pub(super) struct Conflict {
    pub(super) place: usize,
    pub(super) id: ReservationId,
    pub(super) is_new: bool,
}

impl<'d> Model<'d> {
    pub(super) fn new(declarations: &'d Declarations, locked: Locked, remembered: Vec<ReservationId>) -> Self {
        Self {
            declarations,
            locked,
            remembered: remembered.into_iter().collect(),
            changed: BTreeSet::new(),
            changed_cards: BTreeSet::new(),
            cases: Vec::new(),
            conflicts: Vec::new(),
        }
    }

    /// What the batch has come to, but for its cases: those name what is given after this was written.
    pub(super) fn written(&self) -> Written<'_> {
        let card = |card_id: &i64| {
            let card = self.locked.cards.get(card_id)?;
            Some(CardChange {
                card_id: *card_id,
                state: card.state,
                reservation_id: card.reservation_id,
            })
        };
        Written {
            reservations: self
                .changed
                .iter()
                .filter_map(|id| self.locked.reservations.get(id))
                .collect(),
            cards: self.changed_cards.iter().filter_map(card).collect(),
        }
    }

    /// What an event tells of a reservation with a card.
    pub(super) fn item(&self, id: ReservationId) -> Option<CardItem> {
        let reservation: &Reservation = self.locked.reservations.get(&id)?;
        let card = self.locked.cards.get(&reservation.card_id?)?;
        Some(CardItem {
            reservation_id: id,
            product: card.product.clone(),
            serial: card.serial.clone(),
            terminal: reservation.terminal.clone(),
            amount: None,
            currency: None,
            late: None,
            other_reservation_id: None,
        })
    }
}
