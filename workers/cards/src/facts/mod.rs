//! The worker of the facts: sales and releases.
//!
//! Everything a batch touches is locked and loaded first; then its messages are applied to that model one by one, in arrival
//! order, each by the verdict of `domain::card`; then what changed is written, one statement per table. So several verbs
//! for one reservation, or several payments for one card, mean what they would have meant one after the other.

mod model;
mod release;
mod replace;
mod sell;

use std::collections::BTreeMap;
use std::sync::Arc;

use bus::Queue;
use contract::message::Message;
use contract::{Reason, RoutingKey};
use domain::ids::ReservationId;
use runtime::Handled;
use runtime::batch::{BatchWorker, Item};
use store::declarations::Declarations;
use store::reservations::{self, Release};
use store::{StoreError, Tx};

use crate::batch::Batch;
use crate::desk::Desk;
use model::Model;

/// Handles `card.sell` and `card.release`.
#[derive(Debug)]
pub struct Facts(Arc<Desk>);

impl Facts {
    /// The worker at this desk.
    pub fn new(desk: Arc<Desk>) -> Self {
        Self(desk)
    }
}

impl BatchWorker for Facts {
    const NAME: &'static str = "cards.facts";
    const QUEUE: Queue = Queue::CardsFacts;
    const FACTS: &'static [RoutingKey] = &[RoutingKey::CardSell, RoutingKey::CardRelease];

    async fn handle(&self, tx: &Tx, declarations: &Declarations, items: &[&Item]) -> Result<Handled, StoreError> {
        let mut batch = Batch::new(items);
        let ids: Vec<ReservationId> = items.iter().filter_map(|item| item.message.reservation_id()).collect();
        let (locked, remembered) = reservations::lock_with_cards(tx, &ids, &releases(items)).await?;
        let mut model = Model::new(declarations, locked, remembered);
        for (place, item) in items.iter().enumerate() {
            match &item.message {
                Message::CardSell(sale) => model.sell(place, sale, *item.fingerprint.as_bytes(), &mut batch),
                Message::CardRelease(release) => model.release(place, release, &mut batch),
                _ => batch.refuse(place, Reason::InvalidRequest, "routing key: is not a fact about cards"),
            }
        }
        // First what the batch has come to: a card that it sold is in nobody's stock to be given for another.
        reservations::write(tx, &model.written()).await?;
        replace::answer_conflicts(&self.0, tx, &mut model, &mut batch).await?;
        reservations::write_cases(tx, &model.cases).await?;
        batch.finish(tx).await
    }
}

/// The releases of a batch, the first of each reservation.
fn releases<'a>(items: &[&'a Item]) -> Vec<Release<'a>> {
    let mut releases = BTreeMap::new();
    for item in items {
        if let Message::CardRelease(release) = &item.message {
            releases.entry(release.reservation_id).or_insert(Release {
                reservation_id: release.reservation_id,
                terminal: &release.terminal,
                traceparent: item.traceparent.as_deref(),
            });
        }
    }
    releases.into_values().collect()
}
