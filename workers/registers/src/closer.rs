//! Closing what is due, of all series.

use domain::RegisterId;
use futures::StreamExt;
use store::registers;
use store::{Store, StoreError};

/// Series closed at a time: what it costs is flights to the database, and nobody else waits for them.
const AT_ONCE: usize = 4;

/// Closes everything that is due now and says which registers that made. Several closers at once take turns.
pub async fn close_all_due(store: &Store) -> Result<Vec<RegisterId>, StoreError> {
    let mut due = registers::series_due(store).await?;
    begin_anywhere(&mut due);
    let delivered = registers::deliveries_due(store).await?;
    let mut closed = Vec::new();
    if !due.is_empty() {
        // Once for all: every cut-off up to here has passed by the ledger's clock.
        let until = registers::advance_clock(store).await?;
        let close = |series| async move { (series, Box::pin(registers::close_due(store, series, until)).await) };
        let mut closing = futures::stream::iter(due).map(close).buffer_unordered(AT_ONCE);
        while let Some((series, closing)) = closing.next().await {
            take(store, series, closing, &mut closed).await?;
        }
    }
    for series in delivered {
        let closing = Box::pin(registers::close_delivered(store, series)).await;
        take(store, series, closing, &mut closed).await?;
    }
    metrics::counter!("unigate_registers_closed_total").increment(closed.len() as u64);
    Ok(closed)
}

/// Closers that find the same series due begin at different ones, and meet those that are closed at the end, instead of each
/// other's locks all the way.
fn begin_anywhere(due: &mut [i64]) {
    let place = uuid::Uuid::new_v4().as_u128() % (due.len().max(1) as u128);
    due.rotate_left(usize::try_from(place).unwrap_or(0));
}

async fn take(
    store: &Store,
    series: i64,
    closing: Result<Vec<RegisterId>, StoreError>,
    closed: &mut Vec<RegisterId>,
) -> Result<(), StoreError> {
    match closing {
        Ok(registers) => closed.extend(registers),
        // The database is away, for all of them.
        Err(error) if error.is_retryable() && store.ping().await.is_err() => return Err(error),
        // One series that cannot be closed (or not in time, or not now) must not keep the others open.
        Err(error) => {
            tracing::error!(series, %error, "a series cannot be closed");
            metrics::counter!("unigate_registers_failed_total", "stage" => "close").increment(1);
        }
    }
    Ok(())
}
