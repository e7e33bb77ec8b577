//! Lanes: how many calls a payee gets at a time, across all processes, and the breaker that spares a payee that is down.
//!
//! A slot is leased for one call, by the database's clock, for longer than the call can last. So a process that dies
//! needs no heartbeat to be missed: its slots come back when their leases run out.

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use crate::{Store, StoreError, Tx};

/// How long a lease outlasts the longest call: scheduling, the record, and clocks that run apart.
pub const LEASE_MARGIN: Duration = Duration::from_secs(15);

/// Failures in a row that open a breaker.
const FAILURES_TO_OPEN: i32 = 5;
/// The longest pause between probes, in seconds.
const LONGEST_PROBE_INTERVAL: i32 = 600;

/// A slot held for one call.
#[derive(Clone, Debug)]
pub struct Slot {
    /// Whose.
    pub lane: String,
    /// Fences its return.
    pub token: Uuid,
}

/// What a question found when it asked for a slot.
#[derive(Clone, Debug)]
pub enum Asked {
    /// Call now.
    Go(Slot),
    /// All slots are taken; ask again soon. The next free one is kept for questions.
    Busy,
    /// The payee is down (or paused): do not call.
    Closed,
}

/// What noting a call did to the breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breaker {
    /// Nothing changed.
    Same,
    /// It opened: the payee is down.
    Opened,
    /// It closed: the payee is back, and its waiting payments are due now.
    Closed,
}

/// Takes a slot for a question. It goes before any payment: while one waits, payments leave the last free slot.
pub async fn take_for_question(store: &Store, lane: &str, call: Duration) -> Result<Asked, StoreError> {
    let tx = store.begin().await?;
    let row = tx
        .query_opt(
            "SELECT breaker = 'open' OR paused, slots FROM lane WHERE lane_id = $1 FOR UPDATE",
            &[&lane],
        )
        .await?;
    let Some(row) = row.filter(|row| !row.get::<_, bool>(0)) else {
        return tx.commit().await.map(|()| Asked::Closed);
    };
    let token = Uuid::now_v7();
    let taken = tx
        .execute(
            "UPDATE lane_slot SET token = $3, lease_until = clock_timestamp() + make_interval(secs => $4)
             WHERE lane_id = $1 AND slot = (
                 SELECT slot FROM lane_slot WHERE lane_id = $1 AND slot <= $2 AND lease_until < clock_timestamp()
                 ORDER BY slot LIMIT least(1, greatest(0, $2 - (
                     SELECT count(*) FROM lane_slot WHERE lane_id = $1 AND lease_until >= clock_timestamp())))
                 FOR UPDATE SKIP LOCKED)",
            &[&lane, &row.get::<_, i32>(1), &token, &lease_seconds(call)],
        )
        .await?;
    // Written only when it changes something: many questions may be looking at once.
    let noted = if taken == 1 {
        "UPDATE lane SET question_waits_until = '-infinity'
         WHERE lane_id = $1 AND question_waits_until > '-infinity'"
    } else {
        "UPDATE lane SET question_waits_until = clock_timestamp() + interval '5 seconds'
         WHERE lane_id = $1 AND question_waits_until < clock_timestamp() + interval '3 seconds'"
    };
    tx.execute(noted, &[&lane]).await?;
    tx.commit().await?;
    Ok(if taken == 1 {
        Asked::Go(Slot {
            lane: lane.to_owned(),
            token,
        })
    } else {
        Asked::Busy
    })
}

/// Gives a slot back. After a timeout it rests first (`rest`): the payee may still be busy with the call.
pub async fn give_back(tx: &Tx, slot: &Slot, rest: Option<Duration>) -> Result<(), StoreError> {
    let rest = rest.map(|rest| rest.as_secs_f64());
    tx.execute(
        "UPDATE lane_slot SET token = NULL,
                lease_until = coalesce(clock_timestamp() + make_interval(secs => $3), '-infinity')
         WHERE lane_id = $1 AND token = $2",
        &[&slot.lane, &slot.token, &rest],
    )
    .await
    .map(drop)
}

