//! Closing ranges: at a cut-off, after so many payments, on request, and before a payee changes.
//!
//! The ledger's clock is pushed past the cut-off first, in a transaction of its own: that waits for intake in flight, so
//! afterwards every payment accepted before the cut-off is visible and none can still come. Then the series row is
//! locked, which makes closers take turns and keeps revocations (which hold it `FOR SHARE`) out of the range being
//! counted. A missed cut-off is closed at its own time, as if nobody had been late.

use std::time::{Duration, Instant};

use domain::declaration::{Gateway, Payee};
use domain::{PayeeId, RegisterId};
use jiff::Timestamp;
use serde_json::Value;

use super::series::{MOST_AT_ONCE, SERIES, Series};
use crate::audit::{self, Act};
use crate::{Store, StoreError, Tx};

/// Pushes the ledger's clock to now and returns it: everything accepted before that moment is committed, and everything
/// later will be stamped with it or later.
///
/// A transaction of its own, also for those who close in another: a session that held the ledger row and a series at
/// once could wait in a circle with intake, which takes both.
pub async fn advance_clock(store: &Store) -> Result<Timestamp, StoreError> {
    let row = store
        .query_one(
            "UPDATE ledger SET clock = greatest(clock + interval '1 microsecond', clock_timestamp()) WHERE only_row RETURNING clock",
            &[],
        )
        .await?;
    Ok(row.get(0))
}

/// Series that may be due: one query for all of them. It may name one that is not; it misses none.
pub async fn series_due(store: &Store) -> Result<Vec<i64>, StoreError> {
    let rows = store
        .query(
            "SELECT s.series_id FROM series s JOIN payee y USING (payee_id)
             WHERE y.gateway = 'registers' AND NOT y.suspended
               AND (s.planned_version IS DISTINCT FROM y.version
                 OR s.next_cutoff <= clock_timestamp()
                 OR (s.every_payments IS NOT NULL AND EXISTS (
                        SELECT FROM payment p
                        WHERE p.series_id = s.series_id AND p.position > s.last_hi AND p.state <> 'revoked'
                        ORDER BY p.position OFFSET s.every_payments - 1 LIMIT 1)))
             ORDER BY s.next_cutoff NULLS LAST LIMIT 4096",
            &[],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// How long until the next cut-off of any series; none when none has one.
pub async fn series_due_in(store: &Store) -> Result<Option<Duration>, StoreError> {
    let row = store
        .query_one(
            "SELECT extract(epoch FROM min(s.next_cutoff) - clock_timestamp())::float8
             FROM series s JOIN payee y USING (payee_id) WHERE y.gateway = 'registers' AND NOT y.suspended",
            &[],
        )
        .await?;
    Ok(row.get::<_, Option<f64>>(0).map(seconds))
}

pub(super) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}

/// What came of closing series together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closing {
    /// The registers that it made.
    pub registers: Vec<RegisterId>,
    /// Series that were not looked at: the transaction was long enough.
    pub left: Vec<i64>,
}

/// From then on a transaction takes no more series: revocations wait for those it holds.
const LONG_ENOUGH: Duration = Duration::from_millis(250);

/// Closes what is due of these series by `until`, which [`advance_clock`] has returned, in one transaction: all of it or
/// nothing. Those that another closer is at, or was, are passed over: several that find the same series due must not do the
/// work twice. Of a long absence some may stay due.
pub async fn close_due(store: &Store, series: &[i64], until: Timestamp) -> Result<Closing, StoreError> {
    let tx = store.begin().await?;
    match close_free(&tx, series, until).await {
        Ok(closing) => tx.commit().await.map(|()| closing),
        Err(error) => {
            // Before they are tried one by one: who is passed over while a lock lingers stays open until the next look.
            let _ = tx.rollback().await;
            Err(error)
        }
    }
}

