//! What waits for a person, and what of it people were told: of each subject when it begins to wait, and again when more of it does.

use jiff::Timestamp;
use uuid::Uuid;

use crate::deliveries::LEFT_ALONE;
use crate::{Store, StoreError, Tx};

/// Parked facts that are named in a notice.
const NAMED: i64 = 5;
/// However many more come to wait, people are told again of a subject no sooner than this, in seconds.
const TOLD_AGAIN_AFTER: f64 = 3600.0;

/// Parked facts of one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedOpen {
    /// Why they were refused.
    pub reason: String,
    /// How many are open.
    pub open: i64,
    /// How many of them wait for an operator: not for their worker, which has the others in hand.
    pub waiting: i64,
}

/// Online payments of a payee that do not go on by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsettled {
    /// Whose.
    pub payee: String,
    /// How many may have been carried out or not.
    pub unknown: i64,
    /// How many were given up.
    pub failed: i64,
}

/// A parked fact, by what says nothing of what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedId {
    /// Its own id.
    pub parked_id: Uuid,
    /// When it was parked.
    pub parked_at: Timestamp,
    /// The payment or reservation it is about, where that could be read.
    pub about: Option<Uuid>,
}

/// Counts parked facts as `doctor` does.
pub async fn parked_open(store: &Store) -> Result<Vec<ParkedOpen>, StoreError> {
    let rows = store
        .query(
            "SELECT reason, count(*), count(*) FILTER (WHERE state = 'parked') FROM parked
             WHERE state IN ('parked', 'retry') GROUP BY reason ORDER BY reason",
            &[],
        )
        .await?;
    let open = |row: &tokio_postgres::Row| ParkedOpen {
        reason: row.get(0),
        open: row.get(1),
        waiting: row.get(2),
    };
    Ok(rows.iter().map(open).collect())
}

/// Counts unsettled payments as `doctor` does; not those that an operator has stopped, who knows of them. One whose payee is asked
/// about it settles itself, or comes to be among them.
pub async fn unsettled(store: &Store) -> Result<Vec<Unsettled>, StoreError> {
    let sql = format!(
        "SELECT payee_id, count(*) FILTER (WHERE state = 'unknown'), count(*) FILTER (WHERE state = 'failed')
         FROM payment p WHERE state IN ('unknown', 'failed') AND gateway <> 'registers' AND {LEFT_ALONE}
         GROUP BY 1 ORDER BY 1"
    );
    let rows = store.query(&sql, &[]).await?;
    let unsettled = |row: &tokio_postgres::Row| Unsettled {
        payee: row.get(0),
        unknown: row.get(1),
        failed: row.get(2),
    };
    Ok(rows.iter().map(unsettled).collect())
}

/// The first few facts of a reason that wait for an operator.
pub async fn first_parked(tx: &Tx, reason: &str) -> Result<Vec<ParkedId>, StoreError> {
    let rows = tx
        .query(
            "SELECT parked_id, parked_at, coalesce(payment_id, reservation_id) FROM parked
             WHERE state = 'parked' AND reason = $1 ORDER BY parked_at, parked_id LIMIT $2",
            &[&reason, &NAMED],
        )
        .await?;
    let parked = |row: &tokio_postgres::Row| ParkedId {
        parked_id: row.get(0),
        parked_at: row.get(1),
        about: row.get(2),
    };
    Ok(rows.iter().map(parked).collect())
}

/// Goes by what waits still, subject by subject: what of this kind is over is forgotten, and of what there is less now, so many were
/// told.
pub async fn keep_open(store: &Store, kind: &str, still: &[(&str, i64)]) -> Result<(), StoreError> {
    let (subjects, waiting): (Vec<&str>, Vec<i64>) = still.iter().copied().unzip();
    store
        .execute(
            "WITH over AS (DELETE FROM notice_open WHERE kind = $1 AND subject <> ALL($2))
             UPDATE notice_open o SET told = u.waiting FROM UNNEST($2::text[], $3::int8[]) AS u(subject, waiting)
             WHERE o.kind = $1 AND o.subject = u.subject AND o.told > u.waiting",
            &[&kind, &subjects, &waiting],
        )
        .await
        .map(drop)
}

/// Notes that so many of this subject wait. True when people are to be told: it has just begun to, or these are more than they were
/// told of, which is an hour ago.
pub async fn note_open(tx: &Tx, kind: &str, subject: &str, waiting: i64) -> Result<bool, StoreError> {
    let noted = tx
        .execute(
            "INSERT INTO notice_open AS o (kind, subject, told) VALUES ($1, $2, $3)
             ON CONFLICT (kind, subject) DO UPDATE SET told = excluded.told, told_at = statement_timestamp()
             WHERE o.told < excluded.told AND o.told_at <= statement_timestamp() - make_interval(secs => $4)",
            &[&kind, &subject, &waiting, &TOLD_AGAIN_AFTER],
        )
        .await?;
    Ok(noted == 1)
}
