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

/// What became of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breaker {
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

/// Gives slots back. After a timeout one rests first: the payee may still be busy with the call.
pub async fn give_back(tx: &Tx, slots: &[(&Slot, Option<Duration>)]) -> Result<(), StoreError> {
    let lanes: Vec<&str> = slots.iter().map(|(slot, _)| slot.lane.as_str()).collect();
    let tokens: Vec<Uuid> = slots.iter().map(|(slot, _)| slot.token).collect();
    let rests: Vec<_> = slots
        .iter()
        .map(|(_, rest)| rest.map(|rest| rest.as_secs_f64()))
        .collect();
    tx.execute_later(
        "UPDATE lane_slot s SET token = NULL,
                lease_until = coalesce(clock_timestamp() + make_interval(secs => u.rest), '-infinity')
         FROM UNNEST($1::text[], $2::uuid[], $3::float8[]) AS u(lane_id, token, rest)
         WHERE s.lane_id = u.lane_id AND s.token = u.token",
        &[&lanes, &tokens, &rests],
    )
    .await
}

/// What calls on one lane said about its payee, in their order.
#[derive(Clone, Debug)]
pub struct Said<'a> {
    /// Which lane.
    pub lane: &'a str,
    /// The payee answered one of them, whatever it said.
    pub answered: bool,
    /// Calls without an answer since the last answer among them.
    pub failures: i32,
    /// What went wrong last.
    pub error: Option<&'a str>,
    /// The breaker's first interval.
    pub probe: Duration,
}

/// Tells lanes what calls said about their payees, each lane once. Returns whose breaker opened or closed.
pub async fn note(tx: &Tx, said: &[Said<'_>]) -> Result<Vec<(String, Breaker)>, StoreError> {
    let lanes: Vec<&str> = said.iter().map(|one| one.lane).collect();
    let answered: Vec<bool> = said.iter().map(|one| one.answered).collect();
    let failures: Vec<i32> = said.iter().map(|one| one.failures).collect();
    let errors: Vec<_> = said.iter().map(|one| one.error).collect();
    let probes: Vec<f64> = said.iter().map(|one| one.probe.as_secs_f64()).collect();
    // A row is locked and written only when it changes: an answer is the common case.
    let rows = tx
        .query(
            "WITH before AS MATERIALIZED (
                 SELECT lane_id, breaker = 'open' AS was, answered, error, probe, failed,
                        CASE WHEN answered THEN 0 ELSE failures END + failed AS failures_now
                 FROM lane JOIN UNNEST($1::text[], $2::bool[], $3::int4[], $4::text[], $5::float8[])
                      AS u(lane_id, answered, failed, error, probe) USING (lane_id)
                 WHERE failed > 0 OR failures > 0 OR breaker = 'open' ORDER BY lane_id FOR UPDATE OF lane),
             judged AS (SELECT *, failed > 0 AND (failures_now >= $6 OR (was AND NOT answered)) AS opens FROM before)
             UPDATE lane l SET failures = failures_now, last_error = CASE WHEN failed > 0 THEN error ELSE last_error END,
                    breaker = CASE WHEN opens THEN 'open' ELSE 'closed' END,
                    opened_at = CASE WHEN opens THEN coalesce(opened_at, clock_timestamp()) END,
                    probe_at = CASE WHEN opens THEN coalesce(probe_at, clock_timestamp() + make_interval(secs => probe)) END,
                    probe_count = CASE WHEN answered THEN 0 ELSE probe_count END
             FROM judged WHERE l.lane_id = judged.lane_id RETURNING l.lane_id, was, opens",
            &[&lanes, &answered, &failures, &errors, &probes, &FAILURES_TO_OPEN],
        )
        .await?;
    let mut changed = Vec::new();
    for row in &rows {
        let lane: String = row.get(0);
        match (row.get(1), row.get(2)) {
            (true, false) => {
                pull_forward(tx, &lane).await?;
                changed.push((lane, Breaker::Closed));
            }
            (false, true) => changed.push((lane, Breaker::Opened)),
            _ => {}
        }
    }
    Ok(changed)
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
