//! The rules the model is driven by: those of `domain::card` themselves, and deliberately wrong ones, by which the checker
//! is seen to be able to fail.

use domain::card::{
    CardState, Holder, ReleaseVerdict, ReservationState, ReserveVerdict, Sale, SaleInput, SaleRefusal, SaleVerdict,
    resolve_release, resolve_reserve, resolve_sale,
};
use jiff::Timestamp;

/// What decides, in the model as in the workers.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) as_of: fn(ReservationState, Timestamp, Timestamp, Timestamp) -> ReservationState,
    pub(crate) reserve: fn(Option<ReservationState>, bool) -> ReserveVerdict,
    pub(crate) sale: fn(&SaleInput) -> SaleVerdict,
    pub(crate) release: fn(Option<ReservationState>) -> ReleaseVerdict,
    pub(crate) locking: Locking,
}

/// How a transaction over facts takes its locks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Locking {
    /// As `store::reservations::lock_with_cards` does: with a second look for holds, once the card is locked.
    SecondLook,
    /// Without that second look.
    FirstLookOnly,
    /// Cards in stock are taken without locking them.
    StockUnlocked,
}

impl Rules {
    /// Those that are in force.
    pub(crate) const REAL: Self = Self {
        as_of: ReservationState::as_of,
        reserve: resolve_reserve,
        sale: resolve_sale,
        release: resolve_release,
        locking: Locking::SecondLook,
    };

    /// Wrong ones, by what is wrong with them, with the property that each breaks.
    pub(crate) fn wrong() -> Vec<(&'static str, &'static str, Self)> {
        use crate::properties::{ANSWERED, FIRST_WINS, HELD_BY_ONE, NOT_REFUSED, RESOLVES_ONCE, SHOWN, SOLD_TO_ONE};
        let real = Self::REAL;
        vec![
            (
                "a hold of another refuses the payment",
                NOT_REFUSED,
                Self {
                    sale: held_beats_paid,
                    ..real
                },
            ),
            (
                "a payment after the hold is refused",
                NOT_REFUSED,
                Self {
                    sale: late_is_too_late,
                    ..real
                },
            ),
            (
                "the second payment takes the card",
                SOLD_TO_ONE,
                Self {
                    sale: last_payment_wins,
                    ..real
                },
            ),
            (
                "the hold of another outlives the sale",
                HELD_BY_ONE,
                Self {
                    sale: nothing_superseded,
                    ..real
                },
            ),
            (
                "a faulty card is called sold to another",
                FIRST_WINS,
                Self {
                    sale: faulty_is_a_conflict,
                    ..real
                },
            ),
            (
                "a sale with other content is taken for the same",
                ANSWERED,
                Self {
                    sale: content_is_not_compared,
                    ..real
                },
            ),
            (
                "a sold reservation is released",
                SOLD_TO_ONE,
                Self {
                    release: sold_is_released,
                    ..real
                },
            ),
            (
                "a reservation is released twice",
                RESOLVES_ONCE,
                Self {
                    release: released_again,
                    ..real
                },
            ),
            (
                "the card is shown after the hold",
                SHOWN,
                Self {
                    reserve: shown_in_grace,
                    ..real
                },
            ),
            (
                "a hold that was made meanwhile is overlooked",
                HELD_BY_ONE,
                Self {
                    locking: Locking::FirstLookOnly,
                    ..real
                },
            ),
            (
                "two take one card from the stock",
                HELD_BY_ONE,
                Self {
                    locking: Locking::StockUnlocked,
                    ..real
                },
            ),
        ]
    }

    /// A clock by which graces never end: nothing forbidden happens, but what must be possible is not.
    pub(crate) fn endless_grace() -> Self {
        Self {
            as_of: |state, held, _, now| state.as_of(held, Timestamp::MAX, now),
            ..Self::REAL
        }
    }
}

fn held_beats_paid(input: &SaleInput) -> SaleVerdict {
    match input.holder {
        Holder::Other => SaleVerdict::Refused(SaleRefusal::UnknownReservation),
        _ => resolve_sale(input),
    }
}

fn late_is_too_late(input: &SaleInput) -> SaleVerdict {
    match resolve_sale(input) {
        SaleVerdict::Sold(Sale { late: true, .. }) => SaleVerdict::Refused(SaleRefusal::UnknownReservation),
        verdict => verdict,
    }
}

fn last_payment_wins(input: &SaleInput) -> SaleVerdict {
    let card = input.card.map(|card| match card {
        CardState::Sold => CardState::Available,
        other => other,
    });
    resolve_sale(&SaleInput { card, ..*input })
}

fn nothing_superseded(input: &SaleInput) -> SaleVerdict {
    let holder = match input.holder {
        Holder::Other => Holder::Nobody,
        holder => holder,
    };
    resolve_sale(&SaleInput { holder, ..*input })
}

fn faulty_is_a_conflict(input: &SaleInput) -> SaleVerdict {
    match resolve_sale(input) {
        SaleVerdict::Sold(Sale { case: Some(_), .. }) => SaleVerdict::Conflict,
        verdict => verdict,
    }
}

fn content_is_not_compared(input: &SaleInput) -> SaleVerdict {
    resolve_sale(&SaleInput {
        same_sale: true,
        ..*input
    })
}

fn sold_is_released(existing: Option<ReservationState>) -> ReleaseVerdict {
    match existing {
        Some(ReservationState::Sold) => ReleaseVerdict::Release,
        other => resolve_release(other),
    }
}

fn released_again(existing: Option<ReservationState>) -> ReleaseVerdict {
    match existing {
        Some(ReservationState::Released) => ReleaseVerdict::Release,
        other => resolve_release(other),
    }
}

fn shown_in_grace(existing: Option<ReservationState>, same_content: bool) -> ReserveVerdict {
    match existing {
        Some(ReservationState::Lapsed) => ReserveVerdict::SameCard,
        other => resolve_reserve(other, same_content),
    }
}
