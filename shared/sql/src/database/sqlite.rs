//! SQLite through sqlx. The file is the payee's: its journal mode is left as it is. Writers of this process take turns
//! before they ask the file for its lock; those of other processes are waited for by `busy_timeout`.
//!
//! There is no server that would end a slow statement: its thread is ours, and would go on with it, and hold the file's lock,
//! when nobody waits for it any more. So each connection looks at a [`Watch`] as it works.

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{AssertSqlSafe, Column as _, Executor as _, Row as _, SqlSafeStr as _, Statement as _};
use sqlx::{TypeInfo as _, ValueRef as _};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::cell::Cell;
use super::collect::{Returned, collect};
use super::error::About;
use super::place::{FileId, Place};
use super::watch::Watch;
use super::{Access, DatabaseError, Limits, Outcome, Row};
use crate::statement::Statement;
use crate::values::{Value, Values};

/// A SQLite file.
#[derive(Clone)]
pub struct Sqlite {
    place: Arc<Place>,
    writers: Arc<Mutex<()>>,
    timeout: Duration,
}

/// A transaction; what it still does is ended before it, and the turn ends after it, as fields are dropped in their order.
pub struct SqliteTransaction {
    watch: Watch,
    inner: sqlx::Transaction<'static, sqlx::Sqlite>,
    place: Arc<Place>,
    file: Option<FileId>,
    _turn: Option<OwnedMutexGuard<()>>,
}

/// What a result code is about. The low byte is the primary code: busy and locked; error, too big, constraint, mismatch,
/// range. All others are the file's.
pub(super) fn about(code: &str) -> About {
    match code.parse::<u32>().map(|code| code & 0xff) {
        Ok(5 | 6) => About::Contention,
        Ok(1 | 18 | 19 | 20 | 25) => About::Statement,
        _ => About::Server,
    }
}

impl Sqlite {
    pub(super) fn open(url: &str, limits: &Limits) -> Result<Self, DatabaseError> {
        let options = SqliteConnectOptions::from_str(url)
            .map_err(|error| DatabaseError::Url(error.to_string()))?
            .create_if_missing(limits.create)
            .read_only(limits.read_only)
            .busy_timeout(limits.timeout / 2);
        Ok(Self {
            place: Arc::new(Place::of(options, limits)),
            writers: Arc::default(),
            timeout: limits.timeout,
        })
    }

    pub(super) async fn begin(&self, access: Access) -> Result<SqliteTransaction, DatabaseError> {
        let turn = match access {
            Access::Read => None,
            Access::Write => Some(Arc::clone(&self.writers).lock_owned().await),
        };
        let (pool, file) = self.place.pool().await;
        let mut inner = match access {
            Access::Read => pool.begin().await?,
            // A deferred transaction that turns into a writer could not wait for another one: take the lock now.
            Access::Write => pool.begin_with("begin immediate").await?,
        };
        self.place.is_still(file).await?;
        let watch = Watch::lasting(self.timeout);
        watch.set(&mut inner).await?;
        let mut transaction = SqliteTransaction {
            watch,
            inner,
            place: self.place.clone(),
            file,
            _turn: turn,
        };
        // A table that was changed by somebody else is seen only when something is read. Prepared before that, a statement
        // would return other columns than the driver was told, and it would panic.
        transaction.script("select 1 from sqlite_master limit 1").await?;
        Ok(transaction)
    }

    pub(super) async fn ask(&self, statement: &Statement, values: &Values) -> Result<Outcome, DatabaseError> {
        // A table that was changed by somebody else is seen only within a transaction; see [`Sqlite::begin`].
        let mut transaction = self.begin(Access::Read).await?;
        let outcome = transaction.run(statement, values).await?;
        transaction.rollback().await?;
        Ok(outcome)
    }

    pub(super) async fn close(&self) {
        self.place.close().await;
    }
}

impl SqliteTransaction {
    pub(super) async fn run(&mut self, statement: &Statement, values: &Values) -> Result<Outcome, DatabaseError> {
        let (before, _) = self.changes().await?;
        let mut query = sqlx::query(AssertSqlSafe(Arc::clone(&statement.sql))).persistent(false);
        for parameter in &statement.parameters {
            query = match values.get(parameter) {
                Value::Integer(integer) => query.bind(integer),
                Value::Text(text) => query.bind(text),
            };
        }
        self.watch.begin();
        let mut outcome = collect((&mut *self.inner).fetch_many(query), |_| 0, read_row).await?;
        // The count of a statement that changes nothing is that of the statement before it; only the total, in which are the
        // rows of triggers too, says that there was one. What a view's triggers changed is counted there alone.
        let (total, direct) = self.changes().await?;
        let changed = if total == before { 0 } else { direct.max(1) };
        outcome.touched = changed.max(outcome.rows.len() as u64);
        Ok(outcome)
    }

    pub(super) async fn describe(&mut self, statement: &Statement) -> Result<Vec<Returned>, DatabaseError> {
        let sql = AssertSqlSafe(Arc::clone(&statement.sql)).into_sql_str();
        self.watch.begin();
        let prepared = self.inner.prepare(sql).await?;
        let columns = prepared.columns().iter();
        Ok(columns.map(|column| Returned::untyped(column.name())).collect())
    }

    pub(super) async fn script(&mut self, sql: &str) -> Result<(), DatabaseError> {
        self.watch.begin();
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *self.inner).await?;
        Ok(())
    }

    pub(super) async fn commit(self) -> Result<(), DatabaseError> {
        // Checks that were put off until now are made now.
        self.watch.begin();
        self.inner.commit().await?;
        // Replaced meanwhile: nobody will ever read what was kept in the one that was there.
        self.place.is_still(self.file).await
    }

    pub(super) async fn rollback(self) -> Result<(), DatabaseError> {
        Ok(self.inner.rollback().await?)
    }

    /// Rows that were changed since the connection was opened, and those by the last statement that changed any.
    async fn changes(&mut self) -> Result<(u64, u64), DatabaseError> {
        let (total, direct): (i64, i64) = sqlx::query_as("select total_changes(), changes()")
            .fetch_one(&mut *self.inner)
            .await?;
        Ok((total.unsigned_abs(), direct.unsigned_abs()))
    }
}

/// SQLite's types are those of the values, not of the columns.
fn read_row(row: &SqliteRow) -> Result<Row, DatabaseError> {
    let mut read = Row::default();
    for (index, column) in row.columns().iter().enumerate() {
        let value = row.try_get_raw(index)?;
        let cell = match (value.is_null(), value.type_info().name()) {
            (true, _) => Cell::Null,
            (_, "INTEGER") => Cell::Integer(row.try_get_unchecked(index)?),
            (_, "REAL") => Cell::Real(row.try_get_unchecked(index)?),
            (_, "TEXT") => Cell::Text(row.try_get_unchecked(index)?),
            (_, other) => Cell::Unread(other.to_owned()),
        };
        read.push(column.name(), cell);
    }
    Ok(read)
}
