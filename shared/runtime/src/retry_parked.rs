//! Parked facts are handled again in place: the same code on the parked row, never a message published anew.

use std::sync::Arc;

use bus::Delivery;
use store::parked::{self, Parked};
use store::{StoreError, Tx};

use crate::batch::BatchWorker;
use crate::incoming::Incoming;
use crate::outcome::{Effect, Outcome, Reply};
use crate::sweep::{self, Swept};
use crate::transact::{Concluded, INTERNAL_ERROR, Transactor};
use crate::{Context, Nudge, checkpoint};

/// Looks for facts put back to this worker, now and then and when nudged.
pub(crate) fn spawn<W: BatchWorker>(transactor: Arc<Transactor<W>>) {
    let context = transactor.context.clone();
    sweep::spawn(&context, W::NAME, Nudge::Parked, move |_: Context| {
        let transactor = transactor.clone();
        async move { handle_one(&transactor).await }
    });
}

async fn handle_one<W: BatchWorker>(transactor: &Transactor<W>) -> Result<Swept, StoreError> {
    let keys: Vec<&str> = W::FACTS.iter().map(|key| key.as_str()).collect();
    let tx = transactor.context.store.begin().await?;
    let Some(row) = parked::take_retry(&tx, &keys).await? else {
        tx.commit().await?;
        return Ok(Swept::Idle);
    };
    let message = Incoming::parse(delivery_of(&row));
    match conclude(transactor, tx, &row, &message).await {
        Ok(concluded) => transactor.send(std::slice::from_ref(&message), concluded).await,
        Err(StoreError::Outdated) => transactor.context.declarations.forget(),
        // Another process has just taken it; the next look finds that.
        Err(StoreError::Repeated) => {}
        Err(error) if error.is_retryable() => return Err(error),
        Err(error) => {
            // That transaction is spoilt: the reason is written in one of its own, or it would be tried for ever.
            let tx = transactor.context.store.begin().await?;
            parked::refuse_again(&tx, row.parked_id, INTERNAL_ERROR, &error.to_string()).await?;
            tx.commit().await?;
        }
    }
    Ok(Swept::More)
}

async fn conclude<W: BatchWorker>(
    transactor: &Transactor<W>,
    tx: Tx,
    row: &Parked,
    message: &Incoming,
) -> Result<Concluded, StoreError> {
    let (mut outcomes, effects): (Vec<Outcome>, Vec<Effect>) =
        transactor.run(&tx, std::slice::from_ref(message)).await?;
    let answer = match outcomes.pop() {
        Some(Outcome::Answered(answer)) => {
            let by = row.resolved_by.as_deref().unwrap_or("dead-lettered");
            parked::resolve(&tx, row.parked_id, by, &answer.to_stored()).await?;
            Some(answer)
        }
        Some(Outcome::Refused(refusal)) => {
            parked::refuse_again(&tx, row.parked_id, refusal.reason.as_str(), &refusal.detail).await?;
            Some(Reply::refused(&refusal))
        }
        // No fact is handled in silence. One that is must not be tried for ever.
        Some(Outcome::Silent) | None => {
            parked::refuse_again(&tx, row.parked_id, INTERNAL_ERROR, "its worker said nothing about it").await?;
            None
        }
    };
    checkpoint(W::NAME, "before_commit_of_parked");
    tx.commit().await?;
    Ok(Concluded {
        answers: vec![answer],
        effects,
    })
}

/// The message as it came, but for the body where an operator corrected it. Its deliveries are not counted on.
fn delivery_of(row: &Parked) -> Delivery {
    let body = row.corrected_body.clone().unwrap_or_else(|| row.body.clone());
    let text = |name: &str| {
        row.properties
            .get(name)
            .and_then(|value| value.as_str())
            .map(str::to_owned)
    };
    Delivery {
        reply_to: text("reply_to"),
        correlation_id: text("correlation_id"),
        user_id: text("user_id"),
        traceparent: row
            .properties
            .pointer("/headers/traceparent")
            .and_then(|v| v.as_str())
            .map(str::to_owned),
        version: row
            .properties
            .pointer("/headers/unigate-version")
            .and_then(serde_json::Value::as_i64),
        envelope: row.properties.clone().into(),
        ..Delivery::new(row.routing_key.clone(), body)
    }
}
