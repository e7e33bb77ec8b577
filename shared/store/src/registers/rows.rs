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
    /// What the payee knows it by.
    pub number: Number,
    /// What the terminal knows it by.
    pub payment_id: PaymentId,
    /// When we took it, or when it was delivered, where that is listed.
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

/// Where a page ends: the next one begins after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the ledger.
    Position(i64),
    /// In the order of delivery.
    Delivered(Timestamp, i64),
}

/// Payments as they came over the line. They are read when that is asked for, so that the next page can be fetched meanwhile.
#[derive(Debug)]
pub struct Page(Vec<Row>);

impl Page {
    /// How many.
    pub fn count(&self) -> i64 {
        i64::try_from(self.0.len()).unwrap_or(i64::MAX)
    }

    /// Where it ends; none when it is empty.
    pub fn end(&self) -> Option<Place> {
        let row = self.0.last()?;
        let position: Option<i64> = row.get(0);
        Some(position.map_or_else(|| Place::Delivered(row.get(2), row.get(1)), Place::Position))
    }

    /// The payments.
    pub fn rows(&self) -> Result<Vec<RegisterRow>, StoreError> {
        self.0.iter().map(row_of).collect()
    }
}

/// The next payments of the range after a place (none = from the start), in the order of positions, or of delivery. Fewer
/// than `most` of them are the last.
pub async fn page_after(store: &Store, build: &Build, after: Option<Place>, most: i64) -> Result<Page, StoreError> {
    let rows = match build.delivered {
        None => {
            let position = match after {
                Some(Place::Position(position)) => position,
                _ => build.lo - 1,
            };
            // What of a copy is open may be revoked after it was frozen, and is told as it was.
            let as_of = (build.open > 0).then_some(build.closed_at);
            store
                .query(
                    "SELECT position, number, accepted_at, paid_at, account, amount, currency, receipt_number, fields, payment_id, fee,
                            terminal_id
                     FROM payment WHERE series_id = $1 AND position > $2 AND position <= $3
                       AND (state <> 'revoked' OR updated_at > $5)
                     ORDER BY position LIMIT $4",
                    &[&build.series_id, &position, &build.hi, &most, &as_of],
                )
                .await?
        }
        Some((from, to)) => {
            let (at, number) = match after {
                Some(Place::Delivered(at, number)) => (at, number),
                _ => (from, 0),
            };
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
    Ok(Page(rows))
}

fn row_of(row: &Row) -> Result<RegisterRow, StoreError> {
    let Json(fields) = row.try_get(8).map_err(StoreError::unreadable)?;
    Ok(RegisterRow {
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
