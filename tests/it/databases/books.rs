//! A payee's own database on each kind of server: accounts with debts and meter readings, and what was paid.

use std::any::Any;
use std::path::PathBuf;

use sqlx::mysql::{MySqlPool, MySqlPoolOptions};
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, Executor as _};
use url::Url;

/// What a payee's data may lie in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
    Mariadb,
}

/// A payee's database, gone with the test.
pub(crate) struct Books {
    pub(crate) backend: Backend,
    /// As the payee would declare it.
    pub(crate) url: Url,
    pool: Pool,
    name: String,
    /// Its server, as an administrator reaches it.
    server: Url,
}

enum Pool {
    Sqlite(SqlitePool, PathBuf),
    Postgres(PgPool),
    Mariadb(MySqlPool),
}

macro_rules! each {
    ($pool:expr, $inner:ident => $does:expr) => {
        match $pool {
            Pool::Sqlite($inner, _) => $does,
            Pool::Postgres($inner) => $does,
            Pool::Mariadb($inner) => $does,
        }
    };
}

const SCHEMA: &str = "
    create table accounts (account varchar(200) primary key, name varchar(200), debt decimal(12,2), state varchar(20),
        last_cold decimal(12,3));
    create table payments (number bigint primary key, account varchar(200) not null, amount decimal(12,2) not null,
        paid_at {moment} not null, cold integer, note varchar(600), cancelled integer not null default 0);
    insert into accounts values ('1001', 'Иванов И. И.', 1250.40, 'open', 123.5), ('1002', 'O''Hara', null, 'open', null),
        ('1003', 'Закрытый', 5, 'closed', 1);";

#[expect(
    clippy::disallowed_methods,
    reason = "tests find their services in the environment, as the programs do"
)]
fn address(variable: &str, default: &str) -> Url {
    let given = std::env::var(variable);
    Url::parse(given.as_deref().unwrap_or(default)).unwrap()
}

/// The server that tests share.
fn shared(backend: Backend) -> Url {
    match backend {
        Backend::Mariadb => address("UNIGATE_TEST_MARIADB_URL", "mysql://root@127.0.0.1:3306"),
        _ => address("UNIGATE_DATABASE_URL", "postgres://postgres@127.0.0.1:5432"),
    }
}

/// A database of a server.
fn of(server: &Url, database: &str) -> Url {
    let mut url = server.clone();
    url.set_path(database);
    url
}

impl Books {
    /// A database with the tables of a utility.
    pub(crate) async fn utility(backend: Backend) -> Self {
        let books = Self::empty(backend).await;
        books.make_utility().await;
        books
    }

    /// The same on this server, which no other test uses.
    pub(crate) async fn utility_on(backend: Backend, server: &str) -> Self {
        let books = Self::with(backend, Url::parse(server).unwrap(), "").await;
        books.make_utility().await;
        books
    }

    /// The same on a server, kept in this encoding.
    pub(crate) async fn in_encoding(backend: Backend, encoding: &str) -> Self {
        let options = match backend {
            Backend::Postgres => format!("encoding '{encoding}' lc_collate 'C' lc_ctype 'C' template template0"),
            _ => format!("character set {encoding}"),
        };
        let books = Self::with(backend, shared(backend), &options).await;
        books.make_utility().await;
        books
    }

    async fn make_utility(&self) {
        let moment = match self.backend {
            Backend::Postgres => "timestamptz",
            Backend::Mariadb => "datetime(6)",
            Backend::Sqlite => "text",
        };
        self.script(&SCHEMA.replace("{moment}", moment)).await;
    }

    /// A database without tables.
    pub(crate) async fn empty(backend: Backend) -> Self {
        let options = if backend == Backend::Mariadb {
            "character set utf8mb4"
        } else {
            ""
        };
        Self::with(backend, shared(backend), options).await
    }

