//! Events leave: rows taken with `SKIP LOCKED`, published with a confirm, then deleted.
//!
//! A crash between the confirm and the delete publishes an event again under the same `event_id`: at least once.

use std::time::Duration;

use bus::BusError;
use futures::future::join_all;
use store::{StoreError, events};
use uuid::Uuid;

use crate::sweep::{self, Swept};
use crate::{Context, Nudge, checkpoint};

/// Events in flight to the broker at once, per process.
const WINDOW: i64 = 64;

/// A pause between two rounds: events of several batches leave together, which on a busy machine is worth more to whoever
/// waits for an answer than a fiftieth of a second is to whoever listens.
const GATHERING: Duration = Duration::from_millis(20);

/// How often it is looked for how long events wait.
const LOOK: Duration = Duration::from_secs(15);

/// Relays events until shutdown.
pub(crate) fn spawn(context: &Context) {
    sweep::spawn(context, "events", Nudge::Events, |context| async move {
        let swept = relay_some(&context).await?;
        if swept == Swept::Idle && !context.shutdown.is_cancelled() {
            tokio::time::sleep(GATHERING).await;
        }
        Ok(swept)
    });
    sweep::every(context, "events waiting", LOOK, |context| async move {
        let (_, oldest) = events::backlog(&context.store).await?;
        metrics::gauge!("unigate_events_waiting_seconds").set(oldest);
        Ok(())
    });
}

/// Publishes one window of events.
async fn relay_some(context: &Context) -> Result<Swept, StoreError> {
    // Blocked: each round would only be refused, and would hold its rows and a session meanwhile.
    if !context.bus.ready() || context.bus.blocked() {
        return Ok(Swept::Idle);
    }
    let tx = context.store.begin().await?;
    let taken = events::take(&tx, WINDOW).await?;
    let published = join_all(taken.iter().map(|event| async {
        let body = event.body.clone().into_bytes();
        let publishing = context
            .bus
            .publish_event(&event.kind, event.event_id, body, event.traceparent.as_deref());
        (event.event_id, publishing.await)
    }))
    .await;
    let confirmed: Vec<_> = which(&published, Result::is_ok);
    let put_off: Vec<_> = which(&published, is_of_a_listener);
    if let Some((_, Err(error))) = published.iter().find(|(_, published)| published.is_err()) {
        let events = taken.len() - confirmed.len();
        tracing::warn!(%error, events, "events wait for the broker, or for a listener's queue");
    }
    if !confirmed.is_empty() {
        checkpoint("events", "before_delete");
        events::delete(&tx, &confirmed).await?;
    }
    if !put_off.is_empty() {
        events::put_off(&tx, &put_off).await?;
    }
    tx.commit().await?;
    let all_settled = confirmed.len() + put_off.len() == taken.len();
    let full = i64::try_from(taken.len()).is_ok_and(|count| count == WINDOW);
    Ok(if full && all_settled { Swept::More } else { Swept::Idle })
}

/// A listener's queue is full, or does not answer: others' events must not wait behind this one.
fn is_of_a_listener(published: &Result<(), BusError>) -> bool {
    matches!(published, Err(BusError::Refused | BusError::TimedOut(_)))
}

fn which(published: &[(Uuid, Result<(), BusError>)], such: fn(&Result<(), BusError>) -> bool) -> Vec<Uuid> {
    let those = published.iter().filter(|(_, published)| such(published));
    those.map(|(event_id, _)| *event_id).collect()
}
