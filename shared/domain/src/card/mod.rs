//! The life of a prepaid card and of a reservation, and what a message about them means. Paid beats held, and the first
//! payment wins; a reservation resolves once, and every later word about it gets a named answer.
//!
//! The functions here are the rule that the store's set-based SQL is tested against. The states are those of the CHECKs
//! on `card.state` and `reservation.state` in V3__cards.sql. No secret of a card is ever near this module.

mod case;
mod resolve;
mod usage;

pub use case::{CaseFacts, CaseRefusal, CaseVerdict, Resolution, Wanted, resolve_case};
pub use resolve::{
    Holder, ReleaseVerdict, ReserveVerdict, Sale, SaleInput, SaleRefusal, SaleVerdict, resolve_release,
    resolve_reserve, resolve_sale,
};
pub use usage::{LimitReached, Usage, one_more};

use jiff::Timestamp;

use crate::invalid::Invalid;

/// The holds there are, in seconds: each has a wait queue of its own in the broker's topology.
pub const HOLD_LADDER: [u32; 8] = [15, 30, 60, 120, 300, 600, 1800, 3600];

/// The hold a reservation gets: what was wanted, shortened to the nearest one the product offers; the product's first one
/// when nothing was said; the shortest when less than that was wanted.
pub fn shorten_hold(wanted: Option<u32>, offered: &[u32]) -> u32 {
    // A product always offers one; were it not so, the middle of the ladder is what an operator would expect.
    let default = offered.first().copied().unwrap_or(HOLD_LADDER[4]);
    let Some(wanted) = wanted else { return default };
    let fitting = offered.iter().copied().filter(|hold| *hold <= wanted).max();
    fitting.or_else(|| offered.iter().copied().min()).unwrap_or(default)
}

/// Where a card is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CardState {
    /// In one of the two pools.
    Available,
    /// Held by a reservation.
    Reserved,
    /// The hold is over, the grace is not: kept for a late sale.
    Lapsed,
    /// Paid for.
    Sold,
    /// An operator says it does not work.
    Faulty,
    /// An operator took it out.
    Withdrawn,
}

impl CardState {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::Available,
        Self::Reserved,
        Self::Lapsed,
        Self::Sold,
        Self::Faulty,
        Self::Withdrawn,
    ];

    /// The word of the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Reserved => "reserved",
            Self::Lapsed => "lapsed",
            Self::Sold => "sold",
            Self::Faulty => "faulty",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Reads the word of the database.
    pub fn parse(word: &str) -> Result<Self, Invalid> {
        parse_word(&Self::ALL, Self::as_str, word).ok_or_else(|| Invalid::new("state", "is not a state of a card"))
    }

    /// Whether a card may go from this state to that one. Nothing undoes a sale; anything unsold can be sold, because the
    /// terminal has had the card since the reservation.
    pub fn may_become(self, next: Self) -> bool {
        use CardState as S;
        match self {
            S::Available => matches!(next, S::Reserved | S::Sold | S::Faulty | S::Withdrawn),
            S::Reserved => matches!(next, S::Lapsed | S::Available | S::Sold | S::Faulty | S::Withdrawn),
            S::Lapsed => matches!(next, S::Available | S::Sold | S::Faulty | S::Withdrawn),
            S::Faulty | S::Withdrawn => matches!(next, S::Sold),
            S::Sold => false,
        }
    }
}

/// Where a reservation is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReservationState {
    /// The card is held for it.
    Held,
    /// The hold is over, the card is kept a while for a late sale.
    Lapsed,
    /// The grace is over too.
    Expired,
    /// The payer walked away.
    Released,
    /// Paid for.
    Sold,
    /// Another reservation of the card was paid for first.
    Superseded,
    /// Paid for, but the card had been sold to another: an operator's case.
    Conflict,
}

impl ReservationState {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Held,
        Self::Lapsed,
        Self::Expired,
        Self::Released,
        Self::Sold,
        Self::Superseded,
        Self::Conflict,
    ];

    /// The word of the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Lapsed => "lapsed",
            Self::Expired => "expired",
            Self::Released => "released",
            Self::Sold => "sold",
            Self::Superseded => "superseded",
            Self::Conflict => "conflict",
        }
    }

    /// Reads the word of the database.
    pub fn parse(word: &str) -> Result<Self, Invalid> {
        parse_word(&Self::ALL, Self::as_str, word)
            .ok_or_else(|| Invalid::new("state", "is not a state of a reservation"))
    }

    /// The word a terminal is told in `reservation_over`: the grace is our own affair, and who paid has bought.
    pub fn told(self) -> &'static str {
        match self {
            Self::Lapsed => "expired",
            Self::Conflict => "sold",
            other => other.as_str(),
        }
    }

    /// The state by the clock, whether or not a sweep has come by to write it down.
    pub fn as_of(self, held_until: Timestamp, grace_until: Timestamp, now: Timestamp) -> Self {
        match self {
            Self::Held | Self::Lapsed if now >= grace_until && now >= held_until => Self::Expired,
            Self::Held if now >= held_until => Self::Lapsed,
            other => other,
        }
    }

    /// Whether the card is kept for this reservation, in hold or in grace.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Held | Self::Lapsed)
    }

    /// Whether a reservation may go from this state to that one. A live one never becomes a conflict: whoever buys its
    /// card supersedes it in the same transaction.
    pub fn may_become(self, next: Self) -> bool {
        use ReservationState as S;
        match self {
            S::Held => matches!(next, S::Lapsed | S::Released | S::Sold | S::Superseded),
            S::Lapsed => matches!(next, S::Expired | S::Sold | S::Superseded),
            S::Expired | S::Released => matches!(next, S::Sold | S::Conflict),
            S::Superseded => matches!(next, S::Conflict),
            S::Sold | S::Conflict => false,
        }
    }
}

/// What an operator has to settle after a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CaseKind {
    /// Two paid for one card.
    Conflict,
    /// The card that was paid for does not work.
    Faulty,
    /// The card that was paid for had been taken out.
    Withdrawn,
    /// More was paid than the card costs.
    Surplus,
}

impl CaseKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Conflict, Self::Faulty, Self::Withdrawn, Self::Surplus];

    /// The word of the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Faulty => "faulty",
            Self::Withdrawn => "withdrawn",
            Self::Surplus => "surplus",
        }
    }

    /// Reads the word of the database.
    pub fn parse(word: &str) -> Result<Self, Invalid> {
        parse_word(&Self::ALL, Self::as_str, word).ok_or_else(|| Invalid::new("kind", "is not a kind of a case"))
    }
}

fn parse_word<T: Copy>(all: &[T], as_str: fn(T) -> &'static str, word: &str) -> Option<T> {
    all.iter().copied().find(|one| as_str(*one) == word)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_model;
