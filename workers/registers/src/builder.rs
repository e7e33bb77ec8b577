//! Building: a frozen register becomes a file, under a lease.
//!
//! Nothing of this holds a transaction while it works. What a build wrote counts only once it is recorded, in one
//! transaction fenced by the lease; what was lost on the way is swept away.

use std::time::Duration;

use bytes::Bytes;
use contract::event::RegisterEvent;
use runtime::tell_register;
use store::artifacts::{self, Finished};
use store::registers::{self, Build};
use store::{Store, StoreError};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::BuildError;
use crate::file::{FileSpec, message_id};
use crate::pack::{Archive, Page, pack};
use crate::render::Tally;

/// How long a build is somebody's without a sign of life. A killed builder's register waits this long.
const LEASE: Duration = Duration::from_secs(60);
/// Rows read at a time, and pages and chunks under way: what bounds the memory of a build.
const PAGE_ROWS: i64 = 2000;
const UNDER_WAY: usize = 2;
/// Larger archives are streamed.
const HELD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Waits before a build is tried again after trouble that passes, in seconds.
const RETRY_SECONDS: [u32; 5] = [2, 5, 15, 60, 300];
/// Unfinished files older than this are of no build under way.
const ORPHAN_AGE: Duration = Duration::from_secs(3600);

/// What came of one look for work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Built {
    /// A file was recorded.
    Recorded,
    /// The register is given back or somebody else's; it will be built.
    Later,
    /// It cannot be built: an operator has to look.
    Failed,
}

/// Builds registers.
#[derive(Clone, Debug)]
pub struct Builder {
    store: Store,
    mail_from: String,
    lease: Duration,
}

impl Builder {
    /// A builder; Message-IDs of mails are of the domain of `mail_from`.
    pub fn new(store: Store, mail_from: impl Into<String>) -> Self {
        Self {
            store,
            mail_from: mail_from.into(),
            lease: LEASE,
        }
    }

    /// The same with another lease, for tests of lost ones.
    pub fn with_lease(self, lease: Duration) -> Self {
        Self { lease, ..self }
    }

    /// Takes the oldest register that waits to be built.
    pub async fn claim(&self) -> Result<Option<Build>, StoreError> {
        registers::claim_build(&self.store, self.lease).await
    }

    /// Builds what was claimed and records what came of it.
    pub async fn build(&self, build: &Build) -> Result<Built, StoreError> {
        let register = build.summary.register_id;
        let outcome = match self.write(build).await {
            Ok((spec, finished)) => {
                runtime::checkpoint("registers", "before_record");
                self.record(build, &spec, &finished).await
            }
            Err(error) => Err(error),
        };
        let error = match outcome {
            Ok(()) => {
                tracing::info!(%register, payee = %build.summary.payee, count = build.summary.count, "built");
                return Ok(Built::Recorded);
            }
            Err(error) => error,
        };
        // Best effort: the sweep finds what this leaves.
        if let Err(error) = artifacts::discard(&self.store, build.token).await {
            tracing::debug!(%register, %error, "an unfinished file is left to the sweep");
        }
        if matches!(error, BuildError::LeaseLost) {
            tracing::warn!(%register, "the lease ran out under way: somebody else builds it");
            return Ok(Built::Later);
        }
        if error.passes() {
            let step = u32::try_from(build.attempts - 1).unwrap_or(0);
            let delay = domain::retry::retry_delay(&RETRY_SECONDS, step, 0.0);
            tracing::warn!(%register, %error, ?delay, "a build broke off and will be repeated");
            registers::release_build(&self.store, build, &error.to_string(), delay).await?;
            return Ok(Built::Later);
        }
        self.fail(build, &error).await
    }

    /// Drops what lost builds left behind.
    pub async fn sweep_orphans(&self) -> Result<u64, StoreError> {
        artifacts::discard_orphans(&self.store, ORPHAN_AGE).await
    }