/// Notes that the payee answered (whatever it said), or that it did not. `probe` is the breaker's first interval.
pub async fn note(
    tx: &Tx,
    lane: &str,
    answered: bool,
    error: Option<&str>,
    probe: Duration,
) -> Result<Breaker, StoreError> {
    if answered {
        // The row is written only when it changes: an answer is the common case.
        let was = tx
            .query_opt(
                "UPDATE lane SET breaker = 'closed', failures = 0, opened_at = NULL, probe_at = NULL, probe_count = 0
                 FROM (SELECT breaker AS was FROM lane WHERE lane_id = $1 FOR UPDATE) before
                 WHERE lane_id = $1 AND (failures > 0 OR breaker = 'open') RETURNING was = 'open'",
                &[&lane],
            )
            .await?;
        if !was.is_some_and(|row| row.get(0)) {
            return Ok(Breaker::Same);
        }
        pull_forward(tx, lane).await?;
        return Ok(Breaker::Closed);
    }
    let row = tx
        .query_opt(
            "UPDATE lane SET failures = failures + 1, last_error = $2,
                    breaker = CASE WHEN opens THEN 'open' ELSE breaker END,
                    opened_at = CASE WHEN opens THEN coalesce(opened_at, clock_timestamp()) END,
                    probe_at = CASE WHEN opens
                                    THEN coalesce(probe_at, clock_timestamp() + make_interval(secs => $4)) END
             FROM (SELECT breaker AS was, breaker = 'open' OR failures + 1 >= $3 AS opens
                   FROM lane WHERE lane_id = $1 FOR UPDATE) before
             WHERE lane_id = $1 RETURNING opens AND was = 'closed'",
            &[&lane, &error, &FAILURES_TO_OPEN, &probe.as_secs_f64()],
        )
        .await?;
    Ok(if row.is_some_and(|row| row.get(0)) {
        Breaker::Opened
    } else {
        Breaker::Same
    })
}

/// Most payments made due at once when a payee is back: the record that notices it must stay a short transaction. What is
/// beyond that comes at its own time.
const PULLED_FORWARD: i64 = 10_000;

/// A payee that is back gets the payments that wait for a retry at once, oldest first (one moment for all, so their
/// numbers decide), at its lane's own rate. Questions about payments (`status`, `cancel`) keep their time: asked too
/// early, a `not_found` does not count. Those somebody works on at this moment are left to him.
async fn pull_forward(tx: &Tx, lane: &str) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE payment SET due_at = statement_timestamp() WHERE payment_id = ANY(ARRAY(
             SELECT payment_id FROM payment
             WHERE payee_id = $1 AND due_at > statement_timestamp() AND state = 'waiting' AND next_act = 'pay'
             ORDER BY due_at, number LIMIT $2 FOR UPDATE SKIP LOCKED))",
        &[&lane, &PULLED_FORWARD],
    )
    .await
    .map(drop)
}

/// A payee that is down and due to be asked whether it is back.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Whose.
    pub lane: String,
    /// A number it can be asked about: that of the payment that waits longest. None when none waits.
    pub number: Option<i64>,
}

/// Claims the probes that are due; each is ours for as long as a call can last. The pauses double up to ten minutes.
pub async fn claim_probes(store: &Store, first: impl Fn(&str) -> Duration) -> Result<Vec<Probe>, StoreError> {
    let tx = store.begin().await?;
    let rows = tx
        .query(
            "SELECT lane_id, probe_count,
                    (SELECT number FROM payment WHERE payee_id = lane_id AND due_at IS NOT NULL
                     ORDER BY due_at, number LIMIT 1)
             FROM lane WHERE breaker = 'open' AND probe_at <= clock_timestamp() FOR UPDATE SKIP LOCKED",
            &[],
        )
        .await?;
    let mut probes = Vec::with_capacity(rows.len());
    for row in &rows {
        let lane: String = row.get(0);
        let doublings = row.get::<_, i32>(1).clamp(0, 16) as u32 + 1;
        let interval = first(&lane)
            .saturating_mul(1 << doublings)
            .min(Duration::from_secs(LONGEST_PROBE_INTERVAL as u64));
        tx.execute(
            "UPDATE lane SET probe_count = probe_count + 1, probe_at = clock_timestamp() + make_interval(secs => $2)
             WHERE lane_id = $1",
            &[&lane, &interval.as_secs_f64()],
        )
        .await?;
        probes.push(Probe {
            lane,
            number: row.get(2),
        });
    }
    tx.commit().await?;
    Ok(probes)
}

/// How a lane stands, for operators and metrics.
#[derive(Clone, Debug)]
pub struct LaneRow {
    /// Whose.
    pub lane: String,
    /// Calls at a time.
    pub slots: i32,
    /// Slots in use.
    pub busy: i64,
    /// `closed` or `open`.
    pub breaker: String,
    /// Since when it is open.
    pub opened_at: Option<Timestamp>,
    /// When it is asked next.
    pub probe_at: Option<Timestamp>,
    /// Why it opened.
    pub last_error: Option<String>,
}

/// All lanes.
pub async fn list(store: &Store) -> Result<Vec<LaneRow>, StoreError> {
    let rows = store
        .query(
            "SELECT lane_id, slots,
                    (SELECT count(*) FROM lane_slot s WHERE s.lane_id = lane.lane_id AND lease_until > clock_timestamp()),
                    breaker, opened_at, probe_at, last_error
             FROM lane ORDER BY lane_id",
            &[],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| LaneRow {
            lane: row.get(0),
            slots: row.get(1),
            busy: row.get(2),
            breaker: row.get(3),
            opened_at: row.get(4),
            probe_at: row.get(5),
            last_error: row.get(6),
        })
        .collect())
}

/// Seconds a slot is leased for a call of at most this length.
pub(crate) fn lease_seconds(call: Duration) -> f64 {
    (call + LEASE_MARGIN).as_secs_f64()
}
