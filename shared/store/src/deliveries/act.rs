//! What operators do about deliveries.
//!
//! An act is a conditional update: it names the state and generation it saw, and one that finds them changed does
//! nothing. So a payment is requeued once, however many people click.

use domain::ids::{AttemptId, PaymentId};
use domain::payment::Act;
use uuid::Uuid;

use super::AttemptRow;
use crate::payments::PaymentRow;
use crate::{Store, StoreError, Tx};

/// How a payment goes back to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requeue {
    /// It is certain that it was not credited, or the payee credits a number once: pay.
    Pay,
    /// It may have been credited and the payee can be asked: ask.
    Status,
}

/// What requeuing one payment did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requeued {
    /// It is due now.
    Done,
    /// Somebody or something moved it since it was looked at.
    Changed,
}

/// The states a payment can be requeued from.
const STUCK: &str = "('failed', 'unknown', 'refused', 'stopped', 'waiting')";

/// Payments an operator may requeue, out of those named or of a payee in a state.
pub async fn requeue_candidates(
    store: &Store,
    ids: &[PaymentId],
    payee: Option<&str>,
    state: Option<&str>,
) -> Result<Vec<PaymentRow>, StoreError> {
    if ids.is_empty() {
        let filter = crate::payments::Filter {
            payee: payee.map(str::to_owned),
            state: state.map(str::to_owned),
            online: true,
            ..Default::default()
        };
        return crate::payments::list(store, &filter).await;
    }
    let mut rows = Vec::with_capacity(ids.len());
    for &id in ids {
        rows.extend(crate::payments::find(store, id).await?);
    }
    Ok(rows)
}

/// Makes a payment due now, if it still is as `seen` and no call is open. Its schedule begins anew.
pub async fn requeue(tx: &Tx, seen: &PaymentRow, how: Requeue, give_up_hours: i32) -> Result<Requeued, StoreError> {
    let act = match how {
        Requeue::Pay => Act::Pay,
        Requeue::Status => Act::Status,
    };
    // Locked in a statement of its own: the one that decides then sees every call that was opened before.
    tx.query_opt(
        "SELECT 1 FROM payment WHERE payment_id = $1 FOR UPDATE",
        &[&seen.payment_id.as_uuid()],
    )
    .await?;
    let sql = format!(
        "UPDATE payment SET generation = generation + 1, next_act = $4, due_at = clock_timestamp(), step = 0,
                not_found = 0, give_up_at = clock_timestamp() + make_interval(hours => $5),
                state = CASE WHEN state = 'unknown' THEN state ELSE 'waiting' END, updated_at = clock_timestamp()
         WHERE payment_id = $1 AND state = $2 AND generation = $3 AND state IN {STUCK}
           AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.payment_id = $1 AND a.ending = 'open')"
    );
    let changed = tx
        .execute(
            &sql,
            &[
                &seen.payment_id.as_uuid(),
                &seen.state.as_str(),
                &seen.generation,
                &act.as_str(),
                &give_up_hours,
            ],
        )
        .await?;
    Ok(if changed == 1 {
        Requeued::Done
    } else {
        Requeued::Changed
    })
}

/// Every call made about a payment, in order.
pub async fn attempts(store: &Store, payment_id: PaymentId) -> Result<Vec<AttemptRow>, StoreError> {
    let rows = store
        .query(
            "SELECT attempt_id, ordinal, act, worker, automatic, started_at, ending, ended_at, late, result, error,
                    http_status, request, response
             FROM attempt WHERE payment_id = $1 ORDER BY ordinal",
            &[&payment_id.as_uuid()],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(AttemptRow {
                attempt_id: AttemptId::from_uuid(row.get::<_, Uuid>(0)),
                ordinal: row.get(1),
                act: Act::parse(row.get(2))?,
                worker: row.get(3),
                automatic: row.get(4),
                started_at: row.get(5),
                ending: row.get(6),
                ended_at: row.get(7),
                late: row.get(8),
                result: row.get(9),
                error: row.get(10),
                http_status: row.get(11),
                request: row.get(12),
                response: row.get(13),
            })
        })
        .collect()
}
