//! Claiming: slots first, then payments, oldest due first; the attempt's row before any call.

use std::time::Duration;

use domain::ids::AttemptId;
use domain::payment::Act;
use jiff::Timestamp;
use uuid::Uuid;

use super::{DUE_COLUMNS, Due, due_of};
use crate::lanes::{Slot, lease_seconds};
use crate::{Store, StoreError, Tx};

/// A call that is ours to make now.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// Fences the record.
    pub attempt_id: AttemptId,
    /// Pay, ask or cancel.
    pub act: Act,
    /// The slot it takes.
    pub slot: Slot,
    /// The payment.
    pub due: Due,
    /// When the call was claimed, by the database's clock.
    pub started_at: Timestamp,
}

/// Lanes with due payments, now or later, and how long until then. Lanes whose breaker is open or that are paused are
/// left out: nothing of them is claimed.
pub async fn lanes_due(store: &Store) -> Result<Vec<(String, Duration)>, StoreError> {
    let rows = store
        .query(
            "SELECT lane_id, greatest(extract(epoch FROM next.due_at - clock_timestamp()), 0)::float8
             FROM lane CROSS JOIN LATERAL (
                 SELECT due_at FROM payment WHERE payee_id = lane_id AND due_at IS NOT NULL ORDER BY due_at LIMIT 1
             ) next
             WHERE breaker = 'closed' AND NOT paused",
            &[],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| (row.get(0), Duration::from_secs_f64(row.get(1))))
        .collect())
}

/// Claims up to `most` due payments of a lane, one per free slot. `call` is the longest a call may last.
pub async fn claim(
    store: &Store,
    lane: &str,
    most: usize,
    worker: &str,
    call: Duration,
) -> Result<Vec<Claimed>, StoreError> {
    let tx = store.begin().await?;
    let free = free_slots(&tx, lane, i64::try_from(most).unwrap_or(i64::MAX)).await?;
    let mut claimed = Vec::new();
    if !free.is_empty() {
        let dues = take_due(&tx, lane, free.len()).await?;
        for ((due, act), slot) in dues.into_iter().zip(free) {
            claimed.push(open_attempt(&tx, lane, slot, due, act, worker, call).await?);
        }
    }
    tx.commit().await?;
    Ok(claimed)
}

/// Free slots of a lane that may be called. While a question waits, one of them is left for it. Calls on slots above the
/// limit, from before it was lowered, count against it until they end.
async fn free_slots(tx: &Tx, lane: &str, most: i64) -> Result<Vec<i32>, StoreError> {
    let row = tx
        .query_opt(
            "SELECT slots, (question_waits_until > clock_timestamp())::int4 FROM lane
             WHERE lane_id = $1 AND breaker = 'closed' AND NOT paused FOR UPDATE",
            &[&lane],
        )
        .await?;
    let Some(row) = row else { return Ok(Vec::new()) };
    let (slots, kept): (i32, i32) = (row.get(0), row.get(1));
    let rows = tx
        .query(
            "SELECT slot FROM lane_slot WHERE lane_id = $1 AND slot <= $2 AND lease_until < clock_timestamp()
             ORDER BY slot LIMIT greatest(0, least($3, $2 - (
                 SELECT count(*) FROM lane_slot WHERE lane_id = $1 AND lease_until >= clock_timestamp())))
             FOR UPDATE SKIP LOCKED",
            &[&lane, &slots, &(most + i64::from(kept))],
        )
        .await?;
    let mut free: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
    free.truncate(free.len().saturating_sub(kept as usize));
    Ok(free)
}

async fn take_due(tx: &Tx, lane: &str, most: usize) -> Result<Vec<(Due, Act)>, StoreError> {
    let sql = format!(
        "SELECT {DUE_COLUMNS}, next_act FROM payment p
         WHERE payee_id = $1 AND due_at <= statement_timestamp()
           AND NOT EXISTS (SELECT FROM attempt a WHERE a.payment_id = p.payment_id AND a.ending = 'open')
         ORDER BY due_at, number LIMIT $2 FOR UPDATE SKIP LOCKED"
    );
    // `statement_timestamp`, since a bound that moves while the index is read (`clock_timestamp`) is no bound to it: every
    // payment that waits would be looked at. One whose call is open (it was revoked while its payee was asked) is left to
    // that call's record.
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    tx.query(&sql, &[&lane, &most])
        .await?
        .iter()
        .map(|row| Ok((due_of(row)?, Act::parse(row.get("next_act"))?)))
        .collect()
}

async fn open_attempt(
    tx: &Tx,
    lane: &str,
    slot: i32,
    due: Due,
    act: Act,
    worker: &str,
    call: Duration,
) -> Result<Claimed, StoreError> {
    let attempt_id = AttemptId::random();
    // Only a payment on its way is `delivering`; while the payee is asked about one, its state stays what it is, and so
    // do `unknown` and `revoking`, which say more.
    let row = tx
        .query_one(
            "WITH attempted AS (
                 INSERT INTO attempt (attempt_id, payment_id, ordinal, act, lane_id, slot, worker, lease_until)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp() + make_interval(secs => $8))
                 RETURNING started_at, lease_until),
             moved AS (
                 UPDATE payment SET attempts = $3, due_at = NULL, next_act = NULL, updated_at = clock_timestamp(),
                        state = CASE WHEN $4 <> 'pay' OR state IN ('unknown', 'revoking') THEN state
                                     ELSE 'delivering' END,
                        last_call_at = CASE WHEN $4 = 'pay' THEN clock_timestamp() ELSE last_call_at END
                 WHERE payment_id = $2),
             taken AS (
                 UPDATE lane_slot SET token = $1, lease_until = attempted.lease_until FROM attempted
                 WHERE lane_id = $5 AND slot = $6)
             SELECT started_at FROM attempted",
            &[
                &attempt_id.as_uuid(),
                &due.payment_id.as_uuid(),
                &(due.attempts + 1),
                &act.as_str(),
                &lane,
                &slot,
                &worker,
                &lease_seconds(call),
            ],
        )
        .await?;
    let slot = Slot {
        lane: lane.to_owned(),
        token: attempt_id.as_uuid(),
    };
    Ok(Claimed {
        attempt_id,
        act,
        slot,
        due,
        started_at: row.get(0),
    })
}

/// An open attempt whose lease ran out: its process died or sleeps, and the call may have been credited.
#[derive(Clone, Debug)]
pub struct Expired {
    /// Which.
    pub attempt_id: AttemptId,
    /// Whose lane it was called on.
    pub payee: String,
    /// When its lease ran out.
    pub lease_until: Timestamp,
}

/// Up to `most` attempts whose lease ran out, the oldest first. `after` is the last one of the page before: one that
/// cannot be closed must not hide those behind it.
pub async fn expired(store: &Store, after: Option<&Expired>, most: i64) -> Result<Vec<Expired>, StoreError> {
    let (lease_until, attempt_id) = after.map_or((Timestamp::UNIX_EPOCH, Uuid::nil()), |last| {
        (last.lease_until, last.attempt_id.as_uuid())
    });
    let rows = store
        .query(
            "SELECT attempt_id, lane_id, lease_until FROM attempt
             WHERE ending = 'open' AND lease_until < statement_timestamp() AND (lease_until, attempt_id) > ($1, $2)
             ORDER BY lease_until, attempt_id LIMIT $3",
            &[&lease_until, &attempt_id, &most],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| Expired {
            attempt_id: AttemptId::from_uuid(row.get::<_, Uuid>(0)),
            payee: row.get(1),
            lease_until: row.get(2),
        })
        .collect())
}
