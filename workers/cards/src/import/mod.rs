//! Card files: handed in sealed by whoever has one, entered by whoever holds the vault's identity.
//!
//! [`submit`] needs only the vault's public half. [`work_one`] takes up a file under a lease, reads it twice (first to
//! check every row, then to seal and enter), and enters it all or nothing in one transaction. A file with a row that
//! cannot be read is refused with a report of rows and reasons; no report ever repeats what a row holds. Memory is bounded
//! by the sealed file and two chunks of rows, whatever the number of cards.

mod check;
mod enter;
mod file;
mod report;

use std::sync::Arc;
use std::time::Duration;

use age::x25519::Recipient;
use domain::ids::ProductId;
use serde_json::Value;
use store::audit::{self, Act};
use store::imports::{self, Claimed, LEASE_SECONDS};
use store::{Store, StoreError};
use uuid::Uuid;

use crate::vault::{Vault, VaultError, seal_to};

pub use report::{Note, Notes, Report};

/// Names an import.
pub type ImportId = Uuid;

/// The largest file that is taken, in bytes; about five million cards. It travels as one value of the database.
pub const FILE_MAX_BYTES: usize = 256 * 1024 * 1024;

/// Why a file cannot be handed in.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// Too large to be one value of the database.
    #[error("the file is larger than {FILE_MAX_BYTES} bytes: split it")]
    TooLarge,
    /// Sealing failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The product is not declared, or the database is away.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Seals a file to the vault and hands it in. What is in it is looked at only by [`work_one`].
pub async fn submit(
    store: &Store,
    recipients: &[Recipient],
    product: &ProductId,
    file_name: &str,
    bytes: &[u8],
    who: &str,
) -> Result<ImportId, SubmitError> {
    if bytes.len() > FILE_MAX_BYTES {
        return Err(SubmitError::TooLarge);
    }
    let sealed = seal_to(recipients, bytes)?;
    let import_id = Uuid::now_v7();
    let tx = store.begin().await?;
    imports::submit(&tx, import_id, product, file_name, &sealed, who).await?;
    let act = Act {
        who,
        act: "cards import",
        subject_kind: "card_import",
        subject: &import_id.to_string(),
        reason: None,
        before: None,
        after: Some(serde_json::json!({ "product": product.as_str(), "file": file_name })),
    };
    audit::record(&tx, &act).await?;
    tx.commit().await?;
    Ok(import_id)
}

/// A file that was worked on.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The import.
    pub import_id: ImportId,
    /// What it is a file of.
    pub product: ProductId,
    /// Whether its cards are in stock now; otherwise none of them is.
    pub entered: bool,
    /// Which rows and why.
    pub report: Report,
}

/// What becomes of a file that was read.
pub(crate) enum Verdict {
    Done(Report),
    Refused(Report),
}

/// Takes up one file (`only` this one, or the oldest that waits) and works it off. `None`: nothing to take up.
///
/// A failure of the database leaves the file to be taken up again; so does a worker that dies.
pub async fn work_one(
    store: &Store,
    vault: &Arc<Vault>,
    only: Option<ImportId>,
) -> Result<Option<Finished>, StoreError> {
    // A file is entered for the vault as it is now; a worker that cannot open that leaves the file to another.
    vault.refresh(store).await?;
    let Some(claimed) = imports::claim(store, only, LEASE_SECONDS).await? else {
        return Ok(None);
    };
    let claimed = Arc::new(claimed);
    match work(store, vault, &claimed).await {
        Ok(finished) => Ok(Some(finished)),
        Err(error) if error.is_retryable() => {
            // At once if that can be done; else when the lease is over.
            if let Err(error) = imports::give_back(store, &claimed).await {
                tracing::debug!(import = %claimed.import_id, %error, "a card file is left to its lease");
            }
            Err(error)
        }
        Err(StoreError::Changed(why)) => {
            tracing::warn!(import = %claimed.import_id, why, "a card file was lost to another worker");
            Ok(None)
        }
        // It would fail the same way for ever: an operator has to see it.
        Err(error) => refuse(store, &claimed, Report::of_whole_file(&error.to_string()))
            .await
            .map(Some),
    }
}

async fn work(store: &Store, vault: &Arc<Vault>, claimed: &Arc<Claimed>) -> Result<Finished, StoreError> {
    let today = imports::today(store).await?;
    let (reading_vault, file) = (vault.clone(), claimed.clone());
    let checking = tokio::task::spawn_blocking(move || check::check(&reading_vault, &file.sealed_file, today));
    let checked = with_lease(store, claimed, checking).await?;
    let checked = match checked {
        Ok(checked) if checked.report.refused.is_empty() => checked,
        Ok(checked) => return refuse(store, claimed, checked.report).await,
        Err(why) => return refuse(store, claimed, Report::of_whole_file(&why)).await,
    };
    match enter::enter(store, vault, claimed, checked, today).await? {
        Verdict::Done(report) => {
            tracing::info!(import = %claimed.import_id, product = %claimed.product, added = report.added, "cards imported");
            count(claimed, "added", report.added);
            count(claimed, "duplicate", report.duplicates.total);
            Ok(finished(claimed, true, report))
        }
        Verdict::Refused(report) => refuse(store, claimed, report).await,
    }
}

/// Waits for work on a thread while saying, now and then, that this worker is still there.
async fn with_lease<T>(
    store: &Store,
    claimed: &Claimed,
    mut work: tokio::task::JoinHandle<T>,
) -> Result<T, StoreError> {
    let pause = Duration::from_secs(LEASE_SECONDS.unsigned_abs().into()) / 3;
    loop {
        tokio::select! {
            done = &mut work => return done.map_err(|error| StoreError::unreadable(format!("reading the file: {error}"))),
            () = tokio::time::sleep(pause) => imports::renew(store, claimed).await?,
        }
    }
}

async fn refuse(store: &Store, claimed: &Claimed, report: Report) -> Result<Finished, StoreError> {
    let tx = store.begin().await?;
    imports::finish(&tx, claimed, "refused", None, (0, 0), &json(&report)?).await?;
    tx.commit().await?;
    tracing::warn!(import = %claimed.import_id, product = %claimed.product, "a card file was refused");
    count(claimed, "refused", report.refused.total.max(1));
    Ok(finished(claimed, false, report))
}

fn finished(claimed: &Claimed, entered: bool, report: Report) -> Finished {
    Finished {
        import_id: claimed.import_id,
        product: claimed.product.clone(),
        entered,
        report,
    }
}

fn count(claimed: &Claimed, outcome: &'static str, cards: u64) {
    metrics::counter!("unigate_cards_imported_total", "product" => claimed.product.to_string(), "outcome" => outcome)
        .increment(cards);
}

pub(crate) fn json(report: &Report) -> Result<Value, StoreError> {
    Ok(serde_json::to_value(report)?)
}
