//! The courier's three verbs for online payees: claim, call, record.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::declaration::Payee;
use runtime::courier::{Courier, LaneDue};
use runtime::{Context, Nudge};
use store::StoreError;
use store::deliveries::{self, Claimed};
use store::lanes::LEASE_MARGIN;

use crate::client::Caller;
use crate::profiles::Target;
use crate::record;
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
}

/// What was sent and what came of it.
pub(crate) struct Report {
    request: Option<String>,
    told: Told,
}

impl Courier for Unikassa {
    const NAME: &'static str = "unikassa";
    const NUDGE: Nudge = Nudge::Payments;
    type Job = Job;
    type Report = Report;

    async fn lanes_due(&self) -> Result<Vec<LaneDue>, StoreError> {
        let due = deliveries::lanes_due(&self.context.store).await?;
        Ok(due.into_iter().map(|(lane, due_in)| LaneDue { lane, due_in }).collect())
    }

    async fn claim(&self, lane: &str, most: usize) -> Result<Vec<Job>, StoreError> {
        let declarations = self.context.declarations().await?;
        let Some(payee) = declarations.payees.get(lane).map(|declared| declared.value.clone()) else {
            return Ok(Vec::new());
        };
        let Some(profile) = &payee.unikassa else {
            return Ok(Vec::new());
        };
        let longest = Duration::from_secs(profile.timeout_seconds.into());
        let begun = Instant::now();
        let claimed = deliveries::claim(&self.context.store, lane, most, &self.context.worker, longest).await?;
        Ok(claimed
            .into_iter()
            .map(|claimed| Job {
                claimed,
                payee: payee.clone(),
                begun,
            })
            .collect())
    }

    async fn call(&self, job: &Job) -> Report {
        let Claimed { act, due, .. } = &job.claimed;
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
            told: Told::of_act(wire, |answer| target.dialect.read_act(*act, due, answer)),
        }
    }

    async fn record(&self, job: &Job, report: &Report) -> Result<(), StoreError> {
        record::record(
            &self.context,
            &job.payee,
            job.claimed.attempt_id,
            report.request.as_deref(),
            &report.told,
        )
        .await
    }
}
