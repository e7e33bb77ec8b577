//! Everything that can happen to cards, one step at a time.
//!
//! Any terminal may send any message at any moment, any number of times, or never: so every loss, delay, doubling and
//! order is a path here, without a bound on copies. A worker handles a message in a transaction of three steps: it locks
//! the reservation (and the one that holds its card), it locks the card and reads the clock, it commits. Between any two
//! steps the other worker, the clock, the sweep and an operator act, or the worker dies. A worker that dies after its
//! commit and before its acknowledgement has its message once more, which is a copy like any.
//!
//! Several messages in one transaction do what they would do one after the other with nothing between, which is a path
//! here too. A deadlock is a transaction that cannot go on: one of the two dies, as the server would have it.

use std::sync::Arc;

use domain::card::{CardState, ReservationState};
use domain::money::{Amount, Currency};
use jiff::Timestamp;
use stateright::{Model, Property};

use crate::properties;
use crate::rows::{Message, Paid, State, Tx};
use crate::rules::{Locking, Rules};
use crate::seen::Seen;

/// How large the world is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    /// Cards in stock at the beginning.
    pub(crate) cards: usize,
    /// Reservations, each of a terminal of its own.
    pub(crate) reservations: usize,
    /// Reservations beyond these under which payers of conflicts get other cards.
    pub(crate) replacements: usize,
}

/// The world.
pub(crate) struct Life {
    pub(crate) bound: Bound,
    pub(crate) rules: Rules,
    pub(crate) seen: Arc<Seen>,
    pub(crate) currency: Currency,
    pub(crate) price: Amount,
    pub(crate) more: Amount,
    /// By age of a reservation: a moment in its hold, in its grace, and after it.
    moments: [Timestamp; 3],
    held_until: Timestamp,
    grace_until: Timestamp,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A worker takes a message, and a card of the stock with it.
    Begin(Message, Option<u8>),
    LockCard(usize),
    Commit(usize),
    /// A worker dies, or its transaction is lost.
    Die(usize),
    /// The clock passes the end of a hold, then of its grace.
    Age(u8),
    /// A message or the sweep finds a hold that is over.
    Lapse(u8),
    /// The sweep finds a grace that is over.
    EndGrace(u8),
    SetAside(u8, CardState),
}

impl Life {
    pub(crate) fn new(bound: Bound, rules: Rules, seen: Arc<Seen>) -> Self {
        let at = |second| Timestamp::from_second(second).unwrap();
        Self {
            bound,
            rules,
            seen,
            currency: Currency::parse("RUB").unwrap(),
            price: Amount::new(100).unwrap(),
            more: Amount::new(150).unwrap(),
            moments: [at(5), at(10), at(20)],
            held_until: at(10),
            grace_until: at(20),
        }
    }

    /// The state of a reservation as the clock has it.
    pub(crate) fn as_of(&self, written: ReservationState, age: u8) -> ReservationState {
        (self.rules.as_of)(written, self.held_until, self.grace_until, self.moments[age as usize])
    }

    fn starts(&self, state: &State, steps: &mut Vec<Step>) {
        // Workers are alike: the first idle one takes it.
        if state.workers.iter().all(Option::is_some) {
            return;
        }
        for id in 0..self.bound.reservations as u8 {
            if !state.row_is_free(id, None) {
                continue;
            }
            let facts = [
                Message::Sell(id, Paid::Price),
                Message::Sell(id, Paid::More),
                Message::Release(id),
            ];
            let other_is_free = state.other_live(id).is_none_or(|other| state.row_is_free(other, None));
            steps.extend(
                facts
                    .into_iter()
                    .filter(|_| other_is_free)
                    .map(|fact| Step::Begin(fact, None)),
            );
            if state.rows[id as usize].is_some() {
                steps.push(Step::Begin(Message::Reserve(id), None));
                continue;
            }
            let unlocked = self.rules.locking == Locking::StockUnlocked;
            let stock = (0..self.bound.cards as u8).filter(|card| {
                state.cards[*card as usize].state == CardState::Available
                    && (unlocked || state.card_is_free(*card, None))
            });
            steps.extend(stock.map(|card| Step::Begin(Message::Reserve(id), Some(card))));
        }
    }

