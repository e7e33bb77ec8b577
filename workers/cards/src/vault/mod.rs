//! The vault: the only thing that can open a card.
//!
//! Three kinds of keys. The *identity* (an age X25519 key that only the cards worker has, in a file or a variable) opens the
//! other two. The *index key* recognises a card seen before without opening any; it is stored wrapped for the vault's
//! recipients. A *batch key* seals the cards of one imported file; it is stored wrapped the same way, so a rotation of the
//! identity re-wraps one short text per file and touches no card.
//!
//! The vault has versions ([`change`]). A process opens the latest one and looks now and then whether there is a later one
//! ([`Vault::refresh`]); until it has opened that, it goes on with what it has.
//!
//! Nothing here prints a key or a detail, and nothing writes one anywhere in the open.

pub mod change;
mod error;
mod identity;
mod index;
mod keyring;
mod seal;
pub mod verify;
mod wrap;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use age::x25519::{Identity, Recipient};
use contract::answer::SecretFields;
use secrecy::{ExposeSecret, SecretBox};
use store::{Store, StoreError, Tx};
use zeroize::Zeroizing;

pub use change::{make, make_or_open};
pub use error::VaultError;
pub use identity::IdentitySource;
pub(crate) use index::FileHash;
pub use index::{IndexKey, IndexKeys};
use keyring::{Keyring, public_halves};
pub use seal::{BatchKey, CardPlace};
pub use wrap::Step;

/// The opened vault.
pub struct Vault {
    source: IdentitySource,
    keyring: RwLock<Arc<Keyring>>,
    // Opened batch keys by batch: opening one costs an X25519, a card only a stream cipher. They stay what they are when
    // they are wrapped anew.
    opened: Mutex<HashMap<i64, Arc<BatchKey>>>,
    // Batches whose keys are damaged, and when that was seen last.
    shut: Mutex<HashMap<i64, Instant>>,
}

/// How long a batch with a damaged key is passed by: somebody may put its key back from a copy, and until then each look costs a card.
const PASSED_BY: Duration = Duration::from_secs(600);

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault")
            .field("version", &self.version())
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

/// Opens the vault with the identities found there. When the database has no vault yet, makes one, and the identity too if
/// the file does not exist; whoever made it has to keep a copy of that file, since nothing else opens the cards.
pub async fn open(store: &Store, identity: impl Into<IdentitySource>) -> Result<(Vault, Opened), VaultError> {
    make_or_open(store, identity.into(), &[], None).await
}

/// Opens the vault with the identities found there, and never makes one.
pub async fn open_existing(store: &Store, identity: impl Into<IdentitySource>) -> Result<Vault, VaultError> {
    let row = store::vault::current(store).await?.ok_or(VaultError::None)?;
    Vault::of(identity.into(), &row)
}

/// The same without asking who wrote the latest version, which an identity in escrow cannot tell: only to look whether
/// everything opens.
pub async fn open_unproven(store: &Store, identity: impl Into<IdentitySource>) -> Result<Vault, VaultError> {
    let row = store::vault::current(store).await?.ok_or(VaultError::None)?;
    let source = identity.into();
    let keyring = Keyring::open_unproven(&source, source.read()?, &row)?;
    Ok(Vault::with(source, keyring))
}

impl Vault {
    fn of(source: IdentitySource, row: &store::vault::VaultRow) -> Result<Self, VaultError> {
        let keyring = Keyring::open(&source, source.read()?, row)?;
        Ok(Self::with(source, keyring))
    }

    fn with(source: IdentitySource, keyring: Keyring) -> Self {
        Self {
            source,
            keyring: RwLock::new(Arc::new(keyring)),
            opened: Mutex::default(),
            shut: Mutex::default(),
        }
    }

