//! What waits for a person, and what of it people were told: of each subject once, until nothing of it waits any more.

use jiff::Timestamp;
use uuid::Uuid;

use crate::{Store, StoreError, Tx};

/// Parked facts that are named in a notice.
const NAMED: i64 = 5;

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

/// Counts unsettled payments as `doctor` does; not those that an operator has stopped, who knows of them.
pub async fn unsettled(store: &Store) -> Result<Vec<Unsettled>, StoreError> {
    let rows = store
        .query(
            "SELECT payee_id, count(*) FILTER (WHERE state = 'unknown'), count(*) FILTER (WHERE state = 'failed')
             FROM payment WHERE state IN ('unknown', 'failed') AND gateway <> 'registers' GROUP BY 1 ORDER BY 1",
            &[],
        )
        .await?;
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

/// Forgets that people were told of subjects of this kind of which nothing waits any more: the next time they are told again.
pub async fn forget_over(store: &Store, kind: &str, still: &[&str]) -> Result<(), StoreError> {
    store
        .execute(
            "DELETE FROM notice_open WHERE kind = $1 AND subject <> ALL($2)",
            &[&kind, &still],
        )
        .await
        .map(drop)
}

/// Notes that something of this subject waits. True when it has just begun to, and people are to be told.
pub async fn note_open(tx: &Tx, kind: &str, subject: &str) -> Result<bool, StoreError> {
    let noted = tx
        .execute(
            "INSERT INTO notice_open (kind, subject) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            &[&kind, &subject],
        )
        .await?;
    Ok(noted == 1)
}