async fn close_free(tx: &Tx, series: &[i64], until: Timestamp) -> Result<Closing, StoreError> {
    let begun = Instant::now();
    let still_due = format!(
        "{SERIES} s WHERE series_id = ANY($1)
             AND (next_cutoff <= clock_timestamp() OR every_payments IS NOT NULL
                 OR planned_version IS DISTINCT FROM (SELECT version FROM payee y WHERE y.payee_id = s.payee_id))
         ORDER BY series_id FOR NO KEY UPDATE SKIP LOCKED"
    );
    let locked = tx.query(&still_due, &[&series]).await?;
    if locked.is_empty() {
        return Ok(Closing::default());
    }
    let mut closing = Closing::default();
    for mut series in Series::read_all(tx, &locked).await? {
        if closing.registers.len() >= MOST_AT_ONCE || begun.elapsed() > LONG_ENOUGH {
            closing.left.push(series.series_id);
        } else if !series.payee.suspended {
            closing.registers.extend(series.close_due(tx, until).await?);
        }
    }
    Ok(closing)
}

/// Closes a payee's open range now, for an operator: first what was due, then the rest. No register when nothing is open.
pub async fn close_now(store: &Store, payee: &PayeeId, who: &str) -> Result<Vec<RegisterId>, StoreError> {
    let until = advance_clock(store).await?;
    let tx = store.begin().await?;
    let mut all = lock_series_of(&tx, &[payee.as_str()]).await?;
    if all.is_empty() {
        return Err(StoreError::Changed(format!("payee {payee} has no registers")));
    }
    if all.iter().any(|series| series.payee.suspended) {
        return Err(StoreError::Changed(format!(
            "payee {payee} is suspended: its payments wait until it is resumed"
        )));
    }
    let mut closed = Vec::new();
    for series in &mut all {
        closed.extend(series.close_all(&tx, until, who).await?);
    }
    let ids: Vec<String> = closed.iter().map(ToString::to_string).collect();
    let act = Act {
        who,
        act: "registers build",
        subject_kind: "payee",
        subject: payee.as_str(),
        reason: None,
        before: None,
        after: Some(Value::from(ids)),
    };
    audit::record(&tx, &act).await?;
    tx.commit().await?;
    Ok(closed)
}

/// Closes the open ranges of payees that are about to change, in the transaction that changes them, so that every
/// payment is rendered under the version it was accepted under. Payees that are new, unchanged or suspended are left
/// alone: a suspended payee's payments wait until it is resumed. Lists of what was delivered to online payees are closed
/// once they have settled ([`super::close_delivered`]).
///
/// Called after `declarations::lock_for_apply` and before `declarations::apply_payee`, once with all payees of the
/// transaction, so that their series are locked in one order.
pub async fn close_before_change(store: &Store, tx: &Tx, payees: &[Payee]) -> Result<Vec<RegisterId>, StoreError> {
    let mut changing = Vec::new();
    for payee in payees.iter().filter(|payee| payee.gateway == Gateway::Registers) {
        let row = tx
            .query_opt(
                "SELECT declaration FROM payee WHERE payee_id = $1",
                &[&payee.id.as_str()],
            )
            .await?;
        if row.is_some_and(|row| serde_json::to_value(payee).is_ok_and(|new| row.get::<_, Value>(0) != new)) {
            changing.push(payee.id.as_str());
        }
    }
    if changing.is_empty() {
        return Ok(Vec::new());
    }
    let until = advance_clock(store).await?;
    let mut all = lock_series_of(tx, &changing).await?;
    let mut closed = Vec::new();
    for series in all.iter_mut().filter(|series| !series.payee.suspended) {
        closed.extend(series.close_all(tx, until, "change").await?);
    }
    Ok(closed)
}

async fn lock_series_of(tx: &Tx, payees: &[&str]) -> Result<Vec<Series>, StoreError> {
    let sql = format!("{SERIES} WHERE payee_id = ANY($1) AND holds = 'accepted' ORDER BY series_id FOR NO KEY UPDATE");
    let locked = tx.query(&sql, &[&payees]).await?;
    Series::read_all(tx, &locked).await
}
