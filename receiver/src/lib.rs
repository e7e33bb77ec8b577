//! The receiver: what a payee without a programmer of its own installs. It takes the Unikassa protocol's signed requests
//! and enters each payment into the payee's database by SQL from one file, exactly once per number.
//!
//! What it promises, and its tests assert: a request that is not signed, or is outside of the time window, does nothing;
//! however often and however many at a time the same payment is sent, and wherever a crash falls, the statements of
//! `[pay]` take effect once; values are bound and never become part of a statement. What it refuses to do: keep a
//! payment anywhere but in the payee's own database, or guess when a statement touched nothing.
//!
//! It runs as the program `unigate-receiver`, or inside another one through [`serve`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub mod config;
mod doctor;
mod http;
mod journal;
mod receiver;
mod secret;
mod serving;
mod telemetry;
mod values;
mod vocabulary;

pub use config::{Config, ConfigError};
pub use doctor::{Finding, Given, Severity, check_config};
pub use receiver::{OpenError, Receiver};
pub use secret::{SecretRef, SecretRefError};
pub use sql::{DatabaseError, Zone};

/// What is granted to requests in hand beyond their own timeout, once a stop is asked for.
const GRACE: Duration = Duration::from_secs(5);

/// Why the receiver ended other than by being asked to, or could not prepare its database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot start with this configuration.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database refused its tables.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Serves until `shutdown` is cancelled, then finishes what is in hand. The database may come and go meanwhile.
pub async fn serve(config: Config, listener: TcpListener, shutdown: CancellationToken) -> Result<(), Error> {
    let receiver = Arc::new(Receiver::open(&config)?);
    let serving = serving::serve(listener, receiver.router(), &shutdown);
    let patience = async {
        shutdown.cancelled().await;
        tokio::time::sleep(config.timeout() + GRACE).await;
    };
    tokio::select! {
        () = serving => {}
        () = patience => tracing::warn!("connections that did not end were dropped"),
        () = receiver.telemetry.upkeep() => {}
    }
    receiver.close().await;
    Ok(())
}

/// Makes the journal table `unigate_payment`, if it is not there; before it, runs `schema` as it stands (for the demo and
/// for tests: the payee's own tables). A SQLite file that is not there is made.
pub async fn init_db(config: &Config, schema: Option<&str>) -> Result<(), Error> {
    let receiver = Receiver::open_with(config, true)?;
    let mut tx = receiver.database.begin(sql::Access::Write).await?;
    if let Some(schema) = schema {
        tx.script(schema).await?;
    }
    receiver.journal.create(&mut tx).await?;
    tx.commit().await?;
    receiver.close().await;
    Ok(())
}

/// Asks the payee's database with one statement that only reads (for the demo and for tests: what has come in there).
/// Returns up to two hundred rows, each value as text under its column's name; nulls are left out.
pub async fn look(config: &Config, sql: &str) -> Result<Vec<BTreeMap<String, String>>, Error> {
    let receiver = Receiver::open(config)?;
    let statement = sql::Statement::compile(
        "look",
        sql,
        receiver.database.dialect(),
        &vocabulary::Vocabulary::Journal,
    )
    .map_err(OpenError::from)?;
    let mut tx = receiver.database.begin(sql::Access::Read).await?;
    let outcome = tx.run(&statement, &sql::Values::default()).await?;
    tx.rollback().await?;
    receiver.close().await;
    let as_text = |row: &sql::Row| {
        row.with_prefix("")
            .filter_map(|(name, cell)| Some((name.to_owned(), cell.text()?)))
            .collect()
    };
    Ok(outcome.rows.iter().map(as_text).collect())
}
