//! Card files that are not taken up any more: each worker that had one fell silent.

use domain::ids::ProductId;
use serde_json::Value;
use uuid::Uuid;

use super::job::{MOST_ATTEMPTS, forget};
use crate::{StoreError, Tx};

/// A file that was given up.
#[derive(Clone, Debug)]
pub struct GivenUp {
    /// The import.
    pub import_id: Uuid,
    /// What it is a file of.
    pub product: ProductId,
    /// As it was handed in.
    pub file_name: String,
    /// Who handed it in.
    pub requested_by: String,
}

/// Refuses the oldest file whose worker fell silent three times: it would have the next one killed as well. `report` says so to
/// its operator.
pub async fn give_up_deadly(tx: &Tx, report: &Value) -> Result<Option<GivenUp>, StoreError> {
    let row = tx
        .query_opt(
            "UPDATE card_import SET state = 'refused', report = $2, finished_at = clock_timestamp(), lease_token = NULL,
                    lease_until = NULL
             WHERE import_id = (
                 SELECT import_id FROM card_import
                 WHERE state = 'working' AND lease_until < clock_timestamp() AND attempts >= $1
                 ORDER BY requested_at LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
             RETURNING import_id, product_id, file_name, requested_by",
            &[&MOST_ATTEMPTS, &report],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let given_up = GivenUp {
        import_id: row.get(0),
        product: ProductId::parse(row.get(1))?,
        file_name: row.get(2),
        requested_by: row.get(3),
    };
    forget(tx, given_up.import_id).await?;
    Ok(Some(given_up))
}
