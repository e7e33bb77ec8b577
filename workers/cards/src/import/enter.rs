//! The second reading of a file: rows are sealed on a thread, chunk by chunk, and entered in one transaction.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::civil::Date;
use store::imports::{self, Claimed, NewCard};
use store::{Store, StoreError, Tx};
use tokio::sync::mpsc;

use super::check::{Checked, is_expired};
use super::file::CardFile;
use super::report::Report;
use super::{Verdict, json};
use crate::vault::{BatchKey, CardPlace, Vault};

/// Rows sealed and entered together.
const CHUNK: usize = 5_000;

/// From how many new cards on the planner is told of them.
const MANY: u64 = 1_000;

/// Some sealed cards, and the lines they stood on by position.
struct Chunk {
    cards: Vec<NewCard>,
    lines: HashMap<i64, u64>,
}

/// Enters a checked file, all or nothing.
pub(super) async fn enter(
    store: &Store,
    vault: &Arc<Vault>,
    claimed: &Arc<Claimed>,
    checked: Checked,
    today: Date,
) -> Result<Verdict, StoreError> {
    let Checked {
        mut report,
        good,
        file_hashes,
        vault_version,
    } = checked;
    // Dealt outside the transaction: it may be long, and another file of the product must not wait for its row lock.
    let first_pos = imports::deal_positions(store, &claimed.product, good).await?;
    let tx = store.begin().await?;
    // First of all: nobody changes the vault, and nobody with another one enters cards, until this is committed.
    vault.hold(&tx, vault_version).await?;
    imports::own(&tx, claimed).await?;
    if let Some((import_id, at)) = imports::entered_before(&tx, &file_hashes).await? {
        tx.rollback().await?;
        let why = format!("this file was imported before: {import_id}, {at}");
        return Ok(Verdict::Refused(Report::of_whole_file(&why)));
    }
    let index_version = vault.index_key().version();
    let (key, wrapped) = vault.new_batch_key()?;
    let batch_id = imports::add_batch(&tx, claimed, vault_version, &wrapped).await?;
    let (sender, mut chunks) = mpsc::channel(1);
    let (reading_vault, file) = (vault.clone(), claimed.clone());
    let sealing = tokio::task::spawn_blocking(move || {
        seal_all(
            &reading_vault,
            &file,
            &key,
            CardPlace {
                batch_id,
                pos: first_pos,
            },
            today,
            &sender,
        )
    });
    while let Some(chunk) = chunks.recv().await {
        enter_chunk(&tx, claimed, (batch_id, index_version), &chunk, &mut report).await?;
    }
    match sealing.await {
        Ok(Ok(())) => {}
        Ok(Err(why)) => return Err(StoreError::Unreadable(why)),
        Err(error) => return Err(StoreError::unreadable(format!("sealing the cards: {error}"))),
    }
    let counts = (signed(report.added), signed(report.duplicates.total));
    imports::finish(&tx, claimed, "done", file_hashes.last(), counts, &json(&report)?).await?;
    tx.commit().await?;
    if report.added >= MANY
        && let Err(error) = imports::refresh_statistics(store).await
    {
        tracing::debug!(%error, "left to autovacuum");
    }
    Ok(Verdict::Done(report))
}

async fn enter_chunk(
    tx: &Tx,
    claimed: &Claimed,
    (batch_id, index_version): (i64, i32),
    chunk: &Chunk,
    report: &mut Report,
) -> Result<(), StoreError> {
    let entered = imports::add_cards(tx, &claimed.product, batch_id, index_version, &chunk.cards).await?;
    report.added += entered.len() as u64;
    let left_out: Vec<&NewCard> = chunk.cards.iter().filter(|card| !entered.contains(&card.pos)).collect();
    if left_out.is_empty() {
        return Ok(());
    }
    let serials: Vec<&str> = left_out.iter().map(|card| card.serial.as_str()).collect();
    let known = imports::known_serials(tx, &claimed.product, &serials).await?;
    for card in left_out {
        let why = if known.contains(&card.serial) {
            "serial: this product has a card with it"
        } else {
            "the same details are in stock or were sold"
        };
        report
            .duplicates
            .add(chunk.lines.get(&card.pos).copied().unwrap_or(0), why);
    }
    Ok(())
}

/// Reads the file again and sends its cards on, sealed. Ends early when nobody takes them any more.
fn seal_all(
    vault: &Vault,
    claimed: &Claimed,
    key: &BatchKey,
    first: CardPlace,
    today: Date,
    sender: &mpsc::Sender<Chunk>,
) -> Result<(), String> {
    let reader = vault.reader(&claimed.sealed_file).map_err(|error| error.to_string())?;
    let mut file = CardFile::open(reader)?;
    let mut place = first;
    let mut chunk = Chunk::new();
    let index = vault.index_key();
    while let Some(row) = file.next()? {
        let row = row.map_err(|bad| bad.why)?;
        if is_expired(row.expires_on, today) {
            continue;
        }
        chunk.lines.insert(place.pos, row.line);
        chunk.cards.push(NewCard {
            pos: place.pos,
            sealed: key.seal(place, &row.details).map_err(|error| error.to_string())?,
            blind_index: index.of_card(&row.details),
            older_indexes: index.older_of_card(&row.details),
            serial: row.serial,
            expires_on: row.expires_on,
        });
        place.pos += 1;
        if chunk.cards.len() == CHUNK
            && sender
                .blocking_send(std::mem::replace(&mut chunk, Chunk::new()))
                .is_err()
        {
            return Ok(());
        }
    }
    if !chunk.cards.is_empty() {
        // A receiver that is gone has its own error to tell.
        let _ = sender.blocking_send(chunk);
    }
    Ok(())
}

impl Chunk {
    fn new() -> Self {
        Self {
            cards: Vec::with_capacity(CHUNK),
            lines: HashMap::with_capacity(CHUNK),
        }
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
