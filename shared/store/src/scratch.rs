//! SQL by a test's hand: to make happen in a moment what takes days, and to look where no function looks. Compiled only
//! with the feature `scratch`, which tests enable and nothing that is shipped.

use tokio_postgres::SimpleQueryMessage;

use crate::{Store, StoreError, Tx};

/// Runs statements as they stand and returns the rows of all of them, as text.
pub async fn sql(store: &Store, sql: &str) -> Result<Vec<Vec<Option<String>>>, StoreError> {
    let session = store.session().await?;
    let messages = session.answered(session.simple_query(sql)).await?;
    session.give_back();
    Ok(messages?
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

/// A setting of the session, as a transaction has it.
pub async fn setting(tx: &Tx, name: &str) -> Result<String, StoreError> {
    Ok(tx.query_one("SELECT current_setting($1)", &[&name]).await?.get(0))
}

/// What is seldom asked of tables that only grow, by name: its text, and parameters that match little of what is there. For a
/// test that looks at plans.
pub fn seldom_queries() -> Vec<(&'static str, String, &'static str)> {
    vec![
        ("follow", crate::mailings::FOLLOW.to_owned(), "('isp', '{}')"),
        ("told", crate::notices::TOLD.to_owned(), "('k', 's-7', 60)"),
        ("forget_dealt", crate::payments::FORGOTTEN.to_owned(), "(430, 2000)"),
        ("sealed", crate::vault::SEALED.to_owned(), "(1, 19900, 20000)"),
        (
            "delivered_sums",
            crate::registers::delivered_sums(),
            "('isp', '2026-03-01Z', '2026-03-02Z')",
        ),
        ("groups", crate::deliveries::stuck_groups(), "(NULL)"),
        ("stopped", crate::payments::stopped(false), "(NULL)"),
        ("stopped_online", crate::payments::stopped(true), "(NULL)"),
    ]
}

/// The queries that look for work in lanes, by name: their text, and parameters for a lane of this name. For tests that
/// look at their plans.
pub fn lane_queries(lane: &str) -> Vec<(&'static str, String, String)> {
    crate::deliveries::queries(lane)
}

/// A session that says nothing for a minute, and is given no time to answer in.
pub async fn in_no_time(store: &Store) -> Result<(), StoreError> {
    let session = store.session().await?;
    session.allow(0);
    session.answered(session.simple_query("SELECT pg_sleep(60)")).await??;
    session.give_back();
    Ok(())
}
