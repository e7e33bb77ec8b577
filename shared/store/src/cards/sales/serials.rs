//! What an issuer reconciles besides sales: cards that were shown and came back, and cards taken out, by serial.

use jiff::Timestamp;
use tokio_postgres::{Row, Statement};

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
}

/// The cards of a section, in the order of time, page by page.
pub struct Serials<'t> {
    tx: &'t Tx,
    fetch: Statement,
}

/// Begins to read the cards of a section; in a transaction each is begun once. They are found and sorted once however many pages
/// they are: what was taken out has no index of its own by time.
pub async fn serials<'t>(tx: &'t Tx, filter: &SaleFilter, section: Section) -> Result<Serials<'t>, StoreError> {
    let (cursor, sql) = match section {
        Section::CameBack => (
            "came_back",
            format!(
                "SELECT r.ended_at, r.state, r.product_id, c.serial, r.reservation_id::text, r.terminal_id, r.price, r.currency
                 FROM {FROM} JOIN card c USING (card_id)
                 WHERE r.state IN ('released', 'expired') AND {FILTER} ORDER BY r.ended_at, r.reservation_id"
            ),
        ),
        Section::Given => (
            "given",
            format!(
                "SELECT r.ended_at, 'given', r.product_id, c.serial, r.reservation_id::text, r.terminal_id, r.price, r.currency
                 FROM {FROM} JOIN card c USING (card_id)
                 WHERE r.state = 'sold' AND r.gratis AND {FILTER} ORDER BY r.ended_at, r.reservation_id"
            ),
        ),
        Section::TakenOut => (
            "taken_out",
            "SELECT c.updated_at, CASE WHEN c.out_of_date THEN 'out_of_date' ELSE c.state END, c.product_id, c.serial,
                    NULL::text, NULL::text, NULL::bigint, NULL::text
             FROM card c JOIN product p USING (product_id)
             WHERE c.state IN ('faulty', 'withdrawn') AND c.updated_at >= $1 AND c.updated_at < $2
               AND ($3::text IS NULL OR c.product_id = $3) AND ($4::text IS NULL OR p.declaration ->> 'payee' = $4)
               AND $5::text IS NULL AND $6::text IS NULL
             ORDER BY c.updated_at, c.product_id, c.serial"
                .to_owned(),
        ),
    };
    let given = Given::of(filter);
    // All of it is read.
    tx.batch("SET LOCAL cursor_tuple_fraction = 1").await?;
    tx.execute(&format!("DECLARE {cursor} NO SCROLL CURSOR FOR {sql}"), &given.params())
        .await?;
    let fetch = tx.prepare(&format!("FETCH {PAGE} FROM {cursor}")).await?;
    Ok(Serials { tx, fetch })
}

impl Serials<'_> {
    /// The next page; an empty one is the end.
    pub async fn page(&self) -> Result<Vec<SerialRow>, StoreError> {
        let rows = self.tx.query_prepared(&self.fetch).await?;
        let row = |row: &Row| SerialRow {
            at: row.get(0),
            what: row.get(1),
            product: row.get(2),
            serial: row.get(3),
            reservation_id: row.get(4),
            terminal: row.get(5),
            price: row.get(6),
            currency: row.get(7),
        };
        Ok(rows.iter().map(row).collect())
    }
}
