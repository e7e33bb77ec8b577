//! What comparing the broker with the table found.

use std::fmt;

/// What `apply` or `check` found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The broker's product and version.
    pub broker: String,
    /// Queues, exchanges and bindings looked at.
    pub items: usize,
    /// What is missing or differs, each by name. Empty: in order.
    pub differences: Vec<Difference>,
    /// Why bindings were not tried: what the broker says to a user who may not.
    pub bindings_untried: Option<String>,
}

impl Report {
    /// Whether nothing that was looked at is missing or differs.
    pub fn in_order(&self) -> bool {
        self.differences.is_empty()
    }

    pub(super) fn add(&mut self, name: impl Into<String>, what: impl Into<String>) {
        self.differences.push(Difference {
            name: name.into(),
            what: what.into(),
        });
    }
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Queue, exchange or binding (`exchange --key--> queue`).
    pub name: String,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.what)
    }
}
