//! What follows a change of the vault in small steps, by any process that can open it: batch keys wrapped for the latest
//! recipients, cards indexed under the latest index key, keys that open nothing any more forgotten.
//!
//! Every step can be done twice, by two at once, and be cut off anywhere.

use std::collections::HashSet;
use std::sync::Arc;

use store::vault::{Batch, Reindexed};
use store::{Store, StoreError};

use super::keyring::Keyring;
use super::{Vault, VaultError, seal_to};

/// Batches read at a time.
pub(super) const PAGE: i64 = 200;
/// Cards indexed anew in one transaction. They are locked only while that is written: a card that is locked is not sold.
const CARDS_AT_ONCE: i64 = 32;

/// What a step has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// So many were done.
    pub done: u64,
    /// So many do not open, and stay as they are.
    pub unopenable: u64,
    /// Whether there is nothing left to do, as far as this process can tell.
    pub finished: bool,
}

impl Vault {
    /// Wraps every batch key for the recipients of the version opened here that is not wrapped for them. Goes on after one
    /// that does not open; if it had to, nobody will ever open it, and it is left as it is and counts as done for this version,
    /// since nothing would come of keeping an old identity for it.
    pub async fn rewrap(&self, store: &Store) -> Result<Step, VaultError> {
        let mut step = Step::default();
        let keyring = self.keyring();
        let mut after = 0;
        loop {
            let batches = store::vault::batches_behind(store, keyring.version, after, PAGE).await?;
            let Some(last) = batches.last() else {
                step.finished = step.unopenable == 0;
                return Ok(step);
            };
            after = last.batch_id;
            for batch in &batches {
                let Some(wrapped) = &batch.wrapped_key else { continue };
                match self.wrap_anew(store, &keyring, batch).await? {
                    Ok(replaced) => step.done += u64::from(replaced),
                    Err(error) => {
                        step.unopenable += 1;
                        tracing::error!(batch = batch.batch_id, import = %batch.import_id, %error, "a batch key cannot be wrapped anew");
                        if keyring.should_open(&batch.recipients) {
                            store::vault::rewrap_batch(store, batch, keyring.version, wrapped).await?;
                        }
                    }
                }
            }
        }
    }

    /// Wraps the keys anew that are wrapped for the version opened here and do not open with every identity of it here: damaged ones
    /// that were opened before (whoever changes the vault comes first, and has opened none), and those put back from a copy of the
    /// database, while the identity that opens them is still here. What cannot be had stays as it is.
    pub async fn mend(&self, store: &Store) -> Result<Step, VaultError> {
        let mut step = Step {
            finished: true,
            ..Step::default()
        };
        let keyring = self.keyring();
        let mut after = 0;
        loop {
            let batches = store::vault::batches(store, after, PAGE).await?;
            let Some(last) = batches.last() else { return Ok(step) };
            after = last.batch_id;
            let here = |batch: &&Batch| batch.vault_version == keyring.version && batch.wrapped_key.is_some();
            for batch in batches
                .iter()
                .filter(here)
                .filter(|batch| !keyring.opens_in_full(batch))
            {
                match self.wrap_anew(store, &keyring, batch).await? {
                    Ok(replaced) => {
                        tracing::warn!(batch = batch.batch_id, import = %batch.import_id, "a batch key that did not open was wrapped anew");
                        self.shut_batches().remove(&batch.batch_id);
                        step.done += u64::from(replaced);
                    }
                    Err(error) => {
                        tracing::error!(batch = batch.batch_id, import = %batch.import_id, %error, "a damaged batch key");
                        step.unopenable += 1;
                    }
                }
            }
        }
    }

    /// Wraps one key for the recipients of this version. The inner error says why it cannot be had here.
    async fn wrap_anew(
        &self,
        store: &Store,
        keyring: &Keyring,
        batch: &Batch,
    ) -> Result<Result<bool, VaultError>, VaultError> {
        // It may have been damaged since it was opened here.
        let in_memory = || self.known(&HashSet::from([batch.batch_id])).remove(&batch.batch_id);
        let opened = keyring.open_batch_key(batch).map(Arc::new);
        let key = match opened.or_else(|error| in_memory().ok_or(error)) {
            Ok(key) => key,
            Err(error) => return Ok(Err(error)),
        };
        let wrapped = seal_to(&keyring.recipients, key.as_bytes())?;
        let replaced = store::vault::rewrap_batch(store, batch, keyring.version, &wrapped).await?;
        runtime::checkpoint("cards.vault", "key_wrapped");
        Ok(Ok(replaced))
    }

    /// Indexes the next few cards under the latest index key. `finished`: there is none left, or another process is at it.
    pub async fn reindex_some(&self, store: &Store) -> Result<Step, StoreError> {
        let tx = store.begin().await?;
        let index = self.index_key();
        let Some((at, cards)) = store::vault::next_to_reindex(&tx, CARDS_AT_ONCE).await? else {
            tx.commit().await?;
            return Ok(Step {
                finished: true,
                ..Step::default()
            });
        };
        if at.index_version != index.version() {
            let latest = store::vault::latest_version(&tx).await?;
            return Err(VaultError::of_versions(self.version(), latest).into());
        }
        let mut step = Step::default();
        let mut anew = Vec::with_capacity(cards.len());
        for card in &cards {
            let key = match self.batch_keys(&tx, &HashSet::from([card.batch_id])).await {
                Ok(keys) => keys.get(&card.batch_id).cloned(),
                Err(VaultError::Store(error)) => return Err(error),
                Err(error) if error.is_retryable() => return Err(error.into()),
                Err(_) => None,
            };
            let place = super::CardPlace {
                batch_id: card.batch_id,
                pos: card.pos,
            };
            match key.and_then(|key| key.open(place, &card.sealed).ok()) {
                Some(details) => anew.push(Reindexed {
                    card_id: card.card_id,
                    before: card.blind_index.clone(),
                    after: index.of_card(&details),
                }),
                // Its index stays; `cards vault verify` names it.
                None => step.unopenable += 1,
            }
        }
        let last = cards.last().map(|card| card.card_id);
        step.done = store::vault::reindex(&tx, at, &anew, last).await?;
        tx.commit().await?;
        runtime::checkpoint("cards.vault", "cards_moved");
        step.finished = last.is_none();
        Ok(step)
    }
}
