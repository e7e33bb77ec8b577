//! What was seen while every state was visited: the moves of cards and reservations, and how their rows looked. Written
//! down as `reached.txt`, which the schema is held against.

use std::sync::atomic::{AtomicBool, Ordering};

use domain::card::{CardState, ReservationState};

use crate::rows::{CARDS, Ended, Row, State};

const C: usize = CardState::ALL.len();
const R: usize = ReservationState::ALL.len();
/// The ways of having ended, and not having.
const E: usize = Ended::ALL.len() + 1;

/// Places that were reached. Set while several threads look.
struct Marks<const N: usize>([AtomicBool; N]);

impl<const N: usize> Default for Marks<N> {
    fn default() -> Self {
        Self([const { AtomicBool::new(false) }; N])
    }
}

impl<const N: usize> Marks<N> {
    fn set(&self, place: usize) {
        self.0[place].store(true, Ordering::Relaxed);
    }

    fn has(&self, place: usize) -> bool {
        self.0[place].load(Ordering::Relaxed)
    }
}

#[derive(Default)]
pub(crate) struct Seen {
    card_moves: Marks<{ C * C }>,
    row_moves: Marks<{ R * R }>,
    cards: Marks<{ C * 4 }>,
    rows: Marks<{ R * E * 4 }>,
    together: Marks<{ R * R }>,
}

impl Seen {
    pub(crate) fn card_moved(&self, from: CardState, to: CardState) {
        self.card_moves.set(from as usize * C + to as usize);
    }

    pub(crate) fn row_moved(&self, from: ReservationState, to: ReservationState) {
        self.row_moves.set(from as usize * R + to as usize);
    }

    /// Every move of cards that was made, of all there could be.
    pub(crate) fn card_moves(&self) -> Vec<(CardState, CardState)> {
        pairs(&CardState::ALL, |place| self.card_moves.has(place))
    }

    pub(crate) fn row_moves(&self) -> Vec<(ReservationState, ReservationState)> {
        pairs(&ReservationState::ALL, |place| self.row_moves.has(place))
    }

    /// Notes how the rows of a state look.
    pub(crate) fn look(&self, state: &State) {
        for (number, card) in state.cards.iter().enumerate() {
            let was_shown = state.of_card(number).next().is_some();
            let place = card.state as usize * 4 + usize::from(card.owner.is_some()) * 2 + usize::from(was_shown);
            self.cards.set(place);
        }
        for row in state.rows.iter().flatten() {
            self.rows.set(place_of(row));
        }
        for card in 0..CARDS {
            for (one, first) in state.of_card(card) {
                for (_, second) in state.of_card(card).filter(|(another, _)| *another > one) {
                    // Which of the two came first makes no difference to the schema.
                    self.together.set(first.state as usize * R + second.state as usize);
                    self.together.set(second.state as usize * R + first.state as usize);
                }
            }
        }
    }

    /// All that was reached, for people and for the test of the schema.
    pub(crate) fn to_text(&self) -> String {
        let said = |is: bool, word: &'static str| if is { word } else { "-" };
        let mut text = String::from(
            "# How rows look in some state of the model of a card's life. Written by the test `card_life`, read by the test\n\
             # of the schema: what stands here PostgreSQL must take, and what does not it must refuse.\n",
        );
        for card in CardState::ALL {
            for flags in (0..4).filter(|flags| self.cards.has(card as usize * 4 + flags)) {
                let (owner, shown) = (said(flags & 2 > 0, "owner"), said(flags & 1 > 0, "shown"));
                text += &format!("card {} {owner} {shown}\n", card.as_str());
            }
        }
        for state in ReservationState::ALL {
            for rest in (0..E * 4).filter(|rest| self.rows.has(state as usize * E * 4 + rest)) {
                let by = (rest / 4).checked_sub(1).map_or("-", |by| Ended::ALL[by].as_str());
                let (card, sale) = (said(rest & 2 > 0, "card"), said(rest & 1 > 0, "sale"));
                text += &format!("reservation {} {card} {sale} {by}\n", state.as_str());
            }
        }
        for (one, another) in pairs(&ReservationState::ALL, |place| self.together.has(place)) {
            text += &format!("together {} {}\n", one.as_str(), another.as_str());
        }
        text
    }
}

fn place_of(row: &Row) -> usize {
    let by = row.ended.map_or(0, |by| by as usize + 1);
    let flags = usize::from(row.card.is_some()) * 2 + usize::from(row.sale.is_some());
    (row.state as usize * E + by) * 4 + flags
}

fn pairs<T: Copy>(all: &[T], has: impl Fn(usize) -> bool) -> Vec<(T, T)> {
    let places = 0..all.len() * all.len();
    let pair = |place: usize| (all[place / all.len()], all[place % all.len()]);
    places.filter(|place| has(*place)).map(pair).collect()
}
