//! Writing the files of one register: rows from the database, packed on a thread of their own, chunks to where they lie.
//! What bounds the memory of a build is how many pages and chunks are under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use artifacts::{Artifacts, Draft};
use bytes::Bytes;
use formats::{Report, Tally, Written};
use runtime::aside::Aside;
use store::Store;
use store::artifacts::{Artifact, Finished};
use store::registers::{self, Build, BuiltPart, Place, Shown};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_util::sync::CancellationToken;

use crate::BuildError;
use crate::file::{FileSpec, message_id, shown_by};
use crate::pack::{Page, pack};
use crate::parts::{self, Limits, Planned};
use crate::seal::{Prepared, prepare_all};

/// Rows read at a time: at first, and at most. In between, as many as come to so many bytes.
const PAGE_ROWS_FIRST: i64 = 1000;
const PAGE_ROWS_MOST: i64 = 20_000;
const PAGE_BYTES: i64 = 2 * 1024 * 1024;
/// Pages and chunks under way.
const UNDER_WAY: usize = 2;
/// How often it is worked out what goes into which part, before what sealing adds is somebody's business.
const PLANS_MAX: usize = 6;
/// So often in a row may builders vanish with a register in their hands before nobody tries it any more.
const VANISHED_MOST: i32 = 3;

/// One register being written.
pub(crate) struct Writing<'a> {
    pub(crate) store: &'a Store,
    pub(crate) artifacts: &'a Artifacts,
    pub(crate) mail_from: &'a str,
    pub(crate) build: &'a Build,
    /// Cancelled when the lease is lost.
    pub(crate) lost: &'a CancellationToken,
    /// Counts pages and chunks: where nothing moves any more the lease is let go.
    pub(crate) moved: &'a AtomicU64,
    /// Where stages are prepared.
    pub(crate) aside: &'a Aside,
}

/// A register whose files are written.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) parts: Vec<BuiltPart>,
    /// What they show otherwise than it came.
    pub(crate) report: Report,
}

/// Which rows: those after one (none = from the start), up to a number, or all that follow.
#[derive(Clone, Debug, Default)]
struct Range {
    after: Option<Place>,
    most: Option<i64>,
}

