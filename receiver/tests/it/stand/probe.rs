//! A database of a test's own on each kind of server, and a look into it past the receiver.

use std::path::PathBuf;

use domain::ids::PaymentId;
use sqlx::mysql::{MySqlPool, MySqlPoolOptions};
use sqlx::{AssertSqlSafe, Executor as _, PgPool, SqlitePool};
use url::Url;

/// The databases a receiver stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
    Mariadb,
}

impl Backend {
    pub(crate) const ALL: [Self; 3] = [Self::Sqlite, Self::Postgres, Self::Mariadb];
    /// Those that are servers.
    pub(crate) const SERVERS: [Self; 2] = [Self::Postgres, Self::Mariadb];
}

/// The address of a database on the tests' PostgreSQL.
fn postgres(database: &str) -> Url {
    address("UNIGATE_DATABASE_URL", "postgres://postgres@127.0.0.1:5432", database)
}

/// The address of a database on the tests' MariaDB.
fn mariadb(database: &str) -> Url {
    address("UNIGATE_TEST_MARIADB_URL", "mysql://root@127.0.0.1:3306", database)
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests find their services in the environment, as the programs do"
)]
fn address(variable: &str, default: &str, database: &str) -> Url {
    let given = std::env::var(variable);
    let mut url = Url::parse(given.as_deref().unwrap_or(default)).unwrap();
    url.set_path(database);
    url
}

/// A test's database and a pool of connections to it.
#[derive(Clone)]
pub(crate) enum Probe {
    Sqlite(SqlitePool, PathBuf),
    Postgres(PgPool, String),
    Mariadb(MySqlPool, String),
}

/// The same for every kind of pool.
macro_rules! each {
    ($this:expr, $pool:ident => $does:expr) => {
        match $this {
            Probe::Sqlite($pool, _) => $does,
            Probe::Postgres($pool, _) => $does,
            Probe::Mariadb($pool, _) => $does,
        }
    };
}

impl Probe {
    /// Makes a database nobody else has.
    pub(crate) async fn make(backend: Backend) -> Self {
        let name = format!("unigate_test_receiver_{}", PaymentId::random().as_uuid().simple());
        let create = AssertSqlSafe(format!("create database {name}"));
        match backend {
            Backend::Sqlite => {
                let path = std::env::temp_dir().join(format!("{name}.db"));
                let url = format!("sqlite://{}", path.display());
                Self::Sqlite(SqlitePool::connect_lazy(&url).unwrap(), path)
            }
            Backend::Postgres => {
                let admin = PgPool::connect(postgres("postgres").as_str()).await.unwrap();
                admin.execute(create).await.unwrap();
                Self::Postgres(PgPool::connect_lazy(postgres(&name).as_str()).unwrap(), name)
            }
            Backend::Mariadb => {
                let admin = MySqlPool::connect(mariadb("").as_str()).await.unwrap();
                admin.execute(create).await.unwrap();
                // Few, since all tests share what the server allows.
                let pool = MySqlPoolOptions::new().max_connections(3);
                Self::Mariadb(pool.connect_lazy(mariadb(&name).as_str()).unwrap(), name)
            }
        }
    }

    /// What a configuration calls it.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite(_, path) => format!("sqlite://{}", path.display()),
            Self::Postgres(_, name) => postgres(name).to_string(),
            Self::Mariadb(_, name) => mariadb(name).to_string(),
        }
    }

    pub(crate) async fn take_away(self) {
        match self {
            Self::Sqlite(pool, path) => {
                pool.close().await;
                std::fs::remove_file(path).unwrap();
            }
            Self::Postgres(pool, name) => {
                pool.close().await;
                let admin = PgPool::connect(postgres("postgres").as_str()).await.unwrap();
                let drop = AssertSqlSafe(format!("drop database {name} with (force)"));
                admin.execute(drop).await.unwrap();
            }
            Self::Mariadb(pool, name) => {
                pool.close().await;
                let admin = MySqlPool::connect(mariadb("").as_str()).await.unwrap();
                admin
                    .execute(AssertSqlSafe(format!("drop database {name}")))
                    .await
                    .unwrap();
            }
        }
    }

    /// A text as this database writes it.
    pub(crate) fn quoted(&self, text: &str) -> String {
        let text = text.replace('\'', "''");
        match self {
            Self::Mariadb(..) => format!("'{}'", text.replace('\\', "\\\\")),
            Self::Sqlite(..) | Self::Postgres(..) => format!("'{text}'"),
        }
    }

    /// The one number a statement returns.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let sql = AssertSqlSafe(sql.to_owned());
        each!(self, pool => sqlx::query_scalar(sql).fetch_one(pool).await.unwrap())
    }

    /// The one text a statement returns.
    pub(crate) async fn text(&self, sql: &str) -> String {
        let sql = AssertSqlSafe(sql.to_owned());
        each!(self, pool => sqlx::query_scalar(sql).fetch_one(pool).await.unwrap())
    }

    /// Changes something.
    pub(crate) async fn execute(&self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        each!(self, pool => drop(sqlx::raw_sql(sql).execute(pool).await.unwrap()));
    }

    /// Ends every other session in this database, as a server that restarts does, and says how many there were.
    pub(crate) async fn cut_all(&self) -> usize {
        self.cut("id <> connection_id()", "application_name = 'unigate-receiver'")
            .await
    }

    /// Ends the sessions that wait for a lock.
    pub(crate) async fn cut_waiting(&self) -> usize {
        self.cut("state like 'Waiting for%lock'", "wait_event_type = 'Lock'")
            .await
    }

    async fn cut(&self, mariadb: &str, postgres: &str) -> usize {
        match self {
            Self::Sqlite(..) => unreachable!("a file has no sessions"),
            Self::Postgres(pool, _) => {
                let sql = format!(
                    "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and {postgres}"
                );
                sqlx::query(AssertSqlSafe(sql)).fetch_all(pool).await.unwrap().len()
            }
            Self::Mariadb(pool, name) => {
                let sql = format!("select id from information_schema.processlist where db = '{name}' and {mariadb}");
                let ids: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(pool).await.unwrap();
                let mut cut = 0;
                for id in ids {
                    // One that is gone by itself meanwhile is no error.
                    let killed = pool.execute(AssertSqlSafe(format!("kill {id}"))).await;
                    cut += usize::from(killed.is_ok());
                }
                cut
            }
        }
    }
}
