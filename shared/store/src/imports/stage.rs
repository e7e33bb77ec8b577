//! Sealed cards on their way into stock: copied into a table of this transaction alone, compared as a whole with one another
//! and with every card there ever was, and moved by one statement. Until that commits nobody sees any of them.

use std::collections::BTreeMap;

use domain::card::CardState;
use domain::ids::ProductId;
use jiff::civil::Date;
use serde_json::Value;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::Type;

use super::Claimed;
use crate::{Store, StoreError, Tx};

/// The key of the advisory lock under which cards are entered, one file at a time: "cardfile" in ASCII. What was found to be
/// new stays new until it is in.
const ENTER_LOCK: i64 = 0x63_61_72_64_66_69_6c_65;

/// A sealed card about to be entered.
#[derive(Clone, Debug)]
pub struct NewCard {
    /// Its place in the order of selling.
    pub pos: i64,
    /// Where it stands in the file.
    pub line: i64,
    /// Unique within the product.
    pub serial: String,
    /// The details, sealed.
    pub sealed: Vec<u8>,
    /// Keyed hash of the details, under the latest index key.
    pub blind_index: [u8; 32],
    /// The same under every older one.
    pub older_indexes: Vec<[u8; 32]>,
    /// The last day on which it is good.
    pub expires_on: Option<Date>,
    /// Fields that are no secret, in the order of the file.
    pub public_fields: Option<Value>,
    /// What it is worth, where that is not what the product says; in minor units.
    pub face_value: Option<i64>,
    /// What it costs, where that is not what the product says; in minor units.
    pub price: Option<i64>,
}

const STAGED: [(&str, Type); 10] = [
    ("pos", Type::INT8),
    ("line", Type::INT8),
    ("serial", Type::TEXT),
    ("sealed", Type::BYTEA),
    ("blind_index", Type::BYTEA),
    ("older_indexes", Type::BYTEA_ARRAY),
    ("expires_on", Type::DATE),
    ("public_fields", Type::JSON),
    ("face_value", Type::INT8),
    ("price", Type::INT8),
];

/// Opens a batch for the file's cards, with the key that seals them, wrapped. Returns its id.
pub async fn add_batch(tx: &Tx, claimed: &Claimed, vault_version: i32, wrapped_key: &[u8]) -> Result<i64, StoreError> {
    let row = tx
        .query_one(
            "INSERT INTO card_batch (product_id, import_id, vault_version, wrapped_key) VALUES ($1, $2, $3, $4)
             RETURNING batch_id",
            &[
                &claimed.product.as_str(),
                &claimed.import_id,
                &vault_version,
                &wrapped_key,
            ],
        )
        .await?;
    Ok(row.get(0))
}

/// Makes the transaction's own table for sealed cards. It goes with the transaction, also when its worker dies. A large
/// file takes longer than a session may usually be idle, at one statement, or at a lock; this one holds nothing that
/// anybody waits for until its cards are entered.
pub async fn begin_staging(tx: &Tx) -> Result<(), StoreError> {
    let columns: Vec<String> = STAGED
        .iter()
        .map(|(name, kind)| format!("{name} {}", sql_name(kind)))
        .collect();
    // Compiling a statement costs more than what these few, with their simple expressions, could gain by it.
    let sql = format!(
        "SET LOCAL idle_in_transaction_session_timeout = '10min';
         SET LOCAL work_mem = '64MB';
         SET LOCAL jit = off;
         CREATE TEMPORARY TABLE card_staged (card_id bigint DEFAULT nextval('card_card_id_seq'), {}) ON COMMIT DROP",
        columns.join(", ")
    );
    tx.allow(3600).await?;
    tx.batch(&sql).await
}

fn sql_name(kind: &Type) -> String {
    match *kind {
        Type::BYTEA_ARRAY => "bytea[]".to_owned(),
        _ => kind.name().to_owned(),
    }
}

