//! Closing what is due, of all series.

use domain::RegisterId;
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use store::registers;
use store::{Store, StoreError};

/// Series closed in one transaction, and such transactions at a time: what closing costs is flights to the database.
const TOGETHER: usize = 16;
const AT_ONCE: usize = 2;

/// Closes what is due now and says which registers that made; if any, there may be more. Several closers at once take turns.
pub async fn close_all_due(store: &Store) -> Result<Vec<RegisterId>, StoreError> {
    let mut due = registers::series_due(store).await?;
    begin_anywhere(&mut due);
    let delivered = registers::deliveries_due(store).await?;
    let mut closed = Vec::new();
    if !due.is_empty() {
        // Once for all: every cut-off up to here has passed by the ledger's clock.
        let until = registers::advance_clock(store).await?;
        closed = close_together(store, &due, until).await?;
    }
    for series in delivered {
        closed.extend(kept(store, series, Box::pin(registers::close_delivered(store, series)).await).await?);
    }
    metrics::counter!("unigate_registers_closed_total").increment(closed.len() as u64);
    Ok(closed)
}

async fn close_together(store: &Store, due: &[i64], until: Timestamp) -> Result<Vec<RegisterId>, StoreError> {
    let closed: Vec<Vec<RegisterId>> = futures::stream::iter(due.chunks(TOGETHER).map(<[i64]>::to_vec))
        .map(|series| close_some(store, series, until))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(closed.concat())
}

/// Closes series in as few transactions as may be. One that cannot be closed keeps none of the others open.
async fn close_some(store: &Store, mut series: Vec<i64>, until: Timestamp) -> Result<Vec<RegisterId>, StoreError> {
    let mut closed = Vec::new();
    while !series.is_empty() {
        match Box::pin(registers::close_due(store, &series, until)).await {
            Ok(done) => {
                closed.extend(done.registers);
                series = done.left;
            }
            Err(error) => {
                tracing::debug!(?series, %error, "closed one by one instead");
                for one in std::mem::take(&mut series) {
                    let alone = Box::pin(registers::close_due(store, &[one], until)).await;
                    closed.extend(kept(store, one, alone.map(|done| done.registers)).await?);
                }
            }
        }
    }
    Ok(closed)
}

/// Closers that find the same series due begin at different ones, and meet those that are closed at the end, instead of each
/// other's locks all the way.
fn begin_anywhere(due: &mut [i64]) {
    let place = uuid::Uuid::new_v4().as_u128() % (due.len().max(1) as u128);
    due.rotate_left(usize::try_from(place).unwrap_or(0));
}

/// What closing a series made. An error is told, and is one for the caller only if it is the database that is away.
async fn kept(
    store: &Store,
    series: i64,
    closed: Result<Vec<RegisterId>, StoreError>,
) -> Result<Vec<RegisterId>, StoreError> {
    match closed {
        Ok(registers) => Ok(registers),
        // For all of them.
        Err(error) if error.is_retryable() && store.ping().await.is_err() => Err(error),
        // One series that cannot be closed (or not in time, or not now) must not keep the others open.
        Err(error) => {
            tracing::error!(series, %error, "a series cannot be closed");
            metrics::counter!("unigate_registers_failed_total", "stage" => "close").increment(1);
            Ok(Vec::new())
        }
    }
}
