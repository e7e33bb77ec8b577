//! Sealing one card under its batch's key: XChaCha20-Poly1305 with a random nonce, bound to the card's place, so that
//! ciphertexts cannot be swapped between rows, batches or products without being noticed.

use std::fmt;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{Key, KeyInit, XChaCha20Poly1305, XNonce};
use contract::answer::SecretFields;
use secrecy::{ExposeSecret, SecretBox, SecretString};
use zeroize::Zeroizing;

use super::{VaultError, fill_random, key_of, random_key};

const NONCE_BYTES: usize = 24;
/// In front of what is bound: another format gets another name.
const PURPOSE: &[u8] = b"unigate card 1";

/// Where a card belongs: its seal opens nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CardPlace {
    /// Its batch.
    pub batch_id: i64,
    /// Its place in the order of selling.
    pub pos: i64,
}

impl CardPlace {
    fn associated(self) -> Vec<u8> {
        [PURPOSE, &self.batch_id.to_be_bytes(), &self.pos.to_be_bytes()].concat()
    }
}

/// The key of the cards of one imported file.
pub struct BatchKey(SecretBox<[u8; 32]>);

impl fmt::Debug for BatchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BatchKey(…)")
    }
}

impl BatchKey {
    pub(super) fn random() -> Result<Self, VaultError> {
        random_key().map(Self)
    }

    pub(super) fn from_secret(secret: &SecretBox<Vec<u8>>) -> Result<Self, VaultError> {
        key_of(secret).map(Self)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.expose_secret()
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(Key::from_slice(self.0.expose_secret()))
    }

    /// Seals a card's details for its place.
    pub fn seal(&self, place: CardPlace, details: &SecretFields) -> Result<Vec<u8>, VaultError> {
        let pairs: Vec<(&str, &str)> = details
            .iter()
            .map(|(name, value)| (name, value.expose_secret()))
            .collect();
        let plain = serde_json::to_vec(&pairs).map_err(|_| VaultError::Damaged("details have no JSON form"))?;
        let plain = Zeroizing::new(plain);
        let mut sealed = vec![0_u8; NONCE_BYTES];
        fill_random(&mut sealed)?;
        let nonce = XNonce::clone_from_slice(&sealed);
        let payload = Payload {
            msg: &plain,
            aad: &place.associated(),
        };
        let ciphertext = self
            .cipher()
            .encrypt(&nonce, payload)
            .map_err(|_| VaultError::Damaged("a card cannot be sealed"))?;
        sealed.extend_from_slice(&ciphertext);
        Ok(sealed)
    }

    /// Opens a card. It refuses what was not sealed by this key for this place.
    pub fn open(&self, place: CardPlace, sealed: &[u8]) -> Result<SecretFields, VaultError> {
        let unopenable = || VaultError::Damaged("a card does not open under its batch's key");
        let (nonce, ciphertext) = sealed.split_at_checked(NONCE_BYTES).ok_or_else(unopenable)?;
        let payload = Payload {
            msg: ciphertext,
            aad: &place.associated(),
        };
        let plain = self
            .cipher()
            .decrypt(XNonce::from_slice(nonce), payload)
            .map_err(|_| unopenable())?;
        let plain = Zeroizing::new(plain);
        let pairs: Vec<(String, SecretString)> = serde_json::from_slice(&plain).map_err(|_| unopenable())?;
        Ok(SecretFields::new(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_opens_only_in_its_place_and_prints_nothing() {
        let key = BatchKey::random().unwrap();
        let details = SecretFields::new(vec![("pin".into(), "823144107741".into()), ("a".into(), "b".into())]);
        let place = CardPlace { batch_id: 3, pos: 7 };
        let sealed = key.seal(place, &details).unwrap();
        let opened = key.open(place, &sealed).unwrap();
        let names: Vec<&str> = opened.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["pin", "a"]);
        assert_eq!(opened.iter().next().unwrap().1.expose_secret(), "823144107741");
        for elsewhere in [CardPlace { pos: 8, ..place }, CardPlace { batch_id: 4, ..place }] {
            assert!(key.open(elsewhere, &sealed).is_err());
        }
        assert!(BatchKey::random().unwrap().open(place, &sealed).is_err());
        assert!(key.open(place, &sealed[..10]).is_err());
        let mut damaged = sealed.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert!(key.open(place, &damaged).is_err());
        assert!(!format!("{key:?} {opened:?}").contains("8231"));
    }
}
