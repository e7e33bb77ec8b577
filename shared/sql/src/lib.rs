//! Payees' databases: PostgreSQL, MySQL and MariaDB, SQLite, behind one seam. Statements that a payee's administrator wrote
//! have named parameters of fixed types, which are bound and never become text of a statement; rows come back as cells that
//! lose nothing; errors come in the kinds that different things are to be done about.
//!
//! It keeps no payment and knows no scenario: the receiver and the databases worker do.

mod database;
mod files;
mod statement;
mod table;
mod values;
mod zone;

pub use database::cell::{Cell, Readable, Row};
pub use database::{Access, Database, DatabaseError, Limits, Outcome, ROWS_MAX, Returned, Transaction};
pub use files::files_of;
pub use statement::{Dialect, Kind, Parameter, Statement, Vocabulary};
pub use table::{Kept, Table};
pub use values::{Value, Values};
pub use zone::Zone;

/// What amounts look like in the payee's SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AmountAs {
    /// An integer of minor units: `15000`.
    #[default]
    Minor,
    /// A decimal number with the currency's digits: `150.00`.
    Decimal,
}

impl AmountAs {
    /// What an amount of a currency with so many digits is in the payee's SQL.
    pub fn kind(self, digits: u32) -> Kind {
        match self {
            Self::Minor => Kind::Integer,
            Self::Decimal => Kind::Decimal { digits },
        }
    }
}
