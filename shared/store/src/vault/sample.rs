//! Cards read to see whether they open: all of them page by page, or some by chance.

use crate::{Store, StoreError};

/// A card with everything that has to fit together.
#[derive(Clone, Debug)]
pub struct CheckedCard {
    /// Its row.
    pub card_id: i64,
    /// Of what.
    pub product: String,
    /// Which.
    pub serial: String,
    /// Its place in the order of selling; part of what its seal is bound to.
    pub pos: i64,
    /// Whose key opens it.
    pub batch_id: i64,
    /// Its details, sealed.
    pub sealed: Vec<u8>,
    /// What it is recognised by.
    pub blind_index: Vec<u8>,
    /// Under which index key.
    pub index_version: i32,
}

const COLUMNS: &str = "found.card_id, product_id, serial, pos, batch_id, sealed, blind_index, index_version";
const IDENTITY: &str = "JOIN card_identity USING (product_id, serial)";

/// The next up to `most` cards whose details are still there, by their rows.
pub async fn cards_after(store: &Store, after: i64, most: i64) -> Result<Vec<CheckedCard>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM (SELECT * FROM card WHERE card_id > $1 AND sealed IS NOT NULL ORDER BY card_id LIMIT $2) AS found
         {IDENTITY} ORDER BY found.card_id"
    );
    Ok(cards_of(&store.query(&sql, &[&after, &most]).await?))
}

/// About `most` cards from all over the table, by chance: short runs from as many places as there are runs.
pub async fn cards_by_chance(store: &Store, most: i64) -> Result<Vec<CheckedCard>, StoreError> {
    const RUN: i64 = 8;
    let sql = format!(
        "SELECT {COLUMNS} FROM (SELECT DISTINCT ON (run.card_id) run.* FROM (
             SELECT (random() * (SELECT coalesce(max(card_id), 0) FROM card))::bigint AS start
             FROM generate_series(1, $1::bigint)) AS starts
         CROSS JOIN LATERAL (
             SELECT * FROM card WHERE card_id >= starts.start AND sealed IS NOT NULL ORDER BY card_id LIMIT $2) AS run
             ORDER BY run.card_id) AS found
         {IDENTITY} ORDER BY found.card_id"
    );
    let runs = (most / RUN).max(1);
    Ok(cards_of(&store.query(&sql, &[&runs, &RUN]).await?))
}

fn cards_of(rows: &[tokio_postgres::Row]) -> Vec<CheckedCard> {
    rows.iter()
        .map(|row| CheckedCard {
            card_id: row.get(0),
            product: row.get(1),
            serial: row.get(2),
            pos: row.get(3),
            batch_id: row.get(4),
            sealed: row.get(5),
            blind_index: row.get(6),
            index_version: row.get(7),
        })
        .collect()
}
