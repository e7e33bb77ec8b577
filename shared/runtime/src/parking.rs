//! Parking: a refused fact is money without a home. It is kept whole, with its reason, once per (key, id, content), and
//! whoever sends it again is told what has become of it.

use std::time::Duration;

use bus::{Delivery, Queue, Tags};
use contract::event::{Events, MessageEvent, ParkedItem};
use contract::{Reason, Refusal};
use domain::ids::ParkedId;
use serde_json::Value;
use store::parked::{self, Fate, NewParked};
use store::{StoreError, Tx};

use crate::incoming::Incoming;
use crate::outcome::{Reply, emit};
use crate::{Context, Nudge};

/// Most messages taken from the parking queue together.
const TAKEN: usize = 32;

/// Parks a refused fact, unless this very content was settled meanwhile; then that is the answer.
pub(crate) async fn settle_refused(tx: &Tx, message: &Incoming, refusal: Refusal) -> Result<Reply, StoreError> {
    let fate = parked::fate(
        tx,
        &message.delivery.routing_key,
        message.subject(),
        &message.content_hash,
    )
    .await?;
    Ok(match fate {
        Some(Fate::Discarded) => Reply::refused(&Refusal::new(
            Reason::SettledByOperator,
            "an operator has settled it by hand",
        )),
        Some(Fate::Resolved(resolution)) => Reply::repeated(resolution).unwrap_or_else(|| Reply::refused(&refusal)),
        Some(Fate::Waiting) => Reply::refused(&refusal),
        // Refused for having been settled: there is no money in it any more.
        None if refusal.reason == Reason::SettledByOperator => Reply::refused(&refusal),
        None => {
            park(tx, message, refusal.reason.as_str(), &refusal.detail, false).await?;
            Reply::refused(&refusal)
        }
    })
}

/// Writes the parked row and its event. With `retry` its worker tries it once more, alone, before an operator has to.
pub(crate) async fn park(
    tx: &Tx,
    message: &Incoming,
    reason: &str,
    detail: &str,
    retry: bool,
) -> Result<(), StoreError> {
    let new = NewParked {
        routing_key: printable(&message.delivery.routing_key),
        payment_id: message.payment_id.map(|id| id.as_uuid()),
        reservation_id: message.reservation_id.map(|id| id.as_uuid()),
        content_hash: message.content_hash,
        reason: reason.to_owned(),
        detail: detail.to_owned(),
        body: message.delivery.body.clone(),
        properties: storable(&message.delivery.headers_json),
        retry,
    };
    let Some(parked_id) = parked::add(tx, &new).await? else {
        return Ok(());
    };
    metrics::counter!("unigate_parked_total", "reason" => reason.to_owned()).increment(1);
    let mut events = Events::new(domain::clock::now());
    let item = ParkedItem {
        parked_id: ParkedId::from_uuid(parked_id),
        routing_key: new.routing_key,
        reason: new.reason,
        payment_id: message.payment_id,
        reservation_id: message.reservation_id,
    };
    events.push(MessageEvent::Parked, &item);
    emit(tx, events, message.delivery.traceparent.as_deref()).await
}

/// Headers are whatever their sender made them; PostgreSQL's jsonb takes no NUL.
fn storable(properties: &Value) -> Value {
    match properties {
        Value::String(text) => Value::from(printable(text)),
        Value::Array(items) => items.iter().map(storable).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (printable(name), storable(value))).collect()
        }
        other => other.clone(),
    }
}

/// PostgreSQL's text takes no NUL, and an operator's terminal no escapes.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// Consumes the parking queue: what no queue wanted (a wrong routing key) and what a queue gave up on (delivery limit,
/// an expiration on a fact). A fact gets one more try, alone, by the worker it belongs to; the rest waits for an
/// operator.
pub fn spawn(context: &Context) {
    let context = context.clone();
    context.tasks.clone().spawn(async move {
        while !context.shutdown.is_cancelled() {
            let mut session = tokio::select! {
                () = context.shutdown.cancelled() => return,
                session = context.bus.session(Queue::Parked, 2 * TAKEN as u16) => session,
            };
            loop {
                let batch = tokio::select! {
                    () = context.shutdown.cancelled() => return session.close().await,
                    batch = session.next_batch(TAKEN, Duration::ZERO) => batch,
                };
                let Some(batch) = batch else { break };
                let tags = Tags::of(&batch);
                if !take_in(&context, batch).await {
                    return session.close().await;
                }
                if session.ack_all(tags).await.is_err() {
                    break;
                }
            }
        }
    });
}

/// False when the process is to end before everything is stored.
async fn take_in(context: &Context, batch: Vec<Delivery>) -> bool {
    for delivery in batch {
        let message = Incoming::parse(original(delivery));
        let mut attempt = 0;
        while let Err(error) = take_in_one(context, &message).await {
            if attempt == 0 {
                tracing::warn!(%error, "a message for the parking lot waits for the database");
            }
            if context.shutdown.is_cancelled() {
                return false;
            }
            tokio::time::sleep(bus::reconnect_delay(attempt)).await;
            attempt += 1;
        }
    }
    true
}

/// A dead-lettered message is taken for what it was before its queue gave it up.
fn original(mut delivery: Delivery) -> Delivery {
    if let Some(death) = &delivery.death {
        delivery.routing_key.clone_from(&death.routing_key);
    }
    delivery
}

async fn take_in_one(context: &Context, message: &Incoming) -> Result<(), StoreError> {
    // A question that was dead-lettered has outlived whoever asked it.
    if !message.may_carry_money() {
        return Ok(());
    }
    let tx = context.store.begin().await?;
    let answer = match &message.content {
        // Its worker answers it after the one more try.
        Ok(_) => {
            let why = message
                .delivery
                .death
                .as_ref()
                .map_or("unroutable", |death| death.reason.as_str());
            park(
                &tx,
                message,
                "undeliverable",
                &format!("the broker gave it up: {why}"),
                true,
            )
            .await?;
            None
        }
        Err(refusal) => Some(settle_refused(&tx, message, refusal.clone()).await?),
    };
    tx.commit().await?;
    if let Some(answer) = answer {
        context.bus.answer(&message.delivery, answer.body().to_vec());
    }
    context.nudge(Nudge::Events);
    context.nudge(Nudge::Parked);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::storable;
    use serde_json::json;

    #[test]
    fn what_jsonb_would_refuse_is_made_visible() {
        let stored = storable(&json!({"headers": {"a\u{0}b": ["x\u{0}", 7, null]}}));
        assert_eq!(stored, json!({"headers": {"a\u{fffd}b": ["x\u{fffd}", 7, null]}}));
    }
}
