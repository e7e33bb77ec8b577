//! Card files: handed in sealed by whoever has one, entered by whoever holds the vault's identity.
//!
//! [`submit`] needs only the vault's public half. [`work_one`] takes up a file under a lease and reads it twice: first to
//! its end, for what recognises it and for damage, then row by row into sealed cards, which come into stock by one
//! statement of one transaction. A file with a row that cannot be read is refused with a report of rows and reasons; no
//! report repeats what a row holds. Text is read in bounded memory, whatever its size and whatever it is wrapped in; of a
//! workbook the strings are held, up to a bound. [`preview`] reads a file that whoever asks has in hand, masked.

mod container;
mod enter;
mod hand_in;
mod preview;
mod report;
mod source;
mod stored;
mod table;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::ids::ProductId;
use secrecy::SecretString;
use serde_json::Value;
use store::imports::{self, Claimed, LEASE_SECONDS};
use store::notices::{self, NewNotice};
use store::{Store, StoreError};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::vault::Vault;
use source::{Fault, Progress, Source};

pub use container::{PgpKey, PgpKeyError};
pub use hand_in::{FILE_MAX_BYTES, File, SubmitError, submit, submit_file};
pub use preview::{Masked, Preview, preview};
pub use report::{Note, Notes, Report};
pub use store::imports::Options;

/// Names an import.
pub type ImportId = Uuid;

/// How often a worker says that it is there, and how far it has come.
const TOLD_EVERY: Duration = Duration::from_millis(500);

/// How long a file may still take once this process is told to end. What is left of an orderly end is for giving the file back.
const FINISHED_WITHIN: Duration = Duration::from_secs(10);

/// Why a file is refused that nobody could read to its end.
const DEADLY: &str = "its worker died three times";

/// What opens files besides the vault.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// The workers' OpenPGP key, where they have one.
    pub pgp: Option<Arc<PgpKey>>,
}

impl Keys {
    /// The keys that settings name.
    pub fn read(pgp_key: Option<&Path>, password: Option<&SecretString>) -> Result<Self, PgpKeyError> {
        let pgp = pgp_key.map(|file| PgpKey::read(file, password)).transpose()?;
        Ok(Self { pgp: pgp.map(Arc::new) })
    }
}

/// When a worker leaves off.
#[derive(Clone, Debug)]
pub struct Stop {
    /// Cancelled when the process should end.
    pub shutdown: CancellationToken,
    /// How long after that a file may still be finished; one that is not, is given back.
    pub patience: Duration,
}

impl Stop {
    /// As this process is told to end.
    pub fn with(shutdown: CancellationToken) -> Self {
        Self {
            shutdown,
            patience: FINISHED_WITHIN,
        }
    }

    /// Not at all.
    pub fn never() -> Self {
        Self::with(CancellationToken::new())
    }

