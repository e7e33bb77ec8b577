//! New reservations: holds on cards just taken, and releases that came before their reservation.

use std::collections::HashMap;

use domain::ids::{ProductId, ReservationId, TerminalId};
use jiff::Timestamp;
use uuid::Uuid;

use crate::{StoreError, Tx};

/// A hold to be made on a card that this transaction has taken.
#[derive(Clone, Debug)]
pub struct NewHold<'a> {
    /// Chosen by the terminal.
    pub reservation_id: ReservationId,
    /// Of what.
    pub product: &'a ProductId,
    /// For whom.
    pub terminal: &'a TerminalId,
    /// Equal fingerprints are the same request.
    pub fingerprint: [u8; 32],
    /// The card taken.
    pub card_id: i64,
    /// How long to hold it.
    pub hold_seconds: u32,
    /// How long to keep it afterwards for a late sale.
    pub grace_seconds: u32,
    /// In minor units.
    pub price: i64,
    /// In minor units.
    pub face_value: i64,
    /// Of both.
    pub currency: &'a str,
    /// W3C trace context of the request.
    pub traceparent: Option<&'a str>,
}

/// Makes holds. Returns those made with the end of each; one whose id another transaction has used meanwhile is not
/// among them, and its card stays in stock.
pub async fn hold(tx: &Tx, holds: &[NewHold<'_>]) -> Result<Vec<(ReservationId, Timestamp)>, StoreError> {
    if holds.is_empty() {
        return Ok(Vec::new());
    }
    // By id, so two transactions inserting the same ids wait for each other in one order only.
    let mut sorted: Vec<&NewHold<'_>> = holds.iter().collect();
    sorted.sort_by_key(|hold| hold.reservation_id);
    let made = insert(tx, &sorted).await?;
    let card_of: HashMap<ReservationId, i64> = holds.iter().map(|hold| (hold.reservation_id, hold.card_id)).collect();
    let (owners, card_ids): (Vec<Uuid>, Vec<i64>) = made
        .iter()
        .filter_map(|(id, _)| Some((id.as_uuid(), *card_of.get(id)?)))
        .unzip();
    tx.execute_later(
        "UPDATE card SET state = 'reserved', exposed = true, reservation_id = u.reservation_id,
                updated_at = clock_timestamp()
         FROM UNNEST($1::bigint[], $2::uuid[]) AS u (card_id, reservation_id) WHERE card.card_id = u.card_id",
        &[&card_ids, &owners],
    )
    .await?;
    Ok(made)
}

async fn insert(tx: &Tx, holds: &[&NewHold<'_>]) -> Result<Vec<(ReservationId, Timestamp)>, StoreError> {
    let ids: Vec<Uuid> = holds.iter().map(|hold| hold.reservation_id.as_uuid()).collect();
    let products: Vec<&str> = holds.iter().map(|hold| hold.product.as_str()).collect();
    let terminals: Vec<&str> = holds.iter().map(|hold| hold.terminal.as_str()).collect();
    let fingerprints: Vec<&[u8]> = holds.iter().map(|hold| &hold.fingerprint[..]).collect();
    let cards: Vec<i64> = holds.iter().map(|hold| hold.card_id).collect();
    let seconds: Vec<i32> = holds.iter().map(|hold| small(hold.hold_seconds)).collect();
    let graces: Vec<i32> = holds.iter().map(|hold| small(hold.grace_seconds)).collect();
    let prices: Vec<i64> = holds.iter().map(|hold| hold.price).collect();
    let values: Vec<i64> = holds.iter().map(|hold| hold.face_value).collect();
    let currencies: Vec<&str> = holds.iter().map(|hold| hold.currency).collect();
    let traces: Vec<Option<&str>> = holds.iter().map(|hold| hold.traceparent).collect();
    let rows = tx
        .query(
            "INSERT INTO reservation (reservation_id, product_id, terminal_id, fingerprint, card_id, state, hold_seconds,
                                      created_at, held_until, grace_until, price, face_value, currency, traceparent)
             SELECT u.id, u.product, u.terminal, u.fingerprint, u.card, 'held', u.seconds, t.now,
                    t.now + make_interval(secs => u.seconds), t.now + make_interval(secs => u.seconds + u.grace),
                    u.price, u.value, u.currency, u.trace
             FROM (SELECT clock_timestamp() AS now OFFSET 0) t,
                  UNNEST($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::bigint[], $6::int[], $7::int[],
                         $8::bigint[], $9::bigint[], $10::text[], $11::text[])
                  AS u (id, product, terminal, fingerprint, card, seconds, grace, price, value, currency, trace)
             ON CONFLICT (reservation_id) DO NOTHING
             RETURNING reservation_id, held_until",
            &[
                &ids, &products, &terminals, &fingerprints, &cards, &seconds, &graces, &prices, &values, &currencies,
                &traces,
            ],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| (ReservationId::from_uuid(row.get(0)), row.get(1)))
        .collect())
}

/// A release that came in.
#[derive(Clone, Copy, Debug)]
pub struct Release<'a> {
    /// Of which reservation.
    pub reservation_id: ReservationId,
    /// By whom.
    pub terminal: &'a TerminalId,
    /// W3C trace context of the message.
    pub traceparent: Option<&'a str>,
}

/// Remembers releases of reservations never seen, and returns those; the others are known already, as almost all are.
pub(super) const REMEMBER_RELEASED: &str =
    "INSERT INTO reservation (reservation_id, terminal_id, state, ended_at, ended_by, traceparent)
     SELECT u.id, u.terminal, 'released', clock_timestamp(), 'release', u.trace
     FROM UNNEST($1::uuid[], $2::text[], $3::text[]) AS u (id, terminal, trace)
     WHERE NOT EXISTS (SELECT FROM reservation known WHERE known.reservation_id = u.id)
     ON CONFLICT (reservation_id) DO NOTHING RETURNING reservation_id";

/// The parameters of [`REMEMBER_RELEASED`], sorted by id: two transactions wait for each other in one order only.
pub(super) fn columns_of<'a>(releases: &[Release<'a>]) -> (Vec<Uuid>, Vec<&'a str>, Vec<Option<&'a str>>) {
    let mut sorted: Vec<&Release<'a>> = releases.iter().collect();
    sorted.sort_by_key(|release| release.reservation_id);
    (
        sorted.iter().map(|release| release.reservation_id.as_uuid()).collect(),
        sorted.iter().map(|release| release.terminal.as_str()).collect(),
        sorted.iter().map(|release| release.traceparent).collect(),
    )
}

fn small(seconds: u32) -> i32 {
    i32::try_from(seconds).unwrap_or(i32::MAX)
}
