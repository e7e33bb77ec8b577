//! The blind index: recognises a card that was imported or sold before without opening any.
//!
//! HMAC-SHA-256 over the card's details and nothing else: neither product nor payee nor serial are in it, so a file that
//! comes again under another product, or with other serials, is recognised all the same. The canonical form sorts the
//! fields by name, leaves out empty ones, trims values, and takes separators out of those that are digits grouped for
//! reading ("8231 4410-7741" is "823144107741"); every part is preceded by its length, so no two cards run together.
//! Without the key the index tells nothing, though a PIN is short enough to be guessed.

use contract::answer::SecretFields;
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretBox};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{VaultError, key_of, random_key};

/// The key of the blind index.
pub struct IndexKey(SecretBox<[u8; 32]>);

impl IndexKey {
    pub(super) fn random() -> Result<Self, VaultError> {
        random_key().map(Self)
    }

    pub(super) fn from_secret(secret: &SecretBox<Vec<u8>>) -> Result<Self, VaultError> {
        key_of(secret).map(Self)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.expose_secret()
    }

    /// Equal for cards with the same details.
    pub fn of_card(&self, details: &SecretFields) -> [u8; 32] {
        let mut fields: Vec<(&str, Zeroizing<String>)> = details
            .iter()
            .map(|(name, value)| (name, canonical(value.expose_secret())))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        fields.sort_by(|a, b| a.0.cmp(b.0));
        let mut mac = self.mac(b"unigate card 1");
        for (name, value) in &fields {
            for part in [name.as_bytes(), value.as_bytes()] {
                mac.update(&(part.len() as u64).to_be_bytes());
                mac.update(part);
            }
        }
        mac.finalize().into_bytes().into()
    }

    /// Equal for the same file. Keyed, because a file of one card could be guessed.
    pub(crate) fn of_file(&self) -> FileHash {
        FileHash(self.mac(b"unigate file 1"))
    }

    fn mac(&self, purpose: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret())
            // HMAC takes keys of any length.
            .expect("a key of 32 bytes is a key");
        mac.update(purpose);
        mac
    }
}

/// Takes a file's bytes as they pass.
pub(crate) struct FileHash(Hmac<Sha256>);

impl FileHash {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> [u8; 32] {
        self.0.finalize().into_bytes().into()
    }
}

fn canonical(value: &str) -> Zeroizing<String> {
    let trimmed = value.trim();
    let separator = |c: char| c.is_whitespace() || c == '-';
    if trimmed.chars().all(|c| c.is_ascii_digit() || separator(c)) {
        Zeroizing::new(trimmed.chars().filter(|c| !separator(*c)).collect())
    } else {
        Zeroizing::new(trimmed.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> SecretFields {
        SecretFields::new(
            pairs
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
        )
    }

    #[test]
    fn the_same_details_are_recognised_and_others_are_not() {
        let key = IndexKey::random().unwrap();
        let of = |pairs: &[(&str, &str)]| key.of_card(&fields(pairs));
        let card = of(&[("pin", "8231 4410 7741"), ("login", "a")]);
        assert_eq!(card, of(&[("login", " a "), ("pin", "8231-4410-7741"), ("puk", "")]));
        assert_ne!(card, of(&[("pin", "823144107742"), ("login", "a")]));
        assert_ne!(card, of(&[("pin", "8231 4410 7741"), ("login", "A")]));
        assert_ne!(of(&[("a", "bc")]), of(&[("ab", "c")]));
        assert_ne!(of(&[("a", "x"), ("b", "y")]), of(&[("a", "y"), ("b", "x")]));
        assert_ne!(
            card,
            IndexKey::random()
                .unwrap()
                .of_card(&fields(&[("pin", "823144107741"), ("login", "a")]))
        );
    }
}
