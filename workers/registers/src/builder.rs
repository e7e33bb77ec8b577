//! Building: frozen registers become files, under leases.
//!
//! Small registers are built many at a time and recorded together, a large one by itself. Nothing of this holds a
//! transaction while it works. What a build wrote counts only once it is recorded, in one transaction fenced by the
//! leases; what was lost on the way is swept away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use artifacts::Artifacts;
use contract::event::RegisterEvent;
use domain::RegisterId;
use domain::declaration::SealStage;
use futures::StreamExt;
use futures::future::BoxFuture;
use runtime::aside::Aside;
use runtime::{tell_register, tell_registers};
use store::registers::{self, Build, BuiltPart, Summary};
use store::{Store, StoreError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::BuildError;
use crate::told::tell_changes;
use crate::write::{Whole, Writing};

/// How long a build is somebody's without a sign of life. A killed builder's register waits this long.
const LEASE: Duration = Duration::from_secs(60);
/// So many leases long nothing of what was claimed may move, besides what its sealing programs may take: it hangs then.
const STANDSTILL_LEASES: u32 = 10;
/// What is claimed at a time: so many registers, and if more than one, of so many payments together.
const CLAIMED: usize = 64;
const CLAIMED_ROWS: i64 = 20_000;
/// Of those, how many are in work at a time: one is read while another is packed.
const IN_WORK: usize = 4;
/// Waits before a build is tried again after trouble that passes, in seconds.
const RETRY_SECONDS: [u32; 5] = [2, 5, 15, 60, 300];
/// For how long registers are given back one after the other at last, once one of them could not be.
const LAST_ROUND: Duration = Duration::from_secs(10);
/// Unfinished files older than this are of no build under way.
const ORPHAN_AGE: Duration = Duration::from_secs(3600);

/// What came of one build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Built {
    /// Its files were recorded.
    Recorded,
    /// The register is given back or somebody else's; it will be built.
    Later,
    /// It cannot be built: an operator has to look.
    Failed,
}

/// What came of recording those that were written. One that is in neither is somebody else's by now.
#[derive(Default)]
struct Recording {
    recorded: BTreeSet<RegisterId>,
    refused: BTreeMap<RegisterId, BuildError>,
}

/// Builds registers.
#[derive(Clone, Debug)]
pub struct Builder {
    store: Store,
    artifacts: Artifacts,
    mail_from: String,
    lease: Duration,
    ending: CancellationToken,
    aside: Arc<Aside>,
}

impl Builder {
    /// A builder; Message-IDs of mails are of the domain of `mail_from`.
    pub fn new(store: Store, artifacts: Artifacts, mail_from: impl Into<String>) -> Self {
        Self {
            store,
            artifacts,
            mail_from: mail_from.into(),
            lease: LEASE,
            ending: CancellationToken::new(),
            aside: Arc::default(),
        }
    }

    /// The same in a process that ends once this is cancelled, and has no time for long waits from then on.
    pub fn until(self, ending: CancellationToken) -> Self {
        Self { ending, ..self }
    }

    /// The same with another lease, for tests of lost ones.
    pub fn with_lease(self, lease: Duration) -> Self {
        Self { lease, ..self }
    }

    /// Takes the oldest registers that wait to be built, as many as are built together.
    pub async fn claim(&self) -> Result<Vec<Build>, StoreError> {
        registers::claim_builds(&self.store, self.lease, CLAIMED, CLAIMED_ROWS).await
    }

