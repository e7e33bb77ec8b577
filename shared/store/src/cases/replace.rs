//! A card given in place of another: sold to the same terminal under a reservation of its own, linked by the case. Only its
//! place in stock is looked at here; its details stay sealed until the terminal prints it.

use std::collections::HashMap;

use domain::ids::{ProductId, ReservationId, TerminalId};
use uuid::Uuid;

use crate::reservations::uuids;
use crate::{StoreError, Tx};

/// A card that was given in place of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Under which it is sold.
    pub reservation_id: ReservationId,
    /// The sale it is given for.
    pub instead_of: ReservationId,
    /// Of what.
    pub product: ProductId,
    /// Which card.
    pub serial: String,
    /// To whom.
    pub terminal: TerminalId,
    /// What was paid, in minor units, where this card is what it was paid for (a conflict); none where the sale it is given
    /// for stands.
    pub amount: Option<i64>,
    /// The currency of the amount.
    pub currency: String,
}

/// Gives a card of the product for this sale: the one with the serial, or the next that could be reserved.
pub(super) async fn give(
    tx: &Tx,
    instead_of: Uuid,
    product: &ProductId,
    serial: Option<&str>,
) -> Result<Given, StoreError> {
    let taken = match take(tx, product, serial, "fresh").await? {
        Some(taken) => Some(taken),
        None => take(tx, product, serial, "returned").await?,
    };
    let missing = || {
        StoreError::Changed(match serial {
            Some(serial) => format!("card {serial} of product {product} is not in stock"),
            None => format!("no card of product {product} is left"),
        })
    };
    let (card_id, serial) = taken.ok_or_else(missing)?;
    let id = Uuid::now_v7();
    let row = tx
        .query_one(
            "INSERT INTO reservation (reservation_id, product_id, terminal_id, fingerprint, card_id, state, created_at,
                                      held_until, grace_until, price, face_value, currency, ended_at, ended_by,
                                      sale_fingerprint, paid_at, amount, receipt_number, late, surplus, gratis)
             SELECT $1, o.product_id, o.terminal_id, o.fingerprint, $2, 'sold', t.now, t.now, t.now, o.price, o.face_value,
                    o.currency, t.now, 'replacement', o.sale_fingerprint, o.paid_at, o.amount, o.receipt_number, false, 0,
                    o.state = 'sold'
             FROM reservation o, (SELECT clock_timestamp() AS now OFFSET 0) t WHERE o.reservation_id = $3
             RETURNING terminal_id, CASE WHEN gratis THEN NULL ELSE amount END, currency",
            &[&id, &card_id, &instead_of],
        )
        .await?;
    tx.execute(
        "UPDATE card SET state = 'sold', exposed = true, reservation_id = $2, updated_at = clock_timestamp()
         WHERE card_id = $1",
        &[&card_id, &id],
    )
    .await?;
    Ok(Given {
        reservation_id: ReservationId::from_uuid(id),
        instead_of: ReservationId::from_uuid(instead_of),
        product: product.clone(),
        serial,
        terminal: TerminalId::parse(row.get(0))?,
        amount: row.get(1),
        currency: row.get(2),
    })
}

/// Locks one card that could be reserved now. Columns are named: operators may not read sealed details, not even to skip.
async fn take(
    tx: &Tx,
    product: &ProductId,
    serial: Option<&str>,
    pool: &str,
) -> Result<Option<(i64, String)>, StoreError> {
    let row = tx
        .query_opt(
            "SELECT card_id, serial FROM card
             WHERE product_id = $1 AND state = 'available' AND pool = $3 AND offer_after <= statement_timestamp()
               AND (expires_on IS NULL OR expires_on >= current_date)
               AND ($2::text IS NULL OR card_id = (SELECT card_id FROM card_identity WHERE product_id = $1 AND serial = $2))
             ORDER BY pos LIMIT 1 FOR UPDATE SKIP LOCKED",
            &[&product.as_str(), &serial, &pool],
        )
        .await?;
    Ok(row.map(|row| (row.get(0), row.get(1))))
}

/// For each sale after which another card was given: the reservation of the last one given, also in place of one given.
pub async fn last_replacements(
    tx: &Tx,
    ids: &[ReservationId],
) -> Result<HashMap<ReservationId, ReservationId>, StoreError> {
    let rows = tx
        .query(
            "WITH RECURSIVE chain (asked, last, depth) AS (
                 SELECT id, id, 0 FROM UNNEST($1::uuid[]) AS asked (id)
                 UNION ALL
                 SELECT chain.asked, c.replacement_reservation_id, depth + 1
                 FROM chain JOIN card_case c ON c.reservation_id = chain.last AND c.replacement_reservation_id IS NOT NULL
                 WHERE depth < 1000
             )
             SELECT DISTINCT ON (asked) asked, last FROM chain WHERE depth > 0 ORDER BY asked, depth DESC",
            &[&uuids(ids)],
        )
        .await?;
    let id = |row: &tokio_postgres::Row, at: usize| ReservationId::from_uuid(row.get(at));
    Ok(rows.iter().map(|row| (id(row, 0), id(row, 1))).collect())
}
