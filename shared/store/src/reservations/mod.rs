//! Reservations: what is known of one, locking and writing many at once.
//!
//! Locks are always taken in this order: reservations by id (with the live reservations of the same cards), then cards by
//! id. Cards in stock are taken with `SKIP LOCKED`, which waits for nobody. What a message means for what was locked is
//! decided by `domain::card`; this reads and writes.

mod expiry;
mod hold;
mod replacement;
mod usage;
mod write;

use std::collections::{BTreeMap, HashMap};

use domain::card::ReservationState;
use domain::ids::{ProductId, ReservationId, TerminalId};
use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::cards::{self, Card, card_of};
use crate::{StoreError, Tx};

pub use expiry::{Ended, end_grace, expire, expire_due, next_due};
pub use hold::{NewHold, Release, hold};
pub use replacement::{SoldInstead, replacements, sell_instead};
pub use usage::{Unsold, lock_usage, unsold};
pub use write::{CardChange, Case, Written, write, write_cases};

/// A reservation as stored.
#[derive(Clone, Debug)]
pub struct Reservation {
    /// Chosen by the terminal.
    pub reservation_id: ReservationId,
    /// Of what; none for a release that came before its reservation.
    pub product: Option<ProductId>,
    /// Whose.
    pub terminal: TerminalId,
    /// Of the `card.reserve` that made it.
    pub fingerprint: Option<Vec<u8>>,
    /// Its card.
    pub card_id: Option<i64>,
    /// As last written; [`Reservation::state_at`] is the state by the clock.
    pub state: ReservationState,
    /// End of the hold.
    pub held_until: Option<Timestamp>,
    /// End of the grace.
    pub grace_until: Option<Timestamp>,
    /// What was answered, in minor units.
    pub price: Option<i64>,
    /// What was answered, in minor units.
    pub face_value: Option<i64>,
    /// Of both.
    pub currency: Option<String>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// By what: `sale`, `release`, `grace`, `superseded`, `replacement`.
    pub ended_by: Option<String>,
    /// The sale, as the terminal told it.
    pub sale: Option<SaleTold>,
}

/// A sale as a terminal told it, and what became of it.
#[derive(Clone, Debug)]
pub struct SaleTold {
    /// Equal fingerprints are the same sale.
    pub fingerprint: Vec<u8>,
    /// By the terminal's clock.
    pub paid_at: Option<Timestamp>,
    /// In minor units.
    pub amount: Option<i64>,
    /// On the payer's receipt.
    pub receipt_number: Option<String>,
    /// The hold was over.
    pub late: bool,
    /// Paid above the price, in minor units.
    pub surplus: i64,
}

impl Reservation {
    /// The state by the clock, whether or not a sweep has come by.
    pub fn state_at(&self, now: Timestamp) -> ReservationState {
        match (self.held_until, self.grace_until) {
            (Some(held), Some(grace)) => self.state.as_of(held, grace, now),
            _ => self.state,
        }
    }
}

/// What was found under the locks, and when.
#[derive(Debug)]
pub struct Locked {
    /// The database's clock, read once the locks were held: everything in this transaction is judged by it. Where nothing
    /// was found there is nothing to judge, and it is no time at all.
    pub now: Timestamp,
    /// Asked for and found, and the live reservations of the same cards.
    pub reservations: BTreeMap<ReservationId, Reservation>,
    /// Their cards.
    pub cards: HashMap<i64, Card>,
}

const COLUMNS: &str = "r.reservation_id, r.product_id, r.terminal_id, r.fingerprint, r.card_id, r.state, r.held_until, \
     r.grace_until, r.price, r.face_value, r.currency, r.ended_at, r.ended_by, r.sale_fingerprint, r.paid_at, r.amount, \
     r.receipt_number, coalesce(r.late, false), coalesce(r.surplus, 0)";

fn reservation_of(row: &Row) -> Result<Reservation, StoreError> {
    let sale = row.get::<_, Option<Vec<u8>>>(13).map(|fingerprint| SaleTold {
        fingerprint,
        paid_at: row.get(14),
        amount: row.get(15),
        receipt_number: row.get(16),
        late: row.get(17),
        surplus: row.get(18),
    });
    Ok(Reservation {
        reservation_id: ReservationId::from_uuid(row.get(0)),
        product: row.get::<_, Option<&str>>(1).map(ProductId::parse).transpose()?,
        terminal: TerminalId::parse(row.get(2))?,
        fingerprint: row.get(3),
        card_id: row.get(4),
        state: ReservationState::parse(row.get(5))?,
        held_until: row.get(6),
        grace_until: row.get(7),
        price: row.get(8),
        face_value: row.get(9),
        currency: row.get(10),
        ended_at: row.get(11),
        ended_by: row.get(12),
        sale,
    })
}

/// Reads reservations and their cards without locking them: for answers that change nothing.
pub async fn read(tx: &Tx, ids: &[ReservationId]) -> Result<Locked, StoreError> {
    let (reservations, now) = select(tx, &uuids(ids)).await?;
    let cards = select_cards(tx, &reservations).await?;
    Ok(Locked {
        now: now.unwrap_or_default(),
        reservations,
        cards,
    })
}

