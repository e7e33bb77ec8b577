//! The worker of the questions: reservations, reprints, availability. Somebody stands at a terminal and waits.

use std::sync::Arc;

use bus::Queue;
use contract::message::Message;
use contract::{Reason, RoutingKey};
use runtime::Handled;
use runtime::batch::{BatchWorker, Item};
use store::declarations::Declarations;
use store::{StoreError, Tx};

use crate::availability::availability;
use crate::batch::Batch;
use crate::desk::Desk;
use crate::reprint::reprint;
use crate::reserve::{Asked, reserve};

/// Answers `card.reserve`, `card.reprint` and `card.availability`.
#[derive(Debug)]
pub struct Questions(Arc<Desk>);

impl Questions {
    /// The worker at this desk.
    pub fn new(desk: Arc<Desk>) -> Self {
        Self(desk)
    }
}

impl BatchWorker for Questions {
    const NAME: &'static str = "cards.questions";
    const QUEUE: Queue = Queue::CardsQuestions;
    const FACTS: &'static [RoutingKey] = &[];

    async fn handle(&self, tx: &Tx, declarations: &Declarations, items: &[&Item]) -> Result<Handled, StoreError> {
        let desk = &*self.0;
        let mut batch = Batch::new(items);
        let (mut reserves, mut reprints, mut counts) = (Vec::new(), Vec::new(), Vec::new());
        for (place, item) in items.iter().enumerate() {
            match &item.message {
                Message::CardReserve(request) => reserves.push(Asked {
                    place,
                    request,
                    fingerprint: *item.fingerprint.as_bytes(),
                    traceparent: item.traceparent.as_deref(),
                }),
                Message::CardReprint(request) => reprints.push((place, request)),
                Message::CardAvailability(request) => counts.push((place, request)),
                _ => batch.refuse(
                    place,
                    Reason::InvalidRequest,
                    "routing key: is not a question about cards",
                ),
            }
        }
        reserve(desk, tx, declarations, reserves, &mut batch).await?;
        reprint(desk, tx, declarations, &reprints, &mut batch).await?;
        availability(desk, tx, declarations, &counts, &mut batch).await?;
        batch.finish(tx).await
    }
}
