//! What a batch of facts touches, in memory under locks, and what it has come to so far.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use contract::event::CardItem;
use domain::card::{CardState, ReservationState};
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
    /// Reservations that let go of their card in this batch, and as what: released or superseded. They may be more by now.
    let_go: BTreeMap<ReservationId, ReservationState>,
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
            let_go: BTreeMap::new(),
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
        let mut written = Written {
            cards: self.changed_cards.iter().filter_map(card).collect(),
            ..Written::default()
        };
        for id in &self.changed {
            let Some(reservation) = self.locked.reservations.get(id) else {
                continue;
            };
            match self.let_go.get(id).filter(|_| self.is_anothers(reservation)) {
                Some(state) if *state == reservation.state => written.let_go.push(Cow::Borrowed(reservation)),
                Some(state) => {
                    written.let_go.push(Cow::Owned(as_let_go(reservation, *state)));
                    written.reservations.push(reservation);
                }
                None => written.reservations.push(reservation),
            }
        }
        written
    }

    /// Ends a reservation without a sale. Its card is not touched.
    pub(super) fn let_go(&mut self, id: ReservationId, state: ReservationState) {
        let now = self.locked.now;
        let Some(reservation) = self.locked.reservations.get_mut(&id) else {
            return;
        };
        reservation.state = state;
        reservation.ended_at = Some(now);
        reservation.ended_by = ended_by(state).map(str::to_owned);
        self.changed.insert(id);
        self.let_go.insert(id, state);
    }

    /// Whether its card is sold to another.
    fn is_anothers(&self, reservation: &Reservation) -> bool {
        let card = reservation.card_id.and_then(|card_id| self.locked.cards.get(&card_id));
        card.is_some_and(|card| {
            card.state == CardState::Sold && card.reservation_id != Some(reservation.reservation_id)
        })
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

/// As it was when it had let go of its card and was not paid for yet.
fn as_let_go(reservation: &Reservation, state: ReservationState) -> Reservation {
    Reservation {
        state,
        ended_by: ended_by(state).map(str::to_owned),
        sale: None,
        ..reservation.clone()
    }
}

fn ended_by(state: ReservationState) -> Option<&'static str> {
    match state {
        ReservationState::Released => Some("release"),
        ReservationState::Superseded => Some("superseded"),
        _ => None,
    }
}
