//! The seam between who asks and the databases it can stand on. A database is a module with the same eight verbs
//! (open, ask, begin, run, describe, script, commit, rollback) and an arm in each `match` here; nothing above knows which.
//!
//! Errors come in three kinds, because different things are to be done about them: the database is away (the gateway asks
//! again), another transaction was in the way (we try again), or a statement was refused (nothing was entered, a person
//! has to look).
//!
//! What a database does is boxed: its futures are of several thousand bytes, which would be moved at each of the many calls
//! that lead here.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use crate::statement::{Dialect, Statement};
use crate::values::Values;
use crate::zone::Zone;

mod asking;
mod binary;
pub(crate) mod cell;
mod collect;
mod error;
mod mysql;
#[cfg(feature = "odbc")]
mod odbc;
mod place;
mod postgres;
mod reach;
mod sqlite;
mod watch;

use cell::Row;
pub use collect::Returned;
pub use error::DatabaseError;

/// The most rows that one statement may return before it is broken off.
pub(crate) const RETURNED_MAX: u64 = 10_000;

/// Rows of one statement that are kept; no statement of ours or of a sane configuration has more.
pub const ROWS_MAX: usize = 200;

/// How long and how often, and in which time zone.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The most connections.
    pub pool_size: u32,
    /// The longest a request may take; no statement may take longer.
    pub timeout: Duration,
    /// Whether a database file that is not there is made.
    pub create: bool,
    /// The zone that sessions are told.
    pub zone: Zone,
    /// What the server sees who is there, where it keeps that.
    pub application: &'static str,
    /// Whether PostgreSQL keeps the plan of a statement that is run again. One that a changed table made wrong is given up,
    /// and the statement counts as contended.
    pub keep_plans: bool,
    /// Whether sessions may change nothing at all.
    pub read_only: bool,
}

/// The longest wait for a connection. While the server refuses, the pool goes on trying until then; a request has better
/// things to do than to wait for its whole timeout and then tell the gateway what was clear at once.
const CONNECTION_WAIT_MAX: Duration = Duration::from_secs(4);

/// How long a connection that is not tried before each use may have been idle to be used all the same.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

impl Limits {
    fn connection_wait(&self) -> Duration {
        (self.timeout / 2).min(CONNECTION_WAIT_MAX)
    }
}

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It only looks, and is always rolled back.
    Read,
    /// It may change things.
    Write,
}

/// What a statement did.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The rows it returned, at most [`ROWS_MAX`].
    pub rows: Vec<Row>,
    /// How many rows it returned or changed.
    pub touched: u64,
}

/// A payee's database. Opening it connects to nothing: the receiver starts, and stays, while the database is away.
#[derive(Clone)]
pub enum Database {
    /// SQLite.
    Sqlite(sqlite::Sqlite),
    /// PostgreSQL.
    Postgres(postgres::Postgres),
    /// MySQL or MariaDB.
    Mysql(mysql::Mysql),
    /// Any other, by its ODBC driver.
    #[cfg(feature = "odbc")]
    Odbc(odbc::Odbc),
}

/// A transaction; dropped without a commit, it is rolled back.
pub enum Transaction {
    /// SQLite.
    Sqlite(sqlite::SqliteTransaction),
    /// PostgreSQL.
    Postgres(postgres::PostgresTransaction),
    /// MySQL or MariaDB.
    Mysql(mysql::MysqlTransaction),
    /// Any other, by its ODBC driver.
    #[cfg(feature = "odbc")]
    Odbc(odbc::OdbcTransaction),
}

/// The same for every database.
macro_rules! each {
    ($of:ident, $this:expr, $inner:ident => $does:expr) => {
        match $this {
            $of::Sqlite($inner) => $does,
            $of::Postgres($inner) => $does,
            $of::Mysql($inner) => $does,
            #[cfg(feature = "odbc")]
            $of::Odbc($inner) => $does,
        }
    };
}

impl Database {
    /// Chooses the database by its address.
    pub fn open(url: &SecretString, limits: &Limits) -> Result<Self, DatabaseError> {
        let url = url.expose_secret();
        match url.split(':').next() {
            Some("sqlite") => sqlite::Sqlite::open(url, limits).map(Self::Sqlite),
            Some("postgres" | "postgresql") => postgres::Postgres::open(url, limits).map(Self::Postgres),
            Some("mysql" | "mariadb") => mysql::Mysql::open(url, limits).map(Self::Mysql),
            #[cfg(feature = "odbc")]
            Some("odbc") => odbc::Odbc::open(url, limits).map(Self::Odbc),
            #[cfg(not(feature = "odbc"))]
            Some("odbc") => Err(DatabaseError::Url(
                "is for ODBC, which this program was built without: cargo build --features odbc".to_owned(),
            )),
            _ => Err(DatabaseError::Url(
                "begins with sqlite:, postgres:, mysql:, mariadb: or odbc:".to_owned(),
            )),
        }
    }