    async fn with(backend: Backend, server: Url, options: &str) -> Self {
        let name = format!("unigate_test_payee_{}", uuid::Uuid::new_v4().simple());
        let create = format!("create database {name} {options}");
        let (url, pool) = match backend {
            Backend::Sqlite => {
                let path = std::env::temp_dir().join(format!("{name}.sqlite"));
                let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
                let options = options.busy_timeout(std::time::Duration::from_secs(20));
                let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options);
                let url = Url::parse(&format!("sqlite:{}", path.display())).unwrap();
                (url, Pool::Sqlite(pool.await.unwrap(), path))
            }
            Backend::Postgres => {
                let admin = PgPool::connect(of(&server, "postgres").as_str()).await.unwrap();
                admin.execute(AssertSqlSafe(create)).await.unwrap();
                let url = of(&server, &name);
                let pool = PgPoolOptions::new().max_connections(4).connect(url.as_str());
                (url.clone(), Pool::Postgres(pool.await.unwrap()))
            }
            Backend::Mariadb => {
                let admin = MySqlPool::connect(of(&server, "").as_str()).await.unwrap();
                admin.execute(AssertSqlSafe(create)).await.unwrap();
                let url = of(&server, &name);
                let pool = MySqlPoolOptions::new().max_connections(4).connect(url.as_str());
                (url.clone(), Pool::Mariadb(pool.await.unwrap()))
            }
        };
        Self {
            backend,
            url,
            pool,
            name,
            server,
        }
    }

    /// `host:port` of its server.
    pub(crate) fn server(&self) -> String {
        format!("{}:{}", self.url.host_str().unwrap(), self.url.port().unwrap())
    }

    /// The same database by way of another address.
    pub(crate) fn by_way_of(&self, address: &std::net::SocketAddr) -> Url {
        let mut url = self.url.clone();
        url.set_host(Some(&address.ip().to_string())).unwrap();
        url.set_port(Some(address.port())).unwrap();
        url
    }

    /// Runs statements as they stand.
    pub(crate) async fn script(&self, sql: &str) {
        each!(&self.pool, pool => { sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.unwrap(); });
    }

    /// Runs statements whose locks stay until this is dropped, which undoes them.
    pub(crate) async fn hold(&self, sql: &str) -> Box<dyn Any + Send> {
        each!(&self.pool, pool => {
            let mut tx = pool.begin().await.unwrap();
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *tx).await.unwrap();
            Box::new(tx)
        })
    }

    /// The one text that a query finds.
    pub(crate) async fn value(&self, sql: &str) -> String {
        let sql = AssertSqlSafe(sql.to_owned());
        each!(&self.pool, pool => sqlx::query_scalar::<_, String>(sql).fetch_one(pool).await.unwrap())
    }

    /// The one number that a query finds.
    pub(crate) async fn count(&self, sql: &str) -> i64 {
        let sql = AssertSqlSafe(sql.to_owned());
        each!(&self.pool, pool => sqlx::query_scalar::<_, i64>(sql).fetch_one(pool).await.unwrap())
    }
}

impl Drop for Books {
    fn drop(&mut self) {
        if let Pool::Sqlite(_, path) = &self.pool {
            let _ = std::fs::remove_file(path);
            return;
        }
        let (backend, name, server) = (self.backend, self.name.clone(), self.server.clone());
        // Also after a failed test, whose runtime may be on its way down.
        let gone = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                if backend == Backend::Postgres {
                    let admin = PgPool::connect(of(&server, "postgres").as_str()).await.unwrap();
                    let drop = format!("drop database if exists {name} with (force)");
                    admin.execute(AssertSqlSafe(drop)).await.unwrap();
                } else {
                    let admin = MySqlPool::connect(of(&server, "").as_str()).await.unwrap();
                    admin
                        .execute(AssertSqlSafe(format!("drop database if exists {name}")))
                        .await
                        .unwrap();
                }
            });
        });
        let _ = gone.join();
    }
}
