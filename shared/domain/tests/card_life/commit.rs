//! What becomes of the rows when a transaction commits: what the verdicts of the rules mean, as the workers write it.

use domain::card::{CardState, Holder, ReleaseVerdict, ReservationState, ReserveVerdict, SaleInput, SaleVerdict};

use crate::model::Life;
use crate::rows::{Ended, Message, Paid, Row, State, Tx, Wrong};

impl Life {
    /// What a worker writes and answers, by the verdict of the rules.
    pub(crate) fn commit(&self, state: &mut State, worker: usize) {
        let Some(tx) = state.workers[worker].take() else { return };
        match tx.message {
            Message::Reserve(id) => self.reserve(state, id, &tx),
            Message::Sell(id, paid) => self.sell(state, id, paid, &tx),
            Message::Release(id) => self.release(state, id, &tx),
        }
    }

    /// What a transaction found of its reservation, and its state as of then.
    fn found(&self, state: &State, id: u8, tx: &Tx) -> (Option<Row>, Option<ReservationState>) {
        let row = state.rows[id as usize].filter(|_| tx.known);
        (row, row.map(|row| self.as_of(row.state, tx.age.unwrap_or(0))))
    }

    fn reserve(&self, state: &mut State, id: u8, tx: &Tx) {
        let (row, existing) = self.found(state, id, tx);
        match ((self.rules.reserve)(existing, true), tx.card) {
            // Another transaction may have used the id meanwhile: then nothing is inserted, and the card stays.
            (ReserveVerdict::New, Some(card)) if state.rows[id as usize].is_none() => {
                state.rows[id as usize] = Some(Row::new(ReservationState::Held, Some(card)));
                self.move_card(state, card, CardState::Reserved, Some(id));
            }
            (ReserveVerdict::SameCard, _) => {
                let is_held = row.is_some_and(|row| row.state == ReservationState::Held && tx.age == Some(0));
                if !is_held {
                    state.wrong = Some(Wrong::ShownAfterItsHold);
                }
            }
            _ => {}
        }
    }

    fn release(&self, state: &mut State, id: u8, tx: &Tx) {
        let (_, existing) = self.found(state, id, tx);
        match (self.rules.release)(existing) {
            ReleaseVerdict::Remember => {
                let mut row = Row::new(ReservationState::Released, None);
                row.ended = Some(Ended::Release);
                state.rows[id as usize].get_or_insert(row);
            }
            ReleaseVerdict::Release => {
                if let Some(row) = &mut state.rows[id as usize] {
                    self.end(row, ReservationState::Released, Ended::Release);
                }
                self.give_back(state, id);
            }
            _ => {}
        }
    }

    fn sell(&self, state: &mut State, id: u8, paid: Paid, tx: &Tx) {
        let (row, existing) = self.found(state, id, tx);
        let holder = match row {
            Some(row) if row.state.is_live() => Holder::Me,
            _ if tx.other.is_some() => Holder::Other,
            _ => Holder::Nobody,
        };
        let verdict = (self.rules.sale)(&SaleInput {
            reservation: existing,
            same_sale: row.is_some_and(|row| row.sale == Some(paid)),
            names_agree: true,
            card: row.and_then(|row| Some(state.cards[row.card? as usize].state)),
            holder,
            amount: if paid == Paid::Price { self.price } else { self.more },
            currency: self.currency,
            price: self.price,
            price_currency: self.currency,
        });
        match (verdict, row) {
            (SaleVerdict::Sold(sale), Some(Row { card: Some(card), .. })) => {
                if let Some(other) = tx.other.filter(|_| sale.supersedes) {
                    self.supersede(state, other);
                }
                self.pay(state, id, paid, ReservationState::Sold);
                self.move_card(state, card, CardState::Sold, Some(id));
            }
            (SaleVerdict::Conflict, Some(_)) => {
                self.pay(state, id, paid, ReservationState::Conflict);
                self.replace(state, paid);
            }
            (SaleVerdict::AlreadySold, Some(row)) if row.state == ReservationState::Sold && row.sale == Some(paid) => {}
            (SaleVerdict::AlreadyConflict, Some(row))
                if row.state == ReservationState::Conflict && row.sale == Some(paid) => {}
            // Refused is a payment for a card never given out, or another one than that which stands.
            (SaleVerdict::Refused(_), row) => {
                let was_given_out = row.is_some_and(|row| row.card.is_some());
                let another_stands = row.is_some_and(|row| row.sale.is_some_and(|stands| stands != paid));
                if was_given_out && !another_stands {
                    state.wrong = Some(Wrong::PaymentRefused);
                }
            }
            _ => state.wrong = Some(Wrong::AnsweredAmiss),
        }
    }

