//! Claiming: slots first, then payments, oldest due first; the attempt's row before any call.

use std::collections::HashMap;
use std::time::Duration;

use domain::ids::AttemptId;
use domain::payment::Act;
use jiff::Timestamp;
use uuid::Uuid;

use super::{DUE_COLUMNS, Due, by_key, due_of};
use crate::lanes::{self, Ask, Slot, Turn, lease_seconds};
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
    /// When the call begins, by the database's clock.
    pub started_at: Timestamp,
    /// How long it waits for its moment, counted from the claim: the payee's rate. Zero for most payees.
    pub start_in: Duration,
    /// The operator's act that asked for it. None: it is made by itself.
    caused_by: Option<Uuid>,
}

/// Lanes with due payments, now or later, and how long until something of them may be called: not before a slot is free,
/// nor before the payee's rate and quiet hours allow it. Lanes whose breaker is open or that are paused are left out:
/// nothing of them is claimed. Per lane one entry of an index is looked at, however many payments wait.
pub async fn lanes_due(store: &Store) -> Result<Vec<(String, Duration)>, StoreError> {
    let rows = store.query(LANES_DUE, &[]).await?;
    Ok(rows
        .iter()
        .map(|row| (row.get(0), Duration::from_secs_f64(row.get::<_, f64>(1).max(0.0))))
        .collect())
}

const LANES_DUE: &str =
    "SELECT lane_id, extract(epoch FROM greatest(clock_timestamp(), next_call_at, quiet_until, slot.free_at,
         CASE WHEN recovered_to IS NULL THEN next.due_at END) - clock_timestamp())::float8
     FROM lane
     CROSS JOIN LATERAL (
         SELECT due_at FROM payment WHERE payee_id = lane_id AND due_at IS NOT NULL ORDER BY due_at LIMIT 1) next
     CROSS JOIN LATERAL (
         SELECT CASE breaker WHEN 'trial' THEN max(lease_until) ELSE min(lease_until) END AS free_at
         FROM lane_slot s WHERE s.lane_id = lane.lane_id AND slot <= slots) slot
     WHERE breaker <> 'open' AND NOT paused";

