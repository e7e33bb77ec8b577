//! Beginning an act: its payments are written down as they are now, in the transaction that writes the act.

use domain::ids::ActId;
use serde_json::json;

use super::facts::ENDED_CALLS;
use super::{IN_ANOTHER_ACT, NewAct, audited_as};
use crate::audit::{self, Act};
use crate::payments::Conditions;
use crate::{Store, StoreError, Tx};

/// An act as it was begun.
#[derive(Clone, Copy, Debug)]
pub struct Frozen {
    /// Which.
    pub act_id: ActId,
    /// Payments it is about.
    pub matched: i64,
}

/// Names the advisory lock that acts are begun under, one at a time: so none sees half of another's payments.
const FREEZING: i64 = 0x0061_6374;

/// Begins an act, in a transaction of its own. None when there is no such payment. Payments that are in another act that
/// is not finished are refused from the start.
pub async fn freeze(store: &Store, new: &NewAct<'_>) -> Result<Option<Frozen>, StoreError> {
    let tx = store.begin().await?;
    tx.allow_time().await?;
    tx.query_one("SELECT pg_advisory_xact_lock($1)", &[&FREEZING]).await?;
    let act_id = ActId::random();
    let filter = new.which.kept()?;
    tx.execute(
        "INSERT INTO act (act_id, kind, who, reason, filter, certain, rate) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        &[
            &act_id.as_uuid(),
            &new.kind.as_str(),
            &new.who,
            &new.reason,
            &filter,
            &new.which.is_certain(),
            &new.rate,
        ],
    )
    .await?;
    let (matched, busy) = write_down(&tx, act_id, new).await?;
    if matched == 0 {
        tx.rollback().await?;
        return Ok(None);
    }
    refuse_busy(&tx, act_id, new, busy).await?;
    tx.execute(
        "UPDATE act SET matched = $2, refused = $3::bigint,
                reasons = CASE WHEN $3::bigint > 0 THEN jsonb_build_object($4::text, $3::bigint) ELSE reasons END
         WHERE act_id = $1",
        &[&act_id.as_uuid(), &matched, &busy, &IN_ANOTHER_ACT],
    )
    .await?;
    let act = Act {
        who: new.who,
        act: audited_as(new.kind),
        subject_kind: "act",
        subject: &act_id.to_string(),
        reason: new.reason,
        before: None,
        after: Some(json!({
            "filter": filter, "certain": new.which.is_certain(), "rate": new.rate, "matched": matched,
        })),
    };
    audit::record(&tx, &act).await?;
    tx.commit().await?;
    Ok(Some(Frozen { act_id, matched }))
}

/// How many payments the act is about, and how many of them are in another one.
async fn write_down(tx: &Tx, act_id: ActId, new: &NewAct<'_>) -> Result<(i64, i64), StoreError> {
    let filter = new.which.filter();
    let mut conditions = Conditions::of(&filter);
    let limit = conditions.place(filter.limit);
    let act = conditions.place(act_id.as_uuid());
    let why = conditions.place(IN_ANOTHER_ACT);
    let sql = format!(
        "WITH found AS MATERIALIZED (
             SELECT p.payment_id, p.state, p.generation, {ENDED_CALLS} AS ended_calls, p.accepted_at, p.number,
                    EXISTS (SELECT FROM act_item o
                            WHERE o.payment_id = p.payment_id AND o.outcome = 'waiting') AS is_busy
             FROM payment_view p WHERE {} ORDER BY p.accepted_at, p.number LIMIT {limit}::int8),
         frozen AS (
             INSERT INTO act_item (act_id, ordinal, payment_id, state, generation, ended_calls, outcome, why, ended_at)
             SELECT {act}::uuid, row_number() OVER (ORDER BY accepted_at, number), payment_id, state, generation,
                    ended_calls, CASE WHEN is_busy THEN 'refused' ELSE 'waiting' END, CASE WHEN is_busy THEN {why}::text END,
                    CASE WHEN is_busy THEN clock_timestamp() END
             FROM found RETURNING outcome)
         SELECT count(*), count(*) FILTER (WHERE outcome = 'refused') FROM frozen",
        conditions.sql()
    );
    let row = tx.query_one(&sql, &conditions.params()).await?;
    Ok((row.get(0), row.get(1)))
}

async fn refuse_busy(tx: &Tx, act_id: ActId, new: &NewAct<'_>, busy: i64) -> Result<(), StoreError> {
    if busy == 0 {
        return Ok(());
    }
    tx.execute(
        "INSERT INTO audit (who, act, subject_kind, subject, reason, allowed, before, after)
         SELECT $2, $3, 'payment', payment_id::text, $4, false,
                jsonb_build_object('state', state, 'generation', generation),
                jsonb_build_object('denied', why, 'act_id', $1::uuid)
         FROM act_item WHERE act_id = $1 AND outcome = 'refused' ORDER BY ordinal",
        &[&act_id.as_uuid(), &new.who, &audited_as(new.kind), &new.reason],
    )
    .await
    .map(drop)
}