    fn supersede(&self, state: &mut State, other: u8) {
        if let Some(row) = &mut state.rows[other as usize] {
            self.end(row, ReservationState::Superseded, Ended::Superseded);
            row.superseded = true;
        }
    }

    fn pay(&self, state: &mut State, id: u8, paid: Paid, next: ReservationState) {
        let Some(row) = &mut state.rows[id as usize] else {
            return;
        };
        self.end(row, next, Ended::Sale);
        row.sale = Some(paid);
        row.times_paid += 1;
        if let Some(card) = row.card {
            state.first_paid[card as usize].get_or_insert(id);
        }
    }

    /// The payer of a conflict gets another card, sold under a reservation of its own, while there are any.
    fn replace(&self, state: &mut State, paid: Paid) {
        let slots = self.bound.reservations..self.bound.reservations + self.bound.replacements;
        let slot = slots.clone().find(|slot| state.rows[*slot].is_none());
        let is_free =
            |card: &u8| state.cards[*card as usize].state == CardState::Available && state.card_is_free(*card, None);
        let card = (0..self.bound.cards as u8).find(is_free);
        let (Some(slot), Some(card)) = (slot, card) else { return };
        let mut row = Row::new(ReservationState::Sold, Some(card));
        (row.sale, row.times_paid, row.ended) = (Some(paid), 1, Some(Ended::Replacement));
        state.rows[slot] = Some(row);
        state.first_paid[card as usize].get_or_insert(slot as u8);
        self.move_card(state, card, CardState::Sold, Some(slot as u8));
    }

    pub(crate) fn lapse(&self, state: &mut State, id: u8) {
        let Some(row) = &mut state.rows[id as usize] else {
            return;
        };
        self.seen.row_moved(row.state, ReservationState::Lapsed);
        row.state = ReservationState::Lapsed;
        if let Some(card) = row.card
            && state.cards[card as usize].state == CardState::Reserved
        {
            self.move_card(state, card, CardState::Lapsed, Some(id));
        }
    }

    pub(crate) fn end_grace(&self, state: &mut State, id: u8) {
        if let Some(row) = &mut state.rows[id as usize] {
            self.end(row, ReservationState::Expired, Ended::Grace);
        }
        self.give_back(state, id);
    }

    pub(crate) fn move_card(&self, state: &mut State, card: u8, next: CardState, owner: Option<u8>) {
        let found = &mut state.cards[card as usize];
        self.seen.card_moved(found.state, next);
        (found.state, found.owner) = (next, owner);
    }

    fn end(&self, row: &mut Row, next: ReservationState, by: Ended) {
        self.seen.row_moved(row.state, next);
        (row.state, row.age, row.ended) = (next, 0, Some(by));
    }

    /// The card of a reservation that ended unpaid goes back, unless an operator has taken it aside.
    fn give_back(&self, state: &mut State, id: u8) {
        let Some(row) = &mut state.rows[id as usize] else {
            return;
        };
        row.times_back += 1;
        let Some(card) = row.card else { return };
        if matches!(
            state.cards[card as usize].state,
            CardState::Reserved | CardState::Lapsed
        ) {
            self.move_card(state, card, CardState::Available, None);
        }
    }
}
