//! Does everything open? Every index key and every batch key by every identity that is here and should, and cards: all of
//! them, or some by chance. A card also has to be indexed as its details say.
//!
//! Only reads, and names what does not fit; of a card its product and serial, never what is in it.

use std::collections::HashMap;

use serde::Serialize;
use store::Store;
use store::vault::{Batch, CheckedCard};

use super::keyring::{Keyring, open_key};
use super::{BatchKey, CardPlace, Vault, VaultError};

/// Read at a time.
const PAGE: i64 = 2_000;
/// The most things that are named.
const NAMED_MAX: usize = 1_000;

/// How many cards to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Every one whose details are still there.
    All,
    /// About so many, by chance.
    Sample(u32),
}

/// Something that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unfit {
    /// `batch` or `card`.
    pub kind: &'static str,
    /// Which: the batch's number, the card's product and serial.
    pub subject: String,
    /// What is wrong.
    pub why: String,
}

/// What was looked at, and what does not fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Index keys, all of which open and are proven; a vault where that is not so cannot be opened at all.
    pub index_keys: usize,
    /// Batch keys looked at.
    pub batches: u64,
    /// Batch keys that were forgotten, since no card of theirs has details.
    pub forgotten: u64,
    /// Cards looked at.
    pub cards: u64,
    /// How many things do not fit.
    pub unfit: u64,
    /// The first thousand of them.
    pub named: Vec<Unfit>,
}

impl Verified {
    fn add(&mut self, kind: &'static str, subject: impl ToString, why: impl ToString) {
        self.unfit += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push(Unfit {
                kind,
                subject: subject.to_string(),
                why: why.to_string(),
            });
        }
    }
}

/// Looks at everything. `progress` is told how many cards were looked at.
pub async fn verify(
    store: &Store,
    vault: &Vault,
    extent: Extent,
    progress: impl Fn(u64),
) -> Result<Verified, VaultError> {
    let keyring = vault.keyring();
    let mut verified = Verified {
        index_keys: keyring.index.all().len(),
        ..Verified::default()
    };
    let keys = verify_batches(store, &keyring, &mut verified).await?;
    match extent {
        Extent::Sample(count) => {
            let cards = store::vault::cards_by_chance(store, i64::from(count)).await?;
            cards
                .iter()
                .for_each(|card| verify_card(&keyring, &keys, card, &mut verified));
        }
        Extent::All => {
            let mut after = 0;
            loop {
                let cards = store::vault::cards_after(store, after, PAGE).await?;
                let Some(last) = cards.last() else { break };
                after = last.card_id;
                cards
                    .iter()
                    .for_each(|card| verify_card(&keyring, &keys, card, &mut verified));
                progress(verified.cards);
            }
        }
    }
    Ok(verified)
}

/// The keys of all batches there are; none for one that does not open.
type Keys = HashMap<i64, Option<BatchKey>>;

async fn verify_batches(store: &Store, keyring: &Keyring, verified: &mut Verified) -> Result<Keys, VaultError> {
    let mut keys = HashMap::new();
    let mut after = 0;
    loop {
        let batches = store::vault::batches(store, after, PAGE).await?;
        let Some(last) = batches.last() else { return Ok(keys) };
        after = last.batch_id;
        for batch in &batches {
            if batch.wrapped_key.is_none() {
                verified.forgotten += 1;
            } else {
                verified.batches += 1;
            }
            keys.insert(batch.batch_id, verify_batch(keyring, batch, verified));
        }
    }
}

fn verify_batch(keyring: &Keyring, batch: &Batch, verified: &mut Verified) -> Option<BatchKey> {
    let wrapped = batch.wrapped_key.as_deref()?;
    let named = format!("{} (import {})", batch.batch_id, batch.import_id);
    if batch.vault_version != keyring.version {
        verified.add(
            "batch",
            &named,
            format!(
                "its key is wrapped for version {} of the vault and not yet for version {}: a worker does it within a minute",
                batch.vault_version, keyring.version
            ),
        );
    }
    let mut opened = None;
    for identity in keyring.fitting() {
        match open_key(std::slice::from_ref(identity), wrapped) {
            Ok(key) => opened = Some(key),
            // One that came later than this batch was wrapped has been told of above.
            Err(_) if batch.vault_version != keyring.version => {}
            Err(error) => verified.add(
                "batch",
                &named,
                format!(
                    "its key does not open with the identity of {}: {error}",
                    identity.to_public()
                ),
            ),
        }
    }
    opened
}

fn verify_card(keyring: &Keyring, keys: &Keys, card: &CheckedCard, verified: &mut Verified) {
    // A batch that was not there a moment ago has just come in.
    let Some(key) = keys.get(&card.batch_id) else { return };
    verified.cards += 1;
    let named = format!("{}/{}", card.product, card.serial);
    let Some(key) = key else {
        let why = format!("the key of its batch {} does not open, or was forgotten", card.batch_id);
        return verified.add("card", named, why);
    };
    let place = CardPlace {
        batch_id: card.batch_id,
        pos: card.pos,
    };
    let Ok(details) = key.open(place, &card.sealed) else {
        return verified.add("card", named, "it does not open under its batch's key");
    };
    match keyring.index.under(card.index_version) {
        None => verified.add(
            "card",
            named,
            format!("its index key, version {}, is not there", card.index_version),
        ),
        Some(index) if index.of_card(&details)[..] != card.blind_index[..] => verified.add(
            "card",
            named,
            format!(
                "it is not indexed as its details say, under index key {}",
                card.index_version
            ),
        ),
        Some(_) => {}
    }
}
