//! Payments that wait for a person, counted.

use domain::delivery::Flag;

use crate::{Store, StoreError};

/// What contradicts how a payment stands, and is not settled by itself.
const QUESTIONABLE: [Flag; 4] = [
    Flag::NumberConflict,
    Flag::PayeeDenies,
    Flag::EchoedAmountDiffers,
    Flag::CreditedAfterRevoke,
];

/// Payments of a payee that wait for a person for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Whose.
    pub payee: String,
    /// The state they are stuck in, or the flag they have.
    pub what: String,
    /// Whether it is a flag.
    pub flagged: bool,
    /// How many.
    pub count: i64,
}

/// Online payments that are unknown, failed or stopped, and those that are flagged and not settled by an operator since.
pub async fn in_trouble(store: &Store) -> Result<Vec<Trouble>, StoreError> {
    let flags: Vec<&str> = QUESTIONABLE.iter().map(|flag| flag.as_str()).collect();
    let rows = store
        .query(
            "SELECT payee_id, state AS what, false AS flagged, count(*) FROM payment
             WHERE state IN ('unknown', 'failed', 'stopped') AND gateway <> 'registers' GROUP BY 1, 2
             UNION ALL
             SELECT payee_id, flag, true, count(*) FROM payment CROSS JOIN unnest(flags) flag
             WHERE flags <> '{}' AND flag = ANY($1) AND NOT $2 = ANY(flags) GROUP BY 1, 2
             ORDER BY 1, 3, 2",
            &[&flags, &Flag::SettledByOperator.as_str()],
        )
        .await?;
    let trouble = |row: &tokio_postgres::Row| Trouble {
        payee: row.get(0),
        what: row.get(1),
        flagged: row.get(2),
        count: row.get(3),
    };
    Ok(rows.iter().map(trouble).collect())
}
