//! Claiming: slots first, then payments, oldest due first; the attempt's row before any call.

use std::collections::HashMap;
use std::time::Duration;

use domain::ids::AttemptId;
use domain::payment::Act;
use jiff::Timestamp;
use uuid::Uuid;

#[cfg(feature = "scratch")]
use super::taking::DUE_OF_LANES;
use super::taking::{self, Taken, Taking};
use super::{Due, by_key};
use crate::lanes::{self, Ask, Slot, Turn};
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
    /// How long it waits for its moment, counted from the claim: the payee's rate. Zero for most payees.
    pub start_in: Duration,
}

/// Lanes with due payments, now or later, and how long until something of them may be called: not before a slot is free,
/// nor before the payee's rate, its quiet hours and what it has asked us to wait allow it. Lanes whose breaker is open or that
/// are paused are left out: nothing of them is claimed. So are those that the caller knows better about. Per lane one entry of an
/// index is looked at, however many payments wait.
pub async fn lanes_due(store: &Store, but_for: &[String]) -> Result<Vec<(String, Duration)>, StoreError> {
    let rows = store.query(LANES_DUE, &[&but_for]).await?;
    Ok(rows
        .iter()
        .map(|row| (row.get(0), Duration::from_secs_f64(row.get::<_, f64>(1).max(0.0))))
        .collect())
}

const LANES_DUE: &str =
    "SELECT lane_id, extract(epoch FROM greatest(clock_timestamp(), next_call_at, quiet_until, wait_until, slot.free_at,
         CASE WHEN recovered_to IS NULL THEN next.due_at END) - clock_timestamp())::float8
     FROM lane
     CROSS JOIN LATERAL (
         SELECT due_at FROM payment WHERE payee_id = lane_id AND due_at IS NOT NULL ORDER BY due_at LIMIT 1) next
     CROSS JOIN LATERAL (
         SELECT CASE breaker WHEN 'trial' THEN max(lease_until) ELSE min(lease_until) END AS free_at
         FROM lane_slot s WHERE s.lane_id = lane.lane_id AND slot <= slots) slot
     WHERE breaker <> 'open' AND NOT paused AND lane_id <> ALL ($1)";

/// How the deliveries of a gateway stand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// For how long the oldest payment has been due, of payees that may be called; 0 when none is.
    pub due_seconds: f64,
    /// Calls that are open.
    pub open: i64,
}

/// Of all processes together. As with [`lanes_due`], one entry of an index is looked at per lane.
pub async fn standing(store: &Store, gateway: &str) -> Result<Standing, StoreError> {
    let row = store.query_one(STANDING, &[&gateway]).await?;
    Ok(Standing {
        due_seconds: row.get(0),
        open: row.get(1),
    })
}

/// `statement_timestamp`, as with [`DUE_OF_LANES`].
const STANDING: &str = "SELECT (SELECT coalesce(max(extract(epoch FROM clock_timestamp() - next.due_at)), 0)::float8
             FROM lane JOIN payee ON payee_id = lane_id AND gateway = $1
             CROSS JOIN LATERAL (
                 SELECT due_at FROM payment WHERE payee_id = lane_id AND due_at <= statement_timestamp()
                 ORDER BY due_at LIMIT 1) next
             WHERE breaker <> 'open' AND NOT paused AND wait_until <= statement_timestamp()),
            (SELECT count(*) FROM attempt JOIN payee ON payee_id = lane_id AND gateway = $1 WHERE ending = 'open')";

/// What was claimed of several lanes.
#[derive(Debug, Default)]
pub struct Claims {
    /// Ours to call now.
    pub calls: Vec<Claimed>,
    /// Lanes that somebody works on at this moment: they are worth another look soon.
    pub passed_over: usize,
    /// Lanes of which something was claimed, and that wanted slots for more: as soon as one is given back there is, as far as
    /// anybody knows, a payment for it.
    pub short: Vec<String>,
}

