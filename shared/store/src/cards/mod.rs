//! Cards: taking them out of stock, counting them, setting them aside. Their details are ciphertext here.
//!
//! Nothing in this module can open a card, and nothing returns one to the fresh pool.

mod expiring;
mod faulty;
mod sales;
mod stock;
mod take;

use domain::card::CardState;
use domain::ids::{ProductId, ReservationId};
use jiff::civil::Date;
use serde_json::Value;
use tokio_postgres::Row;

use crate::audit::{self, Act};
use crate::{Store, StoreError, Tx};

pub use expiring::{ExpiryRule, Withdrawn, count_expiring, withdraw_expiring};
pub use faulty::{FaultyFilter, FaultyRow, Reported, list_faulty, note_unopenable, report_faulty};
pub use sales::{SaleFilter, SaleRow, SaleSum, Section, SerialRow, Serials, SumBy, sale_sums, sales_page, serials};
pub use stock::{
    Available, RATE_DAYS, Stock, available, ever_stocked, lock_stock, low_crossing, settle_sold, shred, stock,
    stock_at_rate,
};
pub use take::{Want, Watermarks, take};

/// A card as stored: everything but the details is in the open.
#[derive(Clone, Debug)]
pub struct Card {
    /// Its row.
    pub card_id: i64,
    /// What it is a card of.
    pub product: ProductId,
    /// Its place in the order of selling; part of what its seal is bound to.
    pub pos: i64,
    /// The imported file it came in, whose key opens it.
    pub batch_id: i64,
    /// By which people name it; no secret.
    pub serial: String,
    /// The details, sealed; gone once they were shredded.
    pub sealed: Option<Vec<u8>>,
    /// Where it is in its life.
    pub state: CardState,
    /// Who has it, or had it last.
    pub reservation_id: Option<ReservationId>,
    /// Its fields that are no secret, in the order of its file.
    pub public_fields: Vec<(String, String)>,
    /// What it is worth, where that is not what the product says; in minor units.
    pub face_value: Option<i64>,
    /// What it costs, where that is not what the product says; in minor units.
    pub price: Option<i64>,
    /// The last day on which it is good.
    pub expires_on: Option<Date>,
}

/// The card of product `$1` with the serial `$2`, as an expression.
pub(crate) const BY_SERIAL: &str = "(SELECT card_id FROM card_identity WHERE product_id = $1 AND serial = $2)";

pub(crate) const COLUMNS: &str = "card.card_id, card.product_id, card.pos, card.batch_id, card.serial, card.sealed, card.state, \
     card.reservation_id, card.public_fields, card.face_value, card.price, card.expires_on";

/// Which day it is in a time zone, by the database's clock. `zone` is SQL.
pub(crate) fn day_in(zone: &str) -> String {
    format!("(statement_timestamp() AT TIME ZONE {zone})::date")
}

pub(crate) fn card_of(row: &Row, from: usize) -> Result<Card, StoreError> {
    Ok(Card {
        card_id: row.get(from),
        product: ProductId::parse(row.get(from + 1))?,
        pos: row.get(from + 2),
        batch_id: row.get(from + 3),
        serial: row.get(from + 4),
        sealed: row.get(from + 5),
        state: CardState::parse(row.get(from + 6))?,
        reservation_id: row.get::<_, Option<_>>(from + 7).map(ReservationId::from_uuid),
        public_fields: fields_of(row.get(from + 8)),
        face_value: row.get(from + 9),
        price: row.get(from + 10),
        expires_on: row.get(from + 11),
    })
}

fn fields_of(stored: Option<Value>) -> Vec<(String, String)> {
    let Some(Value::Object(fields)) = stored else {
        return Vec::new();
    };
    let text = |(name, value)| match value {
        Value::String(value) => Some((name, value)),
        _ => None,
    };
    fields.into_iter().filter_map(text).collect()
}

/// Takes those of these cards that are in stock and cannot be opened out of it: their rows are damaged, and no terminal can be given them.
pub async fn mark_faulty(tx: &Tx, card_ids: &[i64]) -> Result<(), StoreError> {
    let (who, reason) = faulty::BY_WORKER;
    faulty::note(tx, card_ids, who, reason).await?;
    tx.execute(
        "UPDATE card SET state = 'faulty', updated_at = clock_timestamp() WHERE card_id = ANY($1) AND state = 'available'",
        &[&card_ids],
    )
    .await
    .map(drop)
}

/// An operator takes a card out: `faulty` or `withdrawn`. A live reservation keeps it, and paid still beats everything.
pub async fn set_aside(
    store: &Store,
    product: &ProductId,
    serial: &str,
    state: CardState,
    who: &str,
    reason: &str,
) -> Result<(), StoreError> {
    let tx = store.begin().await?;
    let row = tx
        .query_opt(
            &format!("SELECT state, card_id FROM card WHERE card_id = {BY_SERIAL} FOR UPDATE"),
            &[&product.as_str(), &serial],
        )
        .await?
        .ok_or_else(|| StoreError::Changed(format!("product {product} has no card with this serial")))?;
    let (before, card_id) = (CardState::parse(row.get(0))?, row.get::<_, i64>(1));
    let aside = matches!(state, CardState::Faulty | CardState::Withdrawn);
    if !aside || !before.may_become(state) {
        return Err(StoreError::Changed(format!(
            "a card that is {} cannot become {}",
            before.as_str(),
            state.as_str()
        )));
    }
    if state == CardState::Faulty {
        faulty::note(&tx, &[card_id], who, reason).await?;
    }
    tx.execute(
        "UPDATE card SET state = $2, updated_at = clock_timestamp() WHERE card_id = $1",
        &[&card_id, &state.as_str()],
    )
    .await?;
    let act = Act {
        who,
        act: "cards set-aside",
        subject_kind: "card",
        subject: &format!("{product}/{serial}"),
        reason: Some(reason),
        before: Some(before.as_str().into()),
        after: Some(state.as_str().into()),
    };
    audit::record(&tx, &act).await?;
    tx.commit().await
}