    /// Builds what was claimed and records what came of it, register by register.
    pub async fn build(&self, builds: &[Build]) -> Result<Vec<Built>, StoreError> {
        let written = self.write_all(builds).await;
        let whole: Vec<(&Build, &Whole)> = builds
            .iter()
            .zip(&written)
            .filter_map(|(build, outcome)| Some((build, outcome.as_ref().ok()?)))
            .collect();
        runtime::checkpoint("registers", "before_record");
        let mut recording = self.record_all(&whole).await;
        drop(whole);
        runtime::checkpoint("registers", "after_record");
        let outcomes = builds.iter().zip(written).map(|(build, outcome)| {
            let register = build.summary.register_id;
            match outcome {
                Err(error) => Some(error),
                Ok(_) if recording.recorded.contains(&register) => None,
                Ok(_) => Some(recording.refused.remove(&register).unwrap_or(BuildError::LeaseLost)),
            }
        });
        let errors: Vec<Option<BuildError>> = outcomes.collect();
        self.settle_all(builds, &errors).await
    }

    /// What becomes of each that was claimed. A register that is not given back counts as one that its builder died of, so none is
    /// kept by another whose row cannot be had, and a database that is away is waited for: for as long as a lease lasts from when
    /// recording came to nothing, which is somewhat longer than the leases themselves do. One that ran out meanwhile is still ours
    /// as long as nobody else has taken it.
    async fn settle_all(&self, builds: &[Build], errors: &[Option<BuildError>]) -> Result<Vec<Built>, StoreError> {
        let mut built = vec![Built::Recorded; builds.len()];
        let mut waiting: Vec<usize> = (0..builds.len()).filter(|&at| errors[at].is_some()).collect();
        let mut unsettled = None;
        let until = Instant::now() + self.lease;
        for attempt in 0.. {
            let last = Instant::now() >= until || self.ending.is_cancelled();
            let round_ends = if last { Instant::now() + LAST_ROUND } else { until };
            let (mut later, mut why) = (Vec::new(), None);
            for at in std::mem::take(&mut waiting) {
                let Some(error) = &errors[at] else { continue };
                // The others would wait for the same database, or there is no time to wait for one row after the other.
                if why
                    .as_ref()
                    .is_some_and(|why: &StoreError| why.is_away() || Instant::now() >= round_ends)
                {
                    later.push(at);
                    continue;
                }
                match self.settle(&builds[at], error).await {
                    Ok(settled) => built[at] = settled,
                    Err(error) if error.is_retryable() => {
                        later.push(at);
                        why = Some(error);
                    }
                    Err(error) => unsettled = Some(error),
                }
            }
            match why {
                None => break,
                Some(error) if last => return Err(error),
                Some(_) => waiting = later,
            }
            tokio::select! {
                // One more try at once: an end has no time for long pauses.
                () = self.ending.cancelled() => {}
                () = tokio::time::sleep(runtime::database_delay(attempt)) => {}
            }
        }
        unsettled.map_or(Ok(built), Err)
    }

    /// Drops what lost builds left behind.
    pub async fn sweep_orphans(&self) -> Result<u64, artifacts::ArtifactError> {
        self.artifacts.sweep(ORPHAN_AGE).await
    }

    /// Writes the files of all, holding the leases as long as that takes. In the order of `builds`.
    async fn write_all(&self, builds: &[Build]) -> Vec<Result<Whole, BuildError>> {
        let lost = CancellationToken::new();
        let moved = AtomicU64::new(0);
        let mut work: Vec<BoxFuture<'_, _>> = Vec::with_capacity(builds.len());
        for build in builds {
            let writing = Writing {
                store: &self.store,
                artifacts: &self.artifacts,
                mail_from: &self.mail_from,
                build,
                lost: &lost,
                moved: &moved,
                aside: &self.aside,
            };
            work.push(Box::pin(writing.write()));
        }
        let mut all = std::pin::pin!(futures::stream::iter(work).buffered(IN_WORK).collect::<Vec<_>>());
        tokio::select! {
            written = &mut all => return written,
            () = self.hold_leases(builds, &moved) => lost.cancel(),
        }
        all.await
    }

