//! A terminal: who may speak for it, and whether it can open sealed answers.

use serde::{Deserialize, Serialize};

use super::{Declaration, Findings, TerminalLimits, check_age_recipient, check_name};
use crate::ids::TerminalId;
use crate::invalid::Invalid;

/// A terminal as declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terminal {
    /// Its id; never reused for another.
    pub id: TerminalId,
    /// The group products are offered to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The broker's users that may speak for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    /// Its public key: with it, a card's details come sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_recipient: Option<String>,
    /// What it may take; what it does not say its group says, and then the installation (`UNIGATE_TERMINAL_HOLDS`,
    /// `UNIGATE_TERMINAL_SALES_PER_HOUR`, `UNIGATE_TERMINAL_UNSOLD_PER_HOUR`).
    #[serde(default, skip_serializing_if = "TerminalLimits::is_none")]
    pub limits: TerminalLimits,
}

impl Terminal {
    /// Whether a message with this `user_id` (verified by the broker) may speak for it. Where terminals are open, a message
    /// without one may too, and a terminal that names no users leaves it to anyone.
    pub fn may_be_spoken_for_by(&self, user: Option<&str>, terminals_are_open: bool) -> bool {
        match user {
            Some(user) if self.users.iter().any(|own| own == user) => true,
            Some(_) => terminals_are_open && self.users.is_empty(),
            None => terminals_are_open,
        }
    }

    /// Everything that is wrong with the declaration.
    pub fn check(&self) -> Result<(), Vec<Invalid>> {
        let mut found = Findings::default();
        if let Some(group) = &self.group {
            found.take(check_name("group", group));
        }
        for (at, user) in self.users.iter().enumerate() {
            found.take(check_name(&format!("users[{at}]"), user));
        }
        if let Some(recipient) = &self.age_recipient {
            found.take(check_age_recipient("age_recipient", recipient));
        }
        found.within("limits", self.limits.check());
        found.finish()
    }
}

impl Declaration for Terminal {
    const KIND: &'static str = "terminal";

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn check(&self) -> Result<(), Vec<Invalid>> {
        Terminal::check(self)
    }
}
