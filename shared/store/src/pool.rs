//! Connections: how they are made, kept and bounded.
//!
//! A session that lost its client must stop nobody: every session runs with a statement timeout, a lock timeout, an
//! idle-in-transaction timeout and TCP keepalives, looks every two seconds of a statement whether its client is there, and
//! every wait for a connection is bounded. So is every wait for an answer (`Lent::answered`), in case the server itself hangs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{
    ClientWrapper, Hook, HookError, Manager, ManagerConfig, Pool, QueueMode, RecyclingMethod, Runtime, Timeouts,
};
use rustls::pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::types::ToSql;
use tokio_postgres::{NoTls, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::Unreached;
use crate::lent::Lent;
use crate::{StoreError, Tx};

/// How to reach the database.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// `postgres://user:password@host:port/database`. Without `sslmode`, TLS is required for any host but loopback.
    pub url: SecretString,
    /// Connections this process may hold at once, 1 or more.
    pub pool_size: usize,
    /// Certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Shown in `pg_stat_activity`.
    pub application_name: String,
}

/// A pool of sessions. Cheap to clone; connects when first used.
#[derive(Clone, Debug)]
pub struct Store {
    pool: Pool,
    /// Where and as whom, for who looks for the reason of an error.
    place: Arc<str>,
}

/// How long to wait for a connection, in seconds: long enough for a restart of the server not to matter to the caller's
/// own retries, short enough that nobody waits for ever.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Held by every session; the reasons are in the module's documentation.
const SESSION_OPTIONS: &str = "-c statement_timeout=60000 -c lock_timeout=10000 -c client_connection_check_interval=2000 \
     -c idle_in_transaction_session_timeout=15000 -c TimeZone=UTC -c jit=off";
/// Held by workers' sessions besides. Workers look rows up by their keys, with statements prepared once. A plan made while
/// a table was small reads it whole, and is kept until the server happens to analyse the table: by then every batch may
/// read a hundred thousand rows to find none.
const WORKERS_OPTIONS: &str = " -c enable_seqscan=off";

impl Store {
    /// Prepares the pool. Fails only on settings that can never work; an absent server is found on first use.
    pub fn connect(settings: &StoreSettings) -> Result<Self, StoreError> {
        Self::pool_of(settings, session_config(settings)?)
    }

    /// The same for a process that runs workers.
    pub fn for_workers(settings: &StoreSettings) -> Result<Self, StoreError> {
        let mut config = session_config(settings)?;
        config.options([SESSION_OPTIONS, WORKERS_OPTIONS].concat());
        Self::pool_of(settings, config)
    }

    fn pool_of(settings: &StoreSettings, config: tokio_postgres::Config) -> Result<Self, StoreError> {
        let place = place_of(&config).into();
        let manager_config = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let manager = if config.get_ssl_mode() == SslMode::Disable {
            Manager::from_config(config, NoTls, manager_config)
        } else {
            Manager::from_config(config, tls(settings)?, manager_config)
        };
        let pool = Pool::builder(manager)
            .max_size(settings.pool_size.max(1))
            .timeouts(Timeouts {
                wait: Some(CONNECT_TIMEOUT),
                create: Some(CONNECT_TIMEOUT),
                recycle: Some(CONNECT_TIMEOUT),
            })
            // The session used last goes first: its statements are prepared and planned, its caches warm. In turn, each of a
            // dozen would pay for that, and keep memory for it.
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .pre_recycle(Hook::async_fn(|client, metrics| {
                Box::pin(async move { verify_if_rested(client, metrics.last_used()).await })
            }))
            .post_create(Hook::sync_fn(|_, _| {
                metrics::counter!("unigate_database_connections_total").increment(1);
                Ok(())
            }))
            .build()
            .map_err(|error| StoreError::Infrastructure(Box::new(error)))?;
        Ok(Self { pool, place })
    }

