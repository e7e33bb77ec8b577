//! `card.sell`: the payer paid. Paid beats held, and the first payment wins.

use contract::Reason;
use contract::answer::{CardSellAnswer, Sale as SaleAnswer};
use contract::event::CardEvent;
use contract::message::CardSell;
use domain::card::{
    CardState, CaseKind, Holder, ReservationState, Sale, SaleInput, SaleRefusal, SaleVerdict, resolve_sale,
};
use domain::ids::ReservationId;
use domain::money::{Amount, Currency};
use store::cards::Card;
use store::reservations::{Case, Reservation, SaleTold};

use super::model::{Conflict, Model};
use super::release::count_ended;
use crate::batch::Batch;

impl Model<'_> {
    pub(super) fn sell(&mut self, place: usize, sale: &CardSell, fingerprint: [u8; 32], batch: &mut Batch) {
        let id = sale.reservation_id;
        let reservation = self.locked.reservations.get(&id);
        if reservation.is_some_and(|reservation| reservation.terminal != sale.terminal) {
            return batch.refuse(place, Reason::NotYourTerminal, "reservation_id: is another terminal's");
        }
        match resolve_sale(&self.input(sale, &fingerprint)) {
            SaleVerdict::Sold(verdict) => {
                self.write_sale(place, sale, fingerprint, &verdict, batch);
                batch.answer(place, &CardSellAnswer::Sold(self.sold(id)));
            }
            SaleVerdict::AlreadySold => batch.answer(place, &CardSellAnswer::AlreadySold(self.sold(id))),
            SaleVerdict::Conflict => {
                self.write_conflict(place, sale, fingerprint, batch);
                self.conflicts.push(Conflict {
                    place,
                    id,
                    is_new: true,
                });
            }
            SaleVerdict::AlreadyConflict => self.conflicts.push(Conflict {
                place,
                id,
                is_new: false,
            }),
            SaleVerdict::Refused(refusal) => refuse(place, refusal, batch),
        }
    }

    fn input(&self, sale: &CardSell, fingerprint: &[u8; 32]) -> SaleInput {
        let reservation = self.locked.reservations.get(&sale.reservation_id);
        let card = reservation.and_then(|found| self.locked.cards.get(&found.card_id?));
        let told = reservation.and_then(|found| found.sale.as_ref());
        // Without a reservation or a card the sale is refused, whatever stands here.
        let price = reservation.and_then(|found| Amount::new(found.price?).ok());
        let price_currency = reservation.and_then(|found| Currency::parse(found.currency.as_deref()?).ok());
        SaleInput {
            reservation: reservation.map(|found| found.state_at(self.locked.now)),
            same_sale: told.is_some_and(|told| told.fingerprint[..] == fingerprint[..]),
            names_agree: card.is_some_and(|card| names_agree(sale, card)),
            card: card.map(|card| card.state),
            holder: card.map_or(Holder::Nobody, |card| self.holder(card, sale.reservation_id)),
            amount: sale.amount,
            currency: sale.currency,
            price: price.unwrap_or(sale.amount),
            price_currency: price_currency.unwrap_or(sale.currency),
        }
    }

    fn holder(&self, card: &Card, me: ReservationId) -> Holder {
        match self.live_on(card.card_id) {
            Some(id) if id == me => Holder::Me,
            Some(_) => Holder::Other,
            None => Holder::Nobody,
        }
    }

    fn live_on(&self, card_id: i64) -> Option<ReservationId> {
        let live = |found: &&Reservation| found.card_id == Some(card_id) && found.state.is_live();
        self.locked
            .reservations
            .values()
            .find(live)
            .map(|found| found.reservation_id)
    }

    fn write_sale(&mut self, place: usize, sale: &CardSell, fingerprint: [u8; 32], verdict: &Sale, batch: &mut Batch) {
        let id = sale.reservation_id;
        let Some(card_id) = self.locked.reservations.get(&id).and_then(|found| found.card_id) else {
            return;
        };
        if verdict.supersedes
            && let Some(other) = self.live_on(card_id)
        {
            self.supersede(place, other, id, batch);
        }
        self.end(sale, fingerprint, ReservationState::Sold, verdict.late, verdict.surplus);
        if let Some(card) = self.locked.cards.get_mut(&card_id) {
            card.state = CardState::Sold;
            card.reservation_id = Some(id);
            self.changed_cards.insert(card_id);
        }
        let case = |kind| Case {
            kind,
            reservation_id: id,
            card_id,
            replacement: None,
        };
        self.cases.extend(verdict.cases().map(case));
        if let Some(mut item) = self.item(id) {
            item.amount = Some(sale.amount);
            item.currency = Some(sale.currency);
            item.late = verdict.late.then_some(true);
            batch.tell(place, CardEvent::Sold, &item);
        }
        count_ended(if verdict.late { "sold_late" } else { "sold" });
    }

    fn write_conflict(&mut self, place: usize, sale: &CardSell, fingerprint: [u8; 32], batch: &mut Batch) {
        let id = sale.reservation_id;
        let Some(card_id) = self.locked.reservations.get(&id).and_then(|found| found.card_id) else {
            return;
        };
        self.end(sale, fingerprint, ReservationState::Conflict, true, 0);
        self.cases.push(Case {
            kind: CaseKind::Conflict,
            reservation_id: id,
            card_id,
            replacement: None,
        });
        if let Some(mut item) = self.item(id) {
            item.amount = Some(sale.amount);
            item.currency = Some(sale.currency);
            item.late = Some(true);
            item.other_reservation_id = self.locked.cards.get(&card_id).and_then(|card| card.reservation_id);
            batch.tell(place, CardEvent::Conflict, &item);
        }
        tracing::warn!(reservation = %id, "a card was paid for twice: an operator's case");
        count_ended("conflict");
    }

    fn supersede(&mut self, place: usize, other: ReservationId, by: ReservationId, batch: &mut Batch) {
        self.let_go(other, ReservationState::Superseded);
        if let Some(mut item) = self.item(other) {
            item.other_reservation_id = Some(by);
            batch.tell(place, CardEvent::Superseded, &item);
        }
        count_ended("superseded");
    }

    fn end(&mut self, sale: &CardSell, fingerprint: [u8; 32], state: ReservationState, late: bool, surplus: i64) {
        let now = self.locked.now;
        let Some(reservation) = self.locked.reservations.get_mut(&sale.reservation_id) else {
            return;
        };
        reservation.state = state;
        reservation.ended_at = Some(now);
        reservation.ended_by = Some("sale".into());
        reservation.sale = Some(SaleTold {
            fingerprint: fingerprint.to_vec(),
            paid_at: Some(sale.paid_at),
            amount: Some(sale.amount.minor()),
            receipt_number: sale.receipt_number.as_ref().map(|number| number.as_str().to_owned()),
            late,
            surplus,
        });
        self.changed.insert(sale.reservation_id);
    }

    /// The answer of a sale that counts, from what is stored: the first and every later one say the same.
    fn sold(&self, id: ReservationId) -> SaleAnswer {
        let told = self.locked.reservations.get(&id).and_then(|found| found.sale.as_ref());
        SaleAnswer {
            reservation_id: id,
            late: told.is_some_and(|told| told.late),
            surplus: told.and_then(|told| Amount::new(told.surplus).ok()),
        }
    }
}

fn names_agree(sale: &CardSell, card: &Card) -> bool {
    sale.product.as_ref().is_none_or(|product| *product == card.product)
        && sale.serial.as_ref().is_none_or(|serial| *serial == card.serial)
}

fn refuse(place: usize, refusal: SaleRefusal, batch: &mut Batch) {
    let (reason, why) = match refusal {
        SaleRefusal::UnknownReservation => (
            Reason::UnknownReservation,
            "reservation_id: no card was given out under it",
        ),
        SaleRefusal::AmountTooSmall => (Reason::AmountTooSmall, "amount: is less than the price answered"),
        SaleRefusal::CurrencyDiffers => (
            Reason::CurrencyDiffers,
            "currency: is not the one of the price answered",
        ),
        SaleRefusal::SaleDiffers => (
            Reason::SaleDiffers,
            "reservation_id: was sold with other content, or product or serial are not its own",
        ),
    };
    batch.refuse(place, reason, why);
}