/// Claims due payments of several lanes in one transaction, one per free slot, as many as their rates allow; none in quiet
/// hours. Lanes that somebody works on at this moment are passed over, so that none of them holds up the others.
pub async fn claim(store: &Store, asks: &[Ask<'_>], worker: &str) -> Result<Claims, StoreError> {
    let tx = store.begin().await?;
    by_key(&tx).await?;
    let turns = lanes::turns(&tx, asks).await?;
    let passed_over = asks.len() - turns.len();
    let free: Vec<&Turn<'_>> = turns.iter().filter(|turn| !turn.free.is_empty()).collect();
    let taken = if free.iter().all(|turn| turn.is_plain()) {
        take_last(tx, &free, worker).await?
    } else {
        take_and_note(tx, &free, worker).await?
    };
    let short = free
        .iter()
        .filter(|turn| turn.is_plain() && slots_of(&taken, turn) == turn.free.len());
    Ok(Claims {
        short: short.map(|turn| turn.lane.to_owned()).collect(),
        passed_over,
        calls: taken.into_iter().filter_map(|one| one.call).collect(),
    })
}

/// Where nothing has to be noted in any lane, COMMIT goes out with what takes the payments.
async fn take_last(tx: Tx, turns: &[&Turn<'_>], worker: &str) -> Result<Vec<Taken>, StoreError> {
    if turns.is_empty() {
        tx.commit().await?;
        return Ok(Vec::new());
    }
    let taking = Taking::new(turns, false, worker);
    let rows = tx.query_last(&taking::sql(), &taking.params()).await?;
    Ok(taking.taken(&rows))
}

/// Otherwise it is noted how far the payments that wait for a retry were made due, and when the rate allows the next call. A
/// trial is about paying: a payee that answers questions only is not back. Where nothing is to be paid a question will do.
async fn take_and_note(tx: Tx, turns: &[&Turn<'_>], worker: &str) -> Result<Vec<Taken>, StoreError> {
    let mut recovered = HashMap::new();
    for turn in turns {
        let to = if turn.trial {
            make_trial_due(&tx, turn).await?
        } else {
            make_due(&tx, turn).await?
        };
        recovered.insert(turn.lane, to);
    }
    let mut taken = take_due(&tx, turns, true, worker).await?;
    let idle = |turn: &&&Turn<'_>| turn.trial && slots_of(&taken, turn) == 0;
    let untried: Vec<&Turn<'_>> = turns.iter().filter(idle).copied().collect();
    if !untried.is_empty() {
        taken.extend(take_due(&tx, &untried, false, worker).await?);
    }
    for turn in turns {
        let recovered_to = recovered.remove(turn.lane).flatten();
        turn.taken(&tx, slots_of(&taken, turn), recovered_to).await?;
    }
    tx.commit().await?;
    Ok(taken)
}

async fn take_due(tx: &Tx, turns: &[&Turn<'_>], trials_pay: bool, worker: &str) -> Result<Vec<Taken>, StoreError> {
    let taking = Taking::new(turns, trials_pay, worker);
    let rows = tx.query(&taking::sql(), &taking.params()).await?;
    Ok(taking.taken(&rows))
}

/// How many of its free slots are taken.
fn slots_of(taken: &[Taken], turn: &Turn<'_>) -> usize {
    taken.iter().filter(|one| one.lane == turn.lane).count()
}

/// A payee that is back gets the payments that wait for a retry, oldest first and as it can take them: each claim makes as
/// many due as it has free slots, so that no transaction is long however many wait. They are due as of their acceptance,
/// in front of what was accepted later. Each is made due once; one that fails again keeps its schedule. Questions about
/// payments (`status`, `cancel`) keep their time: asked too early, a `not_found` does not count. Those somebody works on
/// at this moment are left to him.
async fn make_due(tx: &Tx, turn: &Turn<'_>) -> Result<Option<i64>, StoreError> {
    let Some(after) = turn.recovered_to else {
        return Ok(None);
    };
    let most = i64::try_from(turn.free.len()).unwrap_or(i64::MAX);
    let rows = tx.query(MAKE_DUE, &[&turn.lane, &after, &most]).await?;
    Ok((rows.len() == turn.free.len())
        .then(|| rows.iter().map(|row| row.get(0)).max())
        .flatten())
}

const MAKE_DUE: &str = "UPDATE payment SET due_at = least(due_at, accepted_at) WHERE payment_id = ANY(ARRAY(
         SELECT payment_id FROM payment
         WHERE payee_id = $1 AND state = 'waiting' AND next_act = 'pay' AND number > $2
         ORDER BY number LIMIT $3 FOR UPDATE SKIP LOCKED))
     RETURNING number";

/// The one payment of a trial, put in front of all that is due: this transaction claims it, so that nobody sees that. What failed
/// the last trial is passed over: those that wait for a retry have their turn one after the other, then what has not failed yet,
/// and then all over again. One that the payee never answers keeps none of the others back.
async fn make_trial_due(tx: &Tx, turn: &Turn<'_>) -> Result<Option<i64>, StoreError> {
    let tried_to = turn.recovered_to.unwrap_or_default();
    let row = tx.query_opt(MAKE_TRIAL_DUE, &[&turn.lane, &tried_to]).await?;
    Ok(row.map(|row| row.get(0)))
}

/// `coalesce` looks no further than it has to. Numbers do not rise in the order of acceptance, so one that comes out of order is
/// passed over until the next round.
const MAKE_TRIAL_DUE: &str = "UPDATE payment SET due_at = 'epoch' WHERE payment_id = coalesce(
         (SELECT payment_id FROM payment p WHERE payee_id = $1 AND state = 'waiting' AND next_act = 'pay' AND number > $2
            AND NOT EXISTS (SELECT FROM attempt a WHERE a.payment_id = p.payment_id AND a.ending = 'open' OFFSET 0)
          ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED),
         (SELECT payment_id FROM payment p WHERE payee_id = $1 AND due_at <= statement_timestamp() AND next_act = 'pay'
            AND state <> 'waiting'
            AND NOT EXISTS (SELECT FROM attempt a WHERE a.payment_id = p.payment_id AND a.ending = 'open' OFFSET 0)
          ORDER BY due_at, number LIMIT 1 FOR UPDATE SKIP LOCKED),
         (SELECT payment_id FROM payment p WHERE payee_id = $1 AND state = 'waiting' AND next_act = 'pay'
            AND NOT EXISTS (SELECT FROM attempt a WHERE a.payment_id = p.payment_id AND a.ending = 'open' OFFSET 0)
          ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED))
     RETURNING CASE state WHEN 'waiting' THEN number ELSE greatest(number, $2) END";

/// The queries that look for work, with parameters for a lane; their plans must not depend on how much waits.
#[cfg(feature = "scratch")]
pub(crate) fn queries(lane: &str) -> Vec<(&'static str, String, String)> {
    vec![
        ("lanes_due", LANES_DUE.to_owned(), "('{}')".to_owned()),
        ("standing", STANDING.to_owned(), "('unikassa')".to_owned()),
        ("make_due", MAKE_DUE.to_owned(), format!("('{lane}', 0, 4)")),
        ("make_trial_due", MAKE_TRIAL_DUE.to_owned(), format!("('{lane}', 0)")),
        (
            "take_due",
            format!("SELECT due.payment_id {DUE_OF_LANES}"),
            format!("(ARRAY['{lane}'], ARRAY[4], ARRAY[false], ARRAY[0], ARRAY[30])"),
        ),
        (
            "expired",
            EXPIRED.to_owned(),
            "('1970-01-01Z', '00000000-0000-0000-0000-000000000000', 100)".to_owned(),
        ),
    ]
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
    let rows = store.query(EXPIRED, &[&lease_until, &attempt_id, &most]).await?;
    Ok(rows
        .iter()
        .map(|row| Expired {
            attempt_id: AttemptId::from_uuid(row.get::<_, Uuid>(0)),
            payee: row.get(1),
            lease_until: row.get(2),
        })
        .collect())
}

const EXPIRED: &str = "SELECT attempt_id, lane_id, lease_until FROM attempt
     WHERE ending = 'open' AND lease_until < statement_timestamp() AND (lease_until, attempt_id) > ($1, $2)
     ORDER BY lease_until, attempt_id LIMIT $3";
