//! The courier of registers: claims one to one recipient, sends it or puts it into its directory, records what came of it.
//!
//! A mail that may have been sent is sent again: the same bytes under the same Message-ID, which the recipient's program
//! sees to be one mail. A register nobody got is worse than one that came twice.

mod record;

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use artifacts::{ArtifactError, Artifacts};
use domain::declaration::Recipient;
use futures::TryStreamExt;
use runtime::Nudge;
use runtime::courier::{Claim, Courier, Done, LaneDue, Wanted};
use store::mailings::{self, Lease, Letter, Mailing};
use store::{Store, StoreError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) use self::record::jitter;
use crate::directory::{self, Put};
use crate::lanes::{Lane, Lanes, PLACES, Relays};
use crate::letter;
use crate::message::{Raw, framed_bytes};
use crate::relay::{BYTES_PER_SECOND, Relay, SendError, Sending};

/// Files in memory at a time, in KiB: mails beyond that wait for others to be out.
const MEMORY_KIB: u32 = 256 * 1024;
/// How long a mail waits for that.
const MEMORY_WAIT: Duration = Duration::from_secs(30);
/// How much longer than connecting and sending a lease lasts: waiting for room, reading the file, recording the end.
pub(crate) const LEASE_MARGIN: Duration = Duration::from_secs(90);

/// Sends what waits, each lane for itself.
#[derive(Debug)]
pub struct MailCourier {
    store: Store,
    artifacts: Artifacts,
    relays: Relays,
    from: String,
    lanes: Lanes,
    memory: Semaphore,
    said_no_relay: AtomicBool,
}

/// A mail in hand.
#[derive(Debug)]
pub struct Job {
    mailing: Mailing,
    lane: Arc<Lane>,
    /// Given back when what came of it is recorded.
    place: Mutex<Option<OwnedSemaphorePermit>>,
}

/// What came of it.
#[derive(Debug)]
pub enum Report {
    /// The relay has taken it over, or the file is in its directory.
    Sent,
    /// Not this time.
    Later(String),
    /// Perhaps: the message was out, and no answer came.
    Maybe(String),
    /// Not this time, and it was not about this mail.
    Away(Away),
    /// Never.
    Refused(String),
}

/// A relay or directory that was not there.
#[derive(Debug)]
pub struct Away {
    /// How that was seen.
    pub error: String,
    /// Whether people are to be told now: once per outage.
    pub tell: bool,
}

impl MailCourier {
    /// A courier; without a relay what has none of its own waits.
    pub fn new(store: Store, artifacts: Artifacts, relay: Option<Relay>, from: impl Into<String>) -> Self {
        Self {
            store,
            artifacts,
            relays: Relays::new(relay),
            from: from.into(),
            lanes: Lanes::default(),
            memory: Semaphore::new(MEMORY_KIB as usize),
            said_no_relay: AtomicBool::new(false),
        }
    }

    /// The same, leaving what is away alone for this long each time: for tests of what finds it resting.
    pub fn with_rest(self, rest: Duration) -> Self {
        Self {
            lanes: Lanes::resting(rest),
            ..self
        }
    }

    /// The mail without its file: as it first went out, or as it would now.
    fn letter(&self, mailing: &Mailing) -> Result<Letter, Report> {
        if let Some(letter) = &mailing.letter {
            return Ok(letter.clone());
        }
        letter::write(mailing, &self.from).map_err(|error| Report::Refused(error.to_string()))
    }

    async fn file(&self, mailing: &Mailing) -> Result<Vec<u8>, Report> {
        // Only once in memory, as it is counted there.
        let mut file = Vec::with_capacity(usize::try_from(mailing.bytes).unwrap_or(0));
        let mut chunks = pin!(self.artifacts.read(&mailing.sha256));
        while let Some(chunk) = chunks.try_next().await.map_err(unread)? {
            file.extend_from_slice(&chunk);
        }
        if i64::try_from(file.len()) == Ok(mailing.bytes) {
            return Ok(file);
        }
        let (found, whole) = (file.len(), mailing.bytes);
        Err(Report::Refused(format!("the file has {found} of {whole} bytes")))
    }

