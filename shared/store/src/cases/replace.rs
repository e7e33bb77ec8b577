//! A card given in place of another: sold to the same terminal under a reservation of its own, linked by the case. Only its
//! place in stock is looked at here; its details stay sealed until the terminal prints it.

use std::collections::HashMap;

use domain::declaration::Product;
use domain::ids::{ProductId, ReservationId, TerminalId};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::cards::{BY_SERIAL, COLUMNS, Card, Want, card_of, day_in};
use crate::reservations::{sell_instead, uuids};
use crate::{StoreError, Tx, declarations};

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
    /// W3C trace context of the reservation it is given for.
    pub traceparent: Option<String>,
}

/// Gives a card of the product for this sale: the one with the serial, or, unless the product is suspended, the next that could
/// be reserved.
pub(super) async fn give(
    tx: &Tx,
    instead_of: Uuid,
    product: &ProductId,
    serial: Option<&str>,
) -> Result<Given, StoreError> {
    let declared = declarations::product(tx, product).await?;
    // A terminal gets this card by no answer but a reprint's; never printed, it would be sold and shredded unseen.
    if declared.reprint_days == 0 {
        return Err(StoreError::Changed(format!(
            "no terminal could print another card of product {product}: its reprint_days is 0, so a sold card is never printed \
             again; declare some days, or give the money back"
        )));
    }
    // It may be suspended for what is wrong with its cards: which one is sound, only who names it can know.
    if declared.suspended && serial.is_none() {
        return Err(StoreError::Changed(format!(
            "product {product} is suspended, so none of its cards is given unasked: name one that is sound \
             (`unigate cards cases resolve … --as replaced --serial …`), or give the money back"
        )));
    }
    let missing = || {
        StoreError::Changed(match serial {
            Some(serial) => format!("card {serial} of product {product} is not in stock, or is worth another amount"),
            None => format!("no card of product {product} is left that is worth the same"),
        })
    };
    // Columns are named: operators may not read sealed details, not even to skip.
    let columns = "card.card_id, card.serial";
    let row = take(tx, &declared, serial, instead_of, &[], columns).await?;
    let row = row.ok_or_else(missing)?;
    let (card_id, serial) = (row.get(0), row.get(1));
    let reservation_id = ReservationId::from_uuid(Uuid::now_v7());
    let instead_of = ReservationId::from_uuid(instead_of);
    let sold = sell_instead(tx, reservation_id, instead_of, card_id, None).await?;
    Ok(Given {
        reservation_id,
        instead_of,
        product: product.clone(),
        serial,
        terminal: sold.terminal,
        amount: sold.amount,
        currency: sold.currency,
        traceparent: sold.traceparent,
    })
}

/// The lists of a product's cards, in the order in which they are sold: which cards, and their order.
fn lists(want: &Want) -> Vec<(String, &'static str)> {
    let mut lists = match want.expiring_first {
        true => vec![
            (
                "card.pool = 'fresh' AND card.expires_on IS NOT NULL".to_owned(),
                "card.expires_on, card.pos",
            ),
            ("card.pool = 'fresh' AND card.expires_on IS NULL".to_owned(), "card.pos"),
        ],
        false => vec![("card.pool = 'fresh'".to_owned(), "card.pos")],
    };
    if let Some(days) = want.returned_after_days {
        lists.push((
            format!("card.pool = 'returned' AND card.came_back_at <= statement_timestamp() - interval '{days} days'"),
            "card.came_back_at, card.pos",
        ));
    }
    lists
}

/// Locks the next card of the product that could be reserved now, is worth what this sale's was, and is of none of the batches to
/// be passed by.
pub async fn take_for(
    tx: &Tx,
    product: &Product,
    instead_of: ReservationId,
    passed_by: &[i64],
) -> Result<Option<Card>, StoreError> {
    let row = take(tx, product, None, instead_of.as_uuid(), passed_by, COLUMNS).await?;
    row.map(|row| card_of(&row, 0)).transpose()
}

async fn take(
    tx: &Tx,
    product: &Product,
    serial: Option<&str>,
    instead_of: Uuid,
    passed_by: &[i64],
    columns: &str,
) -> Result<Option<Row>, StoreError> {
    let want = Want::of(product, 1);
    let worth = product.face_value.minor();
    let today = day_in("$6::text");
    for (which, order) in lists(&want) {
        let sql = format!(
            "SELECT {columns} FROM card
             WHERE card.product_id = $1 AND card.state = 'available' AND {which}
               AND (card.expires_on IS NULL OR card.expires_on >= (SELECT {today} + $3::int))
               AND coalesce(card.face_value, $4::bigint) = (SELECT face_value FROM reservation WHERE reservation_id = $5)
               AND ($2::text IS NULL OR card.card_id = {BY_SERIAL}) AND card.batch_id <> ALL($7)
             ORDER BY {order} LIMIT 1 FOR UPDATE OF card SKIP LOCKED"
        );
        let row = tx
            .query_opt(
                &sql,
                &[
                    &product.id.as_str(),
                    &serial,
                    &want.days_left(),
                    &worth,
                    &instead_of,
                    &want.time_zone.name(),
                    &passed_by,
                ],
            )
            .await?;
        if row.is_some() {
            return Ok(row);
        }
    }
    Ok(None)
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
    let id = |row: &Row, at: usize| ReservationId::from_uuid(row.get(at));
    Ok(rows.iter().map(|row| (id(row, 0), id(row, 1))).collect())
}