    /// Whose SQL it speaks.
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
            Self::Mysql(_) => Dialect::Mysql,
            #[cfg(feature = "odbc")]
            Self::Odbc(_) => Dialect::Odbc,
        }
    }

    /// Begins a transaction.
    pub async fn begin(&self, access: Access) -> Result<Transaction, DatabaseError> {
        match self {
            Self::Sqlite(database) => Box::pin(database.begin(access)).await.map(Transaction::Sqlite),
            Self::Postgres(database) => Box::pin(database.begin(access)).await.map(Transaction::Postgres),
            Self::Mysql(database) => Box::pin(database.begin(access)).await.map(Transaction::Mysql),
            #[cfg(feature = "odbc")]
            Self::Odbc(database) => database.begin().await.map(Transaction::Odbc),
        }
    }

    /// Runs one statement by itself, in no transaction of several: for databases opened to be read only. What breaks off in
    /// the middle costs its connection.
    pub async fn ask(&self, statement: &Statement, values: &Values) -> Result<Outcome, DatabaseError> {
        each!(Self, self, database => Box::pin(database.ask(statement, values)).await)
    }

    /// Closes all connections.
    pub async fn close(&self) {
        each!(Self, self, database => database.close().await);
    }
}

impl Transaction {
    /// Runs a statement with its values bound.
    pub async fn run(&mut self, statement: &Statement, values: &Values) -> Result<Outcome, DatabaseError> {
        each!(Self, self, transaction => Box::pin(transaction.run(statement, values)).await)
    }

    /// Has the database read a statement without running it; returns its columns.
    pub async fn describe(&mut self, statement: &Statement) -> Result<Vec<Returned>, DatabaseError> {
        each!(Self, self, transaction => transaction.describe(statement).await)
    }

    /// Runs SQL that is ours or the administrator's, as it stands, without values: several statements, schemas.
    pub async fn script(&mut self, sql: &str) -> Result<(), DatabaseError> {
        each!(Self, self, transaction => transaction.script(sql).await)
    }

    /// From here on what is done can be undone by [`Transaction::undo`], and the rest kept. Not by way of ODBC, which knows
    /// no words for it.
    pub async fn mark(&mut self) -> Result<(), DatabaseError> {
        self.savepoint("savepoint unigate_statements").await
    }

    /// Undoes everything since [`Transaction::mark`].
    pub async fn undo(&mut self) -> Result<(), DatabaseError> {
        self.savepoint("rollback to savepoint unigate_statements").await
    }

    async fn savepoint(&mut self, sql: &str) -> Result<(), DatabaseError> {
        match self {
            #[cfg(feature = "odbc")]
            Self::Odbc(_) => Ok(()),
            other => other.script(sql).await,
        }
    }

    /// Fails when a statement since [`Transaction::mark`] has ended the transaction, as a procedure of MySQL may: the mark
    /// is gone then. The other databases refuse such a statement themselves; of those behind ODBC it cannot be known.
    pub async fn still_open(&mut self) -> Result<(), DatabaseError> {
        match self {
            Self::Mysql(transaction) => transaction.script("release savepoint unigate_statements").await,
            Self::Sqlite(_) | Self::Postgres(_) => Ok(()),
            #[cfg(feature = "odbc")]
            Self::Odbc(_) => Ok(()),
        }
    }

    /// Before a procedure is called: what [`Transaction::call_has_ended_it`] looks for. It leaves [`Transaction::mark`] where it
    /// is.
    pub async fn mark_call(&mut self) -> Result<(), DatabaseError> {
        match self {
            Self::Mysql(transaction) => transaction.script("savepoint unigate_call").await,
            _ => Ok(()),
        }
    }

    /// Whether the procedure called since [`Transaction::mark_call`] has ended the transaction: committed it, begun another, or
    /// gone on after the server had undone all of it. Known of MySQL; for the others as with [`Transaction::still_open`].
    pub async fn call_has_ended_it(&mut self) -> Result<bool, DatabaseError> {
        match self {
            Self::Mysql(transaction) => match transaction.script("release savepoint unigate_call").await {
                Ok(()) => Ok(false),
                Err(DatabaseError::Refused(_)) => Ok(true),
                Err(other) => Err(other),
            },
            _ => Ok(false),
        }
    }

    /// Keeps what was done. An error that is [`DatabaseError::Away`] leaves open whether it was.
    pub async fn commit(self) -> Result<(), DatabaseError> {
        each!(Self, self, transaction => transaction.commit().await)
    }

    /// Undoes everything, and gives the connection back for the next one.
    pub async fn rollback(self) -> Result<(), DatabaseError> {
        each!(Self, self, transaction => transaction.rollback().await)
    }
}
