//! What operators read of acts: how far each has come, and what became of its payments.

use domain::ids::{ActId, PaymentId};
use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::Row;

use super::{Counts, carry::counts};
use crate::{Store, StoreError};

/// An act and how far it has come.
#[derive(Clone, Debug)]
pub struct ActRow {
    /// Which.
    pub act_id: ActId,
    /// `requeue`, `stop` or `resume`.
    pub kind: String,
    /// Who asked for it.
    pub who: String,
    /// Why.
    pub reason: Option<String>,
    /// About which payments: `{"named": 3}`, or a filter's members.
    pub filter: Value,
    /// The operator was certain that none was credited.
    pub certain: bool,
    /// At most so many made due a second.
    pub rate: Option<i32>,
    /// `running`, `paused`, `done` or `cancelled`.
    pub state: String,
    /// Payments it is about.
    pub matched: i64,
    /// For so many something was done.
    pub done: i64,
    /// So many moved before it came to them.
    pub changed: i64,
    /// For so many nothing may be done.
    pub refused: i64,
    /// How many by what was done.
    pub done_as: Counts,
    /// How many by why not.
    pub reasons: Counts,
    /// When it was begun.
    pub created_at: Timestamp,
    /// Which process carried its last part out.
    pub carried_by: Option<String>,
    /// When.
    pub carried_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Who ended it early.
    pub ended_by: Option<String>,
}

impl ActRow {
    /// Whether nothing more will come of it.
    pub fn is_finished(&self) -> bool {
        self.finished_at.is_some()
    }

    /// Payments it has yet to come to.
    pub fn waiting(&self) -> i64 {
        if self.is_finished() {
            return 0;
        }
        self.matched - self.done - self.changed - self.refused
    }
}

const COLUMNS: &str = "act_id, kind, who, reason, filter, certain, rate, state, matched, done, changed, refused, done_as, \
     reasons, created_at, carried_by, carried_at, finished_at, ended_by";

fn act_of(row: &Row) -> Result<ActRow, StoreError> {
    Ok(ActRow {
        act_id: ActId::from_uuid(row.get(0)),
        kind: row.get(1),
        who: row.get(2),
        reason: row.get(3),
        filter: row.get(4),
        certain: row.get(5),
        rate: row.get(6),
        state: row.get(7),
        matched: row.get(8),
        done: row.get(9),
        changed: row.get(10),
        refused: row.get(11),
        done_as: counts(row.get(12))?,
        reasons: counts(row.get(13))?,
        created_at: row.get(14),
        carried_by: row.get(15),
        carried_at: row.get(16),
        finished_at: row.get(17),
        ended_by: row.get(18),
    })
}

/// The latest acts, the latest first; only those not finished if `open`.
pub async fn list(store: &Store, open: bool, limit: Option<i64>) -> Result<Vec<ActRow>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM act WHERE NOT $1 OR finished_at IS NULL ORDER BY created_at DESC, act_id DESC LIMIT $2"
    );
    store.query(&sql, &[&open, &limit]).await?.iter().map(act_of).collect()
}

/// One act.
pub async fn find(store: &Store, act_id: ActId) -> Result<Option<ActRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM act WHERE act_id = $1");
    let row = store.query_opt(&sql, &[&act_id.as_uuid()]).await?;
    row.as_ref().map(act_of).transpose()
}

/// What became of a payment in an act.
#[derive(Clone, Debug)]
pub struct ItemRow {
    /// In which act.
    pub act_id: ActId,
    /// Which payment.
    pub payment_id: PaymentId,
    /// `requeue`, `stop` or `resume`.
    pub kind: String,
    /// Who asked for it.
    pub who: String,
    /// Its state when the act was begun.
    pub state: String,
    /// `waiting`, `done`, `changed`, `refused` or `cancelled`.
    pub outcome: String,
    /// What was done.
    pub did: Option<String>,
    /// Or why not.
    pub why: Option<String>,
    /// When.
    pub ended_at: Option<Timestamp>,
}

const ITEM: &str = "i.act_id, i.payment_id, a.kind, a.who, i.state, i.outcome, i.did, i.why, i.ended_at";

fn item_of(row: &Row) -> ItemRow {
    ItemRow {
        act_id: ActId::from_uuid(row.get(0)),
        payment_id: PaymentId::from_uuid(row.get(1)),
        kind: row.get(2),
        who: row.get(3),
        state: row.get(4),
        outcome: row.get(5),
        did: row.get(6),
        why: row.get(7),
        ended_at: row.get(8),
    }
}

/// Up to `limit` payments of an act for which nothing was done, in its order.
pub async fn set_aside(store: &Store, act_id: ActId, limit: i64) -> Result<Vec<ItemRow>, StoreError> {
    let sql = format!(
        "SELECT {ITEM} FROM act_item i JOIN act a USING (act_id)
         WHERE i.act_id = $1 AND i.outcome IN ('changed', 'refused') ORDER BY i.ordinal LIMIT $2"
    );
    let rows = store.query(&sql, &[&act_id.as_uuid(), &limit]).await?;
    Ok(rows.iter().map(item_of).collect())
}

/// The acts that a payment was in, in their order.
pub async fn of_payment(store: &Store, payment_id: PaymentId) -> Result<Vec<ItemRow>, StoreError> {
    let sql = format!(
        "SELECT {ITEM} FROM act_item i JOIN act a USING (act_id) WHERE i.payment_id = $1 ORDER BY a.created_at, a.act_id"
    );
    let rows = store.query(&sql, &[&payment_id.as_uuid()]).await?;
    Ok(rows.iter().map(item_of).collect())
}
