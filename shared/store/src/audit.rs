//! The audit log: everything an operator does, allowed or denied. Rows are only ever added.

use jiff::Timestamp;
use serde_json::Value;

use crate::{Store, StoreError, Tx};

/// One operator's act on one thing.
#[derive(Debug)]
pub struct Act<'a> {
    /// Who acts: the operator's name as the command line or console knows it.
    pub who: &'a str,
    /// What is done, as a command would call it: `payees apply`, `parked put-back`.
    pub act: &'a str,
    /// What kind of thing it is done to: `payee`, `payment`, `parked`.
    pub subject_kind: &'a str,
    /// Which one.
    pub subject: &'a str,
    /// Why, in the operator's words.
    pub reason: Option<&'a str>,
    /// What was there before, without secrets.
    pub before: Option<Value>,
    /// What is there now, without secrets.
    pub after: Option<Value>,
}

const INSERT: &str = "INSERT INTO audit (who, act, subject_kind, subject, reason, allowed, before, after)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

/// Records an act in the transaction that does it: neither is there without the other.
pub async fn record(tx: &Tx, act: &Act<'_>) -> Result<(), StoreError> {
    tx.execute(
        INSERT,
        &[
            &act.who,
            &act.act,
            &act.subject_kind,
            &act.subject,
            &act.reason,
            &true,
            &act.before,
            &act.after,
        ],
    )
    .await
    .map(drop)
}

/// Records an act that was not allowed, or that found things changed meanwhile.
pub async fn record_denied(store: &Store, act: &Act<'_>) -> Result<(), StoreError> {
    store
        .execute(
            INSERT,
            &[
                &act.who,
                &act.act,
                &act.subject_kind,
                &act.subject,
                &act.reason,
                &false,
                &act.before,
                &act.after,
            ],
        )
        .await
        .map(drop)
}

/// An act as it was recorded.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// When.
    pub at: Timestamp,
    /// By whom, as he calls himself.
    pub who: String,
    /// As whom the database knows whoever wrote it: his login, or that of the worker that acted for him.
    pub login: String,
    /// What.
    pub act: String,
    /// Why.
    pub reason: Option<String>,
    /// Or it was refused.
    pub allowed: bool,
    /// What was there before.
    pub before: Option<Value>,
    /// What was there after.
    pub after: Option<Value>,
}

/// Everything done to one thing, oldest first.
pub async fn of(store: &Store, subject_kind: &str, subject: &str) -> Result<Vec<Recorded>, StoreError> {
    let rows = store
        .query(
            "SELECT at, who, act, reason, allowed, before, after, login FROM audit
             WHERE subject_kind = $1 AND subject = $2 ORDER BY audit_id",
            &[&subject_kind, &subject],
        )
        .await?;
    let recorded = |row: &tokio_postgres::Row| Recorded {
        at: row.get(0),
        who: row.get(1),
        act: row.get(2),
        reason: row.get(3),
        allowed: row.get(4),
        before: row.get(5),
        after: row.get(6),
        login: row.get(7),
    };
    Ok(rows.iter().map(recorded).collect())
}
