//! What one terminal may take, and groups of terminals that share what is said about it.

use serde::{Deserialize, Serialize};

use super::{Declaration, Findings, check_name};
use crate::invalid::Invalid;

/// The highest limit that can be declared: more is none.
const LIMIT_MAX: u32 = 1_000_000;

/// What a terminal may take before its next reservation is refused: a broken or hostile one cannot empty the stock. What is
/// not said is not limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TerminalLimits {
    /// Cards it may hold at once. A hold ends with its time, a sale or a release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds: Option<u32>,
    /// Cards it may sell within an hour: once it holds so many, with those that it sold within the last hour, nothing more is
    /// reserved. A sale itself is never refused for it: its money was taken. Cards in grace, which may be sold late, do not
    /// count; `unsold_per_hour` bounds them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sales_per_hour: Option<u32>,
    /// Cards it may have seen within the last hour and not sold: those it holds, and those that it released or let run out.
    /// Beyond that nothing more is reserved. Whoever reserves and releases in a loop learns no more cards than these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsold_per_hour: Option<u32>,
}

impl TerminalLimits {
    /// Whether nothing is limited.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// These, and where they say nothing, the others.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self {
            holds: self.holds.or(others.holds),
            sales_per_hour: self.sales_per_hour.or(others.sales_per_hour),
            unsold_per_hour: self.unsold_per_hour.or(others.unsold_per_hour),
        }
    }

    pub(super) fn check(&self) -> Findings {
        let mut found = Findings::default();
        for (field, limit) in [
            ("holds", self.holds),
            ("sales_per_hour", self.sales_per_hour),
            ("unsold_per_hour", self.unsold_per_hour),
        ] {
            let wrong = limit.is_some_and(|limit| !(1..=LIMIT_MAX).contains(&limit));
            found.refuse_if(wrong, field, "must be from 1 to 1000000; leave it out for no limit");
        }
        found
    }
}

/// A group of terminals: what holds for each of them that says nothing of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TerminalGroup {
    /// Its name, as terminals and products say it.
    pub id: String,
    /// What each terminal of it may take.
    #[serde(default, skip_serializing_if = "TerminalLimits::is_none")]
    pub limits: TerminalLimits,
}

impl Declaration for TerminalGroup {
    const KIND: &'static str = "group";

    fn id(&self) -> &str {
        &self.id
    }

    fn check(&self) -> Result<(), Vec<Invalid>> {
        let mut found = Findings::default();
        found.take(check_name("id", &self.id));
        found.within("limits", self.limits.check());
        found.finish()
    }
}
