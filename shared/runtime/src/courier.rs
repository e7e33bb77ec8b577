//! The courier: claims, calls, records.
//!
//! A short transaction claims (the attempt's row is written before the call); the call is made with no transaction and
//! no pooled connection held; a short transaction records what came of it, fenced by the attempt. A courier claims only
//! as much as may be called now. It serves lanes: a slow payee fills its own lane's slots and nobody else's.

use std::sync::Arc;
use std::time::Duration;

use store::StoreError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::sweep::Swept;
use crate::{Context, Nudge, checkpoint, sweep};

/// Where a lane stands: it may be called now, or something falls due later.
#[derive(Clone, Debug)]
pub struct LaneDue {
    /// The lane.
    pub lane: String,
    /// How long until something of it is due; zero = now.
    pub due_in: Duration,
}

/// A worker that calls somebody outside.
pub trait Courier: Send + Sync + 'static {
    /// Names it in logs and metrics: `unikassa`.
    const NAME: &'static str;
    /// What wakes it.
    const NUDGE: Nudge;
    /// One claimed piece of work.
    type Job: Send + Sync + 'static;
    /// What came of the call.
    type Report: Send + Sync;

    /// Which lanes have work, now or later. One query for all of them.
    fn lanes_due(&self) -> impl Future<Output = Result<Vec<LaneDue>, StoreError>> + Send;
    /// Claims up to `most` due jobs of a lane, as many as it has free slots for; the slots' leases outlast the calls.
    fn claim(&self, lane: &str, most: usize) -> impl Future<Output = Result<Vec<Self::Job>, StoreError>> + Send;
    /// Makes the call. Holds neither transaction nor pooled connection, and always ends by its own timeout.
    fn call(&self, job: &Self::Job) -> impl Future<Output = Self::Report> + Send;
    /// Records what came of it and frees the slot. Fenced: recording twice, or late, does no harm.
    fn record(&self, job: &Self::Job, report: &Self::Report) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Jobs of one lane that one process may have in hand; the lane's own limit is in the database.
const MOST_PER_CLAIM: usize = 64;
/// Jobs in hand per process, all lanes together: bounds memory, never reached by a lane that answers.
const MOST_IN_HAND: usize = 1024;

/// Starts a courier: claims when nudged, when something falls due, and by sweep.
pub fn spawn<C: Courier>(context: &Context, courier: C) -> Arc<C> {
    let courier = Arc::new(courier);
    let shared = courier.clone();
    let room = Arc::new(Semaphore::new(MOST_IN_HAND));
    sweep::spawn(context, C::NAME, C::NUDGE, move |context| {
        let (courier, room) = (courier.clone(), room.clone());
        async move { dispatch(&context, &courier, &room).await }
    });
    shared
}

/// One look at all lanes: whatever is due and has a free slot is started.
async fn dispatch<C: Courier>(context: &Context, courier: &Arc<C>, room: &Arc<Semaphore>) -> Result<Swept, StoreError> {
    let mut next = None;
    for due in courier.lanes_due().await? {
        if !due.due_in.is_zero() {
            next = Some(next.map_or(due.due_in, |next: Duration| next.min(due.due_in)));
            continue;
        }
        let most = room.available_permits().min(MOST_PER_CLAIM);
        if most == 0 {
            break;
        }
        let jobs = match courier.claim(&due.lane, most).await {
            Ok(jobs) => jobs,
            Err(error) if error.is_retryable() => return Err(error),
            Err(error) => {
                // One lane's bad row must not keep the lanes behind it waiting.
                tracing::error!(courier = C::NAME, lane = due.lane, %error, "nothing of this lane can be claimed");
                metrics::counter!("unigate_invariant_violations_total", "kind" => "unclaimable").increment(1);
                continue;
            }
        };
        for job in jobs {
            // Only this task takes permits, and it claimed no more than there were.
            if let Ok(permit) = room.clone().acquire_owned().await {
                start(context, courier, job, permit);
            }
        }
    }
    Ok(next.map_or(Swept::Idle, Swept::Next))
}

fn start<C: Courier>(context: &Context, courier: &Arc<C>, job: C::Job, permit: OwnedSemaphorePermit) {
    let (context, courier) = (context.clone(), courier.clone());
    context.tasks.clone().spawn(async move {
        checkpoint(C::NAME, "before_call");
        let report = courier.call(&job).await;
        checkpoint(C::NAME, "after_call");
        record_surely(&context, &*courier, &job, &report).await;
        drop(permit);
        // The slot is free: somebody may be waiting for it.
        context.nudge(C::NUDGE);
    });
}

/// What came of a call is worth patience: without it the payment is `maybe`. The lease bounds how long it matters.
async fn record_surely<C: Courier>(context: &Context, courier: &C, job: &C::Job, report: &C::Report) {
    let mut attempt = 0;
    while let Err(error) = courier.record(job, report).await {
        if !error.is_retryable() {
            tracing::error!(courier = C::NAME, %error, "the result of a call could not be recorded");
            metrics::counter!("unigate_invariant_violations_total", "kind" => "unrecorded").increment(1);
            return;
        }
        if attempt == 0 {
            tracing::warn!(courier = C::NAME, %error, "the result of a call waits for the database");
        }
        if context.shutdown.is_cancelled() && attempt > 5 {
            return;
        }
        tokio::time::sleep(bus::reconnect_delay(attempt)).await;
        attempt += 1;
    }
}
