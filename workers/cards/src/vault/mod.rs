//! The vault: the only thing that can open a card.
//!
//! Three kinds of keys. The *identity* (an age X25519 key in a file that only the cards worker has) opens the other two.
//! The *index key* recognises a card seen before without opening any; it is stored wrapped for the vault's recipients. A
//! *batch key* seals the cards of one imported file; it is stored wrapped the same way, so a rotation of the identity
//! re-wraps one short text per file and touches no card.
//!
//! Nothing here prints a key or a detail, and nothing writes one anywhere in the open.

mod error;
mod identity;
mod index;
mod seal;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use age::x25519::{Identity, Recipient};
use contract::answer::SecretFields;
use secrecy::{ExposeSecret, SecretBox};
use store::vault::VaultRow;
use store::{Store, Tx};
use zeroize::Zeroizing;

pub use error::VaultError;
pub(crate) use index::FileHash;
pub use index::IndexKey;
pub use seal::{BatchKey, CardPlace};

/// The opened vault.
pub struct Vault {
    identity: Identity,
    recipients: Vec<Recipient>,
    version: i32,
    index_key: IndexKey,
    // Opened batch keys by batch: opening one costs an X25519, a card only a stream cipher.
    opened: Mutex<HashMap<i64, Arc<BatchKey>>>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// What [`open`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// The vault was there and the identity opens it.
    Existing,
    /// There was no vault: one was made for the identity in the file, which was made as well if it was missing.
    Made,
}

/// Opens the vault with the identity in this file. When the database has no vault yet, makes one, and the identity too if
/// the file does not exist; whoever made it has to keep a copy of that file, since nothing else opens the cards.
pub async fn open(store: &Store, identity_file: &Path) -> Result<(Vault, Opened), VaultError> {
    if let Some(row) = store::vault::current(store).await? {
        return Ok((Vault::of(identity::read(identity_file)?, &row)?, Opened::Existing));
    }
    let tx = store.begin().await?;
    if let Some(row) = store::vault::current_locked(&tx).await? {
        tx.commit().await?;
        return Ok((Vault::of(identity::read(identity_file)?, &row)?, Opened::Existing));
    }
    let identity = identity::read_or_make(identity_file)?;
    let recipient = identity.to_public();
    let index_key = IndexKey::random()?;
    let row = VaultRow {
        version: 1,
        wrapped_index_key: seal_to(std::slice::from_ref(&recipient), index_key.as_bytes())?,
        recipients: vec![recipient.to_string()],
    };
    store::vault::insert(&tx, &row).await?;
    tx.commit().await?;
    tracing::warn!(
        file = %identity_file.display(),
        recipient = %recipient,
        "a new vault was made: keep a copy of its identity file in a safe place, no card can be opened without it"
    );
    Ok((Vault::of(identity, &row)?, Opened::Made))
}

impl Vault {
    fn of(identity: Identity, row: &VaultRow) -> Result<Self, VaultError> {
        let own = identity.to_public().to_string();
        if !row.recipients.contains(&own) {
            return Err(VaultError::Mismatch { own });
        }
        let recipients = row
            .recipients
            .iter()
            .map(|text| recipient(text))
            .collect::<Result<_, _>>()?;
        let index_key = IndexKey::from_secret(&open_with(&identity, &row.wrapped_index_key)?)?;
        Ok(Self {
            identity,
            recipients,
            version: row.version,
            index_key,
            opened: Mutex::default(),
        })
    }

    /// The version that new batches are wrapped under.
    pub fn version(&self) -> i32 {
        self.version
    }

    /// Whom files handed in are sealed to.
    pub fn recipients(&self) -> &[Recipient] {
        &self.recipients
    }

    /// The key that recognises cards.
    pub fn index_key(&self) -> &IndexKey {
        &self.index_key
    }

