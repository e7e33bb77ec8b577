//! The payments of a closed range, page by page. What a range holds does not change any more, so every page and every build
//! sees the same, and none needs a snapshot to be held.

use std::collections::BTreeMap;

use domain::{Currency, Number, PaymentId};
use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::Json;

use super::Build;
use crate::{Store, StoreError};

/// One payment as a register shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterRow {
    /// Its place in the ledger; none where what was delivered is listed.
    pub position: Option<i64>,
    /// What the payee knows it by.
    pub number: Number,
    /// What the terminal knows it by.
    pub payment_id: PaymentId,
    /// When we took it, or when it was delivered, where that is listed. Pages go on after it and the number, or after the
    /// position.
    pub at: Timestamp,
    /// When the payer paid.
    pub paid_at: Timestamp,
    /// The payer's account, as it came.
    pub account: String,
    /// In minor units.
    pub amount: i64,
    /// What the payer paid on top, in minor units.
    pub fee: i64,
    /// Who took the money.
    pub terminal: String,
    /// Its currency.
    pub currency: Currency,
    /// The number on the payer's receipt, as it came.
    pub receipt_number: Option<String>,
    /// What else the payer entered, as it came.
    pub fields: BTreeMap<String, String>,
}

/// The next payments of the range after one (none = from the start), in the order of positions, or of delivery. Fewer than
/// `most` of them are the last.
pub async fn rows_after(
    store: &Store,
    build: &Build,
    after: Option<&RegisterRow>,
    most: i64,
) -> Result<Vec<RegisterRow>, StoreError> {
    let rows = match build.delivered {
        None => {
            let position = after.and_then(|row| row.position).unwrap_or(build.lo - 1);
            store
                .query(
                    "SELECT position, number, accepted_at, paid_at, account, amount, currency, receipt_number, fields, payment_id, fee,
                            terminal_id
                     FROM payment WHERE series_id = $1 AND position > $2 AND position <= $3 AND state <> 'revoked'
                     ORDER BY position LIMIT $4",
                    &[&build.series_id, &position, &build.hi, &most],
                )
                .await?
        }
        Some((from, to)) => {
            let (at, number) = after.map_or((from, 0), |row| (row.at, row.number.get()));
            store
                .query(
                    "SELECT NULL::int8, number, delivered_at, paid_at, account, amount, currency, receipt_number, fields, payment_id,
                            fee, terminal_id
                     FROM payment WHERE payee_id = $1 AND (delivered_at, number) > ($2, $3) AND delivered_at < $4
                     ORDER BY delivered_at, number LIMIT $5",
                    &[&build.summary.payee.as_str(), &at, &number, &to, &most],
                )
                .await?
        }
    };
    rows.iter().map(row_of).collect()
}

fn row_of(row: &Row) -> Result<RegisterRow, StoreError> {
    let Json(fields) = row.try_get(8).map_err(StoreError::unreadable)?;
    Ok(RegisterRow {
        position: row.get(0),
        number: Number::new(row.get(1))?,
        at: row.get(2),
        paid_at: row.get(3),
        account: row.get(4),
        amount: row.get(5),
        currency: Currency::parse(row.get(6))?,
        receipt_number: row.get(7),
        fields,
        payment_id: PaymentId::from_uuid(row.get(9)),
        fee: row.get(10),
        terminal: row.get(11),
    })
}
