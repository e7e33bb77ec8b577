//! What a benchmark does to a database of its own: a stock without its file, sales and holds by the ten thousand, and what
//! disturbs a server (autovacuum off, a snapshot held). Set-based, and without the rules, the events and the answers.
//!
//! Only `unigate bench` uses it, on databases it has made. It refuses nothing, so nothing else may.

pub mod deliveries;
pub mod registers;

use std::time::{Duration, Instant};

use domain::ids::{ProductId, ReservationId};
use futures::SinkExt;
use jiff::Timestamp;
use uuid::Uuid;

use crate::migrate::{connect, quoted, server_of};
use crate::{Store, StoreError, StoreSettings, Tx};

/// Rows written in one transaction.
const AT_ONCE: i64 = 5000;

/// A card, sealed for its place.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// Its place in the order of selling.
    pub pos: i64,
    /// Unique within the product.
    pub serial: String,
    /// The details.
    pub sealed: Vec<u8>,
    /// Unique.
    pub blind_index: [u8; 32],
}

/// Copies a database that nobody works in any more, files as they are.
pub async fn copy_database(from: &StoreSettings, to: &StoreSettings) -> Result<(), StoreError> {
    let ((server, source), (_, copy)) = (server_of(from)?, server_of(to)?);
    let client = connect(&server).await?;
    client.batch_execute("SET statement_timeout = 0").await?;
    let gone = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1";
    client.execute(gone, &[&source]).await?;
    let (source, copy) = (quoted(&source), quoted(&copy));
    let sql = format!("CREATE DATABASE {copy} TEMPLATE {source} STRATEGY file_copy");
    Ok(client.batch_execute(&sql).await?)
}

/// Opens a batch without a file.
pub async fn open_batch(tx: &Tx, product: &ProductId, vault_version: i32, key: &[u8]) -> Result<i64, StoreError> {
    let row = tx
        .query_one(
            "WITH import AS (
                 INSERT INTO card_import (import_id, product_id, file_name, state, requested_by, finished_at)
                 VALUES (gen_random_uuid(), $1, 'bench', 'done', 'bench', clock_timestamp()) RETURNING import_id)
             INSERT INTO card_batch (product_id, import_id, vault_version, wrapped_key)
             SELECT $1, import_id, $2, $3 FROM import RETURNING batch_id",
            &[&product.as_str(), &vault_version, &key],
        )
        .await?;
    Ok(row.get(0))
}

/// Puts cards into stock.
pub async fn add_stock(tx: &Tx, product: &ProductId, batch_id: i64, cards: &[Sealed]) -> Result<(), StoreError> {
    let positions: Vec<i64> = cards.iter().map(|card| card.pos).collect();
    let serials: Vec<&str> = cards.iter().map(|card| &*card.serial).collect();
    let sealed: Vec<&[u8]> = cards.iter().map(|card| &*card.sealed).collect();
    let indexes: Vec<&[u8]> = cards.iter().map(|card| &card.blind_index[..]).collect();
    tx.execute(
        "WITH new AS (
             SELECT * FROM UNNEST($3::bigint[], $4::text[], $5::bytea[], $6::bytea[]) AS u (pos, serial, sealed, blind_index)),
         entered AS (
             INSERT INTO card (product_id, batch_id, pos, serial, sealed)
             SELECT $1, $2, pos, serial, sealed FROM new ORDER BY pos RETURNING card_id, pos)
         INSERT INTO card_identity (blind_index, index_version, product_id, serial, card_id)
         SELECT blind_index, (SELECT max(index_version) FROM vault_index_key), $1, serial, card_id
         FROM entered JOIN new USING (pos) ORDER BY blind_index",
        &[&product.as_str(), &batch_id, &positions, &serials, &sealed, &indexes],
    )
    .await
    .map(drop)
}

/// Vacuums and analyses, as a server that has been at rest for a while has done.
pub async fn settle(store: &Store) -> Result<(), StoreError> {
    for sql in ["VACUUM (ANALYZE) card", "VACUUM (ANALYZE) reservation", "CHECKPOINT"] {
        store.execute(sql, &[]).await?;
    }
    Ok(())
}

/// Holds up to `count` fresh cards beyond `after` until moments spread over `within` from `until`. Returns what was made
/// and the last position.
pub async fn hold(
    store: &Store,
    product: &ProductId,
    after: i64,
    count: i64,
    until: Timestamp,
    within: Duration,
) -> Result<(Vec<ReservationId>, i64), StoreError> {
    let (mut made, mut last) = (Vec::new(), after);
    while (made.len() as i64) < count {
        let most = AT_ONCE.min(count - made.len() as i64);
        let rows = store
            .query(
                "WITH taken AS MATERIALIZED (
                     SELECT card_id, pos, gen_random_uuid() AS id, $4::timestamptz + random() * $5 * interval '1 second' AS until
                     FROM card WHERE product_id = $1 AND state = 'available' AND pool = 'fresh' AND pos > $2
                     ORDER BY pos LIMIT $3),
                 made AS (
                     INSERT INTO reservation (reservation_id, product_id, terminal_id, fingerprint, card_id, state, hold_seconds,
                                              held_until, grace_until, price, face_value, currency)
                     SELECT id, $1, 'T-0001', sha256(id::text::bytea), card_id, 'held', 600, until,
                            until + interval '1 hour', 10000, 10000, 'RUB' FROM taken)
                 UPDATE card SET state = 'reserved', exposed = true, reservation_id = taken.id, updated_at = clock_timestamp()
                 FROM taken WHERE card.card_id = taken.card_id RETURNING taken.id, taken.pos",
                &[&product.as_str(), &last, &most, &until, &within.as_secs_f64()],
            )
            .await?;
        if rows.is_empty() {
            return Err(StoreError::Changed(format!("only {} cards could be held", made.len())));
        }
        last = rows.iter().map(|row| row.get(1)).max().unwrap_or(last);
        made.extend(rows.iter().map(|row| ReservationId::from_uuid(row.get(0))));
    }
    Ok((made, last))
}

