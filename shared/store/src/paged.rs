//! Lists of any length, read page by page through a cursor.
//!
//! A statement whose rows are sent as fast as somebody takes them holds its snapshot for as long as he takes: a server
//! that waits for room on the line ends it for none of its limits. Between two pages it waits for us instead. A session that
//! is idle in a transaction is ended after a while ([`crate::Store`]), and the snapshot with it.

use std::time::Duration;

use futures::{Stream, TryStreamExt, stream};
use tokio::time::Instant;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

use crate::{StoreError, Tx};

/// Rows fetched together.
const PAGE: usize = 1000;
/// For how long the server bears an idle transaction, but for a second: it begins to count before we have the page.
const BORNE: Duration = Duration::from_secs(14);

/// A list that is being read.
struct Reading {
    tx: Tx,
    fetch: Statement,
    given_at: Instant,
}

/// The rows of a query in this transaction, which is ended with the last page, before that is read.
pub(crate) async fn rows(
    tx: Tx,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<impl Stream<Item = Result<Row, StoreError>> + use<>, StoreError> {
    tx.allow_time().await?;
    // All of it is read: a plan that has the first rows sooner and the rest later is none for this.
    tx.batch("SET LOCAL cursor_tuple_fraction = 1").await?;
    tx.execute(&format!("DECLARE list NO SCROLL CURSOR FOR {sql}"), params)
        .await?;
    let fetch = tx.prepare(&format!("FETCH {PAGE} FROM list")).await?;
    let reading = Reading {
        tx,
        fetch,
        given_at: Instant::now(),
    };
    let pages = stream::try_unfold(Some(reading), next_page);
    Ok(pages
        .map_ok(|page| stream::iter(page.into_iter().map(Ok)))
        .try_flatten())
}

async fn next_page(reading: Option<Reading>) -> Result<Option<(Vec<Row>, Option<Reading>)>, StoreError> {
    let Some(reading) = reading else { return Ok(None) };
    let away = reading.given_at.elapsed();
    let page = reading.tx.query_prepared(&reading.fetch).await;
    let page = page.map_err(|error| in_words(error, away))?;
    if page.len() < PAGE {
        // Nobody has to take these for the snapshot to go.
        reading.tx.commit().await?;
        return Ok(Some((page, None)));
    }
    let reading = Reading {
        given_at: Instant::now(),
        ..reading
    };
    Ok(Some((page, Some(reading))))
}

/// A session that was ended says only that it is gone: the server's reason came while nobody asked.
fn in_words(error: StoreError, away: Duration) -> StoreError {
    match error {
        StoreError::Infrastructure(_) if away >= BORNE => StoreError::ReaderAway(away.as_secs()),
        other => other,
    }
}
