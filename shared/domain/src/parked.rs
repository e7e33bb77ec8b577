//! The states of a parked fact: money without a home, until it is put back and finds one, or an operator discards it.
//! They are those of the CHECK on `parked.state` in V1__core.sql.

use crate::invalid::Invalid;

/// Where a parked fact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ParkedState {
    /// Waiting for an operator.
    Parked,
    /// To be handled again: put back by an operator, or dead-lettered and to be tried once more alone.
    Retry,
    /// Handled after all.
    Resolved,
    /// Given up by an operator, with a reason; its id is `settled_by_operator` from then on.
    Discarded,
}

impl ParkedState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Parked, Self::Retry, Self::Resolved, Self::Discarded];

    /// The word of the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parked => "parked",
            Self::Retry => "retry",
            Self::Resolved => "resolved",
            Self::Discarded => "discarded",
        }
    }

    /// Reads the word of the database.
    pub fn parse(word: &str) -> Result<Self, Invalid> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == word)
            .ok_or_else(|| Invalid::new("state", "must be parked, retry, resolved or discarded"))
    }

    /// Whether a parked fact may go from this state to that one. Discarding one that is being handled again is not
    /// possible: the two would race over the same money.
    pub fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Parked, Self::Retry | Self::Discarded) | (Self::Retry, Self::Resolved | Self::Parked)
        )
    }
}

impl std::fmt::Display for ParkedState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::ParkedState;

    #[test]
    fn words_round_trip_and_ends_are_ends() {
        for state in ParkedState::ALL {
            assert_eq!(ParkedState::parse(state.as_str()).unwrap(), state);
            assert!(!ParkedState::Resolved.may_become(state) && !ParkedState::Discarded.may_become(state));
        }
        assert!(ParkedState::parse("gone").is_err());
    }
}
