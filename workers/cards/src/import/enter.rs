//! The second reading of a file: rows are sealed on a thread, copied into a table of this transaction alone, and moved into
//! stock as a whole once all of them were seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::declaration::Product;
use jiff::ToSpan;
use jiff::civil::Date;
use serde_json::{Map, Value};
use store::imports::{self, Claimed, Duplicate, Duplicates, Ending, NewCard, Twin};
use store::{StoreError, Tx};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::report::{NOTES_MAX, Report};
use super::source::{Fault, Source};
use super::table::{self, Row, Stop};
use super::{Verdict, json};
use crate::vault::{BatchKey, CardPlace, IndexKeys};

/// Rows sealed and copied together.
const CHUNK: usize = 5_000;

/// From how many new cards on the planner is told of them.
const MANY: u64 = 1_000;

/// A file that was looked at, and what it is entered by.
pub(super) struct Entering<'e> {
    pub(super) source: &'e Source,
    pub(super) today: Date,
    /// Recognise it, one under each index key; the last one is that of the latest.
    pub(super) hashes: &'e [[u8; 32]],
    /// The vault's version that everything is worked out under.
    pub(super) vault_version: i32,
}

/// Enters a file, all or nothing.
pub(super) async fn enter(entering: &Entering<'_>, owned: &AtomicBool) -> Result<Verdict, StoreError> {
    let Entering {
        source,
        today,
        hashes,
        vault_version,
    } = *entering;
    let file_hash = hashes.last().copied().unwrap_or_default();
    let claimed = &source.claimed;
    let index = source.vault.index_key();
    let index_version = index.version();
    let (key, wrapped) = source.vault.new_batch_key()?;
    let tx = source.store.begin().await?;
    imports::begin_staging(&tx).await?;
    let batch_id = imports::add_batch(&tx, claimed, vault_version, &wrapped).await?;
    let mut report = match stage_all(source, &tx, (key, index), batch_id, today).await? {
        Ok(report) => report,
        Err(why) => {
            tx.rollback().await?;
            return Ok(Verdict::Refused(Report::of_whole_file(&why), None));
        }
    };
    if !report.is_taken(claimed.options) {
        tx.rollback().await?;
        return Ok(Verdict::Refused(report.or_empty(), Some(file_hash)));
    }
    runtime::checkpoint("cards.imports", "staged");
    let most = i64::try_from(NOTES_MAX).unwrap_or(i64::MAX);
    imports::enter_alone(&tx).await?;
    // Nobody changes the vault from here to the commit. That somebody did since the file was begun is seen, and it is begun
    // again: a change need not wait for a long file.
    source.vault.hold(&tx, vault_version).await?;
    if let Some(why) = entered_before(&tx, claimed, hashes).await? {
        tx.rollback().await?;
        return Ok(Verdict::Refused(Report::of_whole_file(&why), None));
    }
    tell_duplicates(
        &mut report,
        &imports::drop_duplicates(&tx, &claimed.product, most).await?,
    );
    if !report.is_taken(claimed.options) {
        tx.rollback().await?;
        return Ok(Verdict::Refused(report, Some(file_hash)));
    }
    // From here on the job's row is ours to the end, and saying that we are there would wait for ourselves.
    owned.store(true, Ordering::Relaxed);
    imports::own(&tx, claimed).await?;
    report.added = unsigned(imports::enter_staged(&tx, &claimed.product, batch_id, index_version).await?);
    imports::finish(&tx, claimed, &ending(&report, true, Some(file_hash))?).await?;
    runtime::checkpoint("cards.imports", "before_commit");
    tx.commit().await?;
    runtime::checkpoint("cards.imports", "after_commit");
    if report.added >= MANY
        && let Err(error) = imports::refresh_statistics(&source.store).await
    {
        tracing::debug!(%error, "left to autovacuum");
    }
    Ok(Verdict::Done(report))
}

/// Why a file that was entered before is not entered again, where its operator has not asked for that.
pub(super) async fn entered_before(
    tx: &Tx,
    claimed: &Claimed,
    hashes: &[[u8; 32]],
) -> Result<Option<String>, StoreError> {
    if claimed.options.again {
        return Ok(None);
    }
    let before = imports::entered_before(tx, hashes).await?;
    Ok(before.map(|(import_id, at)| format!("this file was imported before: {import_id}, {at}")))
}

fn tell_duplicates(report: &mut Report, found: &Duplicates) {
    report.duplicates_in_file = unsigned(found.in_file);
    report.duplicates_known = unsigned(found.known);
    report.duplicates.total = report.duplicates_in_file + report.duplicates_known;
    for duplicate in &found.first {
        report.duplicates.name(unsigned(duplicate.line), reason_of(duplicate));
    }
}

/// What is stored of how an import ended.
pub(super) fn ending(report: &Report, entered: bool, file_hash: Option<[u8; 32]>) -> Result<Ending, StoreError> {
    Ok(Ending {
        entered,
        file_hash,
        rows: signed(report.rows),
        added: signed(report.added),
        duplicates: signed(report.duplicates.total),
        malformed: signed(report.refused.total),
        expired: signed(report.expired.total),
        report: json(report)?,
    })
}

pub(super) fn reason_of(duplicate: &Duplicate) -> String {
    let what = if duplicate.by_serial {
        "serial"
    } else {
        "the same details"
    };
    match &duplicate.of {
        Twin::Line(line) => format!("{what}: stands on line {line} before"),
        Twin::Card(card) => format!(
            "{what}: are those of card {} of {}, which is {}",
            card.serial,
            card.product,
            card.state.as_str()
        ),
    }
}

