//! What can be wrong with the vault. None of it carries a key or a detail.

use domain::vault::NotNow;
use store::StoreError;

/// Why the vault, or something in it, cannot be opened or changed.
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
    /// The identity in the environment cannot be used.
    #[error("UNIGATE_VAULT_IDENTITY: {why}")]
    IdentityVariable {
        /// What is wrong with it.
        why: String,
    },
    /// The identity is another vault's, or one that has left.
    #[error(
        "{place}: version {version} of the vault is sealed to {to}, and the identity here is of {own}: put the present one there"
    )]
    Mismatch {
        /// Where the identities were found.
        place: String,
        /// The public halves of the identities found.
        own: String,
        /// The vault's version.
        version: i32,
        /// Whom it is sealed to.
        to: String,
    },
    /// Nobody who is known here has written this version.
    #[error(
        "version {version} of the vault was not written with an identity that is here (but with that of {by}): until the \
         rotation is finished that one is needed beside the new one"
    )]
    Unproven {
        /// The version.
        version: i32,
        /// The public halves of the identities it was written with.
        by: String,
    },
    /// It says it was written with an identity that is here, and it was not.
    #[error(
        "version {version} of the vault was forged or damaged: somebody has written to the database who has not the identity"
    )]
    Forged {
        /// The version.
        version: i32,
    },
    /// Changed meanwhile by somebody else.
    #[error("the vault is at version {latest} and this process has opened {own}: it opens the new one in a moment")]
    Behind {
        /// What this process has opened.
        own: i32,
        /// What is there.
        latest: i32,
    },
    /// The database has an earlier version than this process has opened.
    #[error(
        "the vault is at version {latest}, and this process has opened {own}: the database was put back to an earlier time; if \
         that is meant, start the cards workers anew"
    )]
    Backwards {
        /// What this process has opened.
        own: i32,
        /// What is there.
        latest: i32,
    },
    /// A change that is not possible as the vault stands.
    #[error("{0}")]
    NotNow(String),
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
    /// The latest version is not the one that this process has opened.
    pub(super) fn of_versions(own: i32, latest: i32) -> Self {
        if latest < own {
            Self::Backwards { own, latest }
        } else {
            Self::Behind { own, latest }
        }
    }

    /// Whether the same will succeed later: the database is away, or not migrated yet, or the vault has just changed; or it is not
    /// the database that it was, which people have to see to.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::Behind { .. } | Self::Backwards { .. } => true,
            _ => false,
        }
    }
}

impl From<NotNow> for VaultError {
    fn from(error: NotNow) -> Self {
        Self::NotNow(error.0)
    }
}

/// Inside a batch a vault that does not open is an error of ours: nothing is committed. One that was changed a moment ago
/// is waited for, and so is one that was put back.
impl From<VaultError> for StoreError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Store(error) => error,
            VaultError::NotNow(why) => Self::Changed(why),
            another @ (VaultError::Behind { .. } | VaultError::Backwards { .. }) => {
                Self::Infrastructure(Box::new(another))
            }
            other => Self::unreadable(other),
        }
    }
}
