//! Bringing a database up to this program's schema.
//!
//! refinery takes no lock of its own, so the whole run holds an advisory lock: any number of processes may migrate at
//! once, and all but the first find nothing to do.

use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

pub use template::create_from_template;

use crate::pool::{session_config, tls};
use crate::{StoreError, StoreSettings};

mod template;

mod embedded {
    refinery::embed_migrations!("../../migrations");
}

/// The key of the advisory lock: "unigate" in ASCII.
const MIGRATION_LOCK: i64 = 0x75_6e_69_67_61_74_65;

/// Creates the database when it is missing, then applies what is missing of the migrations. Returns their names.
pub async fn migrate(settings: &StoreSettings) -> Result<Vec<String>, StoreError> {
    let mut client = match connect(settings).await {
        Err(error) if is_missing_database(&error) => {
            create_database(settings).await?;
            connect(settings).await?
        }
        other => other?,
    };
    // A migration may take longer than any statement of a worker.
    client
        .batch_execute("SET statement_timeout = 0; SET lock_timeout = '60s'")
        .await?;
    client
        .execute("SELECT pg_advisory_lock($1)", &[&MIGRATION_LOCK])
        .await?;
    let report = embedded::migrations::runner().run_async(&mut client).await;
    client
        .execute("SELECT pg_advisory_unlock($1)", &[&MIGRATION_LOCK])
        .await?;
    let report = report.map_err(|error| StoreError::Data(Box::new(error)))?;
    Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
}

/// The migrations this program has and the database has not.
pub async fn pending_migrations(settings: &StoreSettings) -> Result<Vec<String>, StoreError> {
    let mut client = connect(settings).await?;
    let exists: bool = client
        .query_one("SELECT to_regclass('refinery_schema_history') IS NOT NULL", &[])
        .await?
        .get(0);
    let runner = embedded::migrations::runner();
    let applied = if exists {
        runner
            .get_applied_migrations_async(&mut client)
            .await
            .map_err(|error| StoreError::Data(Box::new(error)))?
    } else {
        Vec::new()
    };
    let is_applied = |version| applied.iter().any(|done| done.version() == version);
    Ok(runner
        .get_migrations()
        .iter()
        .filter(|migration| !is_applied(migration.version()))
        .map(ToString::to_string)
        .collect())
}

/// Creates the database the settings name, from the server's `postgres` database. Existing already is no error.
pub async fn create_database(settings: &StoreSettings) -> Result<(), StoreError> {
    let (server, name) = server_of(settings)?;
    let sql = format!("CREATE DATABASE {}", quoted(&name));
    match connect(&server).await?.batch_execute(&sql).await {
        Err(error) if error.code() == Some(&SqlState::DUPLICATE_DATABASE) => Ok(()),
        // Two processes creating it at once collide in the catalogue.
        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => Ok(()),
        other => Ok(other?),
    }
}

/// Drops the database the settings name with everybody in it: for the demo and the tests, of databases they made.
pub async fn drop_database(settings: &StoreSettings) -> Result<(), StoreError> {
    let (server, name) = server_of(settings)?;
    let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(&name));
    Ok(connect(&server).await?.batch_execute(&sql).await?)
}

pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub(crate) fn server_of(settings: &StoreSettings) -> Result<(StoreSettings, String), StoreError> {
    let unreadable = |why: &str| StoreError::Unreadable(format!("UNIGATE_DATABASE_URL: {why}"));
    let mut url = url::Url::parse(settings.url.expose_secret()).map_err(|_| unreadable("not a URL"))?;
    let name = url.path().trim_start_matches('/').to_owned();
    if name.is_empty() {
        return Err(unreadable("names no database"));
    }
    url.set_path("/postgres");
    Ok((
        StoreSettings {
            url: SecretString::from(url.to_string()),
            ..settings.clone()
        },
        name,
    ))
}

fn is_missing_database(error: &StoreError) -> bool {
    let StoreError::Infrastructure(source) = error else {
        return false;
    };
    source.to_string().contains(SqlState::INVALID_CATALOG_NAME.code())
}

pub(crate) async fn connect(settings: &StoreSettings) -> Result<Client, StoreError> {
    let config = session_config(settings)?;
    if config.get_ssl_mode() == SslMode::Disable {
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    } else {
        let (client, connection) = config.connect(tls(settings)?).await?;
        tokio::spawn(connection);
        Ok(client)
    }
}
