//! Parking: a refused fact is money without a home. It is kept whole, with its reason, once per (key, id, content), and
//! whoever sends it again is told what has become of it.

use bus::{Delivery, Queue, Tags};
use contract::event::{Events, MessageEvent, ParkedItem};
use contract::{Reason, Refusal};
use domain::ids::ParkedId;
use serde_json::Value;
use store::parked::{self, Fate, NewParked};
use store::{StoreError, Tx};

use crate::consume::consume;
use crate::incoming::Incoming;
use crate::outcome::{Reply, emit};
use crate::{Context, Nudge, database_delay};

/// Most messages taken from the parking queue together.
const TAKEN: u16 = 32;

/// Parks a refused fact, unless this very content was settled meanwhile; then that is the answer.
pub(crate) async fn settle_refused(tx: &Tx, message: &Incoming, refusal: Refusal) -> Result<Reply, StoreError> {
    let fate = fate(tx, message).await?;
    if let Some(settled) = fate.clone().and_then(settled) {
        return Ok(settled);
    }
    Ok(match fate {
        Some(_) => Reply::refused(&refusal),
        // Refused for having been settled: there is no money in it any more.
        None if refusal.reason == Reason::SettledByOperator => Reply::refused(&refusal),
        None => {
            park(tx, message, refusal.reason.as_str(), &refusal.detail, false).await?;
            Reply::refused(&refusal)
        }
    })
}

/// What became of this very content, under the key as it is stored.
async fn fate(tx: &Tx, message: &Incoming) -> Result<Option<Fate>, StoreError> {
    let key = printable(&message.delivery.routing_key);
    parked::fate(tx, &key, message.subject(), &message.content_hash).await
}

/// The answer to content that was parked and has come to an end since.
fn settled(fate: Fate) -> Option<Reply> {
    match fate {
        Fate::Waiting => None,
        Fate::Resolved(resolution) => Reply::repeated(resolution),
        Fate::Discarded => {
            let why = "an operator has settled it by hand";
            Some(Reply::refused(&Refusal::new(Reason::SettledByOperator, why)))
        }
    }
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
        detail: printable(detail),
        body: message.delivery.body.clone(),
        properties: storable(&message.delivery.envelope.json()),
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
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (printable(name), storable(value)))
            .collect(),
        other => other.clone(),
    }
}

/// PostgreSQL's text takes no NUL, and an operator's terminal no escapes.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// Consumes what no queue wanted (a wrong routing key) and what a queue gave up on (delivery limit, an expiration on a fact). A
/// fact gets one more try, alone, by the worker it belongs to; the rest waits for an operator.
pub fn spawn(context: &Context) {
    for queue in [Queue::Unrouted, Queue::Parked] {
        spawn_for(context.clone(), queue);
    }
}

fn spawn_for(context: Context, queue: Queue) {
    context.tasks.clone().spawn(async move {
        consume(&context, queue, TAKEN, |batch| take_in(&context, batch)).await;
    });
}

/// What is stored and may be acknowledged. None when the process is to end before everything is stored.
async fn take_in(context: &Context, mut batch: Vec<Delivery>) -> Option<Tags> {
    let mut unstorable = Vec::new();
    for (place, delivery) in batch.iter().enumerate() {
        let message = Incoming::parse(original(delivery.clone()));
        let mut attempt = 0;
        while let Err(error) = take_in_one(context, &message).await {
            if !error.is_retryable() {
                // A bug of ours. It stays unacknowledged and in the queue, and the others do not wait for it.
                tracing::error!(%error, "a message for the parking lot cannot be stored");
                metrics::counter!("unigate_invariant_violations_total", "kind" => "unparkable").increment(1);
                unstorable.push(place);
                break;
            }
            if attempt == 0 {
                tracing::warn!(%error, "a message for the parking lot waits for the database");
            }
            if context.shutdown.is_cancelled() {
                return None;
            }
            tokio::time::sleep(database_delay(attempt)).await;
            attempt += 1;
        }
    }
    for place in unstorable.into_iter().rev() {
        batch.remove(place);
    }
    Some(Tags::of(&batch))
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
        Ok(_) => give_one_more_try(&tx, message).await?,
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

/// Its worker answers it after the one more try; content that was settled before is answered here.
async fn give_one_more_try(tx: &Tx, message: &Incoming) -> Result<Option<Reply>, StoreError> {
    if let Some(settled) = fate(tx, message).await?.and_then(settled) {
        return Ok(Some(settled));
    }
    let death = message.delivery.death.as_ref();
    let why = death.map_or("unroutable", |death| death.reason.as_str());
    let detail = format!("the broker gave it up: {why}");
    park(tx, message, "undeliverable", &detail, true).await?;
    Ok(None)
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
