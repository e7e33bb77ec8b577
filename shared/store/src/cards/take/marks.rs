//! Watermarks: up to where the fresh cards of a product have been taken, as far as this process knows. Only ever a short cut:
//! nothing is refused because of one, and each is forgotten after a while.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::ids::ProductId;
use jiff::civil::Date;

/// Positions looked at again behind the watermark: what other batches in flight may yet give back.
const SLACK: i64 = 512;
/// A watermark is forgotten after this long, so nothing behind it waits longer for its turn.
const MARK_LIFETIME: Duration = Duration::from_secs(60);
/// A product found empty from its start is not searched from its start again for so long.
const EMPTY_LIFETIME: Duration = Duration::from_millis(500);

/// Fresh cards of a product in the order in which they are sold; each list has a watermark of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum List {
    /// All of them, by position.
    All,
    /// Those with a last day, by that day; then by position.
    Expiring,
    /// Those without one, by position.
    Undated,
}

/// A place in a list. Lists that know no days have the same one everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) day: Date,
    pub(super) pos: i64,
}

impl Place {
    /// Before every card.
    pub(super) const START: Self = Self {
        day: Date::constant(1, 1, 1),
        pos: i64::MIN,
    };
}

/// Up to where each product's cards have been taken, as far as this process knows. Only ever a short cut.
#[derive(Debug, Default)]
pub struct Watermarks(Mutex<HashMap<(ProductId, List), Mark>>);

#[derive(Clone, Copy, Debug)]
struct Mark {
    place: Place,
    since: Instant,
    empty_since: Option<Instant>,
}

impl Watermarks {
    /// Where to begin to look.
    pub(super) fn after(&self, product: &ProductId, list: List) -> Place {
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        marks.retain(|_, mark| mark.since.elapsed() < MARK_LIFETIME);
        marks.get(&(product.clone(), list)).map_or(Place::START, |mark| Place {
            day: mark.place.day,
            pos: mark.place.pos.saturating_sub(SLACK),
        })
    }

    /// Whether the list was found empty from its start a moment ago.
    pub(super) fn was_empty_just_now(&self, product: &ProductId, list: List) -> bool {
        let marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let empty_since = marks.get(&(product.clone(), list)).and_then(|mark| mark.empty_since);
        empty_since.is_some_and(|since| since.elapsed() < EMPTY_LIFETIME)
    }

    /// Notes the last card taken, and whether a look from the start came to the end of the list.
    pub(super) fn advance(
        &self,
        product: &ProductId,
        list: List,
        last: Option<Place>,
        from_the_start: bool,
        emptied: bool,
    ) {
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let mark = marks.entry((product.clone(), list)).or_insert(Mark {
            place: Place::START,
            since: now,
            empty_since: None,
        });
        if let Some(last) = last {
            mark.place = if from_the_start { last } else { mark.place.max(last) };
        }
        mark.empty_since = emptied.then_some(now);
    }
}
