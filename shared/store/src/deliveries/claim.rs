//! Claiming: slots first, then payments, oldest due first; the attempt's row before any call.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use domain::ids::AttemptId;
use domain::payment::Act;
use jiff::Timestamp;
use uuid::Uuid;

use super::{DUE_COLUMNS, Due, by_key, due_of};
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
    /// Which of its lane's.
    pub(super) place: i32,
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

/// What is asked of a lane.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Which.
    pub lane: String,
    /// Payments that are wanted of it.
    pub most: usize,
    /// The longest a call on it may last.
    pub call: Duration,
}

/// Claims due payments of several lanes in one transaction, one per free slot. Lanes that somebody works on at this moment
/// are passed over, so that none of them holds up the others: their number is returned too, and they are worth another
/// look soon.
pub async fn claim(store: &Store, asks: &[Ask], worker: &str) -> Result<(Vec<Claimed>, usize), StoreError> {
    let tx = store.begin().await?;
    by_key(&tx).await?;
    let open = lock_lanes(&tx, asks).await?;
    let free = free_slots(&tx, &open).await?;
    let claimed = take_due(&tx, free).await?;
    open_attempts(&tx, asks, &claimed, worker).await?;
    tx.commit().await?;
    Ok((claimed, asks.len() - open.len()))
}

/// A lane that may be called, locked.
struct OpenLane<'a> {
    lane: &'a str,
    slots: i32,
    /// Slots left for a question that waits: none or one.
    kept: i32,
    most: i64,
}

/// The lanes out of those asked for that are not paused, down or in other hands.
async fn lock_lanes<'a>(tx: &Tx, asks: &'a [Ask]) -> Result<Vec<OpenLane<'a>>, StoreError> {
    let of: HashMap<&str, &'a Ask> = asks.iter().map(|ask| (ask.lane.as_str(), ask)).collect();
    let lanes: Vec<&str> = of.keys().copied().collect();
    let rows = tx
        .query(
            "SELECT lane_id, slots, (question_waits_until > clock_timestamp())::int4 FROM lane
             WHERE lane_id = ANY($1) AND breaker = 'closed' AND NOT paused
             ORDER BY lane_id FOR UPDATE SKIP LOCKED",
            &[&lanes],
        )
        .await?;
    let open = rows.iter().filter_map(|row| {
        let ask = of.get(row.get::<_, &str>(0))?;
        Some(OpenLane {
            lane: &ask.lane,
            slots: row.get(1),
            kept: row.get(2),
            most: i64::try_from(ask.most).unwrap_or(i64::MAX),
        })
    });
    Ok(open.collect())
}

/// Free slots of each lane. While a question waits, one of them is left for it. Calls on slots above the limit, from
/// before it was lowered, count against it until they end. A statement of its own: it sees all that was committed before
/// the lanes were locked.
async fn free_slots<'a>(tx: &Tx, open: &[OpenLane<'a>]) -> Result<BTreeMap<&'a str, Vec<i32>>, StoreError> {
    if open.is_empty() {
        return Ok(BTreeMap::new());
    }
    let lanes: Vec<&str> = open.iter().map(|lane| lane.lane).collect();
    let slots: Vec<i32> = open.iter().map(|lane| lane.slots).collect();
    let most: Vec<i64> = open.iter().map(|lane| lane.most + i64::from(lane.kept)).collect();
    let rows = tx
        .query(
            "SELECT l.lane_id, free.slot FROM UNNEST($1::text[], $2::int4[], $3::int8[]) AS l(lane_id, slots, most)
             CROSS JOIN LATERAL (
                 SELECT s.slot FROM lane_slot s
                 WHERE s.lane_id = l.lane_id AND s.slot <= l.slots AND s.lease_until < clock_timestamp()
                 ORDER BY s.slot LIMIT greatest(0, least(l.most, l.slots - (
                     SELECT count(*) FROM lane_slot busy
                     WHERE busy.lane_id = l.lane_id AND busy.lease_until >= clock_timestamp())))
                 FOR UPDATE SKIP LOCKED
             ) free",
            &[&lanes, &slots, &most],
        )
        .await?;
    let mut free: BTreeMap<&'a str, Vec<i32>> = open.iter().map(|lane| (lane.lane, Vec::new())).collect();
    for row in &rows {
        if let Some(slots) = free.get_mut(row.get::<_, &str>(0)) {
            slots.push(row.get(1));
        }
    }
    for lane in open {
        if let Some(slots) = free.get_mut(lane.lane) {
            slots.truncate(slots.len().saturating_sub(lane.kept as usize));
        }
    }
    free.retain(|_, slots| !slots.is_empty());
    Ok(free)
}

