//! Cards that do not work: reported once each, before or after they were sold, and listed for the issuer.

use domain::card::{CardState, Resolution};
use domain::ids::{ProductId, TerminalId};
use jiff::Timestamp;
use uuid::Uuid;

use super::BY_SERIAL;
use crate::{Store, StoreError, Tx, cases};

/// What became of a card that was reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reported {
    /// It was not sold: nobody will be sold it any more, unless its terminal has shown it already.
    SetAside {
        /// Where it was.
        was: CardState,
        /// Where it is now: faulty, or withdrawn still.
        is: CardState,
    },
    /// It was sold: a case was opened about the sale, or there was one.
    Sold {
        /// The case.
        case_id: Uuid,
    },
}

/// Notes that a card does not work. One that was reported before is [`StoreError::Changed`].
pub async fn report_faulty(
    tx: &Tx,
    product: &ProductId,
    serial: &str,
    who: &str,
    reason: &str,
) -> Result<Reported, StoreError> {
    let row = tx
        .query_opt(
            &format!("SELECT card_id, state, reservation_id FROM card WHERE card_id = {BY_SERIAL} FOR UPDATE"),
            &[&product.as_str(), &serial],
        )
        .await?
        .ok_or_else(|| StoreError::Changed(format!("product {product} has no card with this serial")))?;
    let (card_id, before) = (row.get::<_, i64>(0), CardState::parse(row.get(1))?);
    if !note(tx, &[card_id], who, reason).await? {
        return Err(StoreError::Changed("it was reported faulty before".into()));
    }
    if before == CardState::Sold {
        let unowned = || StoreError::unreadable("a sold card without a reservation");
        let reservation: Uuid = row.get::<_, Option<Uuid>>(2).ok_or_else(unowned)?;
        let opened = cases::open_faulty(tx, reservation, card_id, who).await?;
        let case_id = opened.ok_or_else(|| StoreError::Changed("there is a case about it".into()))?;
        return Ok(Reported::Sold { case_id });
    }
    // One that was withdrawn stays so: it is out of stock either way, and if it is paid after all its case says faulty.
    let mut is = before;
    if before.may_become(CardState::Faulty) {
        is = CardState::Faulty;
        set_faulty(tx, card_id).await?;
    }
    Ok(Reported::SetAside { was: before, is })
}

/// Who notes a card whose details do not open, and why.
pub(super) const BY_WORKER: (&str, &str) = ("the cards worker", "its details do not open");

/// Notes cards that are somebody's and whose details do not open: one that is not sold never comes back into stock, and the sale
/// of one that is sold gets a case. A card that another transaction has locked is left for the next time it is asked for: whoever
/// asks may hold locks of other cards, and waits for none.
pub async fn note_unopenable(tx: &Tx, card_ids: &[i64]) -> Result<(), StoreError> {
    let rows = tx
        .query(
            "SELECT card_id, state, reservation_id FROM card WHERE card_id = ANY($1) ORDER BY card_id FOR UPDATE SKIP LOCKED",
            &[&card_ids],
        )
        .await?;
    let (who, reason) = BY_WORKER;
    for row in &rows {
        let (card_id, state) = (row.get::<_, i64>(0), CardState::parse(row.get(1))?);
        if !note(tx, &[card_id], who, reason).await? {
            continue;
        }
        match (state, row.get::<_, Option<Uuid>>(2)) {
            (CardState::Sold, Some(reservation)) => {
                cases::open_faulty(tx, reservation, card_id, who).await?;
            }
            _ if state.may_become(CardState::Faulty) => set_faulty(tx, card_id).await?,
            _ => {}
        }
    }
    Ok(())
}

async fn set_faulty(tx: &Tx, card_id: i64) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE card SET state = 'faulty', updated_at = clock_timestamp() WHERE card_id = $1",
        &[&card_id],
    )
    .await
    .map(drop)
}

/// Notes cards as faulty. False = one of them was noted before.
pub(super) async fn note(tx: &Tx, card_ids: &[i64], who: &str, reason: &str) -> Result<bool, StoreError> {
    let noted = tx
        .execute(
            "INSERT INTO card_fault (card_id, reported_by, reason) SELECT id, $2, $3 FROM UNNEST($1::bigint[]) AS faulty (id)
             ON CONFLICT DO NOTHING",
            &[&card_ids, &who, &reason],
        )
        .await?;
    Ok(noted == card_ids.len() as u64)
}

/// A faulty card, for its issuer. By serial: no details are here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultyRow {
    /// When it was reported.
    pub reported_at: Timestamp,
    /// Of what.
    pub product: ProductId,
    /// Which card.
    pub serial: String,
    /// What does not work.
    pub reason: String,
    /// By whom it was reported.
    pub reported_by: String,
    /// Where it is.
    pub state: CardState,
    /// When it was sold, if it was.
    pub sold_at: Option<Timestamp>,
    /// Where.
    pub terminal: Option<TerminalId>,
    /// On the payer's slip.
    pub receipt_number: Option<String>,
    /// The case about its sale.
    pub case_id: Option<Uuid>,
    /// What that came to.
    pub resolution: Option<Resolution>,
    /// The card given in its place.
    pub replacement_serial: Option<String>,
}

/// Which faulty cards.
#[derive(Clone, Debug, Default)]
pub struct FaultyFilter {
    /// Only of this product.
    pub product: Option<ProductId>,
    /// Reported at this moment or later.
    pub from: Option<Timestamp>,
    /// Reported before this moment.
    pub to: Option<Timestamp>,
}

/// Faulty cards in the order in which they were reported.
pub async fn list_faulty(store: &Store, filter: &FaultyFilter) -> Result<Vec<FaultyRow>, StoreError> {
    let rows = store
        .query(
            "SELECT f.reported_at, card.product_id, card.serial, f.reason, f.reported_by, card.state, r.ended_at, r.terminal_id,
                    r.receipt_number, c.case_id, c.resolution, given.serial
             FROM card_fault f JOIN card USING (card_id)
                  LEFT JOIN reservation r ON r.reservation_id = card.reservation_id AND r.state = 'sold'
                  LEFT JOIN card_case c ON c.reservation_id = r.reservation_id AND c.kind = 'faulty'
                  LEFT JOIN reservation instead ON instead.reservation_id = c.replacement_reservation_id
                  LEFT JOIN card given ON given.card_id = instead.card_id
             WHERE ($1::text IS NULL OR card.product_id = $1) AND ($2::timestamptz IS NULL OR f.reported_at >= $2)
               AND ($3::timestamptz IS NULL OR f.reported_at < $3)
             ORDER BY f.reported_at, f.card_id",
            &[&filter.product.as_ref().map(ProductId::as_str), &filter.from, &filter.to],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(FaultyRow {
                reported_at: row.get(0),
                product: ProductId::parse(row.get(1))?,
                serial: row.get(2),
                reason: row.get(3),
                reported_by: row.get(4),
                state: CardState::parse(row.get(5))?,
                sold_at: row.get(6),
                terminal: row.get::<_, Option<&str>>(7).map(TerminalId::parse).transpose()?,
                receipt_number: row.get(8),
                case_id: row.get(9),
                resolution: row.get::<_, Option<&str>>(10).map(Resolution::parse).transpose()?,
                replacement_serial: row.get(11),
            })
        })
        .collect()
}
