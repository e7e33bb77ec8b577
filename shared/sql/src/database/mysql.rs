//! MySQL and MariaDB through sqlx. Sessions are made the same whatever the server's settings: strict, so that a value
//! that does not fit is an error and not cut; read committed, so that different payments do not lock each other out; and
//! with limits on waiting, so that a lost request does not hold the payee's rows for hours.

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use sqlx::mysql::{
    MySql, MySqlConnectOptions, MySqlConnection, MySqlPool, MySqlPoolOptions, MySqlRow, MySqlTypeInfo, MySqlValueRef,
};
use sqlx::pool::PoolConnection;
use sqlx::{
    AssertSqlSafe, Column as _, ConnectOptions as _, Connection as _, Decode, Executor as _, Row as _, SqlSafeStr as _,
    Statement as _,
};
use sqlx::{TypeInfo as _, ValueRef as _};

use super::asking::Asking;
use super::binary;
use super::cell::Cell;
use super::collect::{Returned, collect, returned};
use super::error::About;
use super::reach::Reach;
use super::{Access, DatabaseError, Limits, Outcome, Row, TRUSTED_FOR};
use crate::statement::Statement;
use crate::values::{Value, Values};

/// How long a session of ours may be silent before the server ends it and frees what it holds; the pool closes idle ones
/// well before. One that may change something is ended after a request's whole time: what it has not kept by then is not kept
/// any more, also when its client was only stopped, and goes on.
fn silence(limits: &Limits) -> Duration {
    let asking = Duration::from_secs(60);
    if limits.read_only {
        asking
    } else {
        asking.min(limits.timeout.max(Duration::from_secs(1)))
    }
}

/// A MySQL or MariaDB database.
#[derive(Clone)]
pub struct Mysql {
    pool: MySqlPool,
    reach: Reach,
    session: Arc<str>,
}

/// A transaction. Not sqlx's own: when a request breaks off in the middle of a statement, the driver would take the rest
/// of one answer for the next one. A connection goes back to the pool only after an orderly end, else it is closed.
pub struct MysqlTransaction {
    connection: PoolConnection<MySql>,
    ended: bool,
}

/// Errors about the server, not the statement, that carry an SQLSTATE which says nothing: disk and engine, too many
/// connections, shutdown, read-only, a definition that changed meanwhile, the network.
const SERVER_ERRORS: [u16; 26] = [
    1021, 1030, 1037, 1038, 1040, 1041, 1053, 1114, 1152, 1153, 1154, 1155, 1156, 1157, 1158, 1159, 1160, 1161, 1180,
    1203, 1226, 1290, 1412, 1637, 1836, 1927,
];

/// A lock that was not given in time, a deadlock, a row that changed under a snapshot, a lock that was not waited for.
const CONTENTION: [u16; 4] = [1205, 1213, 1020, 3572];

/// What an error is about, by its number and SQLSTATE.
pub(super) fn about(number: u16, state: &str) -> About {
    if CONTENTION.contains(&number) || state.starts_with("40") {
        return About::Contention;
    }
    // Connection, authorisation of the session, interrupted (killed, over its time), distributed transactions.
    let class = ["08", "28", "70", "XA"].iter().any(|class| state.starts_with(class));
    if class || SERVER_ERRORS.contains(&number) {
        About::Server
    } else {
        About::Statement
    }
}

