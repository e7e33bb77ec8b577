//! A job's file, opened anew for each reading of it, on a thread where blocking is allowed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use domain::declaration::{CardFileProfile, Product};
use store::imports::Claimed;
use store::{Store, StoreError};
use tokio::runtime::Handle;

use super::Keys;
use super::container::{Openers, Table, open, told};
use super::stored::{Failed, Stored};
use crate::vault::Vault;

/// Everything a reading needs.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) store: Store,
    pub(super) vault: Arc<Vault>,
    pub(super) keys: Keys,
    pub(super) product: Arc<Product>,
    pub(super) claimed: Arc<Claimed>,
    pub(super) progress: Arc<Progress>,
}

/// How far a file was read, for whoever watches.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) done: AtomicU64,
    /// 0 = not known yet.
    pub(super) total: AtomicU64,
    /// Set when nobody waits for the reading any more.
    pub(super) stop: AtomicBool,
}

/// Why a reading ended before its end.
pub(super) enum Fault {
    /// The file cannot be read: for its operator.
    File(String),
    /// The database says no: the file is taken up again.
    Store(StoreError),
}

impl Source {
    /// How the product's files are written.
    pub(super) fn profile(&self) -> CardFileProfile {
        self.product.card_file.clone().unwrap_or_default()
    }

    /// Reads the file from its beginning. Blocks.
    pub(super) fn read(
        &self,
        runtime: &Handle,
        take: &mut dyn FnMut(Table<'_>) -> Result<(), String>,
    ) -> Result<(), Fault> {
        let failed = Failed::default();
        let claimed = &self.claimed;
        let stored = Stored::new(
            &self.store,
            claimed.import_id,
            claimed.bytes,
            runtime.clone(),
            failed.clone(),
        );
        let outcome = self.open(stored, take);
        match failed.take() {
            Some(error) => Err(Fault::Store(error)),
            None => outcome.map_err(Fault::File),
        }
    }

    fn open(&self, stored: Stored, take: &mut dyn FnMut(Table<'_>) -> Result<(), String>) -> Result<(), String> {
        let sealed = std::io::BufReader::with_capacity(128 * 1024, stored);
        let decryptor = age::Decryptor::new_buffered(sealed).map_err(|error| error.to_string())?;
        let mut file = self.vault.decrypt(decryptor).map_err(|error| match error {
            age::DecryptError::NoMatchingKeys => {
                "it was sealed to an identity that the workers have not got (any more): hand it in again".to_owned()
            }
            other => other.to_string(),
        })?;
        let bytes = std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).map_err(|error| told(&error))?;
        std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(0)).map_err(|error| told(&error))?;
        let profile = self.product.card_file.as_ref();
        let openers = Openers {
            vault: Some(&self.vault),
            pgp: self.keys.pgp.as_deref(),
            password: profile
                .and_then(|profile| profile.password.as_ref())
                .map(runtime::secret::password),
            bytes,
        };
        open(&mut file, &openers, take)
    }
}

impl Progress {
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