/// The oldest due payments of each lane, one per free slot.
async fn take_due(tx: &Tx, mut free: BTreeMap<&str, Vec<i32>>) -> Result<Vec<Claimed>, StoreError> {
    if free.is_empty() {
        return Ok(Vec::new());
    }
    let lanes: Vec<&str> = free.keys().copied().collect();
    let most: Vec<i64> = free.values().map(|slots| slots.len() as i64).collect();
    // `statement_timestamp`, since a bound that moves while the index is read (`clock_timestamp`) is no bound to it: every
    // payment that waits would be looked at. One whose call is open (it was revoked while its payee was asked) is left to
    // that call's record; it is looked up payment by payment (`OFFSET 0`), not by reading all calls that are open.
    let sql = format!(
        "SELECT {DUE_COLUMNS}, next_act, clock_timestamp() AS now
         FROM UNNEST($1::text[], $2::int8[]) AS l(lane_id, most)
         CROSS JOIN LATERAL (
             SELECT p.* FROM payment p
             WHERE p.payee_id = l.lane_id AND p.due_at <= statement_timestamp()
               AND NOT EXISTS (SELECT FROM attempt a WHERE a.payment_id = p.payment_id AND a.ending = 'open' OFFSET 0)
             ORDER BY p.due_at, p.number LIMIT l.most FOR UPDATE SKIP LOCKED
         ) due"
    );
    let rows = tx.query(&sql, &[&lanes, &most]).await?;
    let mut claimed = Vec::with_capacity(rows.len());
    for row in &rows {
        let due = due_of(row)?;
        let attempt_id = AttemptId::random();
        // As many as there are slots were asked for.
        let Some(place) = free.get_mut(due.payee.as_str()).and_then(Vec::pop) else {
            continue;
        };
        claimed.push(Claimed {
            attempt_id,
            act: Act::parse(row.get("next_act"))?,
            slot: Slot {
                lane: due.payee.clone(),
                token: attempt_id.as_uuid(),
            },
            place,
            due,
            started_at: row.get("now"),
        });
    }
    Ok(claimed)
}

/// Writes the attempts before any call, moves the payments, takes the slots.
///
/// Only a payment on its way is `delivering`; while the payee is asked about one, its state stays what it is, and so do
/// `unknown` and `revoking`, which say more.
async fn open_attempts(tx: &Tx, asks: &[Ask], claimed: &[Claimed], worker: &str) -> Result<(), StoreError> {
    let Some(first) = claimed.first() else { return Ok(()) };
    let leases: HashMap<&str, f64> = asks
        .iter()
        .map(|ask| (ask.lane.as_str(), lease_seconds(ask.call)))
        .collect();
    let attempts: Vec<Uuid> = claimed.iter().map(|one| one.attempt_id.as_uuid()).collect();
    let payments: Vec<Uuid> = claimed.iter().map(|one| one.due.payment_id.as_uuid()).collect();
    let ordinals: Vec<i32> = claimed.iter().map(|one| one.due.attempts + 1).collect();
    let acts: Vec<&str> = claimed.iter().map(|one| one.act.as_str()).collect();
    let lanes: Vec<&str> = claimed.iter().map(|one| one.slot.lane.as_str()).collect();
    let places: Vec<i32> = claimed.iter().map(|one| one.place).collect();
    let seconds: Vec<f64> = lanes
        .iter()
        .map(|lane| leases.get(lane).copied().unwrap_or(0.0))
        .collect();
    tx.execute_later(
        "WITH given AS MATERIALIZED (
             SELECT *, $8::timestamptz + make_interval(secs => seconds) AS lease_until
             FROM UNNEST($1::uuid[], $2::uuid[], $3::int4[], $4::text[], $5::text[], $6::int4[], $7::float8[])
                  AS u(attempt_id, payment_id, ordinal, act, lane_id, slot, seconds)),
         attempted AS (
             INSERT INTO attempt (attempt_id, payment_id, ordinal, act, lane_id, slot, worker, started_at, lease_until)
             SELECT attempt_id, payment_id, ordinal, act, lane_id, slot, $9, $8, lease_until FROM given),
         moved AS (
             UPDATE payment p SET attempts = given.ordinal, due_at = NULL, next_act = NULL, updated_at = clock_timestamp(),
                    state = CASE WHEN given.act <> 'pay' OR p.state IN ('unknown', 'revoking') THEN p.state
                                 ELSE 'delivering' END,
                    last_call_at = CASE WHEN given.act = 'pay' THEN clock_timestamp() ELSE p.last_call_at END
             FROM given WHERE p.payment_id = given.payment_id)
         UPDATE lane_slot s SET token = given.attempt_id, lease_until = given.lease_until
         FROM given WHERE s.lane_id = given.lane_id AND s.slot = given.slot",
        &[
            &attempts, &payments, &ordinals, &acts, &lanes, &places, &seconds, &first.started_at, &worker,
        ],
    )
    .await
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
