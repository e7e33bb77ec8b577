//! The courier's three verbs for online payees: claim, call, record.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::declaration::Payee;
use domain::limits::BATCH_MAX;
use runtime::courier::{Claim, Courier, Done, LaneDue, Wanted};
use runtime::{Context, Nudge};
use store::StoreError;
use store::deliveries::{self, Claimed};
use store::lanes::{Ask, Calls, LEASE_MARGIN};

use crate::client::Caller;
use crate::profiles::Target;
use crate::record::{self, Ended};
use crate::told::Told;

/// Delivers payments to online payees.
pub(crate) struct Unikassa {
    pub(crate) context: Context,
    pub(crate) caller: Arc<Caller>,
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

/// What was sent and what came of it.
pub(crate) struct Report {
    request: Option<String>,
    told: Told,
}

impl Courier for Unikassa {
    const NAME: &'static str = "unikassa";
    const NUDGE: Nudge = Nudge::Payments;
    const TOGETHER: usize = BATCH_MAX;
    type Job = Job;
    type Report = Report;

    async fn lanes_due(&self) -> Result<Vec<LaneDue>, StoreError> {
        let due = deliveries::lanes_due(&self.context.store).await?;
        Ok(due.into_iter().map(|(lane, due_in)| LaneDue { lane, due_in }).collect())
    }

    async fn claim(&self, wanted: &[Wanted]) -> Result<Claim<Job>, StoreError> {
        let declarations = self.context.declarations().await?;
        let payee_of = |lane: &str| Some(declarations.payees.get(lane)?.value.clone());
        let payees: HashMap<&str, Arc<Payee>> = wanted
            .iter()
            .filter_map(|Wanted { lane, .. }| Some((lane.as_str(), payee_of(lane)?)))
            .collect();
        let profiles: Vec<_> = wanted
            .iter()
            .filter_map(|wanted| Some((wanted, payees.get(wanted.lane.as_str())?.unikassa.as_ref()?)))
            .collect();
        let quiet: Vec<_> = profiles
            .iter()
            .map(|(_, profile)| move |now| profile.quiet_until(now))
            .collect();
        let asks: Vec<Ask<'_>> = profiles
            .iter()
            .zip(&quiet)
            .map(|((wanted, profile), quiet_until)| Ask {
                lane: &wanted.lane,
                most: wanted.most,
                calls: Calls {
                    longest: Duration::from_secs(profile.timeout_seconds.into()),
                    quiet_until,
                },
            })
            .collect();
        let begun = Instant::now();
        let (claimed, passed_over) = deliveries::claim(&self.context.store, &asks, &self.context.worker).await?;
        let taken = Instant::now();
        let jobs = claimed.into_iter().filter_map(|claimed| {
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
            passed_over: passed_over > 0,
        })
    }

    fn lane(job: &Job) -> &str {
        &job.claimed.slot.lane
    }

    async fn call(&self, job: &Job) -> Report {
        let Claimed { act, due, .. } = &job.claimed;
        tokio::time::sleep_until(job.at.into()).await;
        let not_made = |told: Told| Report { request: None, told };
        // A process that stood still must not call when its lease may be over and the payment in other hands.
        if job.begun.elapsed() >= LEASE_MARGIN {
            return not_made(Told::not_made("the worker stood still before the call".to_owned()));
        }
        let target = match Target::of(&job.payee) {
            Ok(target) => target,
            Err(why) => return not_made(Told::not_sent(why)),
        };
        let request = match target.dialect.act(*act, due) {
            Ok(request) => request,
            Err(why) => return not_made(Told::not_made(why)),
        };
        let shown = request.shown.clone();
        let wire = self.caller.call(&target, request, due.traceparent.as_deref()).await;
        Report {
            request: Some(shown),
            told: Told::of_act(
                wire,
                |status| target.dialect.judges(*act, status),
                |answer| target.dialect.read_act(*act, due, answer),
            ),
        }
    }

    async fn record(&self, done: &[Done<Job, Report>]) -> Result<(), StoreError> {
        let ended: Vec<_> = done
            .iter()
            .map(|Done { job, report }| Ended {
                attempt_id: job.claimed.attempt_id,
                payee: &job.payee,
                request: report.request.as_deref(),
                told: &report.told,
            })
            .collect();
        record::record(&self.context, &ended).await
    }
}
