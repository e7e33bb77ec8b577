//! Why a register could not be built, in the two kinds that matter: what passes by itself, and what does not.

use artifacts::ArtifactError;
use store::StoreError;

/// A build that did not end in a file.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Where its files are to lie.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// It was written and could not be recorded.
    #[error("recording: {why}")]
    Unrecorded {
        /// What the database said.
        why: String,
        /// Whether it is the database, and not the register, that stood in the way.
        passes: bool,
    },
    /// The lease ran out under way; somebody else builds it now.
    #[error("the lease ran out under way")]
    LeaseLost,
    /// Whoever was building it was gone in the middle, again and again: it is what they die of, as far as can be known.
    #[error(
        "whoever was building it vanished {0} times in a row, perhaps killed for want of memory, perhaps cut off from the database: \
         see the workers' logs, then have it built again (unigate registers requeue)"
    )]
    Vanished(i32),
    /// The rows ended before their end.
    #[error("the rows broke off")]
    BrokenOff,
    /// The file does not hold what was frozen. Somebody changed payments of a closed range.
    #[error("the file would hold {count} payments of {total} in all, but {frozen_count} of {frozen_total} were frozen")]
    Disagrees {
        /// Payments read.
        count: i64,
        /// Their sum, in minor units.
        total: i64,
        /// Payments counted when the range was closed.
        frozen_count: i64,
        /// Their sum, in minor units.
        frozen_total: i64,
    },
    /// One payment alone is more than a file may have.
    #[error("max_bytes is {most}, and a file of one payment has {bytes}")]
    RowTooLarge {
        /// A file of it alone.
        bytes: u64,
        /// What the payee takes.
        most: u64,
    },
    /// What sealing adds makes a file of so few payments too large, or one of any number after several plans.
    #[error(
        "max_bytes is {most}, and a file with {count} of its payments has {bytes} when it is sealed; its text has {text}"
    )]
    SealedTooLarge {
        /// Payments in it.
        count: i64,
        /// What its text had.
        text: u64,
        /// What it came to.
        bytes: u64,
        /// What the payee takes.
        most: u64,
    },
    /// The payee's limits make too many files of it.
    #[error("max_rows or max_bytes would make more than {0} parts of it")]
    TooManyParts(i32),
    /// The payee's version has no `[register]`.
    #[error("the payee was closed under a version without [register]")]
    NoProfile,
    /// A stage of `[[register.seal]]`, or what `zip` and `age_recipients` stand for, cannot do its work.
    #[error("seal, stage {stage} ({with}): {why}")]
    Seal {
        /// Which one, from 1.
        stage: usize,
        /// Its word in the declaration.
        with: &'static str,
        /// Why, without a secret and without what payers have entered.
        why: String,
    },
    /// What the stages need could not be looked up in time.
    #[error("seal: {0}")]
    Unprepared(String),
    /// The text cannot be written as the payee's layout has it.
    #[error(transparent)]
    Format(#[from] formats::FormatError),
    /// The file cannot be written.
    #[error("file: {0}")]
    Write(#[source] std::io::Error),
    /// The thread that writes the file died.
    #[error("the writing thread died: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

impl BuildError {
    /// Whether the next try may succeed without a person.
    pub fn passes(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::Artifact(error) => error.passes(),
            Self::Unrecorded { passes, .. } => *passes,
            Self::LeaseLost | Self::BrokenOff => true,
            _ => false,
        }
    }
}
