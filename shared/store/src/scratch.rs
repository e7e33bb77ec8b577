//! SQL by a test's hand: to make happen in a moment what takes days, and to look where no function looks. Compiled only
//! with the feature `scratch`, which tests enable and nothing that is shipped.

use tokio_postgres::SimpleQueryMessage;

use crate::{Store, StoreError};

/// Runs statements as they stand and returns the rows of all of them, as text.
pub async fn sql(store: &Store, sql: &str) -> Result<Vec<Vec<Option<String>>>, StoreError> {
    let messages = store.session().await?.simple_query(sql).await?;
    Ok(messages
        .into_iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(
                (0..row.len())
                    .map(|column| row.get(column).map(str::to_owned))
                    .collect(),
            ),
            _ => None,
        })
        .collect())
}

/// The queries that look for work in lanes, by name: their text, and parameters for a lane of this name. For tests that
/// look at their plans.
pub fn lane_queries(lane: &str) -> Vec<(&'static str, String, String)> {
    crate::deliveries::queries(lane)
}
