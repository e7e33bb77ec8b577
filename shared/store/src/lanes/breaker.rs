//! The breaker: a note in the lane's row that the payee is down. While it is open nothing is claimed, and no step of any
//! schedule is spent. A payee that answers a probe is given one payment to try: one that answers questions and no payments
//! would otherwise be paid again and again by all that waits for it.

use std::time::Duration;

use jiff::Timestamp;

use crate::{Store, StoreError, Tx};

/// Failures in a row that open a breaker.
const FAILURES_TO_OPEN: i32 = 5;
/// The longest pause between probes, in seconds.
const LONGEST_PROBE_INTERVAL: f64 = 600.0;

/// What became of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breaker {
    /// It opened: the payee is down.
    Opened,
    /// It closed: the payee is back, and its waiting payments go out, oldest first.
    Closed,
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
                 SELECT lane_id, breaker AS was, answered, error, probe, failed,
                        CASE WHEN answered THEN 0 ELSE failures END + failed AS failures_now
                 FROM lane JOIN UNNEST($1::text[], $2::bool[], $3::int4[], $4::text[], $5::float8[])
                      AS u(lane_id, answered, failed, error, probe) USING (lane_id)
                 WHERE failed > 0 OR failures > 0 OR breaker <> 'closed' ORDER BY lane_id FOR UPDATE OF lane),
             judged AS (
                 SELECT *, failed > 0 AND (failures_now >= $6 OR (was <> 'closed' AND NOT answered)) AS opens FROM before)
             UPDATE lane l SET failures = failures_now, last_error = CASE WHEN failed > 0 THEN error ELSE last_error END,
                    breaker = CASE WHEN opens THEN 'open' ELSE 'closed' END,
                    opened_at = CASE WHEN opens THEN coalesce(opened_at, clock_timestamp()) END,
                    probe_at = CASE WHEN opens THEN coalesce(probe_at, clock_timestamp()
                                   + make_interval(secs => least($7, probe * 2 ^ least(probe_count, 16)))) END,
                    probe_count = CASE WHEN answered THEN 0 ELSE probe_count END,
                    recovered_to = CASE WHEN opens THEN NULL WHEN was = 'open' THEN 0 ELSE recovered_to END
             FROM judged WHERE l.lane_id = judged.lane_id RETURNING l.lane_id, was = 'closed', opens",
            &[
                &lanes,
                &answered,
                &failures,
                &errors,
                &probes,
                &FAILURES_TO_OPEN,
                &LONGEST_PROBE_INTERVAL,
            ],
        )
        .await?;
    let changed = rows.iter().filter_map(|row| {
        let breaker = match (row.get(1), row.get(2)) {
            (true, true) => Breaker::Opened,
            (false, false) => Breaker::Closed,
            _ => return None,
        };
        Some((row.get(0), breaker))
    });
    Ok(changed.collect())
}

/// Notes that a payee that was down answered a probe. Where a payment waits, the breaker stays until one was tried;
/// otherwise it closes.
pub async fn back(tx: &Tx, lane: &str) -> Result<Vec<(String, Breaker)>, StoreError> {
    let trial = tx
        .execute(
            "UPDATE lane SET breaker = 'trial', probe_at = NULL, recovered_to = 0
             WHERE lane_id = $1 AND breaker = 'open'
               AND EXISTS (SELECT FROM payment WHERE payee_id = $1 AND due_at IS NOT NULL AND next_act = 'pay')",
            &[&lane],
        )
        .await?;
    if trial == 1 {
        return Ok(Vec::new());
    }
    let answered = Said {
        lane,
        answered: true,
        failures: 0,
        error: None,
        probe: Duration::ZERO,
    };
    note(tx, &[answered]).await
}

/// A payee that is down and due to be asked whether it is back.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Whose.
    pub lane: String,
    /// A number it can be asked about: that of the payment that waits longest. None when none waits.
    pub number: Option<i64>,
}

/// What the declaration says about a lane's probes.
#[derive(Clone, Copy, Debug)]
pub struct Probing {
    /// The first interval.
    pub first: Duration,
    /// Until when the payee is to be left alone.
    pub quiet_until: Option<Timestamp>,
}

/// Claims the probes that are due; each is ours for as long as a call can last. The pauses double up to ten minutes. In
/// quiet hours none is made, and each counts for the payee's rate.
pub async fn claim_probes(
    store: &Store,
    probing: impl Fn(&str, Timestamp) -> Probing,
) -> Result<Vec<Probe>, StoreError> {
    let tx = store.begin().await?;
    let rows = tx
        .query(
            "SELECT lane_id, (SELECT number FROM payment WHERE payee_id = lane_id AND due_at IS NOT NULL
                              ORDER BY due_at, number LIMIT 1), clock_timestamp()
             FROM lane WHERE breaker = 'open' AND NOT paused AND greatest(probe_at, next_call_at) <= clock_timestamp()
             FOR UPDATE SKIP LOCKED",
            &[],
        )
        .await?;
    let mut probes = Vec::with_capacity(rows.len());
    for row in &rows {
        let lane: String = row.get(0);
        let Probing { first, quiet_until } = probing(&lane, row.get(2));
        if let Some(until) = quiet_until {
            tx.execute_later("UPDATE lane SET probe_at = $2 WHERE lane_id = $1", &[&lane, &until])
                .await?;
            continue;
        }
        tx.execute_later(
            "UPDATE lane SET probe_count = probe_count + 1,
                    probe_at = clock_timestamp() + make_interval(secs => least($3, $2 * 2 ^ least(probe_count + 1, 16))),
                    next_call_at = greatest(next_call_at, clock_timestamp()) + make_interval(secs => coalesce(call_interval, 0))
             WHERE lane_id = $1",
            &[&lane, &first.as_secs_f64(), &LONGEST_PROBE_INTERVAL],
        )
        .await?;
        probes.push(Probe {
            lane,
            number: row.get(1),
        });
    }
    tx.commit().await?;
    Ok(probes)
}

/// The number of the payment of a lane that waits longest: something its payee can be asked about.
pub async fn waiting_number(store: &Store, lane: &str) -> Result<Option<i64>, StoreError> {
    let row = store
        .query_opt(
            "SELECT number FROM payment WHERE payee_id = $1 AND due_at IS NOT NULL ORDER BY due_at, number LIMIT 1",
            &[&lane],
        )
        .await?;
    Ok(row.map(|row| row.get(0)))
}
