//! PostgreSQL through sqlx. Session timeouts keep a lost request from holding the payee's rows.

use std::str::FromStr as _;
use std::sync::Arc;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgRow, PgValueRef};
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use sqlx::{
    AssertSqlSafe, Column as _, ConnectOptions as _, Connection as _, Executor as _, Row as _, SqlSafeStr as _,
    Statement as _,
};
use sqlx::{TypeInfo as _, ValueRef as _};

use super::asking::Asking;
use super::binary;
use super::cell::Cell;
use super::collect::{Returned, collect, returned};
use super::error::{About, is_stale_plan};
use super::reach::Reach;
use super::{Access, DatabaseError, Limits, Outcome, Row, TRUSTED_FOR};
use crate::statement::Statement;
use crate::values::{Value, Values};

/// A PostgreSQL database.
#[derive(Clone)]
pub struct Postgres {
    pool: PgPool,
    reach: Reach,
    zone: Arc<str>,
    keep_plans: bool,
}

/// A transaction.
pub struct PostgresTransaction {
    inner: sqlx::Transaction<'static, sqlx::Postgres>,
    keep_plans: bool,
}

/// What an error is about, by its SQLSTATE and whether it ended the session. Codes that are not named are the statement's: a
/// payee's triggers and procedures raise whatever they like, about one payment, and the server is well.
pub(super) fn about(code: &str, ended_the_session: bool) -> About {
    // A serialization failure, a deadlock, a lock that was not waited for, or not given in time; a statement that was ended
    // for taking too long, or by an administrator.
    const CONTENTION: [&str; 4] = ["40001", "40P01", "55P03", "57014"];
    // The connection, resources, shutdown, files, the server's own errors; an end that nobody knows, and a session that has
    // lost what it prepared (poolers do that).
    const SERVER: [&str; 8] = ["08", "53", "57P", "58", "F0", "XX", "40003", "26"];
    if ended_the_session || SERVER.iter().any(|class| code.starts_with(class)) {
        About::Server
    } else if CONTENTION.contains(&code) {
        About::Contention
    } else {
        About::Statement
    }
}

/// Whether an error has ended its session, as no statement of a payee's can do.
pub(super) fn ends_the_session(reported: &PgDatabaseError) -> bool {
    matches!(reported.severity(), PgSeverity::Fatal | PgSeverity::Panic)
}