/// Copies every good row into the transaction's own table. The inner error is about the file as a whole.
async fn stage_all(
    source: &Source,
    tx: &Tx,
    (key, index): (BatchKey, Arc<IndexKeys>),
    batch_id: i64,
    today: Date,
) -> Result<Result<Report, String>, StoreError> {
    let (sender, mut chunks) = mpsc::channel::<Vec<NewCard>>(1);
    let mut sealing = Sealing {
        source: source.clone(),
        key,
        index,
        batch_id,
        today,
        sender,
        runtime: Handle::current(),
        chunk: Vec::new(),
        dealt: 0..0,
        report: Report::default(),
    };
    let reading = tokio::task::spawn_blocking(move || sealing.read().map(|()| sealing.report));
    while let Some(chunk) = chunks.recv().await {
        imports::stage(tx, &chunk).await?;
    }
    match reading.await {
        Ok(Ok(report)) => Ok(Ok(report)),
        Ok(Err(Fault::File(why))) => Ok(Err(why)),
        Ok(Err(Fault::Store(error))) => Err(error),
        Err(error) => Err(StoreError::unreadable(format!("sealing the cards: {error}"))),
    }
}

/// The reading of a file on its thread.
struct Sealing {
    source: Source,
    key: BatchKey,
    index: Arc<IndexKeys>,
    batch_id: i64,
    today: Date,
    sender: mpsc::Sender<Vec<NewCard>>,
    runtime: Handle,
    chunk: Vec<NewCard>,
    /// Positions that were dealt and not given yet.
    dealt: std::ops::Range<i64>,
    report: Report,
}

impl Sealing {
    fn read(&mut self) -> Result<(), Fault> {
        let (source, runtime) = (self.source.clone(), self.runtime.clone());
        let (profile, currency) = (source.profile(), source.product.currency);
        let mut fault = None;
        let outcome = source.read(&runtime, &mut |found| {
            table::read(found, &profile, currency, &mut |row| {
                self.take(row).map_err(|stopped_by| {
                    fault = Some(stopped_by);
                    Stop
                })
            })
        });
        match fault {
            Some(fault) => Err(fault),
            None => outcome.and_then(|()| self.send()),
        }
    }

    fn take(&mut self, row: Result<Row, table::BadRow>) -> Result<(), Fault> {
        let report = &mut self.report;
        report.rows += 1;
        self.source.progress.done.store(report.rows, Ordering::Relaxed);
        if self.source.progress.is_stopped() {
            return Err(Fault::File("the reading was stopped".into()));
        }
        match row {
            Err(bad) => {
                report.refused.add(bad.line, bad.why);
                Ok(())
            }
            Ok(row) if let Some(why) = too_late(row.expires_on, self.today, &self.source.product) => {
                report.expired.add(row.line, why);
                Ok(())
            }
            // It is refused already: the rest is read for the report alone.
            Ok(_) if !report.refused.is_empty() && !self.source.claimed.options.good_rows => Ok(()),
            Ok(row) => self.seal(row),
        }
    }

    fn seal(&mut self, row: Row) -> Result<(), Fault> {
        let place = CardPlace {
            batch_id: self.batch_id,
            pos: self.next_position()?,
        };
        let failed = |error: crate::vault::VaultError| Fault::Store(error.into());
        self.chunk.push(NewCard {
            pos: place.pos,
            line: signed(row.line),
            sealed: self.key.seal(place, &row.details).map_err(failed)?,
            blind_index: self.index.of_card(&row.details),
            older_indexes: self.index.older_of_card(&row.details),
            serial: row.serial,
            expires_on: row.expires_on,
            public_fields: (!row.public.is_empty()).then(|| object(row.public)),
            face_value: row.face_value,
            price: row.price,
        });
        if self.chunk.len() == CHUNK { self.send() } else { Ok(()) }
    }

    /// Dealt in a transaction of its own: the file's is long, and others of the product must not wait for its row lock.
    fn next_position(&mut self) -> Result<i64, Fault> {
        if self.dealt.is_empty() {
            let dealing = imports::deal_positions(&self.source.store, &self.source.claimed.product, CHUNK as i64);
            let first = self.runtime.block_on(dealing).map_err(Fault::Store)?;
            self.dealt = first..first + CHUNK as i64;
        }
        self.dealt
            .next()
            .ok_or_else(|| Fault::Store(StoreError::unreadable("no position was dealt")))
    }

    fn send(&mut self) -> Result<(), Fault> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK));
        // A receiver that is gone has its own error to tell.
        self.sender
            .blocking_send(chunk)
            .map_err(|_| Fault::File("the reading was stopped".into()))
    }
}

/// Why a card that ends then does not come in. It is good through its last day; but nearer to that than its product allows it
/// would be withdrawn within a minute, for good, and nobody would hear of it.
pub(super) fn too_late(expires_on: Option<Date>, today: Date, product: &Product) -> Option<&'static str> {
    let last = expires_on?;
    let sold_until = today.saturating_add(i64::from(product.withdraw_days_before_expiry).days());
    match () {
        () if last < today => Some("expires_on: is past"),
        () if last < sold_until => Some("expires_on: is nearer than the product's withdraw_days_before_expiry allows"),
        () => None,
    }
}

fn object(fields: Vec<(String, String)>) -> Value {
    Value::Object(
        fields
            .into_iter()
            .map(|(name, value)| (name, value.into()))
            .collect::<Map<_, _>>(),
    )
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