    /// Begins a transaction (read committed). Dropped without [`Tx::commit`], it is rolled back by closing its session.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        Ok(Tx::on(self.session().await?))
    }

    /// Begins a report: everything read in this transaction is of one moment, so its parts agree. A period may be a year: each
    /// part may take as long as what an operator asks of millions of rows needs.
    pub async fn begin_report(&self) -> Result<Tx, StoreError> {
        let tx = self.begin().await?;
        tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", &[])
            .await?;
        tx.allow_time().await?;
        Ok(tx)
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.query_one("SELECT 1", &[]).await.map(drop)
    }

    /// The server's version, for `doctor` and the log.
    pub async fn server_version(&self) -> Result<String, StoreError> {
        Ok(self.query_one("SHOW server_version", &[]).await?.get(0))
    }

    pub(crate) async fn query(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        let session = self.session().await?;
        let statement = session.prepared(sql).await?;
        let done = session.answered(session.query(&statement, params)).await?;
        session.give_back();
        Ok(done?)
    }

    pub(crate) async fn query_one(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Row, StoreError> {
        let session = self.session().await?;
        let statement = session.prepared(sql).await?;
        let done = session.answered(session.query_one(&statement, params)).await?;
        session.give_back();
        Ok(done?)
    }

    pub(crate) async fn query_opt(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>, StoreError> {
        let session = self.session().await?;
        let statement = session.prepared(sql).await?;
        let done = session.answered(session.query_opt(&statement, params)).await?;
        session.give_back();
        Ok(done?)
    }

    pub(crate) async fn execute(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, StoreError> {
        let session = self.session().await?;
        let statement = session.prepared(sql).await?;
        let done = session.answered(session.execute(&statement, params)).await?;
        session.give_back();
        Ok(done?)
    }

    /// A session for what none of the above does.
    pub(crate) async fn session(&self) -> Result<Lent, StoreError> {
        let session = self.pool.get().await;
        session
            .map(Lent::new)
            .map_err(|error| Unreached::at(&self.place, error))
    }
}

/// A session that was used a moment ago needs no question whether it is still there: that would be a round trip per
/// batch, and a statement that finds it gone is repeated anyway.
async fn verify_if_rested(client: &ClientWrapper, rested: Duration) -> Result<(), HookError> {
    const MOMENT: Duration = Duration::from_secs(1);
    if rested < MOMENT {
        return Ok(());
    }
    // Nothing else bounds this: it is asked outside of the pool's own limits.
    match tokio::time::timeout(CONNECT_TIMEOUT, client.simple_query("")).await {
        Ok(answer) => answer.map(drop).map_err(HookError::Backend),
        Err(_) => Err(HookError::message("a session does not answer")),
    }
}

/// The connection settings of the URL with what every session of ours runs under.
pub(crate) fn session_config(settings: &StoreSettings) -> Result<tokio_postgres::Config, StoreError> {
    let url = settings.url.expose_secret();
    let mut config: tokio_postgres::Config = url
        .parse()
        .map_err(|_| StoreError::Unreadable("UNIGATE_DATABASE_URL is not a PostgreSQL URL".into()))?;
    if !url.contains("sslmode=") {
        config.ssl_mode(if is_local(&config) {
            SslMode::Disable
        } else {
            SslMode::Require
        });
    }
    config
        .options(SESSION_OPTIONS)
        .application_name(&settings.application_name)
        .connect_timeout(CONNECT_TIMEOUT)
        .keepalives_idle(Duration::from_secs(30))
        .keepalives_interval(Duration::from_secs(10))
        .keepalives_retries(3)
        .tcp_user_timeout(Duration::from_secs(30));
    Ok(config)
}

fn place_of(config: &tokio_postgres::Config) -> String {
    let host = config.get_hosts().first().map_or_else(String::new, |host| match host {
        Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        Host::Unix(directory) => directory.display().to_string(),
    });
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let [database, user] = [config.get_dbname(), config.get_user()].map(Option::unwrap_or_default);
    format!("PostgreSQL at {host}:{port}, database {database}, as {user}")
}

fn is_local(config: &tokio_postgres::Config) -> bool {
    config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => {
            name == "localhost"
                || name
                    .parse::<std::net::IpAddr>()
                    .is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    })
}

pub(crate) fn tls(settings: &StoreSettings) -> Result<MakeRustlsConnect, StoreError> {
    let mut roots = rustls::RootCertStore::empty();
    if let Some(path) = &settings.ca_file {
        let unreadable = |error: &dyn std::fmt::Display| StoreError::Unreadable(format!("{}: {error}", path.display()));
        let pem = rustls::pki_types::CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))?;
        for certificate in pem {
            roots
                .add(certificate.map_err(|error| unreadable(&error))?)
                .map_err(|error| unreadable(&error))?;
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| StoreError::Infrastructure(Box::new(error)))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ssl_mode_of(url: &str) -> SslMode {
        let settings = StoreSettings {
            url: url.into(),
            pool_size: 1,
            ca_file: None,
            application_name: "test".into(),
        };
        session_config(&settings).unwrap().get_ssl_mode()
    }

    #[test]
    fn tls_is_required_beyond_the_loopback_unless_the_url_says_otherwise() {
        for local in [
            "postgres://u@localhost/d",
            "postgres://u@[::1]/d",
            "host=/run/postgresql",
        ] {
            assert_eq!(ssl_mode_of(local), SslMode::Disable, "{local}");
        }
        assert_eq!(ssl_mode_of("postgres://u@database/d"), SslMode::Require);
        assert_eq!(ssl_mode_of("postgres://u@database/d?sslmode=prefer"), SslMode::Prefer);
    }

    #[test]
    fn the_database_of_the_compose_file_is_not_asked_for_tls_that_it_has_not() {
        let compose = include_str!("../../../compose.yaml");
        let mut urls = compose
            .lines()
            .filter_map(|line| line.trim().strip_prefix("UNIGATE_DATABASE_URL: "));
        let url = urls.next().unwrap();
        let (before, rest) = url.split_once("${").unwrap();
        let (_, after) = rest.split_once('}').unwrap();
        let url = format!("{before}secret{after}");
        assert!(url.contains("@database:5432/"), "{url}");
        assert_eq!(ssl_mode_of(&url), SslMode::Disable);
        assert_eq!(urls.next(), None);
    }
}