impl Postgres {
    pub(super) fn open(url: &str, limits: &Limits) -> Result<Self, DatabaseError> {
        let (seconds, read_only) = (limits.timeout.as_secs(), limits.read_only);
        // Well before the statement's own end: who waits for a row is told so, and does not look like a server that hangs. A
        // row that others wait for as well is waited for twice, first for one's turn. A deadlock is looked for after a second.
        let lock_milliseconds = (limits.timeout.as_millis() * 2 / 5).max(1200);
        let options = PgConnectOptions::from_str(url)
            .map_err(|error| DatabaseError::Url(error.to_string()))?
            .application_name(limits.application)
            .options([
                ("statement_timeout", format!("{seconds}s")),
                ("lock_timeout", format!("{lock_milliseconds}ms")),
                ("idle_in_transaction_session_timeout", format!("{seconds}s")),
                (
                    "default_transaction_read_only",
                    if limits.read_only { "on" } else { "off" }.to_owned(),
                ),
            ]);
        let place = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        };
        let zone: Arc<str> = limits.zone.for_postgres().into();
        let zone_told = zone.clone();
        let pool = PgPoolOptions::new()
            .max_connections(limits.pool_size)
            .acquire_timeout(limits.connection_wait())
            // A ping before each question would cost as much as it: only what was idle for a while is tried first.
            .test_before_acquire(!read_only)
            .before_acquire(move |connection, meta| {
                Box::pin(async move {
                    if read_only && meta.idle_for > TRUSTED_FOR {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            // Not among the options above: the driver sets its own zone, and that counts.
            .after_connect(move |connection, _| {
                let zone = zone_told.clone();
                Box::pin(async move { tell_zone(connection, &zone).await })
            })
            .connect_lazy_with(options);
        Ok(Self {
            pool,
            reach: Reach::of(url, place, limits),
            zone,
            keep_plans: limits.keep_plans,
        })
    }

    pub(super) async fn begin(&self, access: Access) -> Result<PostgresTransaction, DatabaseError> {
        let begin = match access {
            Access::Read => "begin read only",
            Access::Write => "begin",
        };
        let connection = self.connection().await?;
        Ok(PostgresTransaction {
            inner: sqlx::Transaction::begin(connection, Some(begin.into_sql_str())).await?,
            keep_plans: self.keep_plans,
        })
    }

    async fn connection(&self) -> Result<PoolConnection<sqlx::Postgres>, DatabaseError> {
        let error = match self.pool.acquire().await {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        let once_more = async {
            let mut connection = self.pool.connect_options().connect().await?;
            tell_zone(&mut connection, &self.zone).await?;
            connection.close().await
        };
        Err(Box::pin(self.reach.error(&self.pool, error, once_more)).await)
    }

    pub(super) async fn ask(&self, statement: &Statement, values: &Values) -> Result<Outcome, DatabaseError> {
        let mut asking = Asking::on(self.connection().await?);
        let outcome = run(asking.connection(), statement, values, self.keep_plans).await;
        asking.end(&outcome);
        outcome
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

async fn tell_zone(connection: &mut PgConnection, zone: &str) -> Result<(), sqlx::Error> {
    let set = sqlx::query("select set_config('TimeZone', $1, false)").persistent(false);
    set.bind(zone).execute(connection).await?;
    Ok(())
}

impl PostgresTransaction {
    pub(super) async fn run(&mut self, statement: &Statement, values: &Values) -> Result<Outcome, DatabaseError> {
        run(&mut self.inner, statement, values, self.keep_plans).await
    }

    pub(super) async fn describe(&mut self, statement: &Statement) -> Result<Vec<Returned>, DatabaseError> {
        let sql = AssertSqlSafe(Arc::clone(&statement.sql)).into_sql_str();
        let prepared = self.inner.prepare(sql).await?;
        Ok(returned(prepared.columns(), |kind| READ.contains(&kind.name())))
    }

    pub(super) async fn script(&mut self, sql: &str) -> Result<(), DatabaseError> {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *self.inner).await?;
        Ok(())
    }

    pub(super) async fn commit(self) -> Result<(), DatabaseError> {
        Ok(self.inner.commit().await?)
    }

    pub(super) async fn rollback(self) -> Result<(), DatabaseError> {
        Ok(self.inner.rollback().await?)
    }
}

async fn run(
    connection: &mut PgConnection,
    statement: &Statement,
    values: &Values,
    keep_plan: bool,
) -> Result<Outcome, DatabaseError> {
    let mut query = sqlx::query(AssertSqlSafe(Arc::clone(&statement.sql))).persistent(keep_plan);
    for parameter in &statement.parameters {
        query = match values.get(parameter) {
            Value::Integer(integer) => query.bind(integer),
            Value::Text(text) => query.bind(text),
        };
    }
    let answer = connection.fetch_many(query);
    let outcome = collect(answer, |done| done.rows_affected(), read_row).await;
    if let Err(DatabaseError::Contended(sqlx::Error::Database(reported))) = &outcome
        && is_stale_plan(&reported.code().unwrap_or_default(), reported.message())
    {
        connection.clear_cached_statements().await?;
    }
    outcome
}

fn read_row(row: &PgRow) -> Result<Row, DatabaseError> {
    let mut read = Row::default();
    for (index, column) in row.columns().iter().enumerate() {
        let value = row.try_get_raw(index)?;
        let type_name = value.type_info().name().to_owned();
        let cell = read_cell(value, &type_name);
        read.push(column.name(), cell.unwrap_or(Cell::Unread(type_name)));
    }
    Ok(read)
}

/// The types that [`read_cell`] reads.
const READ: [&str; 16] = [
    "INT2",
    "INT4",
    "INT8",
    "FLOAT4",
    "FLOAT8",
    "NUMERIC",
    "TIMESTAMPTZ",
    "TIMESTAMP",
    "BOOL",
    "DATE",
    "UUID",
    "TEXT",
    "VARCHAR",
    "CHAR",
    "NAME",
    "UNKNOWN",
];

/// Values come in the binary form; `None` for a type that is not read.
fn read_cell(value: PgValueRef<'_>, type_name: &str) -> Option<Cell> {
    if value.is_null() {
        return Some(Cell::Null);
    }
    let bytes = value.as_bytes().ok()?;
    match type_name {
        "INT2" => Some(Cell::Integer(i16::from_be_bytes(bytes.try_into().ok()?).into())),
        "INT4" => Some(Cell::Integer(i32::from_be_bytes(bytes.try_into().ok()?).into())),
        "INT8" => Some(Cell::Integer(i64::from_be_bytes(bytes.try_into().ok()?))),
        "FLOAT4" => Some(Cell::Real(f32::from_be_bytes(bytes.try_into().ok()?).into())),
        "FLOAT8" => Some(Cell::Real(f64::from_be_bytes(bytes.try_into().ok()?))),
        "NUMERIC" => binary::numeric_text(bytes).map(Cell::Text),
        "TIMESTAMPTZ" => binary::postgres_moment(bytes).map(Cell::Moment),
        "TIMESTAMP" => binary::postgres_datetime(bytes).map(Cell::Local),
        "BOOL" => Some(Cell::Text((if bytes == [1] { "true" } else { "false" }).to_owned())),
        "DATE" => binary::postgres_date(bytes).map(|date| Cell::Text(date.to_string())),
        "UUID" => uuid::Uuid::from_slice(bytes)
            .ok()
            .map(|uuid| Cell::Text(uuid.to_string())),
        "TEXT" | "VARCHAR" | "CHAR" | "NAME" | "UNKNOWN" => {
            std::str::from_utf8(bytes).ok().map(|text| Cell::Text(text.to_owned()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{About, about};

    #[test]
    fn what_is_not_the_servers_is_the_statements() {
        for code in ["08006", "53300", "57P01", "57P03", "58030", "XX000", "40003", "26000"] {
            assert_eq!(about(code, false), About::Server, "{code}");
        }
        for code in ["40001", "40P01", "55P03", "57014"] {
            assert_eq!(about(code, false), About::Contention, "{code}");
        }
        // What a trigger raises, a procedure that commits, and codes that nobody has heard of.
        for code in [
            "UT001", "2D000", "P0001", "23514", "25006", "28000", "3D000", "54001", "55000", "57000", "", "XY",
        ] {
            assert_eq!(about(code, false), About::Statement, "{code}");
        }
        // A login that is refused, a session that was idle for too long.
        for code in ["28P01", "3D000", "25P03", "UT001"] {
            assert_eq!(about(code, true), About::Server, "{code}");
        }
    }
}
