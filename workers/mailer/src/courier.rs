//! The courier of mails: claims one, sends it, records what came of it.
//!
//! A mail that may have been sent is sent again: the same bytes under the same Message-ID, which the recipient's program
//! sees to be one mail. A register nobody got is worse than one that came twice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use artifacts::{ArtifactError, Artifacts};
use contract::event::RegisterEvent;
use futures::TryStreamExt;
use jiff::tz::TimeZone;
use runtime::courier::{Claim, Courier, Done, LaneDue, Wanted};
use runtime::{Nudge, tell_register};
use store::mailings::{self, Kept, Mailing};
use store::{Store, StoreError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::gate::Gate;
use crate::message::RegisterMail;
use crate::relay::{Relay, SendError, Sending, Stage};

/// Mails in hand per process: each holds its file in memory.
const IN_HAND: usize = 8;
/// Larger files are not mailed: hardly any server would take them. Base64 makes a third more of them on the wire.
const FILE_BYTES_MAX: i64 = 25 * 1024 * 1024;
/// Waits before the next try, in seconds; the last one repeats until the mail's four days are over. The first are short:
/// a greylisting server wants patience, a restarted one does not.
pub(crate) const RETRY_SECONDS: [u32; 9] = [10, 30, 120, 300, 900, 1800, 3600, 7200, 14400];
/// How much longer than a send a lease lasts: reading the file, recording the end.
pub(crate) const LEASE_MARGIN: Duration = Duration::from_secs(60);

/// Sends what waits through one relay.
#[derive(Debug)]
pub struct MailCourier {
    store: Store,
    artifacts: Artifacts,
    relay: Option<Relay>,
    from: String,
    room: Arc<Semaphore>,
    gate: Mutex<Gate>,
    said_no_relay: AtomicBool,
}

/// A mail in hand.
#[derive(Debug)]
pub struct Job {
    mailing: Mailing,
    /// Given back when what came of it is recorded.
    place: Mutex<Option<OwnedSemaphorePermit>>,
}

/// What came of it.
#[derive(Debug)]
pub enum Report {
    /// The relay has taken it over.
    Sent,
    /// Not this time.
    Later(String),
    /// Not this time, and it was not about this mail: the relay was not there.
    Unreachable(String),
    /// Never.
    Refused(String),
}

impl MailCourier {
    /// A courier; without a relay everything waits.
    pub fn new(store: Store, artifacts: Artifacts, relay: Option<Relay>, from: impl Into<String>) -> Self {
        Self {
            store,
            artifacts,
            relay,
            from: from.into(),
            room: Arc::new(Semaphore::new(IN_HAND)),
            gate: Mutex::default(),
            said_no_relay: AtomicBool::new(false),
        }
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The mail as it goes out. Made anew for every try, and the same every time.
    async fn message(&self, mailing: &Mailing) -> Result<Vec<u8>, Report> {
        if mailing.bytes > FILE_BYTES_MAX {
            return Err(Report::Refused(format!(
                "the file has {} bytes, more than can be mailed; hand it over with `registers save`",
                mailing.bytes
            )));
        }
        let chunks: Result<Vec<_>, _> = self.artifacts.read(&mailing.sha256).try_collect().await;
        let file = chunks.map_err(unread)?.concat();
        if i64::try_from(file.len()) != Ok(mailing.bytes) {
            return Err(Report::Refused(format!(
                "the file has {} of {} bytes",
                file.len(),
                mailing.bytes
            )));
        }
        let zone = mailing
            .payee
            .register
            .as_ref()
            .map_or(TimeZone::UTC, |profile| profile.time_zone.tz().clone());
        let mail = RegisterMail {
            message_id: &mailing.message_id,
            from: &self.from,
            to: &mailing.to,
            date: mailing.built_at,
            payee_name: &mailing.payee.name,
            time_zone: &zone,
            register: &mailing.summary,
            file_name: &mailing.file_name,
            file: &file,
        };
        mail.to_bytes().map_err(|error| Report::Refused(error.to_string()))
    }

    async fn send(&self, relay: &Relay, mailing: &Mailing) -> Report {
        let raw = match self.message(mailing).await {
            Ok(raw) => raw,
            Err(report) => return report,
        };
        let report = match relay.send(&raw, &self.from, &mailing.recipient).await {
            Sending::Sent { .. } => Report::Sent,
            Sending::NotSent { error, .. } if is_about_the_relay(&error) => Report::Unreachable(error.to_string()),
            Sending::NotSent { retry: true, error } | Sending::Maybe { error } => Report::Later(error.to_string()),
            Sending::NotSent { retry: false, error } => Report::Refused(error.to_string()),
        };
        if let Report::Unreachable(error) = &report {
            if self.gate().failed(Instant::now()) {
                tracing::warn!(error, "the mail relay is away; mails wait");
            }
        } else if self.gate().answered() {
            tracing::info!("the mail relay is back");
        }
        report
    }

    async fn record_sent(&self, mailing: &Mailing) -> Result<(), StoreError> {
        let tx = self.store.begin().await?;
        let mailed = mailings::record_sent(&tx, mailing).await?;
        if mailed {
            tell_register(&tx, RegisterEvent::Mailed, &mailing.summary, None).await?;
        }
        tx.commit().await?;
        tracing::info!(register = %mailing.summary.register_id, mailed, "a register's mail was taken by the relay");
        Ok(())
    }

    async fn record_unsent(&self, mailing: &Mailing, report: &Report) -> Result<(), StoreError> {
        let tx = self.store.begin().await?;
        let register = mailing.summary.register_id;
        let (kept, error) = match report {
            Report::Sent => return Ok(()),
            Report::Later(error) => {
                let step = u32::try_from(mailing.attempts - 1).unwrap_or(0);
                let delay = domain::retry::retry_delay(&RETRY_SECONDS, step, jitter(mailing.mailing_id));
                tracing::warn!(%register, error, ?delay, "a register's mail was not taken and will be sent again");
                (mailings::record_retry(&tx, mailing, error, delay).await?, error)
            }
            Report::Unreachable(error) => (mailings::put_back_untried(&tx, mailing, error).await?, error),
            Report::Refused(error) => (mailings::record_failed(&tx, mailing, error).await?, error),
        };
        if kept == Kept::Failed {
            tell_register(&tx, RegisterEvent::Failed, &mailing.summary, Some(error)).await?;
            metrics::counter!("unigate_registers_failed_total", "stage" => "mail").increment(1);
            tracing::error!(%register, error, "a register cannot be mailed");
        }
        tx.commit().await
    }
}

/// What was stored is damaged or gone: no later try mends that.
fn unread(error: ArtifactError) -> Report {
    if error.passes() {
        Report::Later(error.to_string())
    } else {
        Report::Refused(error.to_string())
    }
}

/// Whether the relay never came as far as this mail.
pub(crate) fn is_about_the_relay(error: &SendError) -> bool {
    match error {
        SendError::Smtp { stage, .. } | SendError::Timeout { stage, .. } => *stage <= Stage::Login,
        SendError::PasswordInClear => true,
        _ => false,
    }
}

/// Within 20 %, by the mail's id: mails that failed together do not come back together.
pub(crate) fn jitter(mail: Uuid) -> f64 {
    let tail = mail.as_bytes()[15];
    (f64::from(tail) / 255.0 - 0.5) * 2.0 * domain::retry::JITTER
}

impl Courier for MailCourier {
    const NAME: &'static str = "mailer";
    const NUDGE: Nudge = Nudge::Mails;
    const TOGETHER: usize = 1;
    type Job = Job;
    type Report = Report;

    async fn lanes_due(&self) -> Result<Vec<LaneDue>, StoreError> {
        if self.relay.is_none() {
            if !self.said_no_relay.swap(true, Ordering::Relaxed) {
                tracing::warn!("UNIGATE_SMTP_URL is not set: registers are built and wait to be mailed");
            }
            return Ok(Vec::new());
        }
        let Some(due_in) = mailings::due_in(&self.store).await? else {
            return Ok(Vec::new());
        };
        let due_in = due_in.max(self.gate().shut_for(Instant::now()));
        Ok(vec![LaneDue {
            lane: "mail".to_owned(),
            due_in,
        }])
    }

    async fn claim(&self, wanted: &[Wanted]) -> Result<Claim<Job>, StoreError> {
        let Some(relay) = &self.relay else {
            return Ok(Vec::new().into());
        };
        let admitted = self.gate().admits(
            wanted.iter().map(|wanted| wanted.most).sum::<usize>().min(IN_HAND),
            Instant::now(),
        );
        let mut places = Vec::new();
        while places.len() < admitted
            && let Ok(place) = self.room.clone().try_acquire_owned()
        {
            places.push(place);
        }
        if places.is_empty() {
            return Ok(Vec::new().into());
        }
        let claimed = mailings::claim(&self.store, places.len(), relay.timeout() + LEASE_MARGIN).await?;
        let jobs = claimed.into_iter().zip(places).map(|(mailing, place)| Job {
            mailing,
            place: Mutex::new(Some(place)),
        });
        Ok(jobs.collect::<Vec<_>>().into())
    }

    fn lane(_job: &Job) -> &str {
        "mail"
    }

    async fn call(&self, job: &Job) -> Report {
        match &self.relay {
            Some(relay) => self.send(relay, &job.mailing).await,
            None => Report::Later("UNIGATE_SMTP_URL is not set".to_owned()),
        }
    }

    async fn record(&self, done: &[Done<Job, Report>]) -> Result<(), StoreError> {
        for Done { job, report } in done {
            match report {
                Report::Sent => self.record_sent(&job.mailing).await?,
                other => self.record_unsent(&job.mailing, other).await?,
            }
            drop(job.place.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
        Ok(())
    }
}
