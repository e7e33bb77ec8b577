//! The vault over the years: other recipients, another identity, another index key, and at no moment a card that nobody can
//! open or that comes in twice.

mod damaged;
mod index;
mod refused;
mod rotation;

use std::path::PathBuf;
use std::sync::Arc;

use age::x25519::Identity;
use cards::Desk;
use cards::vault::change::{Change, change};
use cards::vault::verify::{Extent, Verified, verify};
use cards::vault::{self, Vault, VaultError};
use secrecy::ExposeSecret;

use crate::stand::{Stand, id, reserve};

impl Stand {
    /// The same stand, served by another worker's vault.
    async fn sells_by(&mut self, vault: &Arc<Vault>) {
        self.desk = Arc::new(Desk::new(vault.clone()));
        assert_eq!(self.one(reserve(id(), "p")).await["outcome"], "reserved");
    }

    /// Changes the vault with the identities of a file.
    async fn change(&self, file: &PathBuf, what: Change) -> Result<Vault, VaultError> {
        change(&self.store, file, &what, "tester", "a test").await
    }

    /// A file beside the stand's own with these identities.
    fn identity_file(&self, name: &str, identities: &[&str]) -> PathBuf {
        let file = self.identity_file.with_file_name(name);
        std::fs::write(&file, identities.join("\n")).unwrap();
        file
    }

    /// What is in the stand's own file, by line.
    fn identities(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.identity_file).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    }

    /// Opens everything with the identities of a file.
    async fn verified_by(&self, file: &PathBuf) -> Verified {
        let vault = vault::open_unproven(&self.store, file).await.unwrap();
        verify(&self.store, &vault, Extent::All, |_| {}).await.unwrap()
    }
}

fn secret_of(identity: &Identity) -> String {
    identity.to_string().expose_secret().to_owned()
}

/// Everything opens, and this much was looked at: batches and cards.
#[track_caller]
fn whole(verified: &Verified, looked_at: (u64, u64)) {
    assert_eq!(verified.named, [], "{verified:?}");
    assert_eq!((verified.batches, verified.cards), looked_at);
}
