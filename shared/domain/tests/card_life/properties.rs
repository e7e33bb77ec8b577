//! What must hold in every state, said of the rows alone and not in the words of the rules; and what must be possible.

use domain::card::{CardState, ReservationState};
use stateright::Property;

use crate::model::Life;
use crate::rows::{Ended, Row, State, Wrong};

pub(crate) const SOLD_TO_ONE: &str = "a card is sold to at most one reservation, and nothing undoes it";
pub(crate) const HELD_BY_ONE: &str = "a card is held by at most one reservation, and by none once it is sold";
pub(crate) const RESOLVES_ONCE: &str = "a reservation is paid once at most, and gives its card back once at most";
pub(crate) const NOT_REFUSED: &str = "a payment for a card that was given out is never refused";
pub(crate) const FIRST_WINS: &str = "the first payment has the card; a conflict is one whose card another has bought";
pub(crate) const ANSWERED: &str = "what is answered is what is stored";
pub(crate) const SHOWN: &str = "a card is shown again only while it is held";

pub(crate) fn all() -> Vec<Property<Life>> {
    vec![
        Property::always(SOLD_TO_ONE, |_, state: &State| state.each_card(sold_to_one)),
        Property::always(HELD_BY_ONE, |_, state: &State| state.each_card(held_by_one)),
        Property::always(RESOLVES_ONCE, resolves_once),
        Property::always(NOT_REFUSED, |_, state: &State| {
            state.wrong != Some(Wrong::PaymentRefused)
        }),
        Property::always(FIRST_WINS, |_, state: &State| state.each_card(first_wins)),
        Property::always(ANSWERED, |_, state: &State| state.wrong != Some(Wrong::AnsweredAmiss)),
        Property::always(SHOWN, |_, state: &State| state.wrong != Some(Wrong::ShownAfterItsHold)),
        Property::sometimes("two transactions are open at once", |_, state: &State| {
            state.workers.iter().all(Option::is_some)
        }),
        Property::sometimes("a hold is superseded and its payer pays too", |_, state: &State| {
            let superseded = |row: &Row| row.state == ReservationState::Conflict && row.superseded;
            state.rows.iter().flatten().any(superseded)
        }),
        Property::sometimes(
            "the payer of a conflict gets another card, if there is one",
            |life: &Life, state: &State| {
                let is_replaced = |row: &Row| row.ended == Some(Ended::Replacement);
                life.bound.replacements == 0 || state.rows.iter().flatten().any(is_replaced)
            },
        ),
        Property::sometimes("everything is sold", |life: &Life, state: &State| {
            let cards = &state.cards[..life.bound.cards];
            cards.iter().all(|card| card.state == CardState::Sold)
        }),
    ]
}

fn sold_to_one(state: &State, card: usize) -> bool {
    let mut buyers = state
        .of_card(card)
        .filter(|(_, row)| row.state == ReservationState::Sold);
    let (buyer, another) = (buyers.next(), buyers.next());
    let is_sold = state.cards[card].state == CardState::Sold;
    another.is_none() && buyer.is_some() == is_sold && buyer.is_none_or(|(id, _)| state.cards[card].owner == Some(id))
}

fn held_by_one(state: &State, card: usize) -> bool {
    let mut live = state.of_card(card).filter(|(_, row)| row.state.is_live());
    let (holder, another) = (live.next(), live.next());
    if another.is_some() {
        return false;
    }
    let found = state.cards[card];
    match (found.state, holder) {
        (CardState::Available, holder) => holder.is_none() && found.owner.is_none(),
        (CardState::Reserved, Some((id, row))) => row.state == ReservationState::Held && found.owner == Some(id),
        (CardState::Lapsed, Some((id, row))) => row.state == ReservationState::Lapsed && found.owner == Some(id),
        (CardState::Reserved | CardState::Lapsed, None) => false,
        (CardState::Sold, holder) => holder.is_none(),
        // Set aside while it was held: whoever holds it may still pay.
        (CardState::Faulty | CardState::Withdrawn, _) => true,
    }
}

fn resolves_once(_: &Life, state: &State) -> bool {
    state.rows.iter().flatten().all(|row| {
        let is_paid = matches!(row.state, ReservationState::Sold | ReservationState::Conflict);
        row.times_paid == u8::from(is_paid) && row.sale.is_some() == is_paid && row.times_back <= 1
    })
}

fn first_wins(state: &State, card: usize) -> bool {
    let buyer = state.cards[card]
        .owner
        .filter(|_| state.cards[card].state == CardState::Sold);
    state.of_card(card).all(|(id, row)| match row.state {
        ReservationState::Sold => state.first_paid[card] == Some(id),
        ReservationState::Conflict => buyer.is_some_and(|buyer| buyer != id) && state.first_paid[card] != Some(id),
        _ => true,
    })
}
