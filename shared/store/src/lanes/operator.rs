//! Lanes as operators see them, and holding one back.

use jiff::Timestamp;
use serde_json::json;

use super::breaker::FAILURES_TO_OPEN;
use crate::audit::{self, Act};
use crate::{Store, StoreError, Tx};

/// Payments that wait on a lane are counted up to so many: whoever asks wants to know whether it is much.
pub const COUNTED_AT_MOST: i64 = 100_000;

/// How a lane stands, for operators and metrics.
#[derive(Clone, Debug)]
pub struct LaneRow {
    /// Whose.
    pub lane: String,
    /// Calls at a time.
    pub slots: i32,
    /// Slots in use.
    pub busy: i64,
    /// `closed`, `open`, or `trial`: one call decides whether the payee is back.
    pub breaker: String,
    /// Since when it is not closed.
    pub opened_at: Option<Timestamp>,
    /// When it is asked next.
    pub probe_at: Option<Timestamp>,
    /// Why it opened, what the payee says to all that it is sent, or why it cannot be called.
    pub last_error: Option<String>,
    /// Its payee answers, and takes none of our requests.
    pub rejects: bool,
    /// It cannot be called from here.
    pub hindered: bool,
    /// Nothing is sent: its payee is suspended, or an operator holds it back.
    pub paused: bool,
    /// An operator holds it back.
    pub held: bool,
    /// Its payee is suspended: whatever operators hold back or let go here, it gets nothing.
    pub suspended: bool,
    /// Its payee is declared to be one no more.
    pub retired: bool,
    /// Which operator holds it back.
    pub held_by: Option<String>,
    /// Since when.
    pub held_at: Option<Timestamp>,
    /// Why.
    pub held_reason: Option<String>,
    /// When the payment was due that waits longest, or will be.
    pub next_due_at: Option<Timestamp>,
    /// Until when its payee has asked to be left alone, if that is to come.
    pub wait_until: Option<Timestamp>,
    /// How many payments wait, up to [`COUNTED_AT_MOST`].
    pub waiting: i64,
}

/// All lanes.
pub async fn list(store: &Store) -> Result<Vec<LaneRow>, StoreError> {
    let rows = store
        .query(
            "SELECT lane_id, slots,
                    (SELECT count(*) FROM lane_slot s WHERE s.lane_id = lane.lane_id AND lease_until > clock_timestamp()),
                    breaker, opened_at, probe_at, last_error, paused, held_by, held_at, held_reason,
                    (SELECT due_at FROM payment WHERE payee_id = lane_id AND due_at IS NOT NULL ORDER BY due_at LIMIT 1),
                    rejected >= $1,
                    (SELECT count(*) FROM (SELECT FROM payment WHERE payee_id = lane_id AND due_at IS NOT NULL LIMIT $2) counted),
                    coalesce((SELECT suspended FROM payee WHERE payee_id = lane_id), false),
                    coalesce((SELECT retired FROM payee WHERE payee_id = lane_id), false), hindered >= $1,
                    CASE WHEN wait_until > clock_timestamp() THEN wait_until END
             FROM lane ORDER BY lane_id",
            &[&FAILURES_TO_OPEN, &COUNTED_AT_MOST],
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
            paused: row.get(7),
            held_by: row.get(8),
            held_at: row.get(9),
            held_reason: row.get(10),
            next_due_at: row.get(11),
            rejects: row.get(12),
            waiting: row.get(13),
            suspended: row.get(14),
            retired: row.get(15),
            hindered: row.get(16),
            wait_until: row.get(17),
            held: row.get::<_, Option<&str>>(8).is_some(),
        })
        .collect())
}

/// Holds a lane back until it is released, whatever is declared meanwhile: no payment is claimed and no question asked.
/// Calls under way end. [`StoreError::Changed`] when it is held back already; the caller notes the denial.
pub async fn hold(store: &Store, lane: &str, who: &str, reason: &str) -> Result<(), StoreError> {
    let tx = store.begin().await?;
    if let Some(by) = lock(&tx, lane).await? {
        return Err(StoreError::Changed(format!("{lane} is paused already, by {by}")));
    }
    tx.execute(
        "UPDATE lane SET paused = true, held_by = $2, held_at = clock_timestamp(), held_reason = $3 WHERE lane_id = $1",
        &[&lane, &who, &reason],
    )
    .await?;
    note(&tx, "deliveries pause", lane, who, reason, None, Some(who)).await?;
    tx.commit().await
}

/// Lets a lane go that was held back; one whose payee is suspended stays paused. [`StoreError::Changed`] when nobody holds
/// it back.
pub async fn release(store: &Store, lane: &str, who: &str, reason: &str) -> Result<(), StoreError> {
    let tx = store.begin().await?;
    let Some(by) = lock(&tx, lane).await? else {
        let suspended = "SELECT FROM payee WHERE payee_id = $1 AND suspended";
        let but = match tx.query_opt(suspended, &[&lane]).await? {
            Some(_) => format!(": its payee is suspended: `unigate payees resume {lane}`"),
            None => String::new(),
        };
        return Err(StoreError::Changed(format!("{lane} is not paused by anybody{but}")));
    };
    tx.execute(
        "UPDATE lane SET held_by = NULL, held_at = NULL, held_reason = NULL,
                paused = coalesce((SELECT suspended FROM payee WHERE payee_id = lane_id), false)
         WHERE lane_id = $1",
        &[&lane],
    )
    .await?;
    note(&tx, "deliveries unpause", lane, who, reason, Some(&by), None).await?;
    tx.commit().await
}

/// Has a payee that is down, or has asked to be left alone, called at once: an operator has found that it answers. Where it is called
/// anyway, or its deliveries are paused, nothing changes. Whether something did.
pub async fn ask_again(tx: &Tx, lane: &str) -> Result<bool, StoreError> {
    let asked = tx
        .execute(
            "UPDATE lane SET probe_at = CASE WHEN breaker = 'open' THEN clock_timestamp() END, wait_until = '-infinity'
             WHERE lane_id = $1 AND NOT paused
               AND (wait_until > clock_timestamp() OR breaker = 'open' AND probe_at > clock_timestamp())",
            &[&lane],
        )
        .await?;
    Ok(asked == 1)
}

/// Who holds a lane back, which is locked.
async fn lock(tx: &Tx, lane: &str) -> Result<Option<String>, StoreError> {
    let sql = "SELECT held_by FROM lane WHERE lane_id = $1 FOR UPDATE";
    let Some(row) = tx.query_opt(sql, &[&lane]).await? else {
        return Err(StoreError::Changed(format!("no payee {lane} is delivered to online")));
    };
    Ok(row.get(0))
}

async fn note(
    tx: &Tx,
    act: &str,
    lane: &str,
    who: &str,
    reason: &str,
    before: Option<&str>,
    after: Option<&str>,
) -> Result<(), StoreError> {
    let act = Act {
        who,
        act,
        subject_kind: "payee",
        subject: lane,
        reason: Some(reason),
        before: Some(json!({ "held_by": before })),
        after: Some(json!({ "held_by": after })),
    };
    audit::record(tx, &act).await
}