/// Copies cards into the transaction's own table.
pub async fn stage(tx: &Tx, cards: &[NewCard]) -> Result<(), StoreError> {
    let (names, types): (Vec<&str>, Vec<Type>) = STAGED.iter().cloned().unzip();
    let sql = format!("COPY card_staged ({}) FROM STDIN (FORMAT binary)", names.join(", "));
    let sink = tx.copy_in(&sql).await?;
    let writer = BinaryCopyInWriter::new(sink, &types);
    let mut writer = std::pin::pin!(writer);
    for card in cards {
        let older = Some(&card.older_indexes).filter(|older| !older.is_empty());
        let older: Option<Vec<&[u8]>> = older.map(|older| older.iter().map(|index| &index[..]).collect());
        writer
            .as_mut()
            .write(&[
                &card.pos,
                &card.line,
                &card.serial,
                &card.sealed,
                &&card.blind_index[..],
                &older,
                &card.expires_on,
                &card.public_fields,
                &card.face_value,
                &card.price,
            ])
            .await?;
    }
    writer.finish().await?;
    Ok(())
}

/// A staged row that was left out, and what it is a duplicate of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// Where it stands in the file.
    pub line: i64,
    /// Of what.
    pub of: Twin,
    /// By its serial; otherwise by its details.
    pub by_serial: bool,
}

/// What a row is a duplicate of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Twin {
    /// An earlier line of the same file.
    Line(i64),
    /// A card that is in stock, or was.
    Card(KnownCard),
}

/// A card that was there before, by what is in the open of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownCard {
    /// Of what.
    pub product: ProductId,
    /// Its serial.
    pub serial: String,
    /// Where it is in its life.
    pub state: CardState,
}

/// What was left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Duplicates {
    /// Rows that stand in the file before.
    pub in_file: i64,
    /// Rows of cards that are in stock, or were.
    pub known: i64,
    /// The first of both kinds, by line.
    pub first: Vec<Duplicate>,
}

/// Waits until no other file is being entered; from here to the end of the transaction none is.
pub async fn enter_alone(tx: &Tx) -> Result<(), StoreError> {
    tx.query("SELECT pg_advisory_xact_lock($1)", &[&ENTER_LOCK])
        .await
        .map(drop)
}

/// Takes what is not new out of the staged cards, with no other file being entered. The first `most` of them are named. A row whose serial or details stand on an earlier line is a duplicate, whatever becomes of that line.
pub async fn drop_duplicates(tx: &Tx, product: &ProductId, most: i64) -> Result<Duplicates, StoreError> {
    tx.batch(
        "ANALYZE card_staged (serial, blind_index);
         CREATE TEMPORARY TABLE card_twin (line bigint, pos bigint, first_line bigint, card_id bigint, by_serial boolean)
             ON COMMIT DROP",
    )
    .await?;
    tx.execute(
        "INSERT INTO card_twin (line, pos, first_line, by_serial)
         SELECT s.line, s.pos, f.line, true FROM card_staged s
         JOIN (SELECT serial, min(line) AS line FROM card_staged GROUP BY serial HAVING count(*) > 1) f USING (serial)
         WHERE s.line > f.line
         UNION ALL
         SELECT s.line, s.pos, f.line, false FROM card_staged s
         JOIN (SELECT blind_index, min(line) AS line FROM card_staged GROUP BY blind_index HAVING count(*) > 1) f
              USING (blind_index)
         WHERE s.line > f.line",
        &[],
    )
    .await?;
    // One statement sees a card that is being indexed anew under one of its two indexes.
    tx.execute(
        "INSERT INTO card_twin (line, pos, card_id, by_serial)
         SELECT s.line, s.pos, c.card_id, true FROM card_staged s
             JOIN card_identity c ON c.product_id = $1 AND c.serial = s.serial
         UNION ALL
         SELECT s.line, s.pos, c.card_id, false FROM card_staged s JOIN card_identity c ON c.blind_index = s.blind_index
         UNION ALL
         SELECT s.line, s.pos, c.card_id, false FROM card_staged s CROSS JOIN LATERAL unnest(s.older_indexes) AS older (value)
             JOIN card_identity c ON c.blind_index = older.value
         WHERE s.older_indexes IS NOT NULL",
        &[&product.as_str()],
    )
    .await?;
    let found = named(tx, most).await?;
    tx.execute("DELETE FROM card_staged WHERE pos IN (SELECT pos FROM card_twin)", &[])
        .await?;
    Ok(found)
}