/// Locks reservations, the live reservations of the same cards, and the cards; then releases of reservations never seen
/// are remembered, so that a reservation arriving later is over. Those are returned.
pub async fn lock_with_cards(
    tx: &Tx,
    ids: &[ReservationId],
    releases: &[Release<'_>],
) -> Result<(Locked, Vec<ReservationId>), StoreError> {
    let mut remembered = Vec::new();
    loop {
        let (locked, released, unlocked) = lock_round(tx, &uuids(ids), releases).await?;
        remembered.extend(released);
        if !unlocked {
            return Ok((locked, remembered));
        }
    }
}

/// Locks what there is, and tells whether something has come in between: somebody may have reserved one of the cards
/// before it was locked, or one of the ids before its release was remembered. Then all is locked again. The order of locks
/// is broken there, once in a great while; a deadlock is found by the server and the batch is done again.
///
/// Releases are remembered last. Whoever reserves has cards before he enters ids, and would wait for the release of his id
/// by one who waits for his card.
async fn lock_round(
    tx: &Tx,
    ids: &[Uuid],
    releases: &[Release<'_>],
) -> Result<(Locked, Vec<ReservationId>, bool), StoreError> {
    let (released, terminals, traces) = hold::columns_of(releases);
    let locking = selection(LIVE_OF_SAME_CARDS, "FOR NO KEY UPDATE OF r");
    let cards = format!(
        "SELECT {} FROM card WHERE card_id = ANY({CARDS_OF_THESE}) ORDER BY card_id FOR UPDATE",
        cards::COLUMNS
    );
    let present = format!("SELECT clock_timestamp(), ARRAY({})", present());
    let [locked, cards, remembered, looked] = tx
        .query_each([
            (&locking, &[&ids]),
            (&cards, &[&ids]),
            (hold::REMEMBER_RELEASED, &[&released, &terminals, &traces]),
            (&present, &[&ids]),
        ])
        .await?;
    let looked = looked.first().ok_or_else(|| StoreError::unreadable("no clock"))?;
    let locked = Locked {
        now: looked.get(0),
        reservations: reservations_of(&locked)?,
        cards: cards_of(&cards)?,
    };
    let unlocked = looked
        .get::<_, Vec<Uuid>>(1)
        .into_iter()
        .any(|id| !locked.reservations.contains_key(&ReservationId::from_uuid(id)));
    let remembered = remembered
        .iter()
        .map(|row| ReservationId::from_uuid(row.get(0)))
        .collect();
    Ok((locked, remembered, unlocked))
}

/// What must be locked: the reservations asked for, and the live ones of their cards.
fn present() -> String {
    format!(
        "SELECT reservation_id FROM reservation WHERE reservation_id = ANY($1)
         UNION ALL
         SELECT reservation_id FROM reservation WHERE card_id = ANY({CARDS_OF_THESE}) AND state IN ('held', 'lapsed')"
    )
}

/// The cards of the reservations asked for, of which those locked with them have the same.
const CARDS_OF_THESE: &str =
    "ARRAY(SELECT card_id FROM reservation WHERE reservation_id = ANY($1) AND card_id IS NOT NULL)";
const NO_OTHERS: &str = "'{}'::uuid[]";
const LIVE_OF_SAME_CARDS: &str = "ARRAY(
    SELECT live.reservation_id FROM reservation own
    JOIN reservation live ON live.card_id = own.card_id AND live.state IN ('held', 'lapsed')
    WHERE own.reservation_id = ANY($1) AND live.reservation_id <> own.reservation_id)";

/// Reservations with these ids, and the clock; none = there are none.
async fn select(
    tx: &Tx,
    ids: &[Uuid],
) -> Result<(BTreeMap<ReservationId, Reservation>, Option<Timestamp>), StoreError> {
    let rows = tx.query(&selection(NO_OTHERS, ""), &[&ids]).await?;
    let now = rows.last().map(|row| row.get(row.len() - 1));
    Ok((reservations_of(&rows)?, now))
}

/// Finds reservations with these ids and those of `others`. The inner query locks row by row in this order, and the clock is
/// read for each behind its lock.
fn selection(others: &str, lock: &str) -> String {
    format!(
        "SELECT found.*, clock_timestamp() FROM (
             SELECT {COLUMNS} FROM reservation r WHERE r.reservation_id = ANY($1 || {others})
             ORDER BY r.reservation_id {lock}) found"
    )
}

fn reservations_of(rows: &[Row]) -> Result<BTreeMap<ReservationId, Reservation>, StoreError> {
    rows.iter()
        .map(|row| reservation_of(row).map(|found| (found.reservation_id, found)))
        .collect()
}

async fn select_cards(
    tx: &Tx,
    reservations: &BTreeMap<ReservationId, Reservation>,
) -> Result<HashMap<i64, Card>, StoreError> {
    let ids: Vec<i64> = reservations
        .values()
        .filter_map(|reservation| reservation.card_id)
        .collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = format!("SELECT {} FROM card WHERE card_id = ANY($1)", cards::COLUMNS);
    cards_of(&tx.query(&sql, &[&ids]).await?)
}

fn cards_of(rows: &[Row]) -> Result<HashMap<i64, Card>, StoreError> {
    rows.iter()
        .map(|row| card_of(row, 0).map(|card| (card.card_id, card)))
        .collect()
}

pub(crate) fn uuids(ids: &[ReservationId]) -> Vec<Uuid> {
    ids.iter().map(|id| id.as_uuid()).collect()
}
