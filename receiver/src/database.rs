//! The seam between the receiver and the databases it can stand on. A database is a module with the same six verbs
//! (open, begin, run, describe, script, commit or drop) and an arm in each `match` here; nothing above knows which.
//!
//! Errors come in two kinds, because the gateway must be told apart what to do: the database is away (ask again), or it
//! refused a statement (nothing was entered, a person has to look).

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use crate::statement::{Dialect, Statement};
use crate::values::Values;

pub(crate) mod cell;
mod postgres;
mod sqlite;

pub(crate) use cell::Row;

/// Rows of one statement that are kept; no statement of ours or of a sane configuration has more.
pub(crate) const ROWS_MAX: usize = 200;

/// Why a database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It cannot be reached, is busy, or lost the connection: asking again may help.
    #[error("the database cannot be used now")]
    Away(#[source] sqlx::Error),
    /// It refused the statement: nothing was changed, and asking again the same will not help.
    #[error(transparent)]
    Refused(sqlx::Error),
    /// A column has a type that is not read.
    #[error("column {column} is of type {type_name}: cast it to text")]
    Column {
        /// The column.
        column: String,
        /// Its type in the database.
        type_name: String,
    },
    /// The address of the database is none.
    #[error("database.url: {0}")]
    Url(String),
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        let refused = match &error {
            sqlx::Error::Database(e) if e.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() => {
                e.code().is_some_and(|code| postgres::is_refusal(&code))
            }
            sqlx::Error::Database(e) => e.code().is_some_and(|code| sqlite::is_refusal(&code)),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::Encode(_) => true,
            _ => false,
        };
        if refused {
            Self::Refused(error)
        } else {
            Self::Away(error)
        }
    }
}

/// How long and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) pool_size: u32,
    /// The longest a request may take; no statement may take longer.
    pub(crate) timeout: Duration,
    /// Whether a database file that is not there is made.
    pub(crate) create: bool,
}

/// The longest wait for a connection. While the server refuses, the pool goes on trying until then; a request has better
/// things to do than to wait for its whole timeout and then tell the gateway what was clear at once.
const CONNECTION_WAIT_MAX: Duration = Duration::from_secs(5);

impl Limits {
    fn connection_wait(self) -> Duration {
        (self.timeout / 2).min(CONNECTION_WAIT_MAX)
    }
}

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// It only looks, and is always rolled back.
    Read,
    /// It may change things.
    Write,
}

/// What a statement did.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The rows it returned, at most [`ROWS_MAX`].
    pub(crate) rows: Vec<Row>,
    /// How many rows it returned or changed.
    pub(crate) touched: u64,
}

/// A payee's database. Opening it connects to nothing: the receiver starts, and stays, while the database is away.
#[derive(Clone)]
pub(crate) enum Database {
    Sqlite(sqlite::Sqlite),
    Postgres(postgres::Postgres),
}

/// A transaction; dropped without a commit, it is rolled back.
pub(crate) enum Transaction {
    Sqlite(sqlite::SqliteTransaction),
    Postgres(postgres::PostgresTransaction),
}

impl Database {
    /// Chooses the database by its address.
    pub(crate) fn open(url: &SecretString, limits: Limits) -> Result<Self, DatabaseError> {
        let url = url.expose_secret();
        match url.split(':').next() {
            Some("sqlite") => sqlite::Sqlite::open(url, limits).map(Self::Sqlite),
            Some("postgres" | "postgresql") => postgres::Postgres::open(url, limits).map(Self::Postgres),
            _ => Err(DatabaseError::Url("begins with sqlite: or postgres:".to_owned())),
        }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    pub(crate) async fn begin(&self, access: Access) -> Result<Transaction, DatabaseError> {
        match self {
            Self::Sqlite(database) => database.begin(access).await.map(Transaction::Sqlite),
            Self::Postgres(database) => database.begin(access).await.map(Transaction::Postgres),
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(database) => database.close().await,
            Self::Postgres(database) => database.close().await,
        }
    }
}

impl Transaction {
    /// Runs a statement with its values bound.
    pub(crate) async fn run(&mut self, statement: &Statement, values: &Values) -> Result<Outcome, DatabaseError> {
        match self {
            Self::Sqlite(transaction) => transaction.run(statement, values).await,
            Self::Postgres(transaction) => transaction.run(statement, values).await,
        }
    }

    /// Has the database read a statement without running it; returns the names of its columns.
    pub(crate) async fn describe(&mut self, statement: &Statement) -> Result<Vec<String>, DatabaseError> {
        match self {
            Self::Sqlite(transaction) => transaction.describe(statement).await,
            Self::Postgres(transaction) => transaction.describe(statement).await,
        }
    }

    /// Runs SQL that is ours or the administrator's, as it stands, without values: several statements, schemas.
    pub(crate) async fn script(&mut self, sql: &str) -> Result<(), DatabaseError> {
        match self {
            Self::Sqlite(transaction) => transaction.script(sql).await,
            Self::Postgres(transaction) => transaction.script(sql).await,
        }
    }

    /// From here on what is done can be undone by [`Transaction::undo`], and the rest kept.
    pub(crate) async fn mark(&mut self) -> Result<(), DatabaseError> {
        self.script("savepoint unigate_statements").await
    }

    /// Undoes everything since [`Transaction::mark`].
    pub(crate) async fn undo(&mut self) -> Result<(), DatabaseError> {
        self.script("rollback to savepoint unigate_statements").await
    }

    pub(crate) async fn commit(self) -> Result<(), DatabaseError> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await,
            Self::Postgres(transaction) => transaction.commit().await,
        }
    }
}