    fn begin(&self, state: &mut State, message: Message, card: Option<u8>) {
        let row = state.rows[message.id() as usize];
        let is_fact = !matches!(message, Message::Reserve(_));
        // A fact about a reservation without a card has nothing more to lock.
        let to_lock = is_fact && row.is_some_and(|row| row.card.is_some());
        let tx = Tx {
            message,
            known: row.is_some(),
            card,
            other: state.other_live(message.id()).filter(|_| is_fact),
            age: (!to_lock).then(|| row.map_or(0, |row| row.age)),
        };
        if let Some(idle) = state.workers.iter_mut().find(|worker| worker.is_none()) {
            *idle = Some(tx);
        }
    }

    /// The card is locked, then looked at again for a hold made meanwhile; the clock is read last.
    fn may_lock_card(&self, state: &State, worker: usize) -> bool {
        let Some(tx) = state.workers[worker].filter(|tx| tx.age.is_none()) else {
            return false;
        };
        let card = state.rows[tx.message.id() as usize].and_then(|row| row.card);
        let other = self.second_look(state, &tx);
        card.is_some_and(|card| state.card_is_free(card, Some(worker)))
            && other.is_none_or(|other| state.row_is_free(other, Some(worker)))
    }

    fn second_look(&self, state: &State, tx: &Tx) -> Option<u8> {
        match self.rules.locking {
            Locking::FirstLookOnly => tx.other,
            _ => state.other_live(tx.message.id()),
        }
    }

    fn lock_card(&self, state: &mut State, worker: usize) {
        let Some(mut tx) = state.workers[worker] else { return };
        let row = state.rows[tx.message.id() as usize];
        tx.other = self.second_look(state, &tx);
        tx.card = row.and_then(|row| row.card);
        tx.age = row.map(|row| row.age);
        state.workers[worker] = Some(tx);
    }

    /// A new reservation's id is claimed when it is inserted: that waits for whoever has it.
    fn may_commit(state: &State, worker: usize) -> bool {
        let Some(tx) = state.workers[worker].filter(|tx| tx.age.is_some()) else {
            return false;
        };
        tx.known || state.row_is_free(tx.message.id(), Some(worker))
    }

    fn time_passes(&self, state: &State, steps: &mut Vec<Step>) {
        for (id, row) in state.rows.iter().enumerate() {
            let (id, Some(row)) = (id as u8, row) else { continue };
            if !row.state.is_live() {
                continue;
            }
            if row.age < 2 {
                steps.push(Step::Age(id));
            }
            let is_free = state.row_is_free(id, None) && row.card.is_none_or(|card| state.card_is_free(card, None));
            match (row.state, self.as_of(row.state, row.age)) {
                _ if !is_free => {}
                (ReservationState::Held, now) if now != ReservationState::Held => steps.push(Step::Lapse(id)),
                (ReservationState::Lapsed, ReservationState::Expired) => steps.push(Step::EndGrace(id)),
                _ => {}
            }
        }
    }

    fn set_aside(&self, state: &State, steps: &mut Vec<Step>) {
        for card in 0..self.bound.cards as u8 {
            let found = state.cards[card as usize].state;
            let aside = [CardState::Faulty, CardState::Withdrawn];
            let may = |next: &CardState| found.may_become(*next) && state.card_is_free(card, None);
            steps.extend(aside.into_iter().filter(may).map(|next| Step::SetAside(card, next)));
        }
    }
}

impl Model for Life {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State::full_stock()]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        self.seen.look(state);
        if state.wrong.is_some() {
            return;
        }
        self.starts(state, steps);
        for worker in 0..state.workers.len() {
            if self.may_lock_card(state, worker) {
                steps.push(Step::LockCard(worker));
            }
            if Self::may_commit(state, worker) {
                steps.push(Step::Commit(worker));
            }
            if state.workers[worker].is_some() {
                steps.push(Step::Die(worker));
            }
        }
        self.time_passes(state, steps);
        self.set_aside(state, steps);
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = *last;
        match step {
            Step::Begin(message, card) => self.begin(&mut state, message, card),
            Step::LockCard(worker) => self.lock_card(&mut state, worker),
            Step::Commit(worker) => self.commit(&mut state, worker),
            Step::Die(worker) => state.workers[worker] = None,
            Step::Age(id) => state.rows[id as usize].iter_mut().for_each(|row| row.age += 1),
            Step::Lapse(id) => self.lapse(&mut state, id),
            Step::EndGrace(id) => self.end_grace(&mut state, id),
            Step::SetAside(card, next) => {
                let owner = state.cards[card as usize].owner;
                self.move_card(&mut state, card, next, owner);
            }
        }
        // Which of two alike workers does what makes no difference.
        state.workers.sort_unstable();
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}
