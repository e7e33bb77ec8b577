//! Secrets shown outside of a sale: one card to an operator, unsold cards back to their issuer. Answered as an age file that
//! only the recipients asked for can open; the worker itself writes into the audit log who has been given what.
//!
//! A shown card is ASCII-armoured age of `{"product","serial","state","fields"}`. A return is age, or an OpenPGP message, of a
//! CSV file.

mod readers;
mod returned;

use std::io::Write;

use age::armor::{ArmoredWriter, Format};
use serde::Serialize;
use store::disclosures::{self, Claimed};
use store::{Store, StoreError, Tx};
use zeroize::Zeroizing;

use self::readers::Readers;
use crate::desk::Desk;
use crate::vault::{Details, VaultError};

/// How long a worker may be silent before its disclosure is another's; while its transaction is open nobody else has it.
const LEASE_SECONDS: i32 = 60;

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
    let readers = Readers::of(claimed)?;
    let tx = store.begin().await?;
    disclosures::own(&tx, claimed).await?;
    let answered = if claimed.is_return {
        returned::return_cards(desk, &tx, claimed, readers).await?
    } else {
        show_card(desk, &tx, claimed, readers).await?
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

async fn show_card(desk: &Desk, tx: &Tx, claimed: &Claimed, readers: Readers) -> Result<Answered, StoreError> {
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
    let armoured = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor).map_err(VaultError::Io)?;
    let mut writer = readers.seal(armoured)?;
    let sealed = writer
        .write_all(&plain)
        .and_then(|()| writer.finish())
        .and_then(ArmoredWriter::finish)
        .map_err(VaultError::Io)?;
    disclosures::add_chunk(tx, claimed, 0, &sealed).await?;
    let bytes = i64::try_from(sealed.len()).unwrap_or(i64::MAX);
    disclosures::finish(tx, claimed, Some(&subject), bytes, 0).await?;
    Ok(Answered::Done)
}
