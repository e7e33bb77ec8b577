//! Public keys, with everything in them that says what they may be used for.

use std::fmt;

use pgp::composed::{ArmorOptions, Deserializable, SignedPublicKey, SignedPublicSubKey};
use pgp::packet::{Signature, SignatureType};
use pgp::types::{KeyDetails, Tag};

/// A public key that may be encrypted to: not revoked, in date, and with a subkey for it.
#[derive(Clone)]
pub struct PublicKey(SignedPublicKey);

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

impl PublicKey {
    /// Reads a key, armoured or not; or says why nobody should encrypt to it.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let (key, _) = SignedPublicKey::from_reader_single(bytes)
            .map_err(|error| format!("is not an OpenPGP public key: {error}"))?;
        if !key.details.revocation_signatures.is_empty() {
            return Err(format!("{} is revoked", key.fingerprint()));
        }
        let newest = newest(own_signatures(&key)).ok_or("is damaged: no signature of its own on it is valid")?;
        if is_over(&key, newest) {
            return Err(format!("{} has expired", key.fingerprint()));
        }
        match encryption_subkey(&key) {
            Some(_) => Ok(Self(key)),
            None => Err(format!("{} has no subkey that may be encrypted to", key.fingerprint())),
        }
    }

    /// A key as it is some time after it was read.
    #[cfg(test)]
    pub(crate) fn unread(key: SignedPublicKey) -> Self {
        Self(key)
    }

    /// What people compare keys by.
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint().to_string()
    }

    /// How it is named where recipients of several kinds are listed: `openpgp:` and its fingerprint.
    pub fn name(&self) -> String {
        format!("openpgp:{}", self.fingerprint())
    }

    /// The key as text that [`PublicKey::read`] takes; equal keys are equal texts.
    pub fn armoured(&self) -> Result<String, String> {
        let text = self.0.to_armored_string(ArmorOptions::default());
        text.map_err(|error| format!("cannot be written as text: {error}"))
    }

    pub(crate) fn encryption_subkey(&self) -> Option<&SignedPublicSubKey> {
        encryption_subkey(&self.0)
    }
}

/// What the key says of itself. What others have signed on it is their word.
fn own_signatures(key: &SignedPublicKey) -> impl Iterator<Item = &Signature> {
    let primary = &key.primary_key;
    let of_users = key.details.users.iter().flat_map(move |user| {
        let own = |one: &&Signature| one.verify_certification(primary, Tag::UserId, &user.id).is_ok();
        user.signatures.iter().filter(own)
    });
    let direct = key.details.direct_signatures.iter();
    of_users.chain(direct.filter(move |one| one.verify_key(primary).is_ok()))
}

/// The newest subkey that is meant to be encrypted to, not revoked and in date.
fn encryption_subkey(key: &SignedPublicKey) -> Option<&SignedPublicSubKey> {
    let fits = |subkey: &&SignedPublicSubKey| {
        let is_revocation = |one: &Signature| one.typ() == Some(SignatureType::SubkeyRevocation);
        let bound = subkey.verify_bindings(&key.primary_key).is_ok() && !subkey.signatures.iter().any(is_revocation);
        subkey.key.algorithm().can_encrypt()
            && bound
            && newest(&subkey.signatures).is_some_and(|binding| {
                let flags = binding.key_flags();
                (flags.encrypt_comms() || flags.encrypt_storage()) && !is_over(&subkey.key, binding)
            })
    };
    let usable = key.public_subkeys.iter().filter(fits);
    usable.max_by_key(|subkey| subkey.key.created_at().as_secs())
}

fn newest<'s>(signatures: impl IntoIterator<Item = &'s Signature>) -> Option<&'s Signature> {
    let made = |signature: &&Signature| signature.created().map(|at| at.as_secs());
    signatures.into_iter().max_by_key(made)
}

/// Whether a key's time, which its newest signature tells, has run out.
fn is_over(key: &impl KeyDetails, signature: &Signature) -> bool {
    let lasts = signature
        .key_expiration_time()
        .map_or(0, |lasts| i64::from(lasts.as_secs()));
    // None, and zero, is for ever.
    lasts > 0 && i64::from(key.created_at().as_secs()) + lasts <= domain::clock::now().as_second()
}
