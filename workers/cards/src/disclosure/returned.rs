//! Unsold cards on their way back to their issuer: a CSV file with the columns `serial`, `expires_on`, `shown` (`yes` for a card
//! that a terminal has seen) and all fields of the cards. A card whose details are gone or do not open stands there without
//! them, and is counted. A return that holds any card that was not withdrawn for it is refused as a whole. Memory is bounded by two pages of cards and two chunks of the file, whatever their number.

use std::collections::HashMap;

use bytes::Bytes;
use store::disclosures::{self, AskedCard, CHUNK_BYTES, Claimed};
use store::{StoreError, Tx};
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::Answered;
use super::readers::Readers;
use crate::chunks::Chunks;
use crate::desk::{Desk, exposed};
use crate::vault::{Details, VaultError};

/// Cards read at a time, and pages and chunks under way: what bounds memory.
const PAGE: i64 = 1_000;
const UNDER_WAY: usize = 2;

type Page = Vec<(AskedCard, Option<Details>)>;

/// Writes the file of a return, chunk by chunk.
pub(super) async fn return_cards(
    desk: &Desk,
    tx: &Tx,
    claimed: &Claimed,
    readers: Readers,
) -> Result<Answered, StoreError> {
    let others = disclosures::not_withdrawn(tx, claimed).await?;
    if others > 0 {
        let why = format!("{others} of its cards were not withdrawn for it: none is returned");
        disclosures::refuse(tx, claimed, None, &why).await?;
        return Ok(Answered::Refused(why));
    }
    let (names, missing) = columns_of(desk, tx, claimed).await?;
    let (pages_in, pages) = mpsc::channel(UNDER_WAY);
    let (chunks_in, chunks) = mpsc::channel(UNDER_WAY);
    let writing = async {
        let written = tokio::task::spawn_blocking(move || write_file(&names, readers, pages, chunks_in)).await;
        written.map_err(|error| StoreError::unreadable(format!("writing the file: {error}")))?
    };
    let (read, stored, written) = tokio::join!(
        read_pages(desk, tx, claimed, pages_in),
        store_chunks(tx, claimed, chunks),
        writing
    );
    read?;
    let bytes = stored?;
    written?;
    disclosures::finish(tx, claimed, None, bytes, missing).await?;
    Ok(Answered::Done)
}

/// The names of the secret fields, in the order in which they come first, and how many cards have none.
async fn columns_of(desk: &Desk, tx: &Tx, claimed: &Claimed) -> Result<(Vec<String>, i64), StoreError> {
    let (mut names, mut missing, mut after) = (Vec::<String>::new(), 0, 0);
    loop {
        let page = page_after(desk, tx, claimed, after).await?;
        let Some((last, _)) = page.last() else {
            return Ok((names, missing));
        };
        after = last.n;
        for (_, details) in &page {
            let Some(details) = details else {
                missing += 1;
                continue;
            };
            for (name, _) in details.iter() {
                if !names.iter().any(|known| known == name) {
                    names.push(name.to_owned());
                }
            }
        }
    }
}

async fn page_after(desk: &Desk, tx: &Tx, claimed: &Claimed, after: i64) -> Result<Page, StoreError> {
    let asked = disclosures::cards_after(tx, claimed, after, PAGE).await?;
    let cards: Vec<_> = asked.iter().map(|asked| &asked.card).collect();
    let mut opened = desk.open_cards(tx, &cards).await?;
    let with_details = |asked: AskedCard| {
        let details = opened.remove(&asked.card.card_id);
        (asked, details)
    };
    Ok(asked.into_iter().map(with_details).collect())
}

async fn read_pages(desk: &Desk, tx: &Tx, claimed: &Claimed, pages: Sender<Page>) -> Result<(), StoreError> {
    let mut after = 0;
    loop {
        let page = page_after(desk, tx, claimed, after).await?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = last.n;
        // A writer that is gone says itself why.
        if pages.send(page).await.is_err() {
            return Ok(());
        }
    }
}

async fn store_chunks(tx: &Tx, claimed: &Claimed, mut chunks: Receiver<Bytes>) -> Result<i64, StoreError> {
    let (mut n, mut bytes) = (0, 0);
    while let Some(chunk) = chunks.recv().await {
        disclosures::add_chunk(tx, claimed, n, &chunk).await?;
        n += 1;
        // A chunk is at most a mebibyte.
        bytes += i64::try_from(chunk.len()).unwrap_or(i64::MAX);
    }
    Ok(bytes)
}

fn write_file(
    names: &[String],
    readers: Readers,
    mut pages: Receiver<Page>,
    chunks: Sender<Bytes>,
) -> Result<(), StoreError> {
    let failed = |error: csv::Error| StoreError::unreadable(format!("writing the file: {error}"));
    let sealed = readers.seal(Chunks::new(chunks, CHUNK_BYTES))?;
    let mut csv = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(sealed);
    let header = ["serial", "expires_on", "shown"]
        .into_iter()
        .chain(names.iter().map(String::as_str));
    csv.write_record(header).map_err(failed)?;
    while let Some(page) = pages.blocking_recv() {
        for (asked, details) in &page {
            let fields: HashMap<&str, &str> = details.as_ref().map(exposed).unwrap_or_default().into_iter().collect();
            let expires_on = asked.expires_on.map(|day| day.to_string()).unwrap_or_default();
            let shown = if asked.exposed { "yes" } else { "" };
            let secrets = names
                .iter()
                .map(|name| fields.get(name.as_str()).copied().unwrap_or_default());
            let row = [asked.card.serial.as_str(), &expires_on, shown]
                .into_iter()
                .chain(secrets);
            csv.write_record(row).map_err(failed)?;
        }
    }
    let sealed = csv
        .into_inner()
        .map_err(|error| StoreError::unreadable(format!("writing the file: {}", error.error())))?;
    let chunks = sealed.finish().map_err(VaultError::Io)?;
    chunks.finish().map_err(VaultError::Io)?;
    Ok(())
}
