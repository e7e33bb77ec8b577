//! Secrets shown outside of a sale: one card to an operator, unsold cards back to their issuer. Answered as an age file that
//! only the recipients asked for can open; the worker itself writes into the audit log who has been given what.
//!
//! A shown card is ASCII-armoured age of `{"product","serial","state","fields"}`. A return is age of a CSV file with the
//! columns `serial`, `expires_on`, `shown` (`yes` for a card that a terminal has seen) and all fields of the cards; a card whose
//! details are gone or do not open stands there without them, and is counted. Memory is bounded by two pages of cards and two
//! chunks of the file, whatever their number.

use std::collections::HashMap;
use std::io::Write;

use age::armor::{ArmoredWriter, Format};
use age::x25519::Recipient;
use serde::Serialize;
use store::disclosures::{self, AskedCard, CHUNK_BYTES, Claimed};
use store::{Store, StoreError, Tx};
use tokio::sync::mpsc::{self, Receiver, Sender};
use zeroize::Zeroizing;

use crate::desk::{Desk, exposed};
use crate::vault::{Details, VaultError, recipient};

/// How long a worker may be silent before its disclosure is another's; while its transaction is open nobody else has it.
const LEASE_SECONDS: i32 = 60;
/// Cards read at a time, and pages and chunks under way: what bounds memory.
const PAGE: i64 = 1_000;
const UNDER_WAY: usize = 2;

/// What became of a disclosure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// Its file is there.
    Done,
    /// There is nothing to show; why, in words.
    Refused(String),
}

/// Takes up the oldest disclosure that waits and answers it. `None`: there is none.
pub async fn work_one(store: &Store, desk: &Desk) -> Result<Option<Answered>, StoreError> {
    desk.vault.refresh(store).await?;
    let Some(claimed) = disclosures::claim(store, LEASE_SECONDS).await? else {
        return Ok(None);
    };
    let kind = if claimed.is_return { "return" } else { "show" };
    let answered = match answer(store, desk, &claimed).await {
        Ok(answered) => answered,
        Err(StoreError::Changed(why)) => {
            tracing::warn!(disclosure = %claimed.disclosure_id, why, "a disclosure was lost to another worker");
            return Ok(Some(Answered::Refused(why)));
        }
        Err(error) if error.is_retryable() => return Err(error),
        // It would fail the same way for ever: an operator has to see it.
        Err(error) => {
            let why = error.to_string();
            let tx = store.begin().await?;
            disclosures::refuse(&tx, &claimed, None, &why).await?;
            tx.commit().await?;
            Answered::Refused(why)
        }
    };
    let outcome = match &answered {
        Answered::Done => "done",
        Answered::Refused(_) => "refused",
    };
    tracing::info!(disclosure = %claimed.disclosure_id, kind, outcome, cards = claimed.cards, "a disclosure was answered");
    metrics::counter!("unigate_cards_disclosures_total", "kind" => kind, "outcome" => outcome).increment(1);
    Ok(Some(answered))
}

async fn answer(store: &Store, desk: &Desk, claimed: &Claimed) -> Result<Answered, StoreError> {
    let recipients = claimed
        .recipients
        .iter()
        .map(|text| recipient(text))
        .collect::<Result<Vec<_>, _>>()?;
    let tx = store.begin().await?;
    disclosures::own(&tx, claimed).await?;
    let answered = if claimed.is_return {
        return_cards(desk, &tx, claimed, recipients).await?
    } else {
        show_card(desk, &tx, claimed, recipients).await?
    };
    tx.commit().await?;
    Ok(answered)
}

/// What an operator finds in the file.
#[derive(Serialize)]
struct Shown<'a> {
    product: &'a str,
    serial: &'a str,
    state: &'a str,
    fields: &'a Details,
}

