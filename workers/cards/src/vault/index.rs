//! The blind index: recognises a card that was imported or sold before without opening any.
//!
//! HMAC-SHA-256 over the card's details and nothing else: neither product nor payee nor serial are in it, so a file that
//! comes again under another product, or with other serials, is recognised all the same. The canonical form sorts the
//! fields by name, leaves out empty ones, trims values, and takes separators out of those that are digits grouped for
//! reading ("8231 4410-7741" is "823144107741"); every part is preceded by its length, so no two cards run together.
//! Without the key the index tells nothing, though a PIN is short enough to be guessed.
//!
//! The key can be replaced. Cards and files are written under the latest one; what was written under an older one is looked
//! up under that.

use contract::answer::SecretFields;
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretBox};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{VaultError, key_of, random_key};

/// The key of the blind index.
pub struct IndexKey(SecretBox<[u8; 32]>);

impl IndexKey {
    pub(crate) fn random() -> Result<Self, VaultError> {
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

    fn mac(&self, purpose: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret())
            // HMAC takes keys of any length.
            .expect("a key of 32 bytes is a key");
        mac.update(purpose);
        mac
    }
}

/// All keys of the blind index, by version; at least one.
pub struct IndexKeys(Vec<(i32, IndexKey)>);

impl IndexKeys {
    /// Refuses to be without any.
    pub(super) fn new(keys: Vec<(i32, IndexKey)>) -> Result<Self, VaultError> {
        if keys.is_empty() {
            return Err(VaultError::Damaged("it has no index key"));
        }
        Ok(Self(keys))
    }

    /// The same keys once more.
    pub(super) fn again(&self) -> Result<Self, VaultError> {
        let copy =
            |(version, key): &(i32, IndexKey)| (*version, IndexKey(SecretBox::new(Box::new(*key.0.expose_secret()))));
        Self::new(self.0.iter().map(copy).collect())
    }

    /// The same keys and a new one after them.
    pub(super) fn with_another(&self) -> Result<Self, VaultError> {
        let mut keys = self.again()?;
        keys.0.push((self.version() + 1, IndexKey::random()?));
        Ok(keys)
    }

    pub(super) fn all(&self) -> &[(i32, IndexKey)] {
        &self.0
    }

    fn latest(&self) -> &(i32, IndexKey) {
        self.0.last().expect("there is at least one, as `new` has seen")
    }

    /// The version that cards are written under.
    pub fn version(&self) -> i32 {
        self.latest().0
    }

    /// The key of a version.
    pub fn under(&self, version: i32) -> Option<&IndexKey> {
        self.0.iter().find(|(known, _)| *known == version).map(|(_, key)| key)
    }

    /// What a card is written under.
    pub fn of_card(&self, details: &SecretFields) -> [u8; 32] {
        self.latest().1.of_card(details)
    }

    /// What the same card may have been written under before: one for each older key, usually none.
    pub fn older_of_card(&self, details: &SecretFields) -> Vec<[u8; 32]> {
        let older = &self.0[..self.0.len() - 1];
        older.iter().map(|(_, key)| key.of_card(details)).collect()
    }

    /// Equal for the same file. Keyed, because a file of one card could be guessed.
    pub(crate) fn of_file(&self) -> FileHash {
        FileHash(self.0.iter().map(|(_, key)| key.mac(b"unigate file 1")).collect())
    }
}

/// Takes a file's bytes as they pass.
pub(crate) struct FileHash(Vec<Hmac<Sha256>>);

impl FileHash {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.iter_mut().for_each(|mac| mac.update(bytes));
    }

    /// Under every key in their order: the last one is the one to be written.
    pub(crate) fn finish(self) -> Vec<[u8; 32]> {
        self.0
            .into_iter()
            .map(|mac| mac.finalize().into_bytes().into())
            .collect()
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

    #[test]
    fn the_latest_key_writes_and_the_older_ones_recognise() {
        let (old, new) = (IndexKey::random().unwrap(), IndexKey::random().unwrap());
        let card = fields(&[("pin", "823144107741")]);
        let (under_old, under_new) = (old.of_card(&card), new.of_card(&card));
        let keys = IndexKeys::new(vec![(1, old), (2, new)]).unwrap();
        assert_eq!((keys.version(), keys.of_card(&card)), (2, under_new));
        assert_eq!(keys.older_of_card(&card), [under_old]);
        assert_eq!(keys.under(1).unwrap().of_card(&card), under_old);
        assert!(keys.under(3).is_none() && IndexKeys::new(Vec::new()).is_err());
        let mut hash = keys.of_file();
        hash.update(b"a");
        assert_eq!(hash.finish().len(), 2);
    }
}