impl Mysql {
    pub(super) fn open(url: &str, limits: &Limits) -> Result<Self, DatabaseError> {
        let options = MySqlConnectOptions::from_str(url)
            .map_err(|error| DatabaseError::Url(error.to_string()))?
            .charset("utf8mb4")
            .timezone(Some(limits.zone.for_mysql().to_owned()))
            .pipes_as_concat(false)
            .no_engine_substitution(false);
        let place = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        };
        let (session, read_only): (Arc<str>, _) = (session(limits).into(), limits.read_only);
        let session_told = session.clone();
        let pool = MySqlPoolOptions::new()
            .max_connections(limits.pool_size)
            .acquire_timeout(limits.connection_wait())
            .test_before_acquire(!read_only)
            .before_acquire(move |connection, meta| {
                Box::pin(async move {
                    if read_only && meta.idle_for > TRUSTED_FOR {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .idle_timeout(silence(limits) / 3)
            .after_connect(move |connection, _| {
                let session = session_told.clone();
                Box::pin(async move { tell_session(connection, &session).await })
            })
            .connect_lazy_with(options);
        Ok(Self {
            pool,
            reach: Reach::of(url, place, limits),
            session,
        })
    }

    /// Whatever is wrong with a session that is only being made, no statement is to blame.
    async fn connection(&self) -> Result<PoolConnection<MySql>, DatabaseError> {
        let error = match self.pool.acquire().await {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        let once_more = async {
            let mut connection = self.pool.connect_options().connect().await?;
            tell_session(&mut connection, &self.session).await?;
            connection.close().await
        };
        Err(Box::pin(self.reach.error(&self.pool, error, once_more)).await)
    }

    pub(super) async fn begin(&self, access: Access) -> Result<MysqlTransaction, DatabaseError> {
        let mut transaction = MysqlTransaction {
            connection: self.connection().await?,
            ended: false,
        };
        let begin = match access {
            Access::Read => "start transaction read only",
            Access::Write => "start transaction",
        };
        transaction.script(begin).await?;
        Ok(transaction)
    }

    pub(super) async fn ask(&self, statement: &Statement, values: &Values) -> Result<Outcome, DatabaseError> {
        let mut asking = Asking::on(self.connection().await?);
        let outcome = run(asking.connection(), statement, values).await;
        asking.end(&outcome);
        outcome
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

async fn tell_session(connection: &mut MySqlConnection, session: &str) -> Result<(), sqlx::Error> {
    connection.execute(sqlx::raw_sql(AssertSqlSafe(session))).await?;
    Ok(())
}

/// What every session is told first. The comment is read by MariaDB only, which alone limits statements of every kind.
fn session(limits: &Limits) -> String {
    let seconds = limits.timeout.as_secs().max(1);
    let access = if limits.read_only { ", read only" } else { "" };
    // What a procedure does after its transaction was undone (a deadlock undoes all of it, and a handler may go on) belongs to
    // another transaction then, which is not kept either, and not to none, each statement for good.
    let alone = u8::from(limits.read_only);
    let lock = (seconds / 2).max(1);
    let silence = silence(limits).as_secs();
    format!(
        "set session sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,PIPES_AS_CONCAT', \
         session autocommit = {alone}, \
         session innodb_lock_wait_timeout = {lock}, session lock_wait_timeout = {lock}, \
         session wait_timeout = {silence} /*M!100100 , session max_statement_time = {seconds} */; \
         set session transaction isolation level read committed{access}"
    )
}

impl MysqlTransaction {
    pub(super) async fn run(&mut self, statement: &Statement, values: &Values) -> Result<Outcome, DatabaseError> {
        run(&mut self.connection, statement, values).await
    }

    pub(super) async fn describe(&mut self, statement: &Statement) -> Result<Vec<Returned>, DatabaseError> {
        let sql = AssertSqlSafe(Arc::clone(&statement.sql)).into_sql_str();
        let prepared = (&mut *self.connection).prepare(sql).await?;
        Ok(returned(prepared.columns(), is_read))
    }

    pub(super) async fn script(&mut self, sql: &str) -> Result<(), DatabaseError> {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *self.connection).await?;
        Ok(())
    }

    pub(super) async fn commit(self) -> Result<(), DatabaseError> {
        self.end("commit").await
    }

    pub(super) async fn rollback(self) -> Result<(), DatabaseError> {
        self.end("rollback").await
    }

    async fn end(mut self, sql: &str) -> Result<(), DatabaseError> {
        self.script(sql).await?;
        self.ended = true;
        Ok(())
    }
}

impl Drop for MysqlTransaction {
    fn drop(&mut self) {
        if !self.ended {
            self.connection.close_on_drop();
        }
    }
}

/// `2026-11-23T07:02:11.5Z` as MySQL writes it; it knows no letter for the zone.
fn datetime(moment: &str) -> String {
    moment.trim_end_matches('Z').replace('T', " ")
}

async fn run(
    connection: &mut MySqlConnection,
    statement: &Statement,
    values: &Values,
) -> Result<Outcome, DatabaseError> {
    // Kept by the connection, unlike with PostgreSQL: the server prepares it again by itself when a table has changed, and
    // to give it up each time would cost 40 ms, for which the socket waits to send what needs no answer.
    let mut query = sqlx::query(AssertSqlSafe(Arc::clone(&statement.sql)));
    for parameter in &statement.parameters {
        query = match values.get(parameter) {
            Value::Integer(integer) => query.bind(integer),
            Value::Text(text) if parameter.kind.is_moment() => query.bind(text.map(|text| datetime(&text))),
            Value::Text(text) => query.bind(text),
        };
    }
    collect(connection.fetch_many(query), |done| done.rows_affected(), read_row).await
}

fn read_row(row: &MySqlRow) -> Result<Row, DatabaseError> {
    let mut read = Row::default();
    for (index, column) in row.columns().iter().enumerate() {
        let value = row.try_get_raw(index)?;
        let type_name = value.type_info().name().to_owned();
        let cell = read_cell(value, &type_name);
        read.push(column.name(), cell.unwrap_or(Cell::Unread(type_name)));
    }
    Ok(read)
}

/// Whether [`read_cell`] reads a type.
fn is_read(kind: &MySqlTypeInfo) -> bool {
    const READ: [&str; 15] = [
        "NULL",
        "TINYINT",
        "SMALLINT",
        "MEDIUMINT",
        "INT",
        "BIGINT",
        "BOOLEAN",
        "YEAR",
        "FLOAT",
        "DOUBLE",
        "DECIMAL",
        "DATE",
        "DATETIME",
        "TIMESTAMP",
        "JSON",
    ];
    let name = kind.name();
    READ.contains(&name) || name.ends_with(" UNSIGNED") || <String as sqlx::Type<MySql>>::compatible(kind)
}

/// Values come in the binary form; `None` for a type that is not read.
fn read_cell(value: MySqlValueRef<'_>, type_name: &str) -> Option<Cell> {
    // To the driver a date of zeros is null too.
    if value.is_null() {
        return Some(Cell::Null);
    }
    // Columns compared byte by byte are named like bytes; only the type itself knows that they are text.
    let is_text = <String as sqlx::Type<MySql>>::compatible(&value.type_info());
    match type_name {
        "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "BIGINT" | "BOOLEAN" => decode(value).map(Cell::Integer),
        _ if type_name.ends_with(" UNSIGNED") || type_name == "YEAR" => {
            let integer: u64 = decode(value)?;
            Some(i64::try_from(integer).map_or_else(|_| Cell::Text(integer.to_string()), Cell::Integer))
        }
        "FLOAT" | "DOUBLE" => decode(value).map(Cell::Real),
        "DECIMAL" | "JSON" => decode(value).map(Cell::Text),
        "DATE" => binary::mysql_datetime(decode(value)?).map(|day| Cell::Text(day.date().to_string())),
        "DATETIME" | "TIMESTAMP" => match decode(value)? {
            none if binary::mysql_of_no_day(none) => Some(Cell::Null),
            moment => binary::mysql_datetime(moment).map(Cell::Local),
        },
        _ if is_text => decode(value).map(Cell::Text),
        _ => None,
    }
}

fn decode<'r, T: Decode<'r, MySql>>(value: MySqlValueRef<'r>) -> Option<T> {
    T::decode(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_apart() {
        for (number, state, expected) in [
            (1213, "40001", About::Contention),
            (1205, "HY000", About::Contention),
            (1020, "HY000", About::Contention),
            (1040, "08004", About::Server),
            (1053, "08S01", About::Server),
            (1927, "70100", About::Server),
            (1969, "70100", About::Server),
            (1203, "42000", About::Server),
            (1290, "HY000", About::Server),
            (1045, "28000", About::Server),
            (1062, "23000", About::Statement),
            (1142, "42000", About::Statement),
            (1146, "42S02", About::Statement),
            (1366, "HY000", About::Statement),
            (1792, "25006", About::Statement),
            (1644, "45000", About::Statement),
        ] {
            assert_eq!(about(number, state), expected, "{number}");
        }
    }

    #[test]
    fn moments_are_written_as_mysql_reads_them() {
        assert_eq!(datetime("2026-11-23T07:02:11Z"), "2026-11-23 07:02:11");
        assert_eq!(datetime("2026-11-23T07:02:11.000Z"), "2026-11-23 07:02:11.000");
    }
}