    async fn fail(&self, build: &Build, error: &BuildError) -> Result<Built, StoreError> {
        let register = build.summary.register_id;
        let text = error.to_string();
        let tx = self.store.begin().await?;
        if !registers::record_build_failed(&tx, build, &text).await? {
            tx.rollback().await?;
            return Ok(Built::Later);
        }
        tell_register(&tx, RegisterEvent::Failed, &build.summary, Some(&text)).await?;
        tx.commit().await?;
        tracing::error!(%register, payee = %build.summary.payee, %error, "a register cannot be built");
        metrics::counter!("unigate_registers_failed_total", "stage" => "build").increment(1);
        if matches!(error, BuildError::Disagrees { .. }) {
            metrics::counter!("unigate_invariant_violations_total", "kind" => "register_disagrees").increment(1);
        }
        Ok(Built::Failed)
    }

    /// Writes the file, holding the lease as long as that takes.
    async fn write(&self, build: &Build) -> Result<(FileSpec, Finished), BuildError> {
        artifacts::begin(&self.store, build.token).await?;
        let (tally, finished) = tokio::select! {
            written = self.stream_fitting(build) => written?,
            lost = self.hold_lease(build) => return Err(lost),
        };
        let Tally { count, total } = tally;
        let (frozen_count, frozen_total) = (build.summary.count, build.summary.total);
        if (count, total) != (frozen_count, frozen_total) {
            return Err(BuildError::Disagrees {
                count,
                total,
                frozen_count,
                frozen_total,
            });
        }
        Ok((FileSpec::of(build)?, finished))
    }

    async fn stream_fitting(&self, build: &Build) -> Result<(Tally, Finished), BuildError> {
        match self.stream(build, Archive::Held(HELD_BYTES_MAX)).await {
            // Nothing of the file has been handed over yet, and the rows are the same when read again.
            Err(BuildError::TooLargeToHold) => self.stream(build, Archive::Streamed).await,
            other => other,
        }
    }

    async fn stream(&self, build: &Build, archive: Archive) -> Result<(Tally, Finished), BuildError> {
        let spec = FileSpec::of(build)?;
        let (pages_in, pages) = channel(UNDER_WAY);
        let (chunks_in, chunks) = channel(UNDER_WAY);
        let packed = async { tokio::task::spawn_blocking(move || pack(&spec, archive, pages, chunks_in)).await? };
        // The packer's own error comes last where it is only the echo of another's.
        let (read, stored, packed) = tokio::join!(
            self.read_rows(build, pages_in),
            self.store_chunks(build, chunks),
            packed
        );
        read.and(stored)?;
        packed
    }

    async fn read_rows(&self, build: &Build, pages: Sender<Page>) -> Result<(), BuildError> {
        let mut after = None;
        loop {
            let rows = registers::rows_after(&self.store, build, after.as_ref(), PAGE_ROWS).await?;
            let page = match rows.last() {
                Some(last) => {
                    after = Some(last.clone());
                    Page::Rows(rows)
                }
                None => Page::End,
            };
            let ended = matches!(page, Page::End);
            // A packer that is gone says itself why.
            if pages.send(page).await.is_err() || ended {
                return Ok(());
            }
        }
    }

    async fn store_chunks(&self, build: &Build, mut chunks: Receiver<Bytes>) -> Result<(), BuildError> {
        let mut n = 0;
        while let Some(chunk) = chunks.recv().await {
            artifacts::add_chunk(&self.store, build.token, n, &chunk).await?;
            n += 1;
        }
        Ok(())
    }

    /// Renews the lease until that fails; returns only then.
    async fn hold_lease(&self, build: &Build) -> BuildError {
        loop {
            tokio::time::sleep(self.lease / 3).await;
            match registers::renew_build(&self.store, build, self.lease).await {
                Ok(true) => {}
                Ok(false) => return BuildError::LeaseLost,
                // The lease lasts two more tries.
                Err(error) if error.is_retryable() => tracing::warn!(%error, "a lease could not be renewed"),
                Err(error) => return error.into(),
            }
        }
    }

    async fn record(&self, build: &Build, spec: &FileSpec, finished: &Finished) -> Result<(), BuildError> {
        let message_id = message_id(&build.summary, &self.mail_from);
        let tx = self.store.begin().await?;
        if !registers::record_built(&tx, build, &spec.name, finished, &message_id).await? {
            return Err(BuildError::LeaseLost);
        }
        tell_register(&tx, RegisterEvent::Built, &build.summary, None).await?;
        tx.commit().await?;
        metrics::counter!("unigate_registers_built_total").increment(1);
        Ok(())
    }
}
