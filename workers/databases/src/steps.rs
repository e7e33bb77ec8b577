//! The run of a step: statement after statement, until one of them says how it ends.

use domain::declaration::{DatabasesProfile, End, StepKind};
use domain::money::Currency;
use domain::scenario::{self, Rows};
use sql::{Database, DatabaseError, Outcome, Transaction, Values};
use store::deliveries::Due;

use crate::bind::{Brought, REFERENCE, knows_reference};
use crate::known::{Told, columns};
use crate::source::Compiled;

/// Why a step came to no end of its own. As it is displayed it can be told to anybody: where, of what kind and by which code;
/// what the database said besides may quote a payer's row, and is for the operator ([`Trouble::in_full`]).
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// The database did not do what was asked.
    #[error("{place}: {}", .source.in_short())]
    Database { place: String, source: DatabaseError },
    /// A value is not of its parameter's type; nothing was asked.
    #[error("{place}: {why}")]
    Value { place: String, why: String },
    /// What a statement returned cannot be used.
    #[error("{place}: {why}")]
    Rows { place: String, why: String },
}

impl Trouble {
    /// With everything that the database said.
    pub(crate) fn in_full(&self) -> String {
        match self {
            Self::Database { place, source } => format!("{place}: {}", source.in_full()),
            Self::Value { .. } | Self::Rows { .. } => self.to_string(),
        }
    }

    /// The database itself is in trouble, not the statement.
    pub(crate) fn is_away(&self) -> bool {
        matches!(self, Self::Database { source, .. } if source.is_away())
    }

    /// No connection to it was to be had.
    pub(crate) fn is_unreached(&self) -> bool {
        matches!(
            self,
            Self::Database {
                source: DatabaseError::Unreached { .. },
                ..
            }
        )
    }

    /// A connection that was there is gone.
    pub(crate) fn is_broken_off(&self) -> bool {
        matches!(self, Self::Database { source, .. } if source.is_broken_off())
    }

    /// Another transaction was in the way: the same again is what the database asks for.
    pub(crate) fn is_contention(&self) -> bool {
        matches!(
            self,
            Self::Database {
                source: DatabaseError::Contended(_),
                ..
            }
        )
    }

    /// A unique key was in the way.
    pub(crate) fn is_duplicate(&self) -> bool {
        matches!(self, Self::Database { source, .. } if source.is_duplicate())
    }
}

/// On what statements are run.
pub(crate) enum On<'a> {
    /// A database that may only be read; the step is one statement.
    Alone(&'a Database),
    /// A transaction.
    Within(&'a mut Transaction),
}

impl On<'_> {
    async fn run(&mut self, statement: &sql::Statement, values: &Values) -> Result<Outcome, DatabaseError> {
        match self {
            Self::Alone(database) => database.ask(statement, values).await,
            Self::Within(tx) => tx.run(statement, values).await,
        }
    }
}

/// A step in hand.
pub(crate) struct Run<'a> {
    pub(crate) profile: &'a DatabasesProfile,
    pub(crate) currency: Currency,
    pub(crate) compiled: &'a Compiled,
    pub(crate) brought: &'a Brought,
    pub(crate) told: Told,
    /// What an operator may read of it, statement by statement.
    pub(crate) trace: Vec<String>,
}

impl<'a> Run<'a> {
    /// About a payment: what the payer entered is known, and, once it was entered, what the payee calls it.
    pub(crate) fn of_payment(
        profile: &'a DatabasesProfile,
        currency: Currency,
        compiled: &'a Compiled,
        brought: &'a Brought,
        due: &Due,
    ) -> Self {
        let entered = due.fields.as_object().into_iter().flatten();
        let entered = entered.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
        let mut told = Told::by_payer(compiled, entered);
        if knows_reference(brought.kind) {
            told.known.insert(REFERENCE.to_owned(), due.provider_reference.clone());
        }
        Self {
            profile,
            currency,
            compiled,
            brought,
            told,
            trace: Vec::new(),
        }
    }

    /// Runs all statements of a step; the second value is the place of the one that ended it.
    pub(crate) async fn all(&mut self, on: &mut On<'_>, kind: StepKind) -> Result<End, (usize, Trouble)> {
        for at in 0..self.profile.statements(kind).len() {
            match self.one(on, kind, at).await.map_err(|trouble| (at, trouble))? {
                End::GoOn => {}
                end => return Ok(end),
            }
        }
        Ok(scenario::finished(kind))
    }

    /// Runs one statement and says what follows from its rows.
    pub(crate) async fn one(&mut self, on: &mut On<'_>, kind: StepKind, at: usize) -> Result<End, Trouble> {
        let rule = &self.profile.statements(kind)[at];
        let statement = &self.compiled.of(kind)[at];
        let place = || statement.place.clone();
        let values = self
            .brought
            .values(statement, &self.told.known)
            .map_err(|why| Trouble::Value { place: place(), why })?;
        let outcome = on
            .run(statement, &values)
            .await
            .map_err(|source| Trouble::Database { place: place(), source })?;
        let unreadable = |why| Trouble::Rows { place: place(), why };
        let first = match outcome.rows.first() {
            Some(row) => {
                let taken = self.told.take(row, kind, self.profile, self.currency);
                taken.map_err(unreadable)?;
                columns(row).map_err(unreadable)?
            }
            None => Default::default(),
        };
        let count = outcome.touched.max(outcome.rows.len() as u64);
        let end = scenario::judge(kind, rule, Rows { count, first: &first });
        self.trace.push(shown(&statement.place, count, &first, &end));
        Ok(end)
    }
}

fn shown(place: &str, count: u64, first: &scenario::Known, end: &End) -> String {
    let rows = if count == 1 { "row" } else { "rows" };
    let columns: Vec<String> = first
        .iter()
        .map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or("null")))
        .collect();
    let columns = if columns.is_empty() {
        String::new()
    } else {
        format!(" ({})", columns.join(", "))
    };
    format!("{place}: {count} {rows}{columns} -> {end}")
}
