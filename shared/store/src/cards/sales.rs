//! What was sold: every sale of a period, their sums, and what an issuer reconciles by serial. No details are here.
//!
//! A period is half-open and counts by when a sale was recorded, by the database's clock, which is before it can be seen: whoever
//! sums up a period that has just ended waits until it has [`crate::settled`]. A terminal's group and a product's
//! issuer are those declared now. What brings no money is no sale here: a card given in place of another whose sale stands.

mod serials;
mod sums;

use domain::ids::{PayeeId, ProductId, ReservationId, TerminalId};
use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::{StoreError, Tx};

pub use serials::{Section, SerialRow, Serials, serials};
pub use sums::{SaleSum, SumBy, sale_sums};

/// Rows read at once: whatever a period holds, no more is in memory.
const PAGE: usize = 5_000;

/// Which sales.
#[derive(Clone, Debug)]
pub struct SaleFilter {
    /// Recorded at this moment or later.
    pub from: Timestamp,
    /// Recorded before this one.
    pub to: Timestamp,
    /// Of this product only.
    pub product: Option<ProductId>,
    /// Of the products of this payee only.
    pub issuer: Option<PayeeId>,
    /// At this terminal only.
    pub terminal: Option<TerminalId>,
    /// At the terminals of this group only.
    pub group: Option<String>,
}

impl SaleFilter {
    /// Everything of a period.
    pub fn period(from: Timestamp, to: Timestamp) -> Self {
        Self {
            from,
            to,
            product: None,
            issuer: None,
            terminal: None,
            group: None,
        }
    }
}

/// The parameters of [`FILTER`].
struct Given<'a>(
    Timestamp,
    Timestamp,
    Option<&'a str>,
    Option<&'a str>,
    Option<&'a str>,
    Option<&'a str>,
);

impl<'a> Given<'a> {
    fn of(filter: &'a SaleFilter) -> Self {
        Self(
            filter.from,
            filter.to,
            filter.product.as_ref().map(ProductId::as_str),
            filter.issuer.as_ref().map(PayeeId::as_str),
            filter.terminal.as_ref().map(TerminalId::as_str),
            filter.group.as_deref(),
        )
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.0, &self.1, &self.2, &self.3, &self.4, &self.5]
    }
}

/// Over reservations `r`, their products `p` and terminals `t`; whatever its state, one ended in the period.
const FILTER: &str = "r.ended_at >= $1 AND r.ended_at < $2 AND ($3::text IS NULL OR r.product_id = $3)
    AND ($4::text IS NULL OR p.declaration ->> 'payee' = $4) AND ($5::text IS NULL OR r.terminal_id = $5)
    AND ($6::text IS NULL OR t.declaration ->> 'group' = $6)";
const FROM: &str = "reservation r JOIN product p USING (product_id) LEFT JOIN terminal t USING (terminal_id)";

/// A sold card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaleRow {
    /// When the sale was recorded, by the database's clock.
    pub sold_at: Timestamp,
    /// Of what.
    pub product: ProductId,
    /// Which card.
    pub serial: String,
    /// Under which reservation.
    pub reservation_id: ReservationId,
    /// Where.
    pub terminal: TerminalId,
    /// When the payer paid, by the terminal's clock.
    pub paid_at: Option<Timestamp>,
    /// What was paid, in minor units.
    pub amount: i64,
    /// The price at the reservation, in minor units.
    pub price: i64,
    /// What the card is worth, in minor units.
    pub face_value: i64,
    /// The currency of the three.
    pub currency: String,
    /// On the payer's receipt.
    pub receipt_number: Option<String>,
    /// The hold was over.
    pub late: bool,
    /// Whose card it was.
    pub issuer: Option<String>,
    /// The terminal's group.
    pub group: Option<String>,
    /// Paid above the price, in minor units.
    pub surplus: i64,
}

/// Up to a page of sales after the given one, in the order in which they were recorded; an empty page is the end.
pub async fn sales_page(tx: &Tx, filter: &SaleFilter, after: Option<&SaleRow>) -> Result<Vec<SaleRow>, StoreError> {
    let sql = format!(
        "SELECT r.ended_at, r.product_id, c.serial, r.reservation_id, r.terminal_id, r.paid_at, r.amount, r.price,
                r.face_value, r.currency, r.receipt_number, coalesce(r.late, false), p.declaration ->> 'payee',
                t.declaration ->> 'group', coalesce(r.surplus, 0)
         FROM {FROM} JOIN card c USING (card_id)
         WHERE r.state = 'sold' AND NOT r.gratis AND {FILTER} AND r.ended_at >= $7 AND (r.ended_at, r.reservation_id) > ($7, $8)
         ORDER BY r.ended_at, r.reservation_id LIMIT $9"
    );
    let place = after.map(|row| (row.sold_at, row.reservation_id.as_uuid()));
    // Nothing is as old as the period's beginning with the least of ids, but for what the first page begins with.
    let (at, id) = place.unwrap_or((filter.from, Uuid::nil()));
    let most = i64::try_from(PAGE).unwrap_or(i64::MAX);
    let given = Given::of(filter);
    let mut params = given.params();
    params.extend([&at as &(dyn ToSql + Sync), &id, &most]);
    tx.query(&sql, &params).await?.iter().map(sale_of).collect()
}

fn sale_of(row: &Row) -> Result<SaleRow, StoreError> {
    Ok(SaleRow {
        sold_at: row.get(0),
        product: ProductId::parse(row.get(1))?,
        serial: row.get(2),
        reservation_id: ReservationId::from_uuid(row.get(3)),
        terminal: TerminalId::parse(row.get(4))?,
        paid_at: row.get(5),
        amount: row.get(6),
        price: row.get(7),
        face_value: row.get(8),
        currency: row.get(9),
        receipt_number: row.get(10),
        late: row.get(11),
        issuer: row.get(12),
        group: row.get(13),
        surplus: row.get(14),
    })
}
