//! What is in stock, what was sold, and whose secrets are due to be shredded.

use domain::ids::{ProductId, ReservationId, TerminalId};
use jiff::Timestamp;

use crate::{Store, StoreError, Tx};

/// A product's cards by where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stock {
    /// Of what.
    pub product: ProductId,
    /// Never shown to anyone, and not expired.
    pub fresh: i64,
    /// Came back unsold, and not expired.
    pub returned: i64,
    /// Held for a payer.
    pub held: i64,
    /// The hold is over, the grace is not.
    pub lapsed: i64,
    /// Sold.
    pub sold: i64,
}

/// Every product's stock. Reads the whole table: for people, not for workers.
pub async fn stock(store: &Store) -> Result<Vec<Stock>, StoreError> {
    let rows = store
        .query(
            "SELECT p.product_id,
                    count(*) FILTER (WHERE c.state = 'available' AND c.pool = 'fresh' AND NOT c.expired),
                    count(*) FILTER (WHERE c.state = 'available' AND c.pool = 'returned' AND NOT c.expired),
                    count(*) FILTER (WHERE c.state = 'reserved'),
                    count(*) FILTER (WHERE c.state = 'lapsed'),
                    count(*) FILTER (WHERE c.state = 'sold')
             FROM product p LEFT JOIN (
                 SELECT product_id, state, pool, coalesce(expires_on < current_date, false) AS expired FROM card
             ) c USING (product_id)
             GROUP BY p.product_id ORDER BY p.product_id",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Stock {
                product: ProductId::parse(row.get(0))?,
                fresh: row.get(1),
                returned: row.get(2),
                held: row.get(3),
                lapsed: row.get(4),
                sold: row.get(5),
            })
        })
        .collect()
}

/// How much of a product could be reserved now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Available {
    /// Of what.
    pub product: ProductId,
    /// Fresh ones.
    pub fresh: i64,
    /// Those that came back and may be offered again by now.
    pub returned: i64,
}

/// How much of these products could be reserved now, in their order; counted up to `most` each (a count costs its size).
pub async fn available(tx: &Tx, products: &[ProductId], most: i64) -> Result<Vec<Available>, StoreError> {
    let ids: Vec<&str> = products.iter().map(ProductId::as_str).collect();
    // The order keeps the planner on the indexes of what is left: unordered, a small `most` reads through all that was sold.
    let rows = tx
        .query(
            "SELECT w.product_id,
                    (SELECT count(*) FROM (SELECT FROM card c WHERE c.product_id = w.product_id AND state = 'available'
                         AND pool = 'fresh' AND (expires_on IS NULL OR expires_on >= current_date)
                         ORDER BY pos LIMIT $2) fresh),
                    (SELECT count(*) FROM (SELECT FROM card c WHERE c.product_id = w.product_id AND state = 'available'
                         AND pool = 'returned' AND offer_after <= statement_timestamp()
                         AND (expires_on IS NULL OR expires_on >= current_date)
                         ORDER BY offer_after, pos LIMIT $2) returned)
             FROM UNNEST($1::text[]) WITH ORDINALITY AS w (product_id, place) ORDER BY w.place",
            &[&ids, &most],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Available {
                product: ProductId::parse(row.get(0))?,
                fresh: row.get(1),
                returned: row.get(2),
            })
        })
        .collect()
}

/// Notes whether a product's stock is low, once it ever had any. True when it has just become so.
pub async fn low_crossing(tx: &Tx, product: &ProductId, low: bool) -> Result<bool, StoreError> {
    let changed = tx
        .execute(
            // Positions are dealt before the first file's cards are there; that is not a stock that has run low.
            "UPDATE product_stock SET low = $2 WHERE product_id = $1 AND low <> $2
               AND (NOT $2 OR EXISTS (SELECT FROM card WHERE product_id = $1))",
            &[&product.as_str(), &low],
        )
        .await?;
    Ok(low && changed == 1)
}

/// A sold card. By serial only: no details are here.
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
}

/// What was sold from `from` (included) to `to` (not included), in the order of the sales.
pub async fn report(store: &Store, from: Timestamp, to: Timestamp) -> Result<Vec<SaleRow>, StoreError> {
    let rows = store
        .query(
            "SELECT r.ended_at, r.product_id, c.serial, r.reservation_id, r.terminal_id, r.paid_at, r.amount, r.price,
                    r.face_value, r.currency, r.receipt_number, coalesce(r.late, false)
             FROM reservation r JOIN card c USING (card_id)
             WHERE r.state = 'sold' AND r.ended_at >= $1 AND r.ended_at < $2
             ORDER BY r.ended_at, r.reservation_id",
            &[&from, &to],
        )
        .await?;
    rows.iter()
        .map(|row| {
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
            })
        })
        .collect()
}

/// Forgets the details of up to `most` cards of a product sold more than `days` ago. The blind index stays.
pub async fn shred(store: &Store, product: &ProductId, days: u32, most: i64) -> Result<u64, StoreError> {
    store
        .execute(
            "UPDATE card SET sealed = NULL WHERE card_id = ANY(ARRAY(
                 SELECT card_id FROM card WHERE product_id = $1 AND state = 'sold' AND sealed IS NOT NULL
                    AND updated_at < statement_timestamp() - $2 * interval '1 day'
                 ORDER BY updated_at LIMIT $3 FOR UPDATE SKIP LOCKED))",
            &[&product.as_str(), &f64::from(days), &most],
        )
        .await
}
