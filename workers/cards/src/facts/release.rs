//! `card.release`: the payer walked away.

use contract::Reason;
use contract::answer::{CardReleaseAnswer, Resolved};
use contract::event::CardEvent;
use contract::message::CardRelease;
use domain::card::{CardState, ReleaseVerdict, ReservationState, resolve_release};
use domain::ids::ReservationId;

use super::model::Model;
use crate::batch::Batch;

impl Model<'_> {
    pub(super) fn release(&mut self, place: usize, release: &CardRelease, batch: &mut Batch) {
        let id = release.reservation_id;
        let Some(reservation) = self.locked.reservations.get(&id) else {
            // Unseen ones were remembered with the locks, and are among the locked.
            return batch.refuse(place, Reason::UnknownReservation, "reservation_id: was never seen");
        };
        if reservation.terminal != release.terminal {
            return batch.refuse(place, Reason::NotYourTerminal, "reservation_id: is another terminal's");
        }
        let existing = (!self.remembered.remove(&id)).then(|| reservation.state_at(self.locked.now));
        let verdict = resolve_release(existing);
        if verdict == ReleaseVerdict::Release {
            self.give_back(id);
            if let Some(item) = self.item(id) {
                batch.tell(place, CardEvent::Released, &item);
            }
            count_ended("released");
        }
        let resolved = Resolved { reservation_id: id };
        batch.answer(
            place,
            &match verdict {
                ReleaseVerdict::Remember | ReleaseVerdict::Release => CardReleaseAnswer::Released(resolved),
                ReleaseVerdict::AlreadyReleased => CardReleaseAnswer::AlreadyReleased(resolved),
                ReleaseVerdict::AlreadyExpired => CardReleaseAnswer::AlreadyExpired(resolved),
                ReleaseVerdict::AlreadySold => CardReleaseAnswer::AlreadySold(resolved),
            },
        );
    }

    /// The reservation ends, and its card, if it was only held, comes back.
    fn give_back(&mut self, id: ReservationId) {
        self.let_go(id, ReservationState::Released);
        let card_id = self.locked.reservations.get(&id).and_then(|found| found.card_id);
        let Some(card) = card_id.and_then(|card_id| self.locked.cards.get_mut(&card_id)) else {
            return;
        };
        if matches!(card.state, CardState::Reserved | CardState::Lapsed) {
            card.state = CardState::Available;
            card.reservation_id = None;
            self.changed_cards.insert(card.card_id);
        }
    }
}

/// Reservations by how they ended; the ends by time are counted where they are found.
pub(super) fn count_ended(kind: &'static str) {
    metrics::counter!("unigate_cards_reservations_ended_total", "kind" => kind, "source" => "message").increment(1);
}
