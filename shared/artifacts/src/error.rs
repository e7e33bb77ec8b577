//! Why a file could not be written or read.

use store::StoreError;
use uuid::Uuid;

use crate::MARK;

/// A file that could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The directory or the storage outside of the database.
    #[error("{place}: {source}")]
    Outside {
        /// Which one.
        place: String,
        /// What it said.
        #[source]
        source: object_store::Error,
    },
    /// The directory or the storage does not answer: a network file system that hangs.
    #[error("{place}: no answer within {within:?}")]
    Hangs {
        /// Which one.
        place: String,
        /// So long was waited.
        within: std::time::Duration,
    },
    /// The directory is not there, or could not be cleared of what was left in it.
    #[error("{place}: {source}")]
    Directory {
        /// Which one.
        place: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The directory or the storage is another installation's.
    #[error("{place} is not this installation's: {why}")]
    Foreign {
        /// Which one.
        place: String,
        /// What shows it.
        why: String,
    },
    /// Nothing of ours is where some of it should be: a directory that is not mounted, most likely.
    #[error(
        "{place}: {files} files should lie here, and neither they nor a mark do: is it mounted? \
         If they are gone for good, let {MARK} there say {ours}"
    )]
    Bare {
        /// Which one.
        place: String,
        /// How many files the database knows to lie there.
        files: i64,
        /// This installation, by which the place would be marked.
        ours: Uuid,
    },
    /// It lies where this process does not look.
    #[error("the file {sha256} lies at {place}, which is not what UNIGATE_ARTIFACTS_URL names")]
    Elsewhere {
        /// The file's SHA-256.
        sha256: String,
        /// Where it lies.
        place: String,
    },
    /// There is no such file.
    #[error("there is no file {0}")]
    Missing(String),
    /// What was read is not what was written.
    #[error("the stored file {0} does not match its SHA-256")]
    Damaged(String),
}

impl ArtifactError {
    /// Whether the next try may succeed without a change of what is stored: a full disk is cleared, a right is given back,
    /// storage returns.
    pub fn passes(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::Outside { .. }
            | Self::Hangs { .. }
            | Self::Directory { .. }
            | Self::Foreign { .. }
            | Self::Bare { .. }
            | Self::Elsewhere { .. } => true,
            Self::Missing(_) | Self::Damaged(_) => false,
        }
    }
}
