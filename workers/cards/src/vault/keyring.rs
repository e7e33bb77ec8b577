//! A version of the vault, opened: the identities that open it, whom it is sealed to, and the keys of the blind index.
//!
//! Whoever can write to the database could add a recipient of their own, or an index key that they know. So every version
//! carries a proof per identity it was written with: a keyed hash over everything in it, whose key is derived from the
//! identity. A version without a proof that can be checked here is not opened.

use std::collections::HashMap;
use std::sync::Arc;

use age::x25519::{Identity, Recipient};
use domain::vault::Recipients;
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretBox};
use sha2::Sha256;
use store::vault::{Batch, VaultRow};

use super::index::{IndexKey, IndexKeys};
use super::{BatchKey, IdentitySource, VaultError, open_with, recipient, seal_to};

/// A version of the vault, opened.
pub(super) struct Keyring {
    pub(super) version: i32,
    pub(super) identities: Vec<Identity>,
    /// The public halves of the identities.
    pub(super) held: Vec<String>,
    pub(super) names: Recipients,
    pub(super) recipients: Vec<Recipient>,
    pub(super) index: Arc<IndexKeys>,
}

impl Keyring {
    /// Opens a version with what is found here, if it is proven.
    pub(super) fn open(source: &IdentitySource, identities: Vec<Identity>, row: &VaultRow) -> Result<Self, VaultError> {
        let keyring = Self::open_unproven(source, identities, row)?;
        check_proofs(&keyring.identities, row, &keyring.index)?;
        Ok(keyring)
    }

    /// Opens a version with what is found here, proven or not: an identity in escrow was not there when it was written.
    pub(super) fn open_unproven(
        source: &IdentitySource,
        identities: Vec<Identity>,
        row: &VaultRow,
    ) -> Result<Self, VaultError> {
        let held = public_halves(&identities);
        if !held.iter().any(|one| row.recipients.all.contains(one)) {
            return Err(VaultError::Mismatch {
                place: source.to_string(),
                own: held.join(", "),
                version: row.version,
                to: row.recipients.all.join(", "),
            });
        }
        let keys = row
            .index_keys
            .iter()
            .map(|(version, wrapped)| Ok((*version, IndexKey::from_secret(&open_with(&identities, wrapped)?)?)))
            .collect::<Result<Vec<_>, VaultError>>()?;
        let index = IndexKeys::new(keys)?;
        Ok(Self {
            version: row.version,
            recipients: recipients_of(&row.recipients)?,
            names: row.recipients.clone(),
            index: Arc::new(index),
            identities,
            held,
        })
    }

    /// The key of a batch, if it is sealed to an identity here. One that was forgotten is damaged.
    pub(super) fn open_batch_key(&self, batch: &Batch) -> Result<BatchKey, VaultError> {
        open_key(&self.identities, batch.wrapped_key.as_deref().unwrap_or_default())
    }

    /// Whether each identity here that this version is sealed to opens the key of a batch, as it has to once that is wrapped for it.
    pub(super) fn opens_in_full(&self, batch: &Batch) -> bool {
        let wrapped = batch.wrapped_key.as_deref().unwrap_or_default();
        self.fitting()
            .all(|identity| open_key(std::slice::from_ref(identity), wrapped).is_ok())
    }

    /// The identities here that this version is sealed to.
    pub(super) fn fitting(&self) -> impl Iterator<Item = &Identity> {
        self.identities
            .iter()
            .zip(&self.held)
            .filter(|(_, public)| self.names.all.contains(public))
            .map(|(identity, _)| identity)
    }

    /// Whether what is sealed to these has to open here: if it does not, it is damaged, and nobody opens it.
    pub(super) fn should_open(&self, sealed_to: &[String]) -> bool {
        self.held.iter().any(|one| sealed_to.contains(one))
    }

    /// Whether what is sealed to these opens here by what is in escrow alone.
    pub(super) fn opens_by_escrow_alone(&self, sealed_to: &[String]) -> bool {
        let fits = |one: &&String| sealed_to.contains(one);
        self.should_open(sealed_to) && self.held.iter().filter(fits).all(|one| self.names.escrow.contains(one))
    }

    /// Whether one of the workers' own is here, leaving or not.
    pub(super) fn holds_own(&self) -> bool {
        let own = |one: &&String| self.names.all.contains(one) && !self.names.escrow.contains(one);
        self.held.iter().any(|one| own(&one))
    }

    /// Whether one of the workers' own that are not leaving is here.
    pub(super) fn holds_present_own(&self) -> bool {
        self.names.own().any(|own| self.held.contains(own))
    }
}

/// The key of a batch, opened with whichever of these fits.
pub(super) fn open_key(identities: &[Identity], wrapped: &[u8]) -> Result<BatchKey, VaultError> {
    BatchKey::from_secret(&open_with(identities, wrapped)?)
}