/// Sells the next `count` fresh cards: held first and sold then, as the worker does it.
pub async fn sell(store: &Store, product: &ProductId, count: i64) -> Result<(), StoreError> {
    let (mut after, mut left) = (i64::MIN, count);
    let until = clock(store).await?;
    while left > 0 {
        let (ids, last) = hold(store, product, after, left.min(AT_ONCE), until, Duration::ZERO).await?;
        let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
        store
            .execute(
                "WITH sold AS (
                     UPDATE reservation SET state = 'sold', ended_at = clock_timestamp(), ended_by = 'sale',
                            sale_fingerprint = fingerprint, paid_at = clock_timestamp(), amount = price, late = false,
                            surplus = 0
                     WHERE reservation_id = ANY($1) RETURNING card_id)
                 UPDATE card SET state = 'sold', updated_at = clock_timestamp() FROM sold WHERE card.card_id = sold.card_id",
                &[&ids],
            )
            .await?;
        (after, left) = (last, left - ids.len() as i64);
    }
    Ok(())
}

/// What the time is.
pub async fn clock(store: &Store) -> Result<Timestamp, StoreError> {
    Ok(store.query_one("SELECT clock_timestamp()", &[]).await?.get(0))
}

/// Whether the server clears away dead rows by itself.
pub async fn has_autovacuum(store: &Store) -> Result<bool, StoreError> {
    let setting: String = store.query_one("SHOW autovacuum", &[]).await?.get(0);
    Ok(setting == "on")
}

/// Leaves the tables of cards to nobody's care.
pub async fn without_autovacuum(store: &Store) -> Result<(), StoreError> {
    for table in ["card", "reservation", "event"] {
        let sql = format!("ALTER TABLE {table} SET (autovacuum_enabled = off)");
        store.execute(&sql, &[]).await?;
    }
    Ok(())
}

/// Holds a snapshot, as a dump or a long report does, until what is returned is dropped.
pub async fn hold_snapshot(store: &Store) -> Result<Tx, StoreError> {
    let tx = store.begin().await?;
    tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", &[])
        .await?;
    // What it takes with it stays as it was for as long as this is open.
    tx.query("SELECT FROM product", &[]).await?;
    tx.execute("SET LOCAL idle_in_transaction_session_timeout = 0", &[])
        .await?;
    Ok(tx)
}

/// When a card was last sold, if any was.
pub async fn latest_sale(store: &Store) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT max(updated_at) FROM card WHERE state = 'sold'";
    Ok(store.query_one(sql, &[]).await?.get(0))
}

/// Whether anything is still held.
pub async fn is_anything_held(store: &Store) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT FROM reservation WHERE state = 'held')";
    Ok(store.query_one(sql, &[]).await?.get(0))
}

/// How long past its hold the last one was ended, in seconds, and how many were.
pub async fn latest_lapse(store: &Store) -> Result<(f64, i64), StoreError> {
    let row = store
        .query_one(
            "SELECT coalesce(max(extract(epoch FROM c.updated_at - r.held_until)), 0)::float8, count(*)
             FROM reservation r JOIN card c USING (card_id) WHERE r.state = 'lapsed'",
            &[],
        )
        .await?;
    Ok((row.get(0), row.get(1)))
}

/// Whether every file that was handed in is done with; an error if one was refused.
pub async fn are_files_done(store: &Store) -> Result<bool, StoreError> {
    let sql = "SELECT bool_and(state = 'done'), bool_or(state = 'refused') FROM card_import";
    let row = store.query_one(sql, &[]).await?;
    match row.get::<_, Option<bool>>(1) {
        Some(true) => Err(StoreError::Changed("the benchmark's card file was refused".into())),
        _ => Ok(row.get::<_, Option<bool>>(0).unwrap_or(false)),
    }
}

/// Enters cards by COPY and nothing else, into a table with the columns, constraints and indexes of the real one. Returns
/// how long it took.
pub async fn copy_in(
    settings: &StoreSettings,
    product: &ProductId,
    batch_id: i64,
    cards: &[Sealed],
) -> Result<Duration, StoreError> {
    let client = connect(settings).await?;
    client
        .batch_execute(
            "SET statement_timeout = 0;
             CREATE TABLE bare (LIKE card INCLUDING ALL, blind_index bytea NOT NULL UNIQUE, UNIQUE (product_id, serial))",
        )
        .await?;
    let begun = Instant::now();
    let sql = "COPY bare (product_id, batch_id, pos, serial, sealed, blind_index) FROM STDIN";
    let mut sink = Box::pin(client.copy_in::<_, bytes::Bytes>(sql).await?);
    for chunk in cards.chunks(1000) {
        let mut text = String::with_capacity(chunk.len() * 512);
        for card in chunk {
            let (sealed, index) = (hex::encode(&card.sealed), hex::encode(card.blind_index));
            text += &format!(
                "{product}\t{batch_id}\t{}\t{}\t\\\\x{sealed}\t\\\\x{index}\n",
                card.pos, card.serial
            );
        }
        sink.send(text.into()).await?;
    }
    sink.as_mut().finish().await?;
    Ok(begun.elapsed())
}