async fn show_card(
    desk: &Desk,
    tx: &Tx,
    claimed: &Claimed,
    recipients: Vec<Recipient>,
) -> Result<Answered, StoreError> {
    let cards = disclosures::cards_after(tx, claimed, 0, 1).await?;
    let asked = cards
        .first()
        .ok_or_else(|| StoreError::unreadable("a disclosure without a card"))?;
    let card = &asked.card;
    let subject = format!("{}/{}", card.product, card.serial);
    let opened = desk.open_cards(tx, &[card]).await?;
    let Some(details) = opened.get(&card.card_id) else {
        let why = match card.sealed {
            None => "its details were shredded after the reprint window",
            Some(_) => "it does not open under its batch's key",
        };
        disclosures::refuse(tx, claimed, Some(&subject), why).await?;
        return Ok(Answered::Refused(why.to_owned()));
    };
    let shown = Shown {
        product: card.product.as_str(),
        serial: &card.serial,
        state: card.state.as_str(),
        fields: details,
    };
    let plain = Zeroizing::new(serde_json::to_vec(&shown)?);
    let mut sealed = Vec::new();
    let armoured = ArmoredWriter::wrap_output(&mut sealed, Format::AsciiArmor).map_err(VaultError::Io)?;
    let mut writer = sealing(&recipients, armoured)?;
    writer
        .write_all(&plain)
        .and_then(|()| writer.finish())
        .and_then(ArmoredWriter::finish)
        .map_err(VaultError::Io)?;
    disclosures::add_chunk(tx, claimed, 0, &sealed).await?;
    let bytes = i64::try_from(sealed.len()).unwrap_or(i64::MAX);
    disclosures::finish(tx, claimed, Some(&subject), bytes, 0).await?;
    Ok(Answered::Done)
}

fn sealing<W: Write>(recipients: &[Recipient], to: W) -> Result<age::stream::StreamWriter<W>, VaultError> {
    let dynamic = recipients.iter().map(|one| one as &dyn age::Recipient);
    let encryptor = age::Encryptor::with_recipients(dynamic).map_err(VaultError::Sealing)?;
    encryptor.wrap_output(to).map_err(VaultError::Io)
}

type Page = Vec<(AskedCard, Option<Details>)>;

async fn return_cards(
    desk: &Desk,
    tx: &Tx,
    claimed: &Claimed,
    recipients: Vec<Recipient>,
) -> Result<Answered, StoreError> {
    let (names, missing) = columns_of(desk, tx, claimed).await?;
    let (pages_in, pages) = mpsc::channel(UNDER_WAY);
    let (chunks_in, chunks) = mpsc::channel(UNDER_WAY);
    let writing = async {
        let written = tokio::task::spawn_blocking(move || write_file(&names, &recipients, pages, chunks_in)).await;
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

async fn store_chunks(tx: &Tx, claimed: &Claimed, mut chunks: Receiver<Vec<u8>>) -> Result<i64, StoreError> {
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
    recipients: &[Recipient],
    mut pages: Receiver<Page>,
    chunks: Sender<Vec<u8>>,
) -> Result<(), StoreError> {
    let failed = |error: csv::Error| StoreError::unreadable(format!("writing the file: {error}"));
    let sealed = sealing(
        recipients,
        Chunks {
            chunks,
            open: Vec::new(),
        },
    )?;
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

/// The last station of a file: cut into chunks and handed over. A full channel makes it wait, a closed one fail.
struct Chunks {
    chunks: Sender<Vec<u8>>,
    open: Vec<u8>,
}

impl Chunks {
    fn hand_over(&mut self) -> std::io::Result<()> {
        let chunk = std::mem::take(&mut self.open);
        let sent = chunk.is_empty() || self.chunks.blocking_send(chunk).is_ok();
        if sent {
            Ok(())
        } else {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
    }

    fn finish(mut self) -> std::io::Result<()> {
        self.hand_over()
    }
}

impl Write for Chunks {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        let taken = data.len().min(CHUNK_BYTES - self.open.len());
        self.open.extend_from_slice(&data[..taken]);
        if self.open.len() == CHUNK_BYTES {
            self.hand_over()?;
        }
        Ok(taken)
    }

    /// A chunk is handed over when it is full.
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