    async fn mail(&self, job: &Job, address: &str) -> Result<Report, Report> {
        let mailing = &job.mailing;
        let relay = self.relays.of(&mailing.lane, mailing.profile.as_ref()).await;
        let relay = relay.map_err(|error| away(&job.lane, &error))?;
        let letter = self.letter(mailing)?;
        let file_bytes = u64::try_from(mailing.bytes).unwrap_or(0);
        let bytes = framed_bytes(&letter.head, file_bytes, &letter.tail);
        let most = mailing.profile.clone().unwrap_or_default().most_bytes();
        if bytes > most {
            return Err(Report::Refused(format!(
                "the mail would have {bytes} bytes, and {most} are allowed; hand the file over with `registers save`, or see \
                 register.mail.max_bytes"
            )));
        }
        // In this order: a relay that is away costs no memory, and one that takes no such mail none either.
        let session = relay.open().await.map_err(|error| away(&job.lane, &error))?;
        session
            .takes(bytes)
            .map_err(|error| Report::Refused(error.to_string()))?;
        let kib = u32::try_from(file_bytes / 1024 + 1).unwrap_or(u32::MAX).min(MEMORY_KIB);
        let room = tokio::time::timeout(MEMORY_WAIT, self.memory.acquire_many(kib)).await;
        let Ok(Ok(_room)) = room else {
            return Err(Report::Later(
                "other mails took all the memory there is for them".to_owned(),
            ));
        };
        let file = self.file(mailing).await?;
        // Not before it goes out: what waits for a relay is still to be mended.
        let frozen = mailings::freeze(&self.store, &mailing.message_id, &letter).await;
        let letter = frozen.map_err(|error| Report::Later(error.to_string()))?;
        let raw = Raw::framed(&letter.head, &file, &letter.tail);
        Ok(sent(&job.lane, session.send(raw, &letter.mail_from, address).await))
    }

    async fn put(&self, job: &Job, directory: PathBuf) -> Report {
        let mailing = &job.mailing;
        let put = Put {
            mark: mark(mailing, &directory),
            directory,
            name: mailing.file_name.clone(),
            mailing: mailing.mailing_id,
            sha256: mailing.sha256.clone(),
        };
        let chunks = self.artifacts.read(&mailing.sha256);
        let put = match directory::put(&job.lane, put, chunks).await {
            Ok(put) => put,
            Err(error) => return unread(error),
        };
        match put {
            Err(error) if !error.is_final() => Report::Away(note_away(&job.lane, error.to_string(), true)),
            Err(error) => {
                back(&job.lane);
                Report::Refused(error.to_string())
            }
            Ok(()) => {
                back(&job.lane);
                Report::Sent
            }
        }
    }
}

/// What marks the directory as the payee's: as declared now, or when the register was closed if it has another one since.
fn mark(mailing: &Mailing, path: &Path) -> Option<String> {
    let then = mailing
        .payee
        .register
        .as_ref()
        .and_then(|register| register.directory.as_ref());
    let mut declared = [mailing.directory.as_ref(), then].into_iter().flatten();
    declared.find(|directory| directory.path == path)?.mark.clone()
}

/// What was stored is damaged or gone: no later try mends that.
fn unread(error: ArtifactError) -> Report {
    if error.passes() {
        Report::Later(error.to_string())
    } else {
        Report::Refused(error.to_string())
    }
}

/// What a send comes to, also for the lane it went through. A relay that lets us in and then says that it does not is not
/// back.
pub(crate) fn sent(lane: &Lane, sending: Sending) -> Report {
    if let Sending::NotSent { error, .. } = &sending
        && error.is_about_the_relay()
    {
        return away(lane, error);
    }
    back(lane);
    match sending {
        Sending::Sent { .. } => Report::Sent,
        Sending::NotSent { retry: true, error } => Report::Later(error.to_string()),
        Sending::NotSent { retry: false, error } => Report::Refused(error.to_string()),
        Sending::Maybe { error } => Report::Maybe(error.to_string()),
    }
}