    /// Renews the leases until none is left, or nothing has moved for long: then another process is to try. Returns only then.
    async fn hold_leases(&self, builds: &[Build], moved: &AtomicU64) {
        let patience = self.lease * STANDSTILL_LEASES + sealing_limit(builds);
        let mut last = (moved.load(Ordering::Relaxed), Instant::now());
        loop {
            tokio::time::sleep(self.lease / 3).await;
            let now = moved.load(Ordering::Relaxed);
            if now != last.0 {
                last = (now, Instant::now());
            } else if last.1.elapsed() > patience {
                return tracing::error!(builds = builds.len(), "builds do not move: their leases are let go");
            }
            match registers::renew_builds(&self.store, builds, self.lease).await {
                // Those that are lost record nothing.
                Ok(held) if held > 0 => {}
                Ok(_) => return,
                // The lease lasts two more tries.
                Err(error) => tracing::warn!(%error, "leases of builds could not be renewed"),
            }
        }
    }

    /// Records all at once; should the database refuse that, one by one, so that one bad register keeps no other.
    async fn record_all(&self, whole: &[(&Build, &Whole)]) -> Recording {
        let mut all = Recording::default();
        match self.record(whole).await {
            Ok(recorded) => all.recorded = recorded,
            Err(error) if whole.len() > 1 && !error.is_retryable() => {
                for one in whole.chunks(1) {
                    let one = Box::pin(self.record_all(one)).await;
                    all.recorded.extend(one.recorded);
                    all.refused.extend(one.refused);
                }
            }
            Err(error) => {
                let refused = || BuildError::Unrecorded {
                    why: error.to_string(),
                    passes: error.is_retryable(),
                };
                let ids = whole.iter().map(|(build, _)| build.summary.register_id);
                all.refused = ids.map(|register| (register, refused())).collect();
            }
        }
        all
    }

    async fn record(&self, whole: &[(&Build, &Whole)]) -> Result<BTreeSet<RegisterId>, StoreError> {
        if whole.is_empty() {
            return Ok(BTreeSet::new());
        }
        let tx = self.store.begin().await?;
        let parts: Vec<(&Build, &[BuiltPart])> = whole.iter().map(|(build, one)| (*build, &*one.parts)).collect();
        let recorded = registers::record_built(&tx, &parts).await?;
        let told = whole.iter().map(|(build, _)| &build.summary);
        let told: Vec<&Summary> = told.filter(|summary| recorded.contains(&summary.register_id)).collect();
        tell_registers(&tx, RegisterEvent::Built, &told, None).await?;
        for (build, one) in whole
            .iter()
            .filter(|(build, _)| recorded.contains(&build.summary.register_id))
        {
            tell_changes(&tx, &build.summary, &one.report).await?;
        }
        tx.commit().await?;
        for (build, one) in whole {
            let about = &build.summary;
            if recorded.contains(&about.register_id) {
                tracing::info!(register = %about.register_id, payee = %about.payee, count = about.count, parts = one.parts.len(), "built");
            }
        }
        metrics::counter!("unigate_registers_built_total").increment(recorded.len() as u64);
        Ok(recorded)
    }

    /// What becomes of a register that was not built.
    async fn settle(&self, build: &Build, error: &BuildError) -> Result<Built, StoreError> {
        let register = build.summary.register_id;
        // Best effort: the sweep finds what this leaves.
        if let Err(error) = store::artifacts::discard_of(&self.store, build.token).await {
            tracing::debug!(%register, %error, "unfinished files are left to the sweep");
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
        self.fail(build, error).await
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
}

/// How long the programs that seal one of these files may take, all together, and let nothing out meanwhile.
fn sealing_limit(builds: &[Build]) -> Duration {
    let of_build = |build: &Build| -> u64 {
        let stages = build.payee.register.as_ref().map(|profile| profile.stages());
        let limit = |stage: &SealStage| match stage {
            SealStage::Command(command) => command.timeout_seconds.into(),
            _ => 0,
        };
        stages.iter().flatten().map(limit).sum()
    };
    Duration::from_secs(builds.iter().map(of_build).max().unwrap_or(0))
}
