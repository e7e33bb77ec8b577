//! The courier of notices: puts what waits into one mail per recipient, then claims, sends and records each.
//!
//! The first notice after a quiet time goes out at once. What happens within the pause after that waits for its end and
//! goes together, so a flood of alerts is not a flood of mails. Without a recipient or a relay everything waits.

mod letter;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use domain::declaration::RETRY_SECONDS_USUAL;
use runtime::Nudge;
use runtime::courier::{Claim, Courier, Done, LaneDue, Wanted};
use store::mailings::Kept;
use store::notices::{self, NewMail, NoticeMail, Waiting};
use store::{Store, StoreError};
use uuid::Uuid;

use self::letter::compose;
use crate::courier::{Away, LEASE_MARGIN, Report, jitter, sent};
use crate::lanes::{Lane, PLACES};
use crate::relay::Relay;

/// Mails what people should know of.
#[derive(Debug)]
pub struct NoticeCourier {
    store: Store,
    relay: Option<Relay>,
    from: String,
    to: Vec<String>,
    pause: Duration,
    lane: Lane,
    said_nobody: AtomicBool,
}

impl NoticeCourier {
    /// A courier that tells `to` of everything, besides whom a notice names itself, and nobody more often than once per
    /// `pause`.
    pub fn new(store: Store, relay: Option<Relay>, from: impl Into<String>, to: Vec<String>, pause: Duration) -> Self {
        Self {
            store,
            relay,
            from: from.into(),
            to,
            pause,
            lane: Lane::default(),
            said_nobody: AtomicBool::new(false),
        }
    }

    /// Puts what waits into a mail per recipient. Returns how many mails.
    pub async fn gather(&self) -> Result<usize, StoreError> {
        let tx = self.store.begin().await?;
        let waiting = notices::gather(&tx, !self.to.is_empty()).await?;
        let mails = self.mails(&waiting);
        if !mails.is_empty() {
            notices::put_in_mails(&tx, &mails, self.pause).await?;
        }
        tx.commit().await?;
        Ok(mails.len())
    }

    fn mails(&self, waiting: &[Waiting]) -> Vec<NewMail> {
        let mut of: BTreeMap<&str, Vec<&Waiting>> = BTreeMap::new();
        for notice in waiting {
            let own = notice.mail_to.iter().filter(|address| !self.to.contains(address));
            for recipient in self.to.iter().chain(own) {
                let told = of.entry(recipient).or_default();
                if told.last().is_none_or(|last| last.notice_id != notice.notice_id) {
                    told.push(notice);
                }
            }
        }
        let mail = |(recipient, notices): (&str, Vec<&Waiting>)| {
            let mail_id = Uuid::now_v7();
            let (subject, body) = compose(&notices);
            NewMail {
                mail_id,
                recipient: recipient.to_owned(),
                mail_from: self.from.clone(),
                message_id: letter::message_id(mail_id, &self.from),
                subject,
                body,
                notices: notices.iter().map(|notice| notice.notice_id).collect(),
            }
        };
        of.into_iter().map(mail).collect()
    }

    async fn warn_if_nobody_is_told(&self) -> Result<(), StoreError> {
        let nobody = self.to.is_empty() || self.relay.is_none();
        if nobody
            && !self.said_nobody.load(Ordering::Relaxed)
            && (self.relay.is_none() || notices::any_without_recipient(&self.store).await?)
        {
            self.said_nobody.store(true, Ordering::Relaxed);
            let missing = if self.relay.is_none() {
                "UNIGATE_SMTP_URL"
            } else {
                "UNIGATE_ALERT_MAIL_TO"
            };
            tracing::warn!("{missing} is not set: alerts wait, and `unigate notices list` shows them");
        }
        Ok(())
    }

    async fn send(&self, relay: &Relay, mail: &NoticeMail) -> Report {
        let raw = match letter::to_bytes(mail) {
            Ok(raw) => raw,
            Err(error) => return Report::Refused(error.to_string()),
        };
        sent(&self.lane, relay.send(&raw, &mail.mail_from, &mail.recipient).await)
    }

    async fn record_one(&self, mail: &NoticeMail, report: &Report) -> Result<(), StoreError> {
        let id = mail.mail_id;
        let (kept, error) = match report {
            Report::Sent => {
                notices::record_sent(&self.store, mail).await?;
                tracing::info!(mail = %id, notices = mail.count, "a mail of alerts was taken by the relay");
                return Ok(());
            }
            Report::Later(error) | Report::Maybe(error) => {
                let step = u32::try_from(mail.attempts - 1).unwrap_or(0);
                let delay = domain::retry::retry_delay(&RETRY_SECONDS_USUAL, step, jitter(id));
                tracing::warn!(mail = %id, error, ?delay, "a mail of alerts was not taken and will be sent again");
                (notices::record_retry(&self.store, mail, error, delay).await?, error)
            }
            Report::Away(Away { error, .. }) => (notices::put_back_untried(&self.store, mail, error).await?, error),
            Report::Refused(error) => (notices::record_failed(&self.store, mail, error).await?, error),
        };
        if kept == Kept::Failed {
            metrics::counter!("unigate_notice_mails_failed_total").increment(1);
            tracing::error!(mail = %id, error, "alerts cannot be mailed; `unigate notices list` has them");
        }
        Ok(())
    }
}

impl Courier for NoticeCourier {
    const NAME: &'static str = "notices";
    const NUDGE: Nudge = Nudge::Notices;
    const TOGETHER: usize = 1;
    type Job = NoticeMail;
    type Report = Report;

    async fn lanes_due(&self, _: &[String]) -> Result<Vec<LaneDue>, StoreError> {
        self.warn_if_nobody_is_told().await?;
        if self.relay.is_none() {
            return Ok(Vec::new());
        }
        self.gather().await?;
        let Some(due_in) = notices::due_in(&self.store, !self.to.is_empty()).await? else {
            return Ok(Vec::new());
        };
        Ok(vec![LaneDue {
            lane: "notices".to_owned(),
            due_in: due_in.max(self.lane.gate().shut_for(Instant::now())),
        }])
    }

    async fn claim(&self, wanted: &[Wanted]) -> Result<Claim<NoticeMail>, StoreError> {
        let Some(relay) = &self.relay else {
            return Ok(Vec::new().into());
        };
        let most = wanted.iter().map(|wanted| wanted.most).sum::<usize>();
        // Nobody has more recipients than would be served in a moment.
        let admitted = self.lane.gate().admits(most.min(PLACES), Instant::now());
        if admitted == 0 {
            return Ok(Vec::new().into());
        }
        let claimed = notices::claim(&self.store, admitted, 2 * relay.timeout() + LEASE_MARGIN).await?;
        Ok(claimed.into())
    }

    fn lane(_job: &NoticeMail) -> &str {
        "notices"
    }

    async fn call(&self, mail: &NoticeMail) -> Report {
        match &self.relay {
            Some(relay) => self.send(relay, mail).await,
            None => Report::Later("UNIGATE_SMTP_URL is not set".to_owned()),
        }
    }

    async fn record(&self, done: &[Done<NoticeMail, Report>]) -> Result<(), StoreError> {
        for Done { job, report } in done {
            self.record_one(job, report).await?;
        }
        Ok(())
    }
}
