//! Sums of sales, by whatever they are grouped by. Times are summed by the quarter of an hour: every offset of a time zone
//! in use is a multiple of that, so days and hours of any zone are made of whole quarters, by whoever knows the zone.

use jiff::Timestamp;

use super::{FILTER, FROM, Given, SaleFilter};
use crate::{StoreError, Tx};

/// What sums are grouped by, besides the currency.
#[derive(Clone, Copy, Debug, Default)]
pub struct SumBy {
    /// The quarter of an hour.
    pub quarter: bool,
    /// The product.
    pub product: bool,
    /// The product's payee.
    pub issuer: bool,
    /// The terminal.
    pub terminal: bool,
    /// The terminal's group.
    pub group: bool,
}

/// Sales summed up. What they are not grouped by is none.
#[derive(Clone, Debug)]
pub struct SaleSum {
    /// When the quarter of an hour began.
    pub quarter: Option<Timestamp>,
    /// Of what.
    pub product: Option<String>,
    /// Whose cards.
    pub issuer: Option<String>,
    /// Where.
    pub terminal: Option<String>,
    /// At which terminals.
    pub group: Option<String>,
    /// Of all sums.
    pub currency: String,
    /// How many were sold.
    pub sold: i64,
    /// How many of them after their hold.
    pub late: i64,
    /// Paid, in minor units.
    pub amount: i64,
    /// Prices, in minor units.
    pub price: i64,
    /// Worth, in minor units.
    pub face_value: i64,
    /// Paid above the price, in minor units.
    pub surplus: i64,
}

/// The sums of the sales of a period. A sum that no integer holds is an error, not a wrong number.
pub async fn sale_sums(tx: &Tx, filter: &SaleFilter, by: SumBy) -> Result<Vec<SaleSum>, StoreError> {
    let sql = format!(
        "SELECT CASE WHEN $7 THEN date_bin('15 minutes', r.ended_at, timestamptz '2000-01-01 00:00:00+00') END,
                CASE WHEN $8 THEN r.product_id END, CASE WHEN $9 THEN p.declaration ->> 'payee' END,
                CASE WHEN $10 THEN r.terminal_id END, CASE WHEN $11 THEN t.declaration ->> 'group' END, r.currency,
                count(*), count(*) FILTER (WHERE r.late), sum(r.amount)::bigint, sum(r.price)::bigint,
                sum(r.face_value)::bigint, sum(coalesce(r.surplus, 0))::bigint
         FROM {FROM} WHERE r.state = 'sold' AND NOT r.gratis AND {FILTER}
         GROUP BY 1, 2, 3, 4, 5, 6"
    );
    let given = Given::of(filter);
    let mut params = given.params();
    params.extend([
        &by.quarter as &(dyn tokio_postgres::types::ToSql + Sync),
        &by.product,
        &by.issuer,
        &by.terminal,
        &by.group,
    ]);
    let rows = tx.query(&sql, &params).await?;
    Ok(rows
        .iter()
        .map(|row| SaleSum {
            quarter: row.get(0),
            product: row.get(1),
            issuer: row.get(2),
            terminal: row.get(3),
            group: row.get(4),
            currency: row.get(5),
            sold: row.get(6),
            late: row.get(7),
            amount: row.get(8),
            price: row.get(9),
            face_value: row.get(10),
            surplus: row.get(11),
        })
        .collect())
}
