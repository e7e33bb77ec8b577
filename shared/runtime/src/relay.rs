//! Events leave: rows taken with `SKIP LOCKED`, published with a confirm, then deleted.
//!
//! A crash between the confirm and the delete publishes an event again under the same `event_id`: at least once.

use std::time::Duration;

use futures::future::join_all;
use store::{StoreError, events};

use crate::sweep::{self, Swept};
use crate::{Context, Nudge, checkpoint};

/// Events in flight to the broker at once, per process.
const WINDOW: i64 = 64;

/// A pause between two rounds: events of several batches leave together, which on a busy machine is worth more to whoever
/// waits for an answer than a fiftieth of a second is to whoever listens.
const GATHERING: Duration = Duration::from_millis(20);

/// Relays events until shutdown.
pub(crate) fn spawn(context: &Context) {
    sweep::spawn(context, "events", Nudge::Events, |context| async move {
        let swept = relay_some(&context).await?;
        if swept == Swept::Idle && !context.shutdown.is_cancelled() {
            tokio::time::sleep(GATHERING).await;
        }
        Ok(swept)
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
        context
            .bus
            .publish_event(
                &event.kind,
                event.event_id,
                event.body.clone().into_bytes(),
                event.traceparent.as_deref(),
            )
            .await
            .inspect_err(|error| tracing::warn!(%error, kind = event.kind, "an event waits for the broker"))
            .is_ok()
    }))
    .await;
    let confirmed: Vec<_> = taken
        .iter()
        .zip(&published)
        .filter(|(_, confirmed)| **confirmed)
        .map(|(event, _)| event.event_id)
        .collect();
    if !confirmed.is_empty() {
        checkpoint("events", "before_delete");
        events::delete(&tx, &confirmed).await?;
    }
    tx.commit().await?;
    let all_confirmed = confirmed.len() == taken.len();
    let full = i64::try_from(taken.len()).is_ok_and(|count| count == WINDOW);
    Ok(if full && all_confirmed {
        Swept::More
    } else {
        Swept::Idle
    })
}
