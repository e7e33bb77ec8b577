//! The courier's three verbs for online payees: claim, call, record.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::declaration::Payee;
use domain::delivery::{Ending, Verdict};
use domain::limits::BATCH_MAX;
use runtime::courier::{Claim, Courier, Done, LaneDue, Wanted};
use runtime::{Context, Nudge};
use store::StoreError;
use store::deliveries::{self, Claimed};
use store::lanes::{Ask, Calls, LEASE_MARGIN, Slot};

use crate::record::{self, Ended};
use crate::told::Told;
use crate::{Gateway, Report};

/// Delivers the payments of a gateway's payees.
pub(crate) struct Payments<G> {
    pub(crate) context: Context,
    pub(crate) gateway: Arc<G>,
}

/// One call to make, with the payee as declared when it was claimed.
pub(crate) struct Job {
    claimed: Claimed,
    payee: Arc<Payee>,
    /// Before the claim: the lease is younger.
    begun: Instant,
    /// When it may be made, by the payee's rate: at once, for most payees.
    at: Instant,
}

impl<G: Gateway> Courier for Payments<G> {
    const NAME: &'static str = G::NAMES.courier;
    const NUDGE: Nudge = G::NUDGE;
    const TOGETHER: usize = BATCH_MAX;
    type Job = Job;
    type Report = Report;

    async fn lanes_due(&self, but_for: &[String]) -> Result<Vec<LaneDue>, StoreError> {
        // Together: whoever wakes this has mostly left something to do.
        let due = deliveries::lanes_due(&self.context.store, but_for);
        let (due, declarations) = tokio::try_join!(due, self.context.declarations())?;
        let is_ours = |lane: &str| {
            let declared = declarations.payees.get(lane);
            declared.is_some_and(|declared| declared.value.gateway == G::WORD)
        };
        let ours = due.into_iter().filter(|(lane, _)| is_ours(lane));
        Ok(ours.map(|(lane, due_in)| LaneDue { lane, due_in }).collect())
    }

    async fn claim(&self, wanted: &[Wanted]) -> Result<Claim<Job>, StoreError> {
        let declarations = self.context.declarations_just_read().await?;
        let payee_of = |lane: &str| Some(declarations.payees.get(lane)?.value.clone());
        let payees: HashMap<&str, Arc<Payee>> = wanted
            .iter()
            .filter_map(|Wanted { lane, .. }| Some((lane.as_str(), payee_of(lane)?)))
            .collect();
        let called: Vec<_> = wanted
            .iter()
            .filter_map(|wanted| Some((wanted, payees.get(wanted.lane.as_str())?.online()?)))
            .collect();
        let quiet: Vec<_> = called.iter().map(|(_, online)| |now| online.quiet_until(now)).collect();
        let asks: Vec<Ask<'_>> = called
            .iter()
            .zip(&quiet)
            .map(|((wanted, online), quiet_until)| Ask {
                lane: &wanted.lane,
                most: wanted.most,
                calls: Calls {
                    longest: Duration::from_secs(online.timeout_seconds.into()),
                    quiet_until,
                },
                ended: &wanted.ended,
            })
            .collect();
        let begun = Instant::now();
        let claims = deliveries::claim(&self.context.store, &asks, &self.context.worker).await?;
        let taken = Instant::now();
        let jobs = claims.calls.into_iter().filter_map(|claimed| {
            let payee = payees.get(claimed.due.payee.as_str())?.clone();
            let at = taken + claimed.start_in;
            Some(Job {
                claimed,
                payee,
                begun,
                at,
            })
        });
        Ok(Claim {
            jobs: jobs.collect(),
            passed_over: claims.passed_over > 0,
            short: claims.short,
        })
    }

    fn lane(job: &Job) -> &str {
        &job.claimed.slot.lane
    }

    fn freed(job: &Job, report: &Report) -> Option<Slot> {
        report.told.frees_its_slot().then(|| job.claimed.slot.clone())
    }

    async fn call(&self, job: &Job) -> Report {
        let Claimed { act, due, .. } = &job.claimed;
        tokio::time::sleep_until(job.at.into()).await;
        // A process that stood still must not call when its lease may be over and the payment in other hands.
        if job.begun.elapsed() >= LEASE_MARGIN {
            let why = "the worker stood still before the call".to_owned();
            return Report::without_request(Told::missed(why));
        }
        let Report { request, told } = self.gateway.act(&job.payee, *act, due).await;
        Report {
            request,
            told: told.in_clean_words(),
        }
    }

    async fn record(&self, done: &[Done<Job, Report>]) -> Result<(), StoreError> {
        // What is sent again is sent as the payee is declared now, and not as it was when the call began. The common ends, which
        // leave nothing to be sent, cost no look for that.
        let declarations = match done.iter().all(|Done { report, .. }| leaves_nothing(&report.told)) {
            true => self.context.declarations_just_read().await?,
            false => self.context.declarations().await?,
        };
        let declared = |job: &Job| Some(declarations.payees.get(&job.payee.id)?.value.clone());
        let payees: Vec<_> = done
            .iter()
            .map(|Done { job, .. }| declared(job).unwrap_or_else(|| job.payee.clone()))
            .collect();
        let is_idempotent = |payee: &Payee| payee.online().is_some_and(|online| online.idempotent);
        let ended: Vec<_> = done
            .iter()
            .zip(&payees)
            .map(|(Done { job, report }, payee)| Ended {
                attempt_id: job.claimed.attempt_id,
                payee,
                doubtful: is_idempotent(&job.payee) && !is_idempotent(payee),
                request: report.request.as_deref(),
                told: &report.told,
            })
            .collect();
        record::record(&self.context, &ended).await
    }
}

/// The payee has said how the payment ended.
fn leaves_nothing(told: &Told) -> bool {
    use Verdict as V;
    matches!(
        told.ending,
        Ending::Answered(V::Accepted | V::AlreadyAccepted | V::Refused)
    )
}
