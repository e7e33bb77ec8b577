//! What becomes doubtful once a payee is known to credit a number twice.

use domain::ids::PayeeId;

use super::{DUE_COLUMNS, Due, due_of};
use crate::{StoreError, Tx};

/// Payments that were to be sent to a payee again, and may have been credited: that was safe as long as it credited a number once.
/// They become `unknown`: the payee is asked, if it can be (`ask`), else an operator decides. Where an operator is certain of a payment
/// it goes out all the same. Returns them as they are now, for whoever tells the world.
pub async fn doubt(tx: &Tx, payee: &PayeeId, ask: bool) -> Result<Vec<Due>, StoreError> {
    let sql = format!(
        "UPDATE payment SET state = 'unknown', generation = generation + 1, next_act = CASE WHEN $2 THEN 'status' END,
                due_at = CASE WHEN $2 THEN due_at END, updated_at = clock_timestamp()
         WHERE payee_id = $1 AND state = 'waiting' AND next_act = 'pay' AND maybes > 0
           AND NOT EXISTS (SELECT FROM act a WHERE a.act_id = payment.act_id AND a.certain)
         RETURNING {DUE_COLUMNS}"
    );
    let rows = tx.query(&sql, &[&payee.as_str(), &ask]).await?;
    rows.iter().map(due_of).collect()
}
