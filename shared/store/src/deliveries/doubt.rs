//! What becomes doubtful once a payee is known to credit a number twice.

use domain::ids::PayeeId;

use super::{DUE_COLUMNS, Due, due_of};
use crate::{StoreError, Tx};

/// The key of the advisory lock of what payees are declared to credit ("twice" in ASCII).
const TERMS_LOCK: i64 = 0x0074_7769_6365;

/// Until this transaction ends no payee turns out to credit a number twice: what it reads from here on of their declarations holds
/// for the payments that it makes due. Taken before any payment is locked.
pub(crate) async fn hold_terms(tx: &Tx) -> Result<(), StoreError> {
    tx.execute_later("SELECT pg_advisory_xact_lock_shared($1)", &[&TERMS_LOCK])
        .await
}

/// Payments that were to be sent to a payee again, and may have been credited: that was safe as long as it credited a number once
/// (`domain::delivery::doubted` is the same for calls that are open). They become `unknown`: the payee is asked, if it can be (`ask`),
/// else an operator decides. Where an operator is certain of a payment it goes out all the same. Returns them as they are now, those
/// first that were not `unknown` before, and how many these are: the world is told of them. Who is making payments due is waited
/// for, in a statement of its own: the next one sees them.
pub async fn doubt(tx: &Tx, payee: &PayeeId, ask: bool) -> Result<(Vec<Due>, usize), StoreError> {
    tx.execute_later("SELECT pg_advisory_xact_lock($1)", &[&TERMS_LOCK])
        .await?;
    let sql = format!(
        "WITH before AS (
             SELECT payment_id AS id, state = 'unknown' AS was_unknown FROM payment
             WHERE payee_id = $1 AND state IN ('waiting', 'unknown') AND next_act = 'pay' AND maybes > 0
               AND NOT EXISTS (SELECT FROM act a WHERE a.act_id = payment.act_id AND a.certain)
             ORDER BY payment_id FOR UPDATE)
         UPDATE payment SET state = 'unknown', generation = generation + 1, next_act = CASE WHEN $2 THEN 'status' END,
                due_at = CASE WHEN $2 THEN due_at END, updated_at = clock_timestamp()
         FROM before WHERE payment_id = before.id RETURNING {DUE_COLUMNS}, was_unknown"
    );
    let mut rows = tx.query(&sql, &[&payee.as_str(), &ask]).await?;
    rows.sort_by_key(|row| row.get::<_, bool>("was_unknown"));
    let newly = rows.iter().filter(|row| !row.get::<_, bool>("was_unknown")).count();
    Ok((rows.iter().map(due_of).collect::<Result<_, _>>()?, newly))
}
