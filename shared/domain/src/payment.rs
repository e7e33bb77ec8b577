//! The states of a payment and the moves between them. The states are those of the CHECK on `payment.state` in
//! V2__payments.sql, with two more that are never stored: `registered` and `reported` follow from the register whose range
//! holds the payment's position (view `payment_view`).

use crate::invalid::Invalid;

/// Where a payment is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentState {
    /// Stored, nothing done yet.
    Accepted,
    /// An attempt is open.
    Delivering,
    /// Waiting for a retry.
    Waiting,
    /// The payee has credited it.
    Delivered,
    /// The payee said no, for good.
    Refused,
    /// It may have been credited.
    Unknown,
    /// Certainly not credited, and the retries ran out.
    Failed,
    /// Stopped by an operator.
    Stopped,
    /// A revocation is under way.
    Revoking,
    /// Taken back before it was credited, or by the payee.
    Revoked,
    /// Derived, not stored: in exactly one closed regular register.
    Registered,
    /// Derived, not stored: that register was mailed.
    Reported,
}

impl PaymentState {
    /// Every state, the stored ones first.
    pub const ALL: [Self; 12] = [
        Self::Accepted,
        Self::Delivering,
        Self::Waiting,
        Self::Delivered,
        Self::Refused,
        Self::Unknown,
        Self::Failed,
        Self::Stopped,
        Self::Revoking,
        Self::Revoked,
        Self::Registered,
        Self::Reported,
    ];

    /// The word of the contract and of the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Delivering => "delivering",
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Revoking => "revoking",
            Self::Revoked => "revoked",
            Self::Registered => "registered",
            Self::Reported => "reported",
        }
    }

    /// Reads the word of the contract or the database.
    pub fn parse(word: &str) -> Result<Self, Invalid> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == word)
            .ok_or_else(|| {
                let known = Self::ALL.map(Self::as_str).join(", ");
                Invalid::new("state", format!("is not a state of a payment: those are {known}"))
            })
    }

    /// Whether the state is a value of `payment.state`, not one that a view derives.
    pub fn is_stored(self) -> bool {
        !matches!(self, Self::Registered | Self::Reported)
    }

    /// Whether nothing happens by itself any more and no operator is expected to act.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Delivered | Self::Revoked | Self::Reported)
    }

    /// Whether a payment may go from this state to that one. Staying is not a move.
    ///
    /// `Unknown` leaves only by the payee's own word (a late answer, `status`), by an operator's certainty, or for an
    /// idempotent payee by paying again; `Refused`, `Failed` and `Stopped` leave only by an operator's act, a late answer, or
    /// when the payee's own list has them. `Delivered` goes back to `Waiting` only when an operator requeues what an
    /// idempotent payee's list lacks.
    pub fn may_become(self, next: Self) -> bool {
        use PaymentState as S;
        match self {
            S::Accepted => matches!(
                next,
                S::Delivering | S::Stopped | S::Revoking | S::Revoked | S::Registered
            ),
            S::Delivering => matches!(
                next,
                S::Waiting | S::Delivered | S::Refused | S::Unknown | S::Failed | S::Stopped | S::Revoking | S::Revoked
            ),
            S::Waiting => matches!(
                next,
                S::Delivering
                    | S::Delivered
                    | S::Refused
                    | S::Unknown
                    | S::Failed
                    | S::Stopped
                    | S::Revoking
                    | S::Revoked
            ),
            S::Unknown => matches!(
                next,
                S::Waiting
                    | S::Delivering
                    | S::Delivered
                    | S::Refused
                    | S::Failed
                    | S::Stopped
                    | S::Revoking
                    | S::Revoked
            ),
            S::Delivered => matches!(next, S::Revoking | S::Waiting),
            S::Refused => matches!(next, S::Waiting | S::Delivered | S::Revoked),
            S::Failed => matches!(next, S::Waiting | S::Delivered | S::Refused | S::Revoked),
            S::Stopped => matches!(
                next,
                S::Accepted | S::Waiting | S::Delivered | S::Refused | S::Revoking | S::Revoked
            ),
            S::Revoking => matches!(next, S::Revoked | S::Delivered | S::Unknown),
            S::Registered => matches!(next, S::Reported),
            S::Revoked | S::Reported => false,
        }
    }
}

impl std::fmt::Display for PaymentState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for PaymentState {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::deserialize_with(deserializer, "a state of a payment", Self::parse)
    }
}

/// What can be asked of an online payee about a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Credit it.
    Pay,
    /// Say what became of it.
    Status,
    /// Take it back.
    Cancel,
}

impl Act {
    /// The word of the protocol and of the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pay => "pay",
            Self::Status => "status",
            Self::Cancel => "cancel",
        }
    }

    /// Reads the word of the protocol or the database.
    pub fn parse(word: &str) -> Result<Self, Invalid> {
        [Self::Pay, Self::Status, Self::Cancel]
            .into_iter()
            .find(|act| act.as_str() == word)
            .ok_or_else(|| Invalid::new("act", "must be pay, status or cancel"))
    }
}

impl std::fmt::Display for Act {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip_and_agree_with_serde() {
        for state in PaymentState::ALL {
            assert_eq!(PaymentState::parse(state.as_str()).unwrap(), state);
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        for act in [Act::Pay, Act::Status, Act::Cancel] {
            assert_eq!(Act::parse(act.as_str()).unwrap(), act);
        }
        assert!(PaymentState::parse("Accepted").is_err());
        assert!(Act::parse("check").is_err());
    }

    #[test]
    fn stored_states_are_those_of_the_schema() {
        let schema = include_str!("../../../migrations/V2__payments.sql");
        let check = schema
            .split("check (state in (")
            .nth(1)
            .and_then(|rest| rest.split("))").next())
            .unwrap();
        let mut in_schema: Vec<_> = check.split(',').map(|word| word.trim().trim_matches('\'')).collect();
        let mut here: Vec<_> = PaymentState::ALL
            .into_iter()
            .filter(|s| s.is_stored())
            .map(PaymentState::as_str)
            .collect();
        in_schema.sort_unstable();
        here.sort_unstable();
        assert_eq!(in_schema, here);
    }

    #[test]
    fn no_state_moves_to_itself_and_ends_are_ends() {
        for state in PaymentState::ALL {
            assert!(!state.may_become(state), "{state}");
        }
        for next in PaymentState::ALL {
            assert!(!PaymentState::Revoked.may_become(next));
            assert!(!PaymentState::Reported.may_become(next));
        }
    }
}
