//! Prepaid cards: reserved before the payer puts money in, sold when it is paid, back in stock when it is not.
//!
//! Two batch workers ([`Questions`] and [`Facts`]) at one [`Desk`], a consumer and sweeps for holds that end, and the import of
//! card files. The rules are in `domain::card`, the locks and the SQL in `store`; this crate alone can open a card
//! ([`vault`]). It refuses to let a card's details reach a log, an event, a metric or an error.

mod availability;
mod batch;
mod chunks;
mod desk;
pub mod disclosure;
pub mod expiry;
mod facts;
pub mod import;
mod keeping;
mod limits;
mod questions;
mod receipt;
mod reprint;
mod reserve;
pub mod unsold;
pub mod upkeep;
pub mod vault;

use std::sync::Arc;

use runtime::Context;

pub use desk::Desk;
pub use facts::Facts;
use import::{Keys, PgpKeyError};
pub use questions::Questions;
use vault::{Vault, VaultError};

/// Starts the cards worker. With the database away it returns at once and begins when that is back; an identity that does
/// not open the vault is an error of the configuration.
pub async fn start(context: &Context) -> Result<(), StartError> {
    context.readiness.expect("vault");
    let keys = Keys::read(
        context.settings.pgp_key_file.as_deref(),
        context.settings.pgp_key_password.as_ref(),
    )?;
    match vault::open(&context.store, &*context.settings).await {
        Ok((vault, _)) => {
            spawn(context, Arc::new(vault), keys);
            Ok(())
        }
        Err(error) if error.is_retryable() => {
            let context = context.clone();
            context
                .tasks
                .clone()
                .spawn(async move { wait_for_vault(&context, keys).await });
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Why the worker cannot start: its configuration can never work.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The vault does not open.
    #[error("{0}")]
    Vault(#[from] VaultError),
    /// The OpenPGP key cannot be read.
    #[error("{0}")]
    PgpKey(#[from] PgpKeyError),
}

fn spawn(context: &Context, vault: Arc<Vault>, keys: Keys) {
    context.readiness.set("vault", None);
    let desk = Arc::new(Desk::new(vault.clone()).limited(context.settings.terminal_limits));
    runtime::batch::spawn(context, Questions::new(desk.clone()));
    runtime::batch::spawn(context, Facts::new(desk.clone()));
    expiry::spawn(context);
    keeping::spawn(context, &vault);
    keeping::spawn_disclosures(context, &desk);
    upkeep::spawn(context, vault, keys);
    unsold::spawn(context);
}

async fn wait_for_vault(context: &Context, keys: Keys) {
    let mut attempt = 0;
    loop {
        match vault::open(&context.store, &*context.settings).await {
            Ok((vault, _)) => return spawn(context, Arc::new(vault), keys),
            Err(error) => {
                // Red until it opens; a file put in place meanwhile is taken without a restart.
                if !error.is_retryable() {
                    tracing::error!(%error, "the vault does not open: no card can be sold");
                }
                context.readiness.set("vault", Some(error.to_string()));
            }
        }
        tokio::select! {
            () = context.shutdown.cancelled() => return,
            () = tokio::time::sleep(runtime::database_delay(attempt)) => attempt += 1,
        }
    }
}
