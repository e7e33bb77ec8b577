//! When a register is closed, over which positions, and what its states are. A register is a range of positions of one
//! series; the functions here are the rule that the store's SQL is tested against. Nothing here builds or mails a file.
//!
//! A cut-off T closes what was accepted *before* T. The worker first raises the ledger's clock to T, which waits for intake
//! in flight; from then on nothing can be accepted before T any more, and `close` sees all there will ever be.

mod closing;
mod cutoff;
mod days_off;

pub use closing::{Closing, Frozen, OpenPayment, Series, close};
pub use cutoff::{Cutoff, CutoffCause, count_due, cutoff_of, cutoffs_due, next_cutoff, upcoming};

use crate::invalid::Invalid;

/// Where a register is in its life; the words are those of the CHECK on `register.state` in V4__registers.sql.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RegisterState {
    /// Its range, count and total stand; the file is still to be built.
    Frozen,
    /// The file stands.
    Built,
    /// Every recipient's server took it.
    Mailed,
    /// The build disagreed with the freeze, or a mail was given up.
    Failed,
}

impl RegisterState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Frozen, Self::Built, Self::Mailed, Self::Failed];

    /// The word of the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Frozen => "frozen",
            Self::Built => "built",
            Self::Mailed => "mailed",
            Self::Failed => "failed",
        }
    }

    /// Reads the word of the database.
    pub fn parse(word: &str) -> Result<Self, Invalid> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == word)
            .ok_or_else(|| Invalid::new("state", "must be frozen, built, mailed or failed"))
    }

    /// Whether a register may go from this state to that one. A failed one is built or mailed again; nothing unmails one.
    pub fn may_become(self, next: Self) -> bool {
        use RegisterState as S;
        match self {
            S::Frozen => matches!(next, S::Built | S::Failed),
            S::Built => matches!(next, S::Mailed | S::Failed),
            S::Failed => matches!(next, S::Frozen | S::Built | S::Mailed),
            S::Mailed => false,
        }
    }
}

impl std::fmt::Display for RegisterState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a register is the one and only for its payments, or repeats some.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RegisterKind {
    /// Each payment is in exactly one of these.
    Regular,
    /// Made for a period, of payments that are in regular ones.
    Copy,
}

impl RegisterKind {
    /// The word of the contract and of the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Regular => "regular",
            Self::Copy => "copy",
        }
    }

    /// Reads the word of the contract or the database.
    pub fn parse(word: &str) -> Result<Self, Invalid> {
        match word {
            "regular" => Ok(Self::Regular),
            "copy" => Ok(Self::Copy),
            _ => Err(Invalid::new("kind", "must be regular or copy")),
        }
    }
}

impl std::fmt::Display for RegisterKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_days_off;
#[cfg(test)]
mod tests_model;
