//! When what happened in a period is all there. A sale or a payment bears the time at which it was judged, and can be seen once its
//! transaction is committed: a report begun in between would lack it, and so would the report of the next period.

use std::time::Duration;

use jiff::Timestamp;

use crate::{Store, StoreError};

/// What is recorded.
#[derive(Clone, Copy, Debug)]
pub enum Recorded {
    /// Sales of cards: a reservation is locked before the clock is read.
    Sales,
    /// Payments accepted, and delivered: the row is written with the time.
    Payments,
}

impl Recorded {
    fn table(self) -> &'static str {
        match self {
            Self::Sales => "reservation",
            Self::Payments => "payment",
        }
    }
}

/// A period that ended longer ago has settled: no transaction that records takes so long. Whoever gives transactions a limit keeps it
/// well below.
pub const SETTLES_WITHIN: Duration = Duration::from_secs(180);
/// A period that ends later than this from now is not waited for: clocks do not differ by so much.
const NEAR: Duration = Duration::from_secs(60);
/// How often whoever records is looked at, and how many times at most.
const PAUSE: Duration = Duration::from_millis(100);
const LOOKS: u32 = 100;

/// Waits until everything that was recorded before `to` can be seen. A moment that is not there by the database's clock is waited
/// for where it is near: clocks differ. False: somebody has not committed after ten seconds. Of a period that is far from over
/// everybody knows that more will come, and nothing is waited for.
pub async fn settled(store: &Store, recorded: Recorded, to: Timestamp) -> Result<bool, StoreError> {
    let row = store
        .query_one(
            "SELECT extract(epoch FROM $1::timestamptz - clock_timestamp())::float8",
            &[&to],
        )
        .await?;
    let ahead: f64 = row.get(0);
    if ahead > NEAR.as_secs_f64() || -ahead > SETTLES_WITHIN.as_secs_f64() {
        return Ok(true);
    }
    tokio::time::sleep(Duration::from_secs_f64(ahead.max(0.0))).await;
    let mut open = recording(store, recorded).await?;
    for _ in 0..LOOKS {
        if open.is_empty() {
            return Ok(true);
        }
        tokio::time::sleep(PAUSE).await;
        let still = recording(store, recorded).await?;
        open.retain(|transaction| still.contains(transaction));
    }
    Ok(open.is_empty())
}

/// The transactions that may be recording now.
async fn recording(store: &Store, recorded: Recorded) -> Result<Vec<String>, StoreError> {
    let rows = store
        .query(
            "SELECT DISTINCT virtualtransaction FROM pg_locks
             WHERE locktype = 'relation' AND relation = $1::text::regclass AND granted
               AND mode IN ('RowShareLock', 'RowExclusiveLock')
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            &[&recorded.table()],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
