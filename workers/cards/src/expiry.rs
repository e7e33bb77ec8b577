//! Ends of holds and of graces.
//!
//! A hold's end comes as a message that waited out the hold, and a sweep finds what no message woke. Both are hints: the
//! due time stands in the row and is judged by the database's clock.

use std::time::Duration;

use bus::{Delivery, Queue, Tags};
use contract::event::{CardEvent, CardItem, Events};
use domain::ids::ReservationId;
use jiff::Timestamp;
use runtime::sweep::{self, Swept};
use runtime::{Context, Nudge};
use serde::{Deserialize, Serialize};
use store::reservations::{self, Ended};
use store::{Store, StoreError};

/// The version of the message; another one is left to the sweep.
const VERSION: u32 = 1;
/// Rows that the sweep ends in one transaction: enough to make little of a round trip, few enough that a payer whose
/// reservation is among them does not wait.
const AT_ONCE: i64 = 2048;
/// Messages taken together. Each names the holds of a batch of reservations, 256 at most.
const MESSAGES: u16 = 8;
/// Consumers beside the sweep: while one waits for its commit, the other goes on.
const CONSUMERS: usize = 2;
/// A due row that somebody has locked is looked for again after this long, not at once.
const SOON: Duration = Duration::from_millis(100);

#[derive(Serialize, Deserialize)]
struct Due {
    version: u32,
    reservations: Vec<ReservationId>,
}

/// The message that waits out a hold.
pub fn message(ids: &[ReservationId]) -> Vec<u8> {
    // Numbers and ids always have a JSON form.
    serde_json::to_vec(&Due {
        version: VERSION,
        reservations: ids.to_vec(),
    })
    .unwrap_or_default()
}

/// The reservations of a message; none if it is not one of ours, and the sweep will find them.
fn reservations_of(body: &[u8]) -> Vec<ReservationId> {
    let due = serde_json::from_slice::<Due>(body)
        .ok()
        .filter(|due| due.version == VERSION);
    due.map(|due| due.reservations).unwrap_or_default()
}

/// Starts the consumers and the sweep.
pub(crate) fn spawn(context: &Context) {
    for _ in 0..CONSUMERS {
        let consumer = context.clone();
        context.tasks.spawn(async move {
            let end = |batch| end_holds(&consumer, batch);
            runtime::consume(&consumer, Queue::CardsExpiry, MESSAGES, end).await;
        });
    }
    sweep::spawn(context, "cards.expiry", Nudge::Expiry, |context| async move {
        round(&context).await
    });
}

/// Acknowledged whatever becomes of it: what a message would have woken, the sweep finds.
async fn end_holds(context: &Context, batch: Vec<Delivery>) -> Option<Tags> {
    let ids: Vec<ReservationId> = batch
        .iter()
        .flat_map(|delivery| reservations_of(&delivery.body))
        .collect();
    match expire(&context.store, &ids).await {
        Ok(0) => {}
        Ok(_) => context.nudge(Nudge::Events),
        Err(error) => tracing::debug!(%error, "left to the sweep"),
    }
    Some(Tags::of(&batch))
}

/// Ends the holds among these that are due. Returns how many.
pub async fn expire(store: &Store, ids: &[ReservationId]) -> Result<usize, StoreError> {
    if ids.is_empty() {
        return Ok(0);
    }
    let tx = store.begin().await?;
    let ended = reservations::expire(&tx, ids).await?;
    tell(&tx, &ended).await?;
    tx.commit().await?;
    count("lapsed", "message", ended.len());
    Ok(ended.len())
}

/// Ends holds and graces that are due, whichever message was lost. Returns how many of each.
pub async fn sweep_once(store: &Store) -> Result<(usize, usize), StoreError> {
    let tx = store.begin().await?;
    let lapsed = reservations::expire_due(&tx, AT_ONCE).await?;
    tell(&tx, &lapsed).await?;
    tx.commit().await?;
    let tx = store.begin().await?;
    let expired = reservations::end_grace(&tx, AT_ONCE).await?;
    tx.commit().await?;
    count("lapsed", "sweep", lapsed.len());
    count("expired", "sweep", expired.len());
    Ok((lapsed.len(), expired.len()))
}

async fn round(context: &Context) -> Result<Swept, StoreError> {
    let (lapsed, expired) = sweep_once(&context.store).await?;
    if lapsed > 0 {
        context.nudge(Nudge::Events);
    }
    let full = usize::try_from(AT_ONCE).unwrap_or(usize::MAX);
    if lapsed == full || expired == full {
        return Ok(Swept::More);
    }
    let tx = context.store.begin().await?;
    let due = reservations::next_due(&tx).await?;
    tx.commit().await?;
    let wait = due.and_then(|due| Duration::try_from(due).ok());
    Ok(wait.map_or(Swept::Idle, |wait| Swept::Next(wait.max(SOON))))
}

async fn tell(tx: &store::Tx, ended: &[Ended]) -> Result<(), StoreError> {
    if ended.is_empty() {
        return Ok(());
    }
    let now: Timestamp = domain::clock::now();
    let mut events = Events::new(now);
    for one in ended {
        let item = CardItem {
            reservation_id: one.reservation_id,
            product: one.product.clone(),
            serial: one.serial.clone(),
            terminal: one.terminal.clone(),
            amount: None,
            currency: None,
            late: None,
            other_reservation_id: None,
        };
        events.push_traced(CardEvent::Expired, &item, one.traceparent.as_deref());
    }
    runtime::emit(tx, events, None).await
}

fn count(kind: &'static str, source: &'static str, ended: usize) {
    metrics::counter!("unigate_cards_reservations_ended_total", "kind" => kind, "source" => source)
        .increment(ended as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_their_reservations_and_others_name_none() {
        let ids = [ReservationId::random(), ReservationId::random()];
        assert_eq!(reservations_of(&message(&ids)), ids);
        for other in [&b""[..], b"{}", b"[]", br#"{"version":2,"reservations":[]}"#, b"\xff"] {
            assert!(reservations_of(other).is_empty());
        }
    }
}
