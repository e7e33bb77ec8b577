//! What a handler collects while it goes through a batch.

use bus::Queue;
use contract::event::{CardEvent, CardItem, Events};
use contract::{Reason, Refusal};
use domain::ids::ReservationId;
use runtime::batch::Item;
use runtime::{Effect, Handled, Outcome};
use store::{StoreError, Tx};

/// Outcomes by place, events and effects of one batch.
pub(crate) struct Batch {
    outcomes: Vec<Option<Outcome>>,
    effects: Vec<Effect>,
    events: Events,
    /// Of the messages, by place.
    traces: Vec<Option<String>>,
}

impl Batch {
    pub(crate) fn new(items: &[&Item]) -> Self {
        Self {
            outcomes: items.iter().map(|_| None).collect(),
            effects: Vec::new(),
            events: Events::new(domain::clock::now()),
            traces: items.iter().map(|item| item.traceparent.clone()).collect(),
        }
    }

    pub(crate) fn answer(&mut self, place: usize, answer: &impl contract::Answer) {
        self.outcomes[place] = Some(Outcome::answered(answer));
    }

    pub(crate) fn refuse(&mut self, place: usize, reason: Reason, detail: impl AsRef<str>) {
        self.refuse_with(place, Refusal::new(reason, detail));
    }

    pub(crate) fn refuse_with(&mut self, place: usize, refusal: Refusal) {
        self.outcomes[place] = Some(refusal.into());
    }

    /// Something happened because of the message at this place.
    pub(crate) fn tell(&mut self, place: usize, event: CardEvent, item: &CardItem) {
        self.events.push_traced(event, item, self.traces[place].as_deref());
    }

    /// One message for all holds of a length that were made in this batch.
    pub(crate) fn delay(&mut self, hold_seconds: u32, ids: &[ReservationId]) {
        self.effects.push(Effect::Delay(
            Queue::CardsExpiryWait(hold_seconds),
            crate::expiry::message(ids),
        ));
    }

    /// Writes the events and hands the rest to whoever commits.
    pub(crate) async fn finish(self, tx: &Tx) -> Result<Handled, StoreError> {
        if !self.events.is_empty() {
            runtime::emit(tx, self.events, None).await?;
        }
        let silent = |outcome: Option<Outcome>| outcome.unwrap_or(Outcome::Silent);
        Ok(Handled {
            outcomes: self.outcomes.into_iter().map(silent).collect(),
            effects: self.effects,
        })
    }
}