    fn keyring(&self) -> Arc<Keyring> {
        self.keyring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The version this process has opened; new batches are wrapped under it.
    pub fn version(&self) -> i32 {
        self.keyring().version
    }

    /// Whom files handed in are sealed to.
    pub fn recipients(&self) -> Vec<Recipient> {
        self.keyring().recipients.clone()
    }

    /// The public halves of the identities this process has.
    pub fn held(&self) -> Vec<String> {
        self.keyring().held.clone()
    }

    /// Where they come from.
    pub fn source(&self) -> &IdentitySource {
        &self.source
    }

    /// The keys that recognise cards.
    pub fn index_key(&self) -> Arc<IndexKeys> {
        self.keyring().index.clone()
    }

    /// Opens the latest version if this process has not, and takes identities that have come or gone. True when anything
    /// changed. After an error everything is as before; it is one when the latest version is an earlier one than was opened here:
    /// that may be sealed to an identity that has left, and nothing is to be sealed to it again without anybody's word.
    pub async fn refresh(&self, store: &Store) -> Result<bool, VaultError> {
        let before = self.keyring();
        let identities = self.source.read()?;
        let latest = store::vault::recipients(store).await?.ok_or(VaultError::None)?.0;
        if latest == before.version && public_halves(&identities) == before.held {
            return Ok(false);
        }
        let row = store::vault::current(store).await?.ok_or(VaultError::None)?;
        if row.version < before.version {
            return Err(VaultError::of_versions(before.version, row.version));
        }
        let keyring = Keyring::open(&self.source, identities, &row)?;
        let mut opened = self.keyring.write().unwrap_or_else(PoisonError::into_inner);
        // Somebody else in this process may have opened a later one meanwhile.
        if opened.version <= keyring.version {
            *opened = Arc::new(keyring);
        }
        Ok(true)
    }

    /// Keeps the vault as it is until the transaction ends. It refuses when that is not the version `since` which something
    /// was worked out under (the hash of a file, the keys its cards are indexed under).
    pub async fn hold(&self, tx: &Tx, since: i32) -> Result<(), StoreError> {
        let latest = store::vault::hold(tx).await?;
        if latest == since && self.version() == since {
            Ok(())
        } else {
            Err(VaultError::of_versions(since, latest).into())
        }
    }

    /// Something sealed to the vault, opened as a stream that can be sought in where its source can.
    pub(crate) fn decrypt<R: std::io::Read>(
        &self,
        sealed: age::Decryptor<R>,
    ) -> Result<age::stream::StreamReader<R>, age::DecryptError> {
        let keyring = self.keyring();
        sealed.decrypt(keyring.identities.iter().map(|one| one as &dyn age::Identity))
    }

    /// A key for a new batch, and its wrapped form to be stored.
    pub fn new_batch_key(&self) -> Result<(BatchKey, Vec<u8>), VaultError> {
        let key = BatchKey::random()?;
        let wrapped = seal_to(&self.keyring().recipients, key.as_bytes())?;
        Ok((key, wrapped))
    }

    /// The keys of these batches, opened. One that was forgotten is not among them, nor one that is sealed to an identity here
    /// and does not open: that is damaged, and a matter of its own cards. One that is sealed to others alone is an error, and
    /// if only this process is behind, one that passes.
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
        // One for all: what has to open is judged by what it was tried with.
        let keyring = self.keyring();
        for batch in store::vault::batches_with_keys(tx, &missing).await? {
            let key = match keyring.open_batch_key(&batch) {
                Ok(key) => Arc::new(key),
                Err(error) if keyring.should_open(&batch.recipients) => {
                    metrics::counter!("unigate_invariant_violations_total", "kind" => "unopenable_batch").increment(1);
                    tracing::error!(batch = batch.batch_id, import = %batch.import_id, %error, "a damaged batch key");
                    self.shut_batches().insert(batch.batch_id, Instant::now());
                    continue;
                }
                Err(error) => return Err(self.behind(store::vault::latest_version(tx).await?, error)),
            };
            self.opened
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(batch.batch_id, key.clone());
            keys.insert(batch.batch_id, key);
        }
        Ok(keys)
    }

    /// What to make of a failure, when the latest version is this.
    fn behind(&self, latest: i32, error: VaultError) -> VaultError {
        let own = self.version();
        if latest == own {
            error
        } else {
            VaultError::of_versions(own, latest)
        }
    }

    /// Batches that were lately found to have damaged keys.
    pub(crate) fn shut(&self) -> Vec<i64> {
        let mut shut = self.shut_batches();
        shut.retain(|_, seen| seen.elapsed() < PASSED_BY);
        shut.keys().copied().collect()
    }

    fn shut_batches(&self) -> MutexGuard<'_, HashMap<i64, Instant>> {
        self.shut.lock().unwrap_or_else(PoisonError::into_inner)
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
    let (_, names) = store::vault::recipients(store).await?.ok_or(VaultError::None)?;
    names.all.iter().map(|text| recipient(text)).collect()
}

/// Seals details for one terminal, as ASCII-armoured age.
pub fn seal_for_terminal(age_recipient: &str, plaintext: &Zeroizing<Vec<u8>>) -> Result<String, VaultError> {
    age::encrypt_and_armor(&recipient(age_recipient)?, plaintext).map_err(VaultError::Sealing)
}

/// An age recipient written by somebody.
pub fn recipient(text: &str) -> Result<Recipient, VaultError> {
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

/// Opens something short with whichever of these identities fits.
fn open_with(identities: &[Identity], sealed: &[u8]) -> Result<SecretBox<Vec<u8>>, VaultError> {
    let decryptor = age::Decryptor::new_buffered(sealed).map_err(VaultError::Unopenable)?;
    let mut reader = decryptor
        .decrypt(identities.iter().map(|one| one as &dyn age::Identity))
        .map_err(VaultError::Unopenable)?;
    let mut plain = SecretBox::new(Box::new(Vec::with_capacity(64)));
    std::io::Read::read_to_end(&mut reader, secrecy::ExposeSecretMut::expose_secret_mut(&mut plain))
        .map_err(VaultError::Io)?;
    Ok(plain)
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