async fn named(tx: &Tx, most: i64) -> Result<Duplicates, StoreError> {
    // A row may be a duplicate in several ways: it counts once, and what is known of it elsewhere says more.
    let counts = tx
        .query_one(
            "SELECT count(*) FILTER (WHERE card_id IS NULL), count(*) FILTER (WHERE card_id IS NOT NULL)
             FROM (SELECT pos, max(card_id) AS card_id FROM card_twin GROUP BY pos) t",
            &[],
        )
        .await?;
    let rows = tx
        .query(
            "SELECT t.line, t.by_serial, t.first_line, c.product_id, c.serial, c.state
             FROM (SELECT DISTINCT ON (line) * FROM card_twin ORDER BY line, card_id NULLS LAST, by_serial DESC) t
             LEFT JOIN card c USING (card_id) ORDER BY t.line LIMIT $1",
            &[&most],
        )
        .await?;
    let mut first = BTreeMap::new();
    for row in &rows {
        let of = match row.get::<_, Option<&str>>(3) {
            Some(product) => Twin::Card(KnownCard {
                product: ProductId::parse(product)?,
                serial: row.get(4),
                state: CardState::parse(row.get(5))?,
            }),
            None => Twin::Line(row.get(2)),
        };
        let line = row.get(0);
        first.insert(
            line,
            Duplicate {
                line,
                of,
                by_serial: row.get(1),
            },
        );
    }
    Ok(Duplicates {
        in_file: counts.get(0),
        known: counts.get(1),
        first: first.into_values().collect(),
    })
}

/// Moves the staged cards into stock. Returns how many. Call [`drop_duplicates`] before. `index_version` is that of the
/// latest index key, and stays so until the transaction ends ([`crate::vault::hold`]).
pub async fn enter_staged(tx: &Tx, product: &ProductId, batch_id: i64, index_version: i32) -> Result<i64, StoreError> {
    tx.execute(
        "INSERT INTO card (card_id, product_id, batch_id, pos, serial, sealed, expires_on, public_fields, face_value, price)
         OVERRIDING SYSTEM VALUE
         SELECT card_id, $1, $2, pos, serial, sealed, expires_on, public_fields, face_value, price FROM card_staged",
        &[&product.as_str(), &batch_id],
    )
    .await?;
    tx.execute(
        "UPDATE card_batch SET shredded_to = first - 1, last_card = last
         FROM (SELECT coalesce(min(card_id), 1) AS first, coalesce(max(card_id), 0) AS last FROM card_staged) staged
         WHERE batch_id = $1",
        &[&batch_id],
    )
    .await?;
    // In the order of the index that would otherwise be entered at a random place for each card: page by page.
    let entered = tx
        .execute(
            "INSERT INTO card_identity (blind_index, index_version, product_id, serial, card_id)
             SELECT blind_index, $2, $1, serial, card_id FROM card_staged ORDER BY blind_index",
            &[&product.as_str(), &index_version],
        )
        .await?;
    Ok(i64::try_from(entered).unwrap_or(i64::MAX))
}

/// Tells the planner of many new cards: a plan made for a small table would read a large one whole. Only a hint.
pub async fn refresh_statistics(store: &Store) -> Result<(), StoreError> {
    // Only who owns a table may: the function is the owner's.
    store.execute("SELECT analyze_cards()", &[]).await.map(drop)
}
