//! What "the same content" means: a hash over named parts, each with its length, so that no two different contents can
//! run together. Which parts count is the contract's business; this only promises that order and boundaries are kept.

use std::fmt;

use sha2::{Digest, Sha256};

/// SHA-256 of a content; equal fingerprints mean the same content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Starts the fingerprint of a content of this kind (its routing key).
    pub fn of(kind: &str) -> FingerprintBuilder {
        FingerprintBuilder(Sha256::new()).text(kind)
    }

    /// The fingerprint of bytes that could not be read as anything.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// A fingerprint from the database.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Takes the parts of a content one after the other.
#[derive(Clone)]
pub struct FingerprintBuilder(Sha256);

impl FingerprintBuilder {
    /// Adds a text.
    #[must_use]
    pub fn text(mut self, part: &str) -> Self {
        self.0.update([1]);
        self.0.update((part.len() as u64).to_be_bytes());
        self.0.update(part.as_bytes());
        self
    }

    /// Adds a text that may be absent; absent differs from empty.
    #[must_use]
    pub fn optional(mut self, part: Option<&str>) -> Self {
        match part {
            Some(part) => self.text(part),
            None => {
                self.0.update([0]);
                self
            }
        }
    }

    /// Adds an integer, for example minor units.
    #[must_use]
    pub fn integer(mut self, part: i64) -> Self {
        self.0.update([2]);
        self.0.update(part.to_be_bytes());
        self
    }

    /// The fingerprint of all parts.
    pub fn finish(self) -> Fingerprint {
        Fingerprint(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::Fingerprint;

    #[test]
    fn boundaries_and_absence_count() {
        let of = |parts: &[Option<&str>]| {
            parts
                .iter()
                .fold(Fingerprint::of("k"), |all, part| all.optional(*part))
                .finish()
        };
        assert_eq!(of(&[Some("ab"), Some("c")]), of(&[Some("ab"), Some("c")]));
        assert_ne!(of(&[Some("ab"), Some("c")]), of(&[Some("a"), Some("bc")]));
        assert_ne!(of(&[Some("")]), of(&[None]));
        assert_ne!(of(&[None, Some("a")]), of(&[Some("a"), None]));
        assert_ne!(
            Fingerprint::of("k").integer(1).finish(),
            Fingerprint::of("k").text("1").finish()
        );
        assert_eq!(Fingerprint::from_bytes(of(&[]).as_bytes()), Some(of(&[])));
        assert_eq!(Fingerprint::from_bytes(b"short"), None);
    }
}