    /// Something sealed to the vault, opened as a stream.
    pub(crate) fn reader<'a>(&self, sealed: &'a [u8]) -> Result<impl std::io::Read + use<'a>, VaultError> {
        let decryptor = age::Decryptor::new_buffered(sealed).map_err(VaultError::Unopenable)?;
        decryptor
            .decrypt(std::iter::once(&self.identity as &dyn age::Identity))
            .map_err(VaultError::Unopenable)
    }

    /// A key for a new batch, and its wrapped form to be stored.
    pub fn new_batch_key(&self) -> Result<(BatchKey, Vec<u8>), VaultError> {
        let key = BatchKey::random()?;
        let wrapped = seal_to(&self.recipients, key.as_bytes())?;
        Ok((key, wrapped))
    }

    /// The keys of these batches, opened.
    pub async fn batch_keys(&self, tx: &Tx, batches: &HashSet<i64>) -> Result<HashMap<i64, Arc<BatchKey>>, VaultError> {
        let mut keys = self.known(batches);
        let missing: Vec<i64> = batches
            .iter()
            .copied()
            .filter(|batch| !keys.contains_key(batch))
            .collect();
        if missing.is_empty() {
            return Ok(keys);
        }
        for (batch, wrapped) in store::vault::wrapped_batch_keys(tx, &missing).await? {
            let key = Arc::new(BatchKey::from_secret(&open_with(&self.identity, &wrapped)?)?);
            self.opened
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(batch, key.clone());
            keys.insert(batch, key);
        }
        Ok(keys)
    }

    fn known(&self, batches: &HashSet<i64>) -> HashMap<i64, Arc<BatchKey>> {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        batches
            .iter()
            .filter_map(|batch| opened.get(batch).map(|key| (*batch, key.clone())))
            .collect()
    }
}

/// The recipients stored with the vault: enough to hand a card file in, not to open one.
pub async fn recipients(store: &Store) -> Result<Vec<Recipient>, VaultError> {
    let row = store::vault::current(store).await?.ok_or(VaultError::None)?;
    row.recipients.iter().map(|text| recipient(text)).collect()
}

/// Seals details for one terminal, as ASCII-armoured age.
pub fn seal_for_terminal(age_recipient: &str, plaintext: &Zeroizing<Vec<u8>>) -> Result<String, VaultError> {
    age::encrypt_and_armor(&recipient(age_recipient)?, plaintext).map_err(VaultError::Sealing)
}

fn recipient(text: &str) -> Result<Recipient, VaultError> {
    text.parse().map_err(|why: &str| VaultError::Recipient {
        recipient: text.to_owned(),
        why,
    })
}

/// Seals bytes to age recipients.
pub(crate) fn seal_to(recipients: &[Recipient], plaintext: &[u8]) -> Result<Vec<u8>, VaultError> {
    let dynamic = recipients.iter().map(|recipient| recipient as &dyn age::Recipient);
    let encryptor = age::Encryptor::with_recipients(dynamic).map_err(VaultError::Sealing)?;
    let mut sealed = Vec::with_capacity(plaintext.len() + 512);
    let mut writer = encryptor.wrap_output(&mut sealed).map_err(VaultError::Io)?;
    std::io::Write::write_all(&mut writer, plaintext).map_err(VaultError::Io)?;
    writer.finish().map_err(VaultError::Io)?;
    Ok(sealed)
}

fn open_with(identity: &Identity, sealed: &[u8]) -> Result<SecretBox<Vec<u8>>, VaultError> {
    age::decrypt(identity, sealed)
        .map(|plain| SecretBox::new(Box::new(plain)))
        .map_err(VaultError::Unopenable)
}

/// A 32-byte key out of what was wrapped.
fn key_of(secret: &SecretBox<Vec<u8>>) -> Result<SecretBox<[u8; 32]>, VaultError> {
    let mut key = SecretBox::new(Box::new([0_u8; 32]));
    let bytes = secret.expose_secret();
    if bytes.len() != 32 {
        return Err(VaultError::Damaged("a wrapped key has not 32 bytes"));
    }
    secrecy::ExposeSecretMut::expose_secret_mut(&mut key).copy_from_slice(bytes);
    Ok(key)
}

/// A new random key, from the operating system.
fn random_key() -> Result<SecretBox<[u8; 32]>, VaultError> {
    let mut key = SecretBox::new(Box::new([0_u8; 32]));
    fill_random(secrecy::ExposeSecretMut::expose_secret_mut(&mut key))?;
    Ok(key)
}

fn fill_random(bytes: &mut [u8]) -> Result<(), VaultError> {
    rand::TryRngCore::try_fill_bytes(&mut rand::rngs::OsRng, bytes)
        .map_err(|_| VaultError::Damaged("the operating system gives no random bytes"))
}

/// The details of a card, in the order of its file.
pub(crate) type Details = SecretFields;