/// Claims due payments of several lanes in one transaction, one per free slot, as many as their rates allow; none in quiet
/// hours. Lanes that somebody works on at this moment are passed over, so that none of them holds up the others: their
/// number is returned too, and they are worth another look soon.
pub async fn claim(store: &Store, asks: &[Ask<'_>], worker: &str) -> Result<(Vec<Claimed>, usize), StoreError> {
    let tx = store.begin().await?;
    by_key(&tx).await?;
    let turns = lanes::turns(&tx, asks).await?;
    let mut recovered = HashMap::new();
    for turn in turns.iter().filter(|turn| !turn.free.is_empty()) {
        recovered.insert(turn.lane, make_due(&tx, turn).await?);
    }
    let claimed = take_due(&tx, &turns).await?;
    open_attempts(&tx, &turns, &claimed, worker).await?;
    for turn in turns.iter().filter(|turn| !turn.free.is_empty()) {
        let calls = claimed.iter().filter(|one| one.slot.lane == turn.lane).count();
        turn.taken(&tx, calls, recovered.remove(turn.lane).flatten()).await?;
    }
    tx.commit().await?;
    Ok((claimed, asks.len() - turns.len()))
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

/// Due payments of lanes, oldest due first. `statement_timestamp`, since a bound that moves while the index is read
/// (`clock_timestamp`) is no bound to it: every payment that waits would be looked at. One whose call is open (it was
/// revoked while its payee was asked) is left to that call's record; it is looked up payment by payment (`OFFSET 0`), not
/// by reading all calls that are open.
const TAKE_DUE: &str = "FROM UNNEST($1::text[], $2::int8[], $3::bool[]) AS l(lane_id, most, pay_only)
     CROSS JOIN LATERAL (
         SELECT p.* FROM payment p
         WHERE p.payee_id = l.lane_id AND p.due_at <= statement_timestamp() AND (NOT l.pay_only OR p.next_act = 'pay')
           AND NOT EXISTS (SELECT FROM attempt a WHERE a.payment_id = p.payment_id AND a.ending = 'open' OFFSET 0)
         ORDER BY p.due_at, p.number LIMIT l.most FOR UPDATE SKIP LOCKED
     ) due";

fn take_due_sql() -> String {
    format!("SELECT {DUE_COLUMNS}, next_act, act_id {TAKE_DUE}")
}

/// One due payment per free slot. A trial is about paying: a payee that answers questions only is not back. Where nothing
/// is to be paid a question will do.
async fn take_due(tx: &Tx, turns: &[Turn<'_>]) -> Result<Vec<Claimed>, StoreError> {
    let free: Vec<&Turn<'_>> = turns.iter().filter(|turn| !turn.free.is_empty()).collect();
    let mut claimed = take_due_of(tx, &free, true).await?;
    let idle = |turn: &&&Turn<'_>| turn.trial && claimed.iter().all(|one| one.slot.lane != turn.lane);
    let untried: Vec<&Turn<'_>> = free.iter().filter(idle).copied().collect();
    claimed.extend(take_due_of(tx, &untried, false).await?);
    Ok(claimed)
}

async fn take_due_of(tx: &Tx, turns: &[&Turn<'_>], trials_pay: bool) -> Result<Vec<Claimed>, StoreError> {
    if turns.is_empty() {
        return Ok(Vec::new());
    }
    let lanes: Vec<&str> = turns.iter().map(|turn| turn.lane).collect();
    let most: Vec<i64> = turns.iter().map(|turn| turn.free.len() as i64).collect();
    let pay_only: Vec<bool> = turns.iter().map(|turn| turn.trial && trials_pay).collect();
    let sql = take_due_sql();
    let mut taken: HashMap<String, usize> = HashMap::new();
    let mut claimed = Vec::new();
    for row in tx.query(&sql, &[&lanes, &most, &pay_only]).await? {
        let due = due_of(&row)?;
        let nth = taken.entry(due.payee.clone()).or_default();
        let turn = turns.iter().find(|turn| turn.lane == due.payee);
        // As many as there are slots were asked for.
        let Some((turn, &place)) = turn.and_then(|turn| Some((turn, turn.free.get(*nth)?))) else {
            continue;
        };
        let attempt_id = AttemptId::random();
        let act = Act::parse(row.get("next_act"))?;
        claimed.push(Claimed {
            attempt_id,
            act,
            // The first call after an operator's act is that act's, unless the terminal took the payment back meanwhile.
            caused_by: row.get::<_, Option<Uuid>>("act_id").filter(|_| act != Act::Cancel),
            slot: Slot {
                lane: due.payee.clone(),
                place,
                token: attempt_id.as_uuid(),
            },
            started_at: turn.start(*nth),
            start_in: turn.start_in(*nth),
            due,
        });
        *nth += 1;
    }
    Ok(claimed)
}

/// Writes the attempts before any call, moves the payments and takes the slots, all in one statement. Only a payment on its
/// way is `delivering`; while the payee is asked about one, its state stays what it is, and so do `unknown` and `revoking`,
/// which say more.
async fn open_attempts(tx: &Tx, turns: &[Turn<'_>], claimed: &[Claimed], worker: &str) -> Result<(), StoreError> {
    if claimed.is_empty() {
        return Ok(());
    }
    let leases: HashMap<&str, f64> = turns
        .iter()
        .map(|turn| (turn.lane, lease_seconds(turn.longest)))
        .collect();
    let attempts: Vec<Uuid> = claimed.iter().map(|one| one.attempt_id.as_uuid()).collect();
    let payments: Vec<Uuid> = claimed.iter().map(|one| one.due.payment_id.as_uuid()).collect();
    let ordinals: Vec<i32> = claimed.iter().map(|one| one.due.attempts + 1).collect();
    let acts: Vec<&str> = claimed.iter().map(|one| one.act.as_str()).collect();
    let lanes: Vec<&str> = claimed.iter().map(|one| one.slot.lane.as_str()).collect();
    let places: Vec<i32> = claimed.iter().map(|one| one.slot.place).collect();
    let starts: Vec<Timestamp> = claimed.iter().map(|one| one.started_at).collect();
    let causes: Vec<Option<Uuid>> = claimed.iter().map(|one| one.caused_by).collect();
    let seconds: Vec<f64> = lanes
        .iter()
        .map(|lane| leases.get(lane).copied().unwrap_or(0.0))
        .collect();
    tx.execute_later(
        OPEN_ATTEMPTS,
        &[
            &attempts, &payments, &ordinals, &acts, &lanes, &places, &starts, &seconds, &causes, &worker,
        ],
    )
    .await
}

const OPEN_ATTEMPTS: &str = "WITH given AS MATERIALIZED (
         SELECT *, called_at + make_interval(secs => seconds) AS lease_until FROM (
             SELECT *, greatest(begins, clock_timestamp()) AS called_at
             FROM UNNEST($1::uuid[], $2::uuid[], $3::int4[], $4::text[], $5::text[], $6::int4[], $7::timestamptz[],
                         $8::float8[], $9::uuid[])
                  AS u(attempt_id, payment_id, ordinal, act, lane_id, slot, begins, seconds, caused_by)) u),
     attempted AS (
         INSERT INTO attempt (attempt_id, payment_id, ordinal, act, lane_id, slot, worker, started_at, lease_until,
                              automatic, act_id)
         SELECT attempt_id, payment_id, ordinal, act, lane_id, slot, $10, begins, lease_until, caused_by IS NULL, caused_by
         FROM given),
     moved AS (
         UPDATE payment p SET attempts = given.ordinal, due_at = NULL, next_act = NULL, act_id = NULL,
                updated_at = clock_timestamp(),
                state = CASE WHEN given.act <> 'pay' OR p.state IN ('unknown', 'revoking') THEN p.state
                             ELSE 'delivering' END,
                last_call_at = CASE WHEN given.act = 'pay' THEN given.called_at ELSE p.last_call_at END
         FROM given WHERE p.payment_id = given.payment_id)
     UPDATE lane_slot s SET token = given.attempt_id, lease_until = given.lease_until
     FROM given WHERE s.lane_id = given.lane_id AND s.slot = given.slot";

/// The queries that look for work, with parameters for a lane; their plans must not depend on how much waits.
#[cfg(feature = "scratch")]
pub(crate) fn queries(lane: &str) -> Vec<(&'static str, String, String)> {
    vec![
        ("lanes_due", LANES_DUE.to_owned(), String::new()),
        ("make_due", MAKE_DUE.to_owned(), format!("('{lane}', 0, 4)")),
        (
            "take_due",
            take_due_sql(),
            format!("(ARRAY['{lane}'], ARRAY[4], ARRAY[false])"),
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
