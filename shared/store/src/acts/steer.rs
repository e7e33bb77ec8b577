//! Holding an act up, going on with it, and ending it early.

use domain::ids::ActId;
use serde_json::json;

use crate::audit::{self, Act};
use crate::{Store, StoreError, Tx};

/// What to do with an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steer {
    /// Nothing more is done until it is resumed; its payments stay its own.
    Pause,
    /// It goes on.
    Resume,
    /// It ends here: what was done stays done, the other payments are free again.
    Cancel,
}

impl Steer {
    /// As the audit log calls it.
    pub fn audited_as(self) -> &'static str {
        match self {
            Self::Pause => "deliveries acts pause",
            Self::Resume => "deliveries acts resume",
            Self::Cancel => "deliveries acts cancel",
        }
    }

    fn leads(self, from: &str) -> Option<&'static str> {
        match (self, from) {
            (Self::Pause, "running") => Some("paused"),
            (Self::Resume, "paused") => Some("running"),
            (Self::Cancel, "running" | "paused") => Some("cancelled"),
            _ => None,
        }
    }
}

/// Steers an act. [`StoreError::Changed`] when it is not in a state for that; the caller notes the denial.
pub async fn steer(
    store: &Store,
    act_id: ActId,
    how: Steer,
    who: &str,
    reason: Option<&str>,
) -> Result<(), StoreError> {
    let tx = store.begin().await?;
    tx.allow_time().await?;
    let sql = "SELECT state FROM act WHERE act_id = $1 FOR UPDATE";
    let Some(row) = tx.query_opt(sql, &[&act_id.as_uuid()]).await? else {
        return Err(StoreError::Changed(format!("there is no act {act_id}")));
    };
    let from: String = row.get(0);
    let Some(to) = how.leads(&from) else {
        return Err(StoreError::Changed(format!("act {act_id} is {from}")));
    };
    if how == Steer::Cancel {
        free_payments(&tx, act_id).await?;
    }
    tx.execute(
        "UPDATE act SET state = $2, ended_by = CASE WHEN $2 = 'cancelled' THEN $3 END,
                finished_at = CASE WHEN $2 = 'cancelled' THEN clock_timestamp() END
         WHERE act_id = $1",
        &[&act_id.as_uuid(), &to, &who],
    )
    .await?;
    let act = Act {
        who,
        act: how.audited_as(),
        subject_kind: "act",
        subject: &act_id.to_string(),
        reason,
        before: Some(json!({ "state": from })),
        after: Some(json!({ "state": to })),
    };
    audit::record(&tx, &act).await?;
    tx.commit().await
}

async fn free_payments(tx: &Tx, act_id: ActId) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE act_item SET outcome = 'cancelled', ended_at = clock_timestamp()
         WHERE act_id = $1 AND ordinal > (SELECT reached FROM act WHERE act_id = $1) AND outcome = 'waiting'",
        &[&act_id.as_uuid()],
    )
    .await
    .map(drop)
}