    /// A file whose cards are being entered is near its end, and is not left off any more.
    async fn is_due(&self, owned: &AtomicBool) {
        self.shutdown.cancelled().await;
        tokio::time::sleep(self.patience).await;
        while owned.load(Ordering::Relaxed) {
            tokio::time::sleep(TOLD_EVERY).await;
        }
    }
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
enum Verdict {
    Done(Report),
    /// With what recognises it, where it could be read through.
    Refused(Report, Option<[u8; 32]>),
}

/// [`work_one_with`] no keys but the vault's, and to the end.
pub async fn work_one(
    store: &Store,
    vault: &Arc<Vault>,
    only: Option<ImportId>,
) -> Result<Option<Finished>, StoreError> {
    work_one_with(store, vault, &Keys::default(), only, &Stop::never()).await
}

/// Takes up one file (`only` this one, or the oldest that waits) and works it off. `None`: nothing to take up, or it was
/// cancelled meanwhile, or given back because of `stop`.
///
/// A failure of the database leaves the file to be taken up again; so does a worker that dies, or that is told to `stop`. Of
/// these only a death counts against the file: whoever could give it back has not died of it.
pub async fn work_one_with(
    store: &Store,
    vault: &Arc<Vault>,
    keys: &Keys,
    only: Option<ImportId>,
    stop: &Stop,
) -> Result<Option<Finished>, StoreError> {
    // A file is entered for the vault as it is now; a worker that cannot open that leaves the file to another.
    vault.refresh(store).await?;
    give_up_deadly(store).await?;
    let Some(claimed) = imports::claim(store, only, LEASE_SECONDS).await? else {
        return Ok(None);
    };
    let claimed = Arc::new(claimed);
    match work(store, vault, keys, &claimed, stop).await {
        Ok(Some(finished)) => {
            tell(&claimed, &finished);
            Ok(Some(finished))
        }
        Ok(None) => {
            give_back(store, &claimed).await;
            tracing::info!(import = %claimed.import_id, "a card file was given back: this process ends");
            Ok(None)
        }
        Err(error) if error.is_retryable() => {
            give_back(store, &claimed).await;
            Err(error)
        }
        Err(StoreError::Changed(why)) => {
            tracing::warn!(import = %claimed.import_id, why, "a card file was given up");
            Ok(None)
        }
        // It would fail the same way for ever: an operator has to see it.
        Err(error) => {
            let finished = refuse(store, &claimed, Report::of_whole_file(&error.to_string()), None).await?;
            tell(&claimed, &finished);
            Ok(Some(finished))
        }
    }
}

/// At once if that can be done; else when the lease is over.
async fn give_back(store: &Store, claimed: &Claimed) {
    if let Err(error) = imports::give_back(store, claimed).await {
        tracing::debug!(import = %claimed.import_id, %error, "a card file is left to its lease");
    }
}

/// A file whose worker died three times is not taken up a fourth time, and people are told: whatever is in it, the next
/// worker would die of it too, and with it the selling.
async fn give_up_deadly(store: &Store) -> Result<(), StoreError> {
    loop {
        let tx = store.begin().await?;
        let report = json(&Report::of_whole_file(DEADLY))?;
        let Some(given_up) = imports::give_up_deadly(&tx, &report).await? else {
            return tx.rollback().await;
        };
        let subject = given_up.import_id.to_string();
        let notice = NewNotice {
            kind: "import.refused",
            subject: &subject,
            title: format!("A card file of {} was refused: {DEADLY}", given_up.product),
            lines: vec![
                format!("File: {}, handed in by {}", given_up.file_name, given_up.requested_by),
                "No card of it was added. What the workers ran out of, or died of, is in their logs; handed in again, it is \
                 tried again"
                    .to_owned(),
            ],
            mail_to: &[],
        };
        notices::add(&tx, &notice).await?;
        tx.commit().await?;
        tracing::error!(import = %given_up.import_id, product = %given_up.product, "a card file was refused: {DEADLY}");
    }
}

/// Reads a file and enters it; none = it was told to stop.
async fn work(
    store: &Store,
    vault: &Arc<Vault>,
    keys: &Keys,
    claimed: &Arc<Claimed>,
    stop: &Stop,
) -> Result<Option<Finished>, StoreError> {
    let vault_version = vault.version();
    let declared = store::declarations::load(store).await?;
    let Some(product) = declared.products.get(&claimed.product) else {
        let why = "the product's declaration cannot be read by this version";
        return refuse(store, claimed, Report::of_whole_file(why), None).await.map(Some);
    };
    let today = imports::today(store, &product.value.time_zone).await?;
    let source = Source {
        store: store.clone(),
        vault: vault.clone(),
        keys: keys.clone(),
        product: product.value.clone(),
        claimed: claimed.clone(),
        progress: Arc::default(),
    };
    let owned = AtomicBool::new(false);
    let progress = source.progress.clone();
    let whole = async {
        let (hashes, rows) = match look(&source).await? {
            Ok(looked) => looked,
            Err(why) => return Ok(Verdict::Refused(Report::of_whole_file(&why), None)),
        };
        source.progress.total.store(rows, Ordering::Relaxed);
        // Before the work; and once more when no other file is being entered.
        let tx = store.begin().await?;
        let before = enter::entered_before(&tx, claimed, &hashes).await?;
        tx.commit().await?;
        if let Some(why) = before {
            return Ok(Verdict::Refused(Report::of_whole_file(&why), None));
        }
        let entering = enter::Entering {
            source: &source,
            today,
            hashes: &hashes,
            vault_version,
        };
        enter::enter(&entering, &owned).await
    };
    let outcome = tokio::select! {
        biased;
        outcome = with_lease(store, claimed, &progress, &owned, whole) => outcome.map(Some),
        () = stop.is_due(&owned) => Ok(None),
    };
    progress.stop.store(true, Ordering::Relaxed);
    match outcome? {
        None => Ok(None),
        Some(Verdict::Done(report)) => Ok(Some(finished(claimed, true, report))),
        Some(Verdict::Refused(report, hash)) => refuse(store, claimed, report, hash).await.map(Some),
    }
}

/// The first reading: to the end, so that damage is found before a row is entered, for what recognises the file and how many
/// rows it may have. The inner error is about the file as a whole.
async fn look(source: &Source) -> Result<Result<(Vec<[u8; 32]>, u64), String>, StoreError> {
    let (source, runtime) = (source.clone(), Handle::current());
    let looking = tokio::task::spawn_blocking(move || {
        let (profile, mut hash, mut rows) = (source.profile(), source.vault.index_key().of_file(), 0);
        source.read(&runtime, &mut |table| {
            rows = table::look(table, &profile, &mut hash)?;
            Ok(())
        })?;
        Ok((hash.finish(), rows))
    });
    match looking.await {
        Ok(Ok(looked)) => Ok(Ok(looked)),
        Ok(Err(Fault::File(why))) => Ok(Err(why)),
        Ok(Err(Fault::Store(error))) => Err(error),
        Err(error) => Err(StoreError::unreadable(format!("reading the file: {error}"))),
    }
}

/// Does the work while saying that this worker is still there and how far it has come. A job that was cancelled or taken over
/// ends the work: what it has written so far was in its own transaction.
async fn with_lease<T>(
    store: &Store,
    claimed: &Claimed,
    progress: &Progress,
    owned: &AtomicBool,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(TOLD_EVERY) => {
                if !owned.load(Ordering::Relaxed) {
                    let number = |count: &std::sync::atomic::AtomicU64| i64::try_from(count.load(Ordering::Relaxed)).ok();
                    let total = number(&progress.total).filter(|total| *total > 0);
                    imports::renew(store, claimed, number(&progress.done).unwrap_or(0), total).await?;
                }
            }
        }
    }
}

async fn refuse(
    store: &Store,
    claimed: &Claimed,
    report: Report,
    file_hash: Option<[u8; 32]>,
) -> Result<Finished, StoreError> {
    let tx = store.begin().await?;
    imports::finish(&tx, claimed, &enter::ending(&report, false, file_hash)?).await?;
    tx.commit().await?;
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

fn tell(claimed: &Claimed, finished: &Finished) {
    let report = &finished.report;
    if finished.entered {
        tracing::info!(import = %claimed.import_id, product = %claimed.product, added = report.added, "cards imported");
        count(claimed, "added", report.added);
        count(claimed, "duplicate", report.duplicates.total);
    } else {
        tracing::warn!(import = %claimed.import_id, product = %claimed.product, "a card file was refused");
        count(claimed, "refused", report.refused.total.max(1));
    }
}

fn count(claimed: &Claimed, outcome: &'static str, cards: u64) {
    metrics::counter!("unigate_cards_imported_total", "product" => claimed.product.to_string(), "outcome" => outcome)
        .increment(cards);
}

pub(crate) fn json(report: &Report) -> Result<Value, StoreError> {
    Ok(serde_json::to_value(report)?)
}
