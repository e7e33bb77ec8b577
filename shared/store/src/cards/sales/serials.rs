//! What an issuer reconciles besides sales: cards that were shown and came back, and cards taken out, by serial.

use jiff::Timestamp;
use tokio_postgres::types::ToSql;

use super::{FILTER, FROM, Given, PAGE, SaleFilter};
use crate::{StoreError, Tx};

/// Which cards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Shown to a terminal in a reservation that ended in the period unsold: `released` or `expired`.
    CameBack,
    /// Given in the period in place of another card whose sale stands: gone, and no money came in for it (`given`).
    Given,
    /// Taken out in the period and not sold since: `faulty`, `withdrawn`, `out_of_date`. No terminal has to do with it, so
    /// there is none where sales are asked for by terminal or group.
    TakenOut,
}

/// A card that was not sold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SerialRow {
    /// When it came back or was taken out.
    pub at: Timestamp,
    /// What became of it.
    pub what: String,
    /// Of what.
    pub product: String,
    /// Which card.
    pub serial: String,
    /// Under which reservation it was shown.
    pub reservation_id: Option<String>,
    /// Where.
    pub terminal: Option<String>,
    /// The price at the reservation, in minor units.
    pub price: Option<i64>,
    /// Of the price.
    pub currency: Option<String>,
    /// With the time, its place in the section.
    key: String,
}

/// Up to a page of cards of a section after the given one, in the order of time; an empty page is the end.
pub async fn serials_page(
    tx: &Tx,
    filter: &SaleFilter,
    section: Section,
    after: Option<&SerialRow>,
) -> Result<Vec<SerialRow>, StoreError> {
    let sql = match section {
        Section::CameBack => format!(
            "SELECT r.ended_at, r.state, r.product_id, c.serial, r.reservation_id::text, r.terminal_id, r.price,
                    r.currency, r.reservation_id::text
             FROM {FROM} JOIN card c USING (card_id)
             WHERE r.state IN ('released', 'expired') AND {FILTER}
               AND r.ended_at >= $7 AND (r.ended_at, r.reservation_id::text) > ($7, $8)
             ORDER BY r.ended_at, r.reservation_id::text LIMIT $9"
        ),
        Section::Given => format!(
            "SELECT r.ended_at, 'given', r.product_id, c.serial, r.reservation_id::text, r.terminal_id, r.price, r.currency,
                    r.reservation_id::text
             FROM {FROM} JOIN card c USING (card_id)
             WHERE r.state = 'sold' AND r.gratis AND {FILTER}
               AND r.ended_at >= $7 AND (r.ended_at, r.reservation_id::text) > ($7, $8)
             ORDER BY r.ended_at, r.reservation_id::text LIMIT $9"
        ),
        Section::TakenOut => "
            SELECT c.updated_at, CASE WHEN c.out_of_date THEN 'out_of_date' ELSE c.state END, c.product_id, c.serial,
                   NULL::text, NULL::text, NULL::bigint, NULL::text, c.product_id || '/' || c.serial
            FROM card c JOIN product p USING (product_id)
            WHERE c.state IN ('faulty', 'withdrawn') AND c.updated_at >= $1 AND c.updated_at < $2
              AND ($3::text IS NULL OR c.product_id = $3) AND ($4::text IS NULL OR p.declaration ->> 'payee' = $4)
              AND $5::text IS NULL AND $6::text IS NULL
              AND c.updated_at >= $7 AND (c.updated_at, c.product_id || '/' || c.serial) > ($7, $8)
            ORDER BY 1, 9 LIMIT $9"
            .to_owned(),
    };
    let (at, key) = after.map_or((filter.from, String::new()), |row| (row.at, row.key.clone()));
    let most = i64::try_from(PAGE).unwrap_or(i64::MAX);
    let given = Given::of(filter);
    let mut params = given.params();
    params.extend([&at as &(dyn ToSql + Sync), &key, &most]);
    let rows = tx.query(&sql, &params).await?;
    Ok(rows
        .iter()
        .map(|row| SerialRow {
            at: row.get(0),
            what: row.get(1),
            product: row.get(2),
            serial: row.get(3),
            reservation_id: row.get(4),
            terminal: row.get(5),
            price: row.get(6),
            currency: row.get(7),
            key: row.get(8),
        })
        .collect())
}
