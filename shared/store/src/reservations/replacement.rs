//! A card given in place of another: sold to the same terminal, under a reservation of its own.

use domain::card::CaseKind;
use domain::ids::{ReservationId, TerminalId};
use jiff::Timestamp;

use super::write::{Case, write_cases};
use crate::{StoreError, Tx};

/// What was sold in place of another card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoldInstead {
    /// To whom.
    pub terminal: TerminalId,
    /// What was paid, in minor units, where this card is what it was paid for (a conflict); none where the sale it is given
    /// for stands.
    pub amount: Option<i64>,
    /// The currency of the amount.
    pub currency: String,
    /// W3C trace context of the reservation it is given for.
    pub traceparent: Option<String>,
}

/// Sells a card that this transaction has locked to the payer of `instead_of`, whose sale is written. In a conflict the card
/// is what all the money was for: whatever is above the price is a case of this sale. Where the sale stands it is `gratis`,
/// stands for the price alone, and what was paid above that stays with the sale. `at`: when; none = now.
pub async fn sell_instead(
    tx: &Tx,
    id: ReservationId,
    instead_of: ReservationId,
    card_id: i64,
    at: Option<Timestamp>,
) -> Result<SoldInstead, StoreError> {
    let row = tx
        .query_one(
            "INSERT INTO reservation (reservation_id, product_id, terminal_id, fingerprint, card_id, state, created_at,
                                      held_until, grace_until, price, face_value, currency, ended_at, ended_by,
                                      sale_fingerprint, paid_at, amount, receipt_number, late, surplus, gratis,
                                      traceparent)
             SELECT $1, o.product_id, o.terminal_id, o.fingerprint, $2, 'sold', t.now, t.now, t.now, o.price, o.face_value,
                    o.currency, t.now, 'replacement', o.sale_fingerprint, o.paid_at,
                    CASE WHEN o.state = 'sold' THEN o.amount - coalesce(o.surplus, 0) ELSE o.amount END, o.receipt_number,
                    o.state <> 'sold', CASE WHEN o.state = 'sold' THEN 0 ELSE o.amount - o.price END, o.state = 'sold',
                    o.traceparent
             FROM reservation o, (SELECT coalesce($4::timestamptz, clock_timestamp()) AS now OFFSET 0) t
             WHERE o.reservation_id = $3
             RETURNING terminal_id, CASE WHEN gratis THEN NULL ELSE amount END, currency, surplus, traceparent",
            &[&id.as_uuid(), &card_id, &instead_of.as_uuid(), &at],
        )
        .await?;
    tx.execute_later(
        "UPDATE card SET state = 'sold', exposed = true, reservation_id = $2, updated_at = clock_timestamp()
         WHERE card_id = $1",
        &[&card_id, &id.as_uuid()],
    )
    .await?;
    let surplus = Case {
        kind: CaseKind::Surplus,
        reservation_id: id,
        card_id,
        replacement: None,
    };
    if row.get::<_, Option<i64>>(3) > Some(0) {
        write_cases(tx, &[surplus]).await?;
    }
    Ok(SoldInstead {
        terminal: TerminalId::parse(row.get(0))?,
        amount: row.get(1),
        currency: row.get(2),
        traceparent: row.get(4),
    })
}

/// The replacements given in these conflicts: the conflict's reservation and the one of its replacement.
pub async fn replacements(tx: &Tx, ids: &[ReservationId]) -> Result<Vec<(ReservationId, ReservationId)>, StoreError> {
    let rows = tx
        .query(
            "SELECT reservation_id, replacement_reservation_id FROM card_case
             WHERE kind = 'conflict' AND reservation_id = ANY($1) AND replacement_reservation_id IS NOT NULL",
            &[&super::uuids(ids)],
        )
        .await?;
    let id = |row: &tokio_postgres::Row, at: usize| ReservationId::from_uuid(row.get(at));
    Ok(rows.iter().map(|row| (id(row, 0), id(row, 1))).collect())
}