/// A row for these recipients and index keys, proven with these identities.
pub(super) fn row_for(
    version: i32,
    recipients: Recipients,
    index: &IndexKeys,
    identities: &[Identity],
) -> Result<VaultRow, VaultError> {
    let to = recipients_of(&recipients)?;
    let mut index_keys = Vec::with_capacity(index.all().len());
    for (version, key) in index.all() {
        index_keys.push((*version, seal_to(&to, key.as_bytes())?));
    }
    let mut row = VaultRow {
        version,
        recipients,
        proofs: HashMap::new(),
        index_keys,
    };
    for identity in identities {
        let public = identity.to_public().to_string();
        if row.recipients.all.contains(&public) {
            let proof = hex::encode(proof(identity, &row, index).finalize().into_bytes());
            row.proofs.insert(public, proof);
        }
    }
    Ok(row)
}

pub(super) fn public_halves(identities: &[Identity]) -> Vec<String> {
    identities.iter().map(|one| one.to_public().to_string()).collect()
}

fn recipients_of(names: &Recipients) -> Result<Vec<Recipient>, VaultError> {
    names.all.iter().map(|text| recipient(text)).collect()
}

fn check_proofs(identities: &[Identity], row: &VaultRow, index: &IndexKeys) -> Result<(), VaultError> {
    let mut proven = false;
    for identity in identities {
        let Some(told) = row.proofs.get(&identity.to_public().to_string()) else {
            continue;
        };
        let told = hex::decode(told).unwrap_or_default();
        if proof(identity, row, index).verify_slice(&told).is_err() {
            return Err(VaultError::Forged { version: row.version });
        }
        proven = true;
    }
    if proven {
        return Ok(());
    }
    let mut by: Vec<&str> = row.proofs.keys().map(String::as_str).collect();
    by.sort_unstable();
    Err(VaultError::Unproven {
        version: row.version,
        by: if by.is_empty() {
            "nobody".to_owned()
        } else {
            by.join(", ")
        },
    })
}

/// Over the version, its recipients by kind and the index keys themselves; every part is preceded by its length.
fn proof(identity: &Identity, row: &VaultRow, index: &IndexKeys) -> Hmac<Sha256> {
    let secret = identity.to_string();
    let derived: SecretBox<[u8; 32]> = SecretBox::new(Box::new(
        mac(secret.expose_secret().as_bytes(), &[b"unigate vault proof 1"])
            .finalize()
            .into_bytes()
            .into(),
    ));
    let version = row.version.to_be_bytes();
    let mut parts: Vec<&[u8]> = vec![&version];
    let Recipients { all, escrow, leaving } = &row.recipients;
    let counts: Vec<[u8; 8]> = [all, escrow, leaving]
        .iter()
        .map(|list| (list.len() as u64).to_be_bytes())
        .collect();
    for (count, list) in counts.iter().zip([all, escrow, leaving]) {
        parts.push(count);
        parts.extend(list.iter().map(String::as_bytes));
    }
    let versions: Vec<[u8; 4]> = index.all().iter().map(|(version, _)| version.to_be_bytes()).collect();
    for (version, (_, key)) in versions.iter().zip(index.all()) {
        parts.push(version);
        parts.push(key.as_bytes());
    }
    mac(derived.expose_secret(), &parts)
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key)
        // HMAC takes keys of any length.
        .expect("a key of any length is a key");
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::SecretString;

    fn source() -> IdentitySource {
        IdentitySource::from(std::path::Path::new("/nowhere"))
    }

    fn one_of(identity: &Identity) -> Vec<Identity> {
        let text: SecretString = identity.to_string();
        vec![text.expose_secret().parse().unwrap()]
    }

    #[test]
    fn only_who_has_the_identity_writes_a_version() {
        let (own, thief) = (Identity::generate(), Identity::generate());
        let index = IndexKeys::new(vec![(1, IndexKey::random().unwrap())]).unwrap();
        let names = Recipients::first(own.to_public().to_string(), Vec::new());
        let row = row_for(1, names.clone(), &index, &one_of(&own)).unwrap();
        let opened = Keyring::open(&source(), one_of(&own), &row).unwrap();
        assert!(opened.holds_present_own() && opened.fitting().count() == 1);

        // Sealed to everybody by somebody who can only write to the database.
        let with_thief = names.with_escrow(&thief.to_public().to_string()).unwrap();
        let own_index = IndexKeys::new(vec![(1, IndexKey::random().unwrap())]).unwrap();
        let forged = row_for(2, with_thief.clone(), &own_index, &one_of(&thief)).unwrap();
        let error = Keyring::open(&source(), one_of(&own), &forged).err().unwrap();
        assert!(matches!(error, VaultError::Unproven { version: 2, .. }), "{error}");

        // An old proof on a changed version.
        for change in [
            |row: &mut VaultRow| row.version = 2,
            |row: &mut VaultRow| row.recipients.escrow = row.recipients.all.clone(),
        ] {
            let mut changed = row.clone();
            change(&mut changed);
            let error = Keyring::open(&source(), one_of(&own), &changed).err().unwrap();
            assert!(matches!(error, VaultError::Forged { .. }), "{error}");
        }
        let mut other_key = row.clone();
        other_key.index_keys = forged.index_keys.clone();
        let error = Keyring::open(&source(), one_of(&own), &other_key).err().unwrap();
        assert!(matches!(error, VaultError::Forged { .. }), "{error}");
        let error = Keyring::open(&source(), one_of(&thief), &row).err().unwrap();
        assert!(matches!(error, VaultError::Mismatch { .. }), "{error}");
        assert!(!error.to_string().contains("SECRET"));
    }
}
