//! Looking after the vault while it is open: a later version is opened, what follows it is done in small steps, and others
//! are told which identities this process has.

use std::sync::Arc;
use std::time::Duration;

use runtime::{Context, sweep};
use store::{Store, StoreError};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::vault::{Vault, VaultError};
use crate::{Desk, disclosure};

/// How often keys are looked over that nothing has changed about.
const SELDOM: Duration = Duration::from_secs(60);
/// How often it is looked for batch keys that open nothing any more, or that do not open.
const RARELY: Duration = Duration::from_secs(3600);
/// A batch key outlives its last card by so many days: a copy of the database from before can be looked into.
const FORGOTTEN_AFTER_DAYS: u32 = 1;

/// Files of returns are kept so long; after that they are made again when they are asked for.
const RETURNS_KEPT_DAYS: u32 = 30;

/// Starts to answer those who want to see secrets.
pub(crate) fn spawn_disclosures(context: &Context, desk: &Arc<Desk>) {
    let desk = desk.clone();
    sweep::every(
        context,
        "cards.disclosures",
        context.settings.sweep_interval,
        move |context| {
            let desk = desk.clone();
            async move {
                while !context.shutdown.is_cancelled() && disclosure::work_one(&context.store, &desk).await?.is_some() {
                }
                Ok(())
            }
        },
    );
    sweep::every(context, "cards.clear_disclosures", SELDOM, |context| async move {
        store::disclosures::clear_old(&context.store, RETURNS_KEPT_DAYS)
            .await
            .map(drop)
    });
}

/// Starts it.
pub(crate) fn spawn(context: &Context, vault: &Arc<Vault>) {
    let (opened, last) = (vault.clone(), Arc::new(Mutex::new(LookedOver::default())));
    let often = context.settings.sweep_interval;
    sweep::every(context, "cards.vault", often, move |context| {
        let (vault, last) = (opened.clone(), last.clone());
        async move {
            let changed = look(&context, &vault).await?;
            let mut last = last.lock().await;
            let is_time = |last: Option<Instant>, pause| changed || last.is_none_or(|at| at.elapsed() >= pause);
            if is_time(last.wrapped, SELDOM) {
                vault.rewrap(&context.store).await?;
                last.wrapped = Some(Instant::now());
            }
            if is_time(last.mended, RARELY) {
                vault.mend(&context.store).await?;
                last.mended = Some(Instant::now());
            }
            Ok(())
        }
    });
    let opened = vault.clone();
    sweep::every(context, "cards.reindex", often, move |context| {
        let vault = opened.clone();
        async move {
            while !context.shutdown.is_cancelled() && !vault.reindex_some(&context.store).await?.finished {}
            Ok(())
        }
    });
    sweep::every(context, "cards.forget_keys", RARELY, |context| async move {
        forget_keys(&context.store).await.map(drop)
    });
}

/// When batch keys were looked over.
#[derive(Default)]
struct LookedOver {
    wrapped: Option<Instant>,
    mended: Option<Instant>,
}

/// Opens the latest version, and says what this process has. True when anything changed. A version that does not open,
/// or is an earlier one, leaves the one before in use, and says so where readiness is read.
async fn look(context: &Context, vault: &Vault) -> Result<bool, StoreError> {
    let refreshed = vault.refresh(&context.store).await;
    let changed = match refreshed {
        Ok(changed) => {
            context.readiness.set("vault", None);
            changed
        }
        Err(VaultError::Store(error)) => return Err(error),
        Err(error) => {
            let why = format!("version {} of the vault is still in use: {error}", vault.version());
            if context.readiness.is_part_ready("vault") {
                tracing::error!(%error, version = vault.version(), "the latest version of the vault is not opened here");
            }
            context.readiness.set("vault", Some(why));
            false
        }
    };
    if changed {
        tracing::info!(version = vault.version(), "the vault was opened again");
    }
    store::vault::seen_holding(&context.store, &context.worker, &vault.held(), vault.version()).await?;
    Ok(changed)
}

/// Forgets the keys of batches whose every card was shredded. Returns how many.
async fn forget_keys(store: &Store) -> Result<u64, StoreError> {
    let forgotten = store::vault::forget_batch_keys(store, FORGOTTEN_AFTER_DAYS).await?;
    if forgotten > 0 {
        tracing::info!(
            keys = forgotten,
            "batch keys were forgotten: all of their cards are shredded"
        );
    }
    metrics::counter!("unigate_vault_keys_forgotten_total").increment(forgotten);
    Ok(forgotten)
}
