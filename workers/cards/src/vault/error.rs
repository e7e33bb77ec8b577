//! What can be wrong with the vault. None of it carries a key or a detail.

use store::StoreError;

/// Why the vault, or something in it, cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The database says no, or is away.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No vault was made yet.
    #[error("there is no vault yet: start a cards worker, or run `unigate cards vault init`")]
    None,
    /// The identity file cannot be read or made.
    #[error("UNIGATE_VAULT_IDENTITY_FILE {file}: {why}")]
    IdentityFile {
        /// Its path.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// The identity is another vault's.
    #[error("UNIGATE_VAULT_IDENTITY_FILE: this identity ({own}) is not one that this database's vault is sealed to")]
    Mismatch {
        /// The public half of the identity found.
        own: String,
    },
    /// A text that should be an age recipient is none.
    #[error("`{recipient}` is not an age recipient: {why}")]
    Recipient {
        /// The text.
        recipient: String,
        /// What age says.
        why: &'static str,
    },
    /// Sealed to somebody else, or damaged.
    #[error("cannot be opened with this identity: {0}")]
    Unopenable(#[source] age::DecryptError),
    /// Sealing failed.
    #[error("cannot be sealed: {0}")]
    Sealing(#[source] age::EncryptError),
    /// Reading or writing failed on the way.
    #[error("cannot be read or written: {0}")]
    Io(#[source] std::io::Error),
    /// Not what the vault writes.
    #[error("the vault is damaged: {0}")]
    Damaged(&'static str),
}

impl VaultError {
    /// Whether the same will succeed later: the database is away, or not migrated yet.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_retryable())
    }
}

/// Inside a batch a vault that does not open is an error of ours: nothing is committed.
impl From<VaultError> for StoreError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Store(error) => error,
            other => Self::unreadable(other),
        }
    }
}
