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
use domain::ids::{ReservationId, TerminalId};
use runtime::Handled;
use runtime::batch::{BatchWorker, Item};
use store::declarations::Declarations;
use store::reservations;
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
    const CHANNELS: usize = 1;
    const FACTS: &'static [RoutingKey] = &[RoutingKey::CardSell, RoutingKey::CardRelease];

    async fn handle(&self, tx: &Tx, declarations: &Declarations, items: &[&Item]) -> Result<Handled, StoreError> {
        let mut batch = Batch::new(items.len());
        let remembered = remember_releases(tx, items).await?;
        let ids: Vec<ReservationId> = items.iter().filter_map(|item| item.message.reservation_id()).collect();
        let mut model = Model::new(declarations, reservations::lock_with_cards(tx, &ids).await?, remembered);
        for (place, item) in items.iter().enumerate() {
            match &item.message {
                Message::CardSell(sale) => model.sell(place, sale, *item.fingerprint.as_bytes(), &mut batch),
                Message::CardRelease(release) => model.release(place, release, &mut batch),
                _ => batch.refuse(place, Reason::InvalidRequest, "routing key: is not a fact about cards"),
            }
        }
        replace::answer_conflicts(&self.0, tx, &mut model, &mut batch).await?;
        reservations::write(tx, &model.written()).await?;
        batch
            .finish(tx, items.iter().find_map(|item| item.traceparent.as_deref()))
            .await
    }
}

/// Releases of reservations never seen are remembered before anything else is locked. A release that another one in the
/// batch precedes finds it there.
async fn remember_releases(tx: &Tx, items: &[&Item]) -> Result<Vec<ReservationId>, StoreError> {
    let mut releases: BTreeMap<ReservationId, (&TerminalId, Option<&str>)> = BTreeMap::new();
    for item in items {
        if let Message::CardRelease(release) = &item.message {
            releases
                .entry(release.reservation_id)
                .or_insert((&release.terminal, item.traceparent.as_deref()));
        }
    }
    let releases: Vec<_> = releases
        .into_iter()
        .map(|(id, (terminal, trace))| (id, terminal, trace))
        .collect();
    reservations::remember_released(tx, &releases).await
}
