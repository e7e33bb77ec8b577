//! Writing what a batch of sales and releases came to: one statement per table, and one more where a card that was let go in
//! the batch was sold in it.

use std::borrow::Cow;

use domain::card::{CardState, CaseKind};
use domain::ids::ReservationId;
use jiff::Timestamp;
use uuid::Uuid;

use super::{Reservation, SaleTold};
use crate::{StoreError, Tx};

/// A card that changed.
#[derive(Clone, Debug)]
pub struct CardChange {
    /// Which.
    pub card_id: i64,
    /// Where it is now.
    pub state: CardState,
    /// Whose it is now; an available card is nobody's.
    pub reservation_id: Option<ReservationId>,
}

/// Something an operator has to settle.
#[derive(Clone, Debug)]
pub struct Case {
    /// What.
    pub kind: CaseKind,
    /// The sale it is about.
    pub reservation_id: ReservationId,
    /// The card it is about.
    pub card_id: i64,
    /// The reservation under which another card was given instead.
    pub replacement: Option<ReservationId>,
}

/// Everything a batch came to.
#[derive(Debug, Default)]
pub struct Written<'a> {
    /// Reservations that let go of a card which another one has bought, as they were then. One that was paid for after that is
    /// among the others as well.
    pub let_go: Vec<Cow<'a, Reservation>>,
    /// The other reservations that changed, as they are now.
    pub reservations: Vec<&'a Reservation>,
    /// Cards that changed, as they are now.
    pub cards: Vec<CardChange>,
}

/// Writes what a batch came to. The caller holds the locks on all of it.
pub async fn write(tx: &Tx, written: &Written<'_>) -> Result<(), StoreError> {
    // A card has one reservation that holds or has bought it, at every moment: the old holder goes first. Its two moves, where
    // it was paid for after all, are two rows of the model, and the schema knows no one move from the first to the last.
    let first: Vec<&Reservation> = written.let_go.iter().map(AsRef::as_ref).collect();
    for changed in [&first, &written.reservations] {
        if !changed.is_empty() {
            update_reservations(tx, changed).await?;
        }
    }
    if !written.cards.is_empty() {
        update_cards(tx, &written.cards).await?;
    }
    Ok(())
}

async fn update_reservations(tx: &Tx, changed: &[&Reservation]) -> Result<(), StoreError> {
    fn told<'a, T>(changed: &[&'a Reservation], of: impl Fn(&'a SaleTold) -> T) -> Vec<Option<T>> {
        changed
            .iter()
            .map(|reservation| reservation.sale.as_ref().map(&of))
            .collect()
    }
    let ids: Vec<Uuid> = changed
        .iter()
        .map(|reservation| reservation.reservation_id.as_uuid())
        .collect();
    let states: Vec<&str> = changed.iter().map(|reservation| reservation.state.as_str()).collect();
    let ended_at: Vec<Option<Timestamp>> = changed.iter().map(|reservation| reservation.ended_at).collect();
    let ended_by: Vec<Option<&str>> = changed
        .iter()
        .map(|reservation| reservation.ended_by.as_deref())
        .collect();
    let fingerprints = told(changed, |sale| sale.fingerprint.as_slice());
    let paid: Vec<Option<Timestamp>> = changed
        .iter()
        .map(|r| r.sale.as_ref().and_then(|sale| sale.paid_at))
        .collect();
    let amounts: Vec<Option<i64>> = changed
        .iter()
        .map(|r| r.sale.as_ref().and_then(|sale| sale.amount))
        .collect();
    let receipts: Vec<Option<&str>> = changed
        .iter()
        .map(|r| r.sale.as_ref().and_then(|sale| sale.receipt_number.as_deref()))
        .collect();
    let late = told(changed, |sale| sale.late);
    let surplus = told(changed, |sale| sale.surplus);
    tx.execute_later(
        "UPDATE reservation r
         SET state = u.state, ended_at = u.ended_at, ended_by = u.ended_by, sale_fingerprint = u.fingerprint,
             paid_at = u.paid_at, amount = u.amount, receipt_number = u.receipt_number, late = u.late, surplus = u.surplus
         FROM UNNEST($1::uuid[], $2::text[], $3::timestamptz[], $4::text[], $5::bytea[], $6::timestamptz[], $7::bigint[],
                     $8::text[], $9::boolean[], $10::bigint[])
              AS u (id, state, ended_at, ended_by, fingerprint, paid_at, amount, receipt_number, late, surplus)
         WHERE r.reservation_id = u.id",
        &[&ids, &states, &ended_at, &ended_by, &fingerprints, &paid, &amounts, &receipts, &late, &surplus],
    )
    .await
}

async fn update_cards(tx: &Tx, changed: &[CardChange]) -> Result<(), StoreError> {
    let ids: Vec<i64> = changed.iter().map(|change| change.card_id).collect();
    let states: Vec<&str> = changed.iter().map(|change| change.state.as_str()).collect();
    let owners: Vec<Option<Uuid>> = changed
        .iter()
        .map(|change| change.reservation_id.map(|id| id.as_uuid()))
        .collect();
    // Whatever leaves a terminal unsold has been shown: it comes back to the second pool, never to the fresh one.
    tx.execute_later(
        "UPDATE card SET state = u.state, reservation_id = u.owner, updated_at = clock_timestamp(),
                pool = CASE WHEN u.state = 'available' THEN 'returned' ELSE pool END,
                came_back_at = CASE WHEN u.state = 'available' THEN clock_timestamp() ELSE came_back_at END
         FROM UNNEST($1::bigint[], $2::text[], $3::uuid[]) AS u (id, state, owner)
         WHERE card.card_id = u.id",
        &[&ids, &states, &owners],
    )
    .await
}

/// Opens cases, after the reservations that they name. A card withdrawn and known not to work is faulty for its payer.
pub async fn write_cases(tx: &Tx, cases: &[Case]) -> Result<(), StoreError> {
    if cases.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = cases.iter().map(|_| Uuid::now_v7()).collect();
    let kinds: Vec<&str> = cases.iter().map(|case| case.kind.as_str()).collect();
    let reservations: Vec<Uuid> = cases.iter().map(|case| case.reservation_id.as_uuid()).collect();
    let cards: Vec<i64> = cases.iter().map(|case| case.card_id).collect();
    let instead: Vec<Option<Uuid>> = cases
        .iter()
        .map(|case| case.replacement.map(|id| id.as_uuid()))
        .collect();
    tx.execute_later(
        "INSERT INTO card_case (case_id, kind, reservation_id, card_id, replacement_reservation_id)
         SELECT u.id, CASE WHEN u.kind = 'withdrawn' AND EXISTS (SELECT FROM card_fault f WHERE f.card_id = u.card_id)
                           THEN 'faulty' ELSE u.kind END, u.reservation_id, u.card_id, u.instead
         FROM UNNEST($1::uuid[], $2::text[], $3::uuid[], $4::bigint[], $5::uuid[])
              AS u (id, kind, reservation_id, card_id, instead)
         ON CONFLICT (kind, reservation_id) DO NOTHING",
        &[&ids, &kinds, &reservations, &cards, &instead],
    )
    .await
}
