//! Parked facts are handled again in place: the same code on the parked row, never a message published anew.

use std::sync::Arc;

use bus::Delivery;
use store::parked::{self, Parked};
use store::{StoreError, Tx};

use crate::batch::BatchWorker;
use crate::incoming::Incoming;
use crate::outcome::{Effect, Outcome, Reply};
use crate::sweep::{self, Swept};
use crate::transact::{Concluded, INTERNAL_ERROR, PANICKED, Transactor};
use crate::{Context, Nudge, checkpoint};
use bus::survive;

/// So many workers may die with a fact in hand, or lose the database, before it is taken for the cause.
const MOST_TRIES: i64 = 3;

/// Looks for facts put back to this worker, now and then and when nudged.
pub(crate) fn spawn<W: BatchWorker>(transactor: Arc<Transactor<W>>) {
    let context = transactor.context.clone();
    sweep::spawn(&context, W::NAME, Nudge::Parked, move |_: Context| {
        let transactor = transactor.clone();
        async move { handle_one(&transactor).await }
    });
}

async fn handle_one<W: BatchWorker>(transactor: &Transactor<W>) -> Result<Swept, StoreError> {
    let store = &transactor.context.store;
    let keys: Vec<&str> = W::FACTS.iter().map(|key| key.as_str()).collect();
    let Some(row) = parked::take_retry(store, &keys).await? else {
        return Ok(Swept::Idle);
    };
    if row.tries() > MOST_TRIES {
        let why = format!("{MOST_TRIES} workers began to handle it and did not live to end it: does it kill them?");
        refuse(transactor, &row, &why).await?;
        return Ok(Swept::More);
    }
    match survive(W::NAME, try_one(transactor, &row)).await {
        Some(Ok(())) => {}
        Some(Err(StoreError::Outdated)) => {
            transactor.context.declarations.forget();
            parked::give_back_retry(store, &row).await?;
        }
        // Another process has just stored what it is about; the next look finds that.
        Some(Err(StoreError::Repeated)) => parked::give_back_retry(store, &row).await?,
        Some(Err(error)) if error.is_retryable() => {
            // Where that fails as well it counts as a death: few of them are not held against it.
            let _ = parked::give_back_retry(store, &row).await;
            return Err(error);
        }
        Some(Err(error)) => refuse(transactor, &row, &error.to_string()).await?,
        None => refuse(transactor, &row, PANICKED).await?,
    }
    Ok(Swept::More)
}

async fn try_one<W: BatchWorker>(transactor: &Transactor<W>, row: &Parked) -> Result<(), StoreError> {
    let message = Incoming {
        vouched: row.vouched,
        ..Incoming::parse(delivery_of(row))
    };
    let tx = transactor.context.store.begin().await?;
    if !parked::hold_retry(&tx, row).await? {
        return tx.commit().await;
    }
    let concluded = conclude(transactor, tx, row, &message).await?;
    transactor.send(std::slice::from_ref(&message), concluded).await;
    Ok(())
}

/// Back to the operator. The transaction that met the reason is spoilt: it is written in one of its own, or the fact would
/// be tried for ever.
async fn refuse<W: BatchWorker>(transactor: &Transactor<W>, row: &Parked, why: &str) -> Result<(), StoreError> {
    let tx = transactor.context.store.begin().await?;
    if parked::hold_retry(&tx, row).await? {
        parked::refuse_again(&tx, row.parked_id, INTERNAL_ERROR, why).await?;
    }
    tx.commit().await
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

/// The message as it came, but for the body where an operator corrected it, which he has written in the version that is
/// spoken here. Its deliveries are not counted on.
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
            .filter(|text| bus::is_traceparent(text))
            .map(str::to_owned),
        version: match row.corrected_body {
            Some(_) => None,
            None => bus::version_of(&row.properties["headers"]),
        },
        envelope: row.properties.clone().into(),
        ..Delivery::new(row.routing_key.clone(), body)
    }
}
