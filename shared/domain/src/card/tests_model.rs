//! A model of four reservations over two cards: whatever happens in whatever order, no card is sold or held twice, every
//! payment for a card that was given out finds a home, and its repetition changes nothing.

use proptest::prelude::*;

use super::tests::rub;
use super::*;

/// What a terminal or time can do to a reservation (by index) in the model.
#[derive(Debug, Clone, Copy)]
enum Step {
    Reserve(usize),
    Sell(usize, i64),
    Release(usize),
    Lapse(usize),
    Expire(usize),
    MarkFaulty(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let reservation = 0..4_usize;
    prop_oneof![
        reservation.clone().prop_map(Step::Reserve),
        (reservation.clone(), prop_oneof![Just(100_i64), Just(99), Just(150)])
            .prop_map(|(r, paid)| Step::Sell(r, paid)),
        reservation.clone().prop_map(Step::Release),
        reservation.clone().prop_map(Step::Lapse),
        reservation.prop_map(Step::Expire),
        (0..2_usize).prop_map(Step::MarkFaulty),
    ]
}

#[derive(Debug, Clone)]
struct Reservation {
    state: ReservationState,
    card: Option<usize>,
    sale: Option<i64>,
}

/// Two cards and what happened to them, kept the way the store keeps it.
#[derive(Debug)]
struct Shop {
    cards: [CardState; 2],
    reservations: [Option<Reservation>; 4],
}

impl Shop {
    fn move_card(&mut self, card: usize, next: CardState) {
        assert!(
            self.cards[card].may_become(next),
            "card {:?} -> {next:?}",
            self.cards[card]
        );
        self.cards[card] = next;
    }

    fn move_reservation(&mut self, id: usize, next: ReservationState) {
        let reservation = self.reservations[id].as_mut().unwrap();
        assert!(
            reservation.state.may_become(next),
            "reservation {:?} -> {next:?}",
            reservation.state
        );
        reservation.state = next;
    }

    fn state(&self, id: usize) -> Option<ReservationState> {
        self.reservations[id].as_ref().map(|reservation| reservation.state)
    }

    fn live_holder(&self, card: usize) -> Option<usize> {
        (0..4).find(|id| {
            self.reservations[*id]
                .as_ref()
                .is_some_and(|held| held.card == Some(card) && held.state.is_live())
        })
    }

    fn reserve(&mut self, id: usize) {
        if resolve_reserve(self.state(id), true) != ReserveVerdict::New {
            return;
        }
        if let Some(card) = (0..2).find(|card| self.cards[*card] == CardState::Available) {
            self.move_card(card, CardState::Reserved);
            self.reservations[id] = Some(Reservation {
                state: ReservationState::Held,
                card: Some(card),
                sale: None,
            });
        }
    }

    fn give_back(&mut self, id: usize) {
        let card = self.reservations[id].as_ref().unwrap().card.unwrap();
        // A card that an operator took aside meanwhile stays aside.
        if matches!(self.cards[card], CardState::Reserved | CardState::Lapsed) {
            self.move_card(card, CardState::Available);
        }
    }

    fn release(&mut self, id: usize) {
        match resolve_release(self.state(id)) {
            ReleaseVerdict::Remember => {
                self.reservations[id] = Some(Reservation {
                    state: ReservationState::Released,
                    card: None,
                    sale: None,
                });
            }
            ReleaseVerdict::Release => {
                self.move_reservation(id, ReservationState::Released);
                self.give_back(id);
            }
            _ => {}
        }
    }

    fn sell(&mut self, id: usize, paid: i64) -> SaleVerdict {
        let reservation = self.reservations[id].clone();
        let card = reservation.as_ref().and_then(|reservation| reservation.card);
        let holder = match card.and_then(|card| self.live_holder(card)) {
            Some(holder) if holder == id => Holder::Me,
            Some(_) => Holder::Other,
            None => Holder::Nobody,
        };
        let (amount, currency) = rub(paid);
        let (price, price_currency) = rub(100);
        let verdict = resolve_sale(&SaleInput {
            reservation: self.state(id),
            same_sale: reservation.is_some_and(|reservation| reservation.sale == Some(paid)),
            names_agree: true,
            card: card.map(|card| self.cards[card]),
            holder,
            amount,
            currency,
            price,
            price_currency,
        });
        match verdict {
            SaleVerdict::Sold(sale) => {
                let card = card.unwrap();
                assert_eq!(sale.supersedes, holder == Holder::Other);
                if let Some(other) = self.live_holder(card).filter(|other| *other != id) {
                    self.move_reservation(other, ReservationState::Superseded);
                }
                self.move_reservation(id, ReservationState::Sold);
                self.move_card(card, CardState::Sold);
                self.reservations[id].as_mut().unwrap().sale = Some(paid);
            }
            SaleVerdict::Conflict => {
                self.move_reservation(id, ReservationState::Conflict);
                self.reservations[id].as_mut().unwrap().sale = Some(paid);
            }
            _ => {}
        }
        verdict
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Reserve(id) => self.reserve(id),
            Step::Release(id) => self.release(id),
            Step::Lapse(id) if self.state(id) == Some(ReservationState::Held) => {
                self.move_reservation(id, ReservationState::Lapsed);
                let card = self.reservations[id].as_ref().unwrap().card.unwrap();
                if self.cards[card] == CardState::Reserved {
                    self.move_card(card, CardState::Lapsed);
                }
            }
            Step::Expire(id) if self.state(id) == Some(ReservationState::Lapsed) => {
                self.move_reservation(id, ReservationState::Expired);
                self.give_back(id);
            }
            Step::MarkFaulty(card) if self.cards[card].may_become(CardState::Faulty) => {
                self.move_card(card, CardState::Faulty);
            }
            Step::Sell(id, paid) => {
                let first = self.sell(id, paid);
                // Money for a card that was given out always finds a home, and its repetition changes nothing.
                let given_out = self.reservations[id]
                    .as_ref()
                    .is_some_and(|reservation| reservation.card.is_some());
                let refused = matches!(first, SaleVerdict::Refused(_));
                assert_eq!(
                    matches!(first, SaleVerdict::Refused(SaleRefusal::UnknownReservation)),
                    !given_out
                );
                if !refused {
                    let again = self.sell(id, paid);
                    assert!(
                        matches!(again, SaleVerdict::AlreadySold | SaleVerdict::AlreadyConflict),
                        "{again:?}"
                    );
                }
            }
            Step::Lapse(_) | Step::Expire(_) | Step::MarkFaulty(_) => {}
        }
    }

    fn assert_sound(&self) {
        for (card, state) in self.cards.iter().enumerate() {
            let of_card = || {
                self.reservations
                    .iter()
                    .flatten()
                    .filter(move |reservation| reservation.card == Some(card))
            };
            let live = of_card().filter(|reservation| reservation.state.is_live()).count();
            let sold = of_card()
                .filter(|reservation| reservation.state == ReservationState::Sold)
                .count();
            assert!(live <= 1, "held twice: {self:?}");
            assert_eq!(sold, usize::from(*state == CardState::Sold), "{self:?}");
            assert!(live == 0 || *state != CardState::Sold, "sold and still held: {self:?}");
            assert!(
                live == 1 || !matches!(state, CardState::Reserved | CardState::Lapsed),
                "held by nobody: {self:?}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_card_is_sold_once_and_a_reservation_resolves_once(steps in proptest::collection::vec(step(), 1..60)) {
        let mut shop = Shop { cards: [CardState::Available; 2], reservations: [const { None }; 4] };
        for step in steps {
            shop.take(step);
            shop.assert_sound();
        }
    }
}
