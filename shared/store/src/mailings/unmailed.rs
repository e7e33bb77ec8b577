//! The watch over mails that do not get out: told once per lane, whoever notices. Whatever keeps them, nobody else says so
//! before their four days are over.

use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::Row;

use crate::{Store, StoreError, Tx};

/// For so long a mail may wait before people are told.
const TOLD_AFTER: Duration = Duration::from_secs(6 * 3600);

/// A lane in which something waits, or is under way.
#[derive(Clone, Debug, PartialEq)]
pub struct Unmailed {
    /// The lane; empty = the installation's relay.
    pub lane: String,
    /// How many mails have waited for six hours.
    pub late: i64,
    /// Since when the oldest waits: it was built, requeued or asked for again then.
    pub oldest: Timestamp,
    /// For how many seconds that is.
    pub seconds: f64,
    /// Whose register the oldest is.
    pub payee: String,
    /// What was said last of the oldest of which anything was said.
    pub last_error: Option<String>,
}

/// The lanes in which something waits, the oldest first.
pub async fn unmailed(store: &Store) -> Result<Vec<Unmailed>, StoreError> {
    let sql = format!(
        "SELECT lane, count(*) FILTER (WHERE since < {BEFORE}), min(since),
                greatest(extract(epoch FROM clock_timestamp() - min(since)), 0)::float8,
                (array_agg(payee_id ORDER BY since))[1],
                (array_agg(w.last_error ORDER BY since) FILTER (WHERE w.last_error IS NOT NULL))[1]
         FROM ({WAITING}) w JOIN register USING (register_id) GROUP BY lane ORDER BY min(since)"
    );
    let rows = store.query(&sql, &[&TOLD_AFTER.as_secs_f64()]).await?;
    let unmailed = |row: &Row| Unmailed {
        lane: row.get(0),
        late: row.get(1),
        oldest: row.get(2),
        seconds: row.get(3),
        payee: row.get(4),
        last_error: row.get(5),
    };
    Ok(rows.iter().map(unmailed).collect())
}

/// Notes that a lane's mails are late. True: it was not known yet, by anybody.
pub async fn note_unmailed(tx: &Tx, lane: &str) -> Result<bool, StoreError> {
    let noted = tx
        .execute(
            "INSERT INTO mailing_late (lane) VALUES ($1) ON CONFLICT DO NOTHING",
            &[&lane],
        )
        .await?;
    Ok(noted == 1)
}

/// Forgets that mails of a lane were late, where none is any more: the next time it is told again.
pub async fn forget_mailed(store: &Store) -> Result<(), StoreError> {
    let sql = format!(
        "DELETE FROM mailing_late l WHERE NOT EXISTS (
             SELECT FROM ({WAITING}) waiting WHERE lane = l.lane AND since < {BEFORE})"
    );
    store.execute(&sql, &[&TOLD_AFTER.as_secs_f64()]).await.map(drop)
}

/// A lane as people call it, at the beginning of a line.
pub fn lane_in_words(lane: &str, payee: &str) -> String {
    match lane {
        "" => "The mail relay of the installation".to_owned(),
        lane if lane.starts_with("directory:") => format!("The {}", lane.replacen(':', " ", 1)),
        _ => format!("The mail relay of payee {payee}"),
    }
}

/// Four days are given to a mail whenever it begins to wait, however old its row is. By two indexes: mails are kept for ever, and
/// this is asked every minute.
const WAITING: &str = "SELECT lane, register_id, last_error, give_up_at - interval '4 days' AS since
     FROM (SELECT * FROM mailing WHERE state = 'waiting' UNION ALL SELECT * FROM mailing WHERE state = 'sending') m";
const BEFORE: &str = "clock_timestamp() - make_interval(secs => $1)";