impl Writing<'_> {
    /// Writes all parts. They hold exactly what was frozen, or it fails.
    pub(crate) async fn write(self) -> Result<Whole, BuildError> {
        if self.build.vanished >= VANISHED_MOST {
            return Err(BuildError::Vanished(self.build.vanished));
        }
        // Only a payee that limits its files costs a reading of the rows, or more.
        let Some(mut limits) = Limits::of(self.build) else {
            return self.write_parts(&[parts::whole(self.build)]).await;
        };
        let mut plans = 1;
        loop {
            let plan = Box::pin(self.plan(limits)).await?;
            match Box::pin(self.write_parts(&plan)).await {
                // One payment cannot be divided.
                Err(BuildError::SealedTooLarge { count, text, bytes, .. }) if count > 1 && plans < PLANS_MAX => {
                    limits = limits.shrunk(text, bytes);
                    plans += 1;
                    tracing::debug!(register = %self.build.summary.register_id, text, bytes, "a sealed part is too large");
                    // Those before it are of a plan that is none any more.
                    store::artifacts::discard_of(self.store, self.build.token).await?;
                }
                done => return done,
            }
        }
    }

    async fn write_parts(&self, plan: &[Planned]) -> Result<Whole, BuildError> {
        let mut built = Vec::with_capacity(plan.len());
        let mut all = Tally::default();
        let mut report = Report::default();
        let mut range = Range::default();
        for planned in plan {
            // The last part takes all that is left: what should not be there is noticed.
            let is_last = planned.part.part == planned.part.parts;
            range.most = (!is_last).then_some(planned.part.count);
            let (part, written, last) = self.write_part(planned, &range).await?;
            let tally = written.tally;
            report.add(written.report);
            all.count += tally.count;
            all.total = all.total.wrapping_add(tally.total);
            range.after = last;
            built.push(part);
            runtime::checkpoint("registers", "after_part");
        }
        let frozen = &self.build.summary;
        if (all.count, all.total) != (frozen.count, frozen.total) {
            return Err(BuildError::Disagrees {
                count: all.count,
                total: all.total,
                frozen_count: frozen.count,
                frozen_total: frozen.total,
            });
        }
        Ok(Whole { parts: built, report })
    }

    /// What goes into which part, by a reading of the rows.
    async fn plan(&self, limits: Limits) -> Result<Vec<Planned>, BuildError> {
        let spec = FileSpec::of(self.build, &parts::widest(self.build))?;
        let shown = Arc::new(shown_by(&spec.layout));
        let (pages_in, pages) = channel(UNDER_WAY);
        let planned = async { tokio::task::spawn_blocking(move || parts::plan(&spec, limits, pages)).await? };
        let all = Range::default();
        let read = self.read_rows(&shown, &all, pages_in);
        let (read, planned) = Box::pin(self.unless_lost(async { Ok(tokio::join!(read, planned)) })).await?;
        read?;
        planned
    }

    async fn write_part(
        &self,
        planned: &Planned,
        range: &Range,
    ) -> Result<(BuiltPart, Written, Option<Place>), BuildError> {
        let (written, artifact, last) = self.stream(planned, range).await?;
        let built = BuiltPart {
            part: planned.part,
            file_name: FileSpec::of(self.build, planned)?.name,
            artifact,
            message_id: message_id(&self.build.summary, planned.part, self.mail_from),
        };
        Ok((built, written, last))
    }

    async fn stream(&self, planned: &Planned, range: &Range) -> Result<(Written, Artifact, Option<Place>), BuildError> {
        // Of many small parts none stays in memory until the last is written.
        let mut draft = self.artifacts.draft(self.build.token).holding(planned.part.parts == 1);
        let work = Box::pin(self.stream_into(&mut draft, planned, range));
        let streamed = self.unless_lost(work).await;
        match streamed {
            Ok((written, finished, last)) => match too_large(planned, &finished) {
                None => Ok((written, draft.finish(finished).await?, last)),
                Some(error) => {
                    draft.discard().await;
                    Err(error)
                }
            },
            Err(error) => {
                draft.discard().await;
                Err(error)
            }
        }
    }

    async fn stream_into(
        &self,
        draft: &mut Draft,
        planned: &Planned,
        range: &Range,
    ) -> Result<(Written, Finished, Option<Place>), BuildError> {
        let spec = FileSpec::of(self.build, planned)?;
        let prepared = self.prepare(&spec).await?;
        let shown = Arc::new(shown_by(&spec.layout));
        let (pages_in, pages) = channel(UNDER_WAY);
        let (chunks_in, chunks) = channel(UNDER_WAY);
        let packed = async { tokio::task::spawn_blocking(move || pack(&spec, prepared, pages, chunks_in)).await? };
        let read = self.read_rows(&shown, range, pages_in);
        // The packer's own error comes last where it is only the echo of another's.
        let (read, kept, packed) = tokio::join!(read, self.keep(draft, chunks), packed);
        let last = read?;
        kept?;
        let (written, finished) = packed?;
        Ok((written, finished, last))
    }

    /// What the stages need. Where that hangs, this build fails and no other.
    async fn prepare(&self, spec: &FileSpec) -> Result<Vec<Prepared>, BuildError> {
        if spec.stages.is_empty() {
            return Ok(Vec::new());
        }
        let (payee, stages) = (self.build.summary.payee.to_string(), spec.stages.clone());
        let prepared = self.aside.look(&payee, move || prepare_all(&stages)).await;
        prepared.map_err(BuildError::Unprepared)?
    }

    /// Reads the rows of a range and returns where they end. While a page is handed over, the next is fetched.
    async fn read_rows(
        &self,
        shown: &Arc<Shown>,
        range: &Range,
        pages: Sender<Page>,
    ) -> Result<Option<Place>, BuildError> {
        let mut end = range.after;
        let mut left = range.most.unwrap_or(i64::MAX);
        let mut most = left.min(PAGE_ROWS_FIRST);
        let mut fetched = self.fetch(shown, end, most).await?;
        while let Some(page) = fetched {
            end = page.end()?.or(end);
            let count = page.count();
            self.moved.fetch_add(1, Ordering::Relaxed);
            left = if count < most { 0 } else { left - count };
            most = left.min(page_rows(&page));
            let handed_over = pages.send(Page::Rows(Box::new(page)));
            let (next, handed_over) = tokio::join!(self.fetch(shown, end, most), handed_over);
            if handed_over.is_err() {
                // A packer that is gone says itself why.
                return Ok(end);
            }
            fetched = next?;
        }
        let _ = pages.send(Page::End).await;
        Ok(end)
    }

    /// The next page of so many rows; none when nothing is left to be read.
    async fn fetch(
        &self,
        shown: &Arc<Shown>,
        after: Option<Place>,
        most: i64,
    ) -> Result<Option<registers::Page>, BuildError> {
        if most == 0 {
            return Ok(None);
        }
        let page = registers::page_after(self.store, self.build, shown, after, most).await?;
        Ok(Some(page))
    }

    async fn keep(&self, draft: &mut Draft, mut chunks: Receiver<Bytes>) -> Result<(), BuildError> {
        while let Some(chunk) = chunks.recv().await {
            draft.add(chunk).await?;
            self.moved.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn unless_lost<T>(&self, work: impl Future<Output = Result<T, BuildError>>) -> Result<T, BuildError> {
        tokio::select! {
            done = work => done,
            () = self.lost.cancelled() => Err(BuildError::LeaseLost),
        }
    }
}

/// What is wrong with a file that came out larger than its payee takes.
fn too_large(planned: &Planned, finished: &Finished) -> Option<BuildError> {
    let most = planned.most?;
    let bytes = u64::try_from(finished.bytes).unwrap_or_default();
    (bytes > most).then_some(BuildError::SealedTooLarge {
        count: planned.part.count,
        text: planned.text,
        bytes,
        most,
    })
}

/// How many rows the next page has, so that pages of any rows take about as much memory.
fn page_rows(page: &registers::Page) -> i64 {
    let bytes = i64::try_from(page.bytes()).unwrap_or(i64::MAX);
    let rows = PAGE_BYTES.saturating_mul(page.count()) / bytes.max(1);
    rows.clamp(1, PAGE_ROWS_MOST)
}