fn away(lane: &Lane, error: &SendError) -> Report {
    Report::Away(note_away(lane, error.to_string(), error.is_about_settings()))
}

fn note_away(lane: &Lane, error: String, needs_somebody: bool) -> Away {
    let now = Instant::now();
    let mut gate = lane.gate();
    if gate.failed(now) {
        tracing::warn!(error, "a mail relay or directory is away; what goes there waits");
    }
    let tell = gate.takes_notice(needs_somebody, now);
    Away { error, tell }
}

fn back(lane: &Lane) {
    if lane.gate().answered() {
        tracing::info!("a mail relay or directory is back");
    }
}

impl Courier for MailCourier {
    const NAME: &'static str = "mailer";
    const NUDGE: Nudge = Nudge::Mails;
    const TOGETHER: usize = 1;
    type Job = Job;
    type Report = Report;

    async fn lanes_due(&self, _: &[String]) -> Result<Vec<LaneDue>, StoreError> {
        let mut lanes = mailings::lanes_due(&self.store).await?;
        if !self.relays.has_usual() {
            if !self.said_no_relay.swap(true, Ordering::Relaxed) {
                tracing::warn!("UNIGATE_SMTP_URL is not set: registers are built and wait to be mailed");
            }
            lanes.retain(|due| !due.lane.is_empty());
        }
        let due = |due: mailings::LaneDue| LaneDue {
            due_in: due.due_in.max(self.lanes.of(&due.lane).gate().shut_for(Instant::now())),
            lane: due.lane,
        };
        Ok(lanes.into_iter().map(due).collect())
    }

    async fn claim(&self, wanted: &[Wanted]) -> Result<Claim<Job>, StoreError> {
        let mut places = Vec::new();
        for Wanted { lane, most, .. } in wanted {
            if lane.is_empty() && !self.relays.has_usual() {
                continue;
            }
            let free = self.lanes.of(lane).places((*most).min(PLACES));
            places.push((lane.as_str(), free));
        }
        places.retain(|(_, free)| !free.is_empty());
        if places.is_empty() {
            return Ok(Vec::new().into());
        }
        let asked: Vec<(String, usize)> = places
            .iter()
            .map(|(lane, free)| ((*lane).to_owned(), free.len()))
            .collect();
        let lease = Lease {
            least: 2 * self.relays.timeout() + LEASE_MARGIN,
            bytes_per_second: BYTES_PER_SECOND / 2,
        };
        let claimed = mailings::claim(&self.store, &asked, lease).await?;
        let jobs = claimed.into_iter().map(|mailing| {
            let place = places.iter_mut().find(|(lane, _)| *lane == mailing.lane);
            Job {
                lane: self.lanes.of(&mailing.lane),
                place: Mutex::new(place.and_then(|(_, free)| free.pop())),
                mailing,
            }
        });
        Ok(jobs.collect::<Vec<_>>().into())
    }

    fn lane(job: &Job) -> &str {
        &job.mailing.lane
    }

    async fn call(&self, job: &Job) -> Report {
        if job.mailing.lost {
            let after = job.mailing.attempts - 1;
            return Report::Refused(format!("given up after {after} attempts: whoever was at it vanished"));
        }
        match Recipient::of(&job.mailing.recipient) {
            Recipient::Directory(directory) => self.put(job, directory).await,
            Recipient::Address(address) => Box::pin(self.mail(job, &address)).await.unwrap_or_else(|report| report),
        }
    }

    async fn record(&self, done: &[Done<Job, Report>]) -> Result<(), StoreError> {
        for Done { job, report } in done {
            record::record(&self.store, &job.mailing, report).await?;
            drop(job.place.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
        Ok(())
    }
}
