//! The courier: claims, calls, records.
//!
//! A short transaction claims (the attempt's row is written before the call); the call is made with no transaction and
//! no pooled connection held; a short transaction records what came of it, fenced by the attempt. A courier claims only
//! as much as may be called now. It serves lanes: a slow payee fills its own lane's slots and nobody else's.
//!
//! What costs is a transaction, so one claims for all lanes that have work, and calls that end while others are being
//! recorded are recorded together. Whoever comes alone waits for nobody. A batch that fails for good is split in halves
//! until whatever is wrong is alone.

mod dispatch;
mod record;
mod room;

use std::sync::Arc;
use std::time::Duration;

use store::StoreError;
use store::lanes::Slot;
use tokio::sync::{Mutex, mpsc};

use crate::{Context, Nudge, sweep};
use dispatch::Dispatcher;
use record::record_all;
use room::{MOST_IN_HAND, Permits, Room};

/// Where a lane stands: it may be called now, or something falls due later.
#[derive(Clone, Debug)]
pub struct LaneDue {
    /// The lane.
    pub lane: String,
    /// How long until something of it is due; zero = now.
    pub due_in: Duration,
}

/// What is asked of a lane.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The lane.
    pub lane: String,
    /// At most so many jobs.
    pub most: usize,
    /// Slots of it that this process has held for calls that have ended.
    pub ended: Vec<Slot>,
}

/// What was claimed.
#[derive(Debug)]
pub struct Claim<J> {
    /// Ours to call now.
    pub jobs: Vec<J>,
    /// Some lane was in other hands: it is worth another look soon.
    pub passed_over: bool,
    /// Lanes that only wanted slots: as soon as one is free they can be claimed of again.
    pub short: Vec<String>,
}

impl<J> From<Vec<J>> for Claim<J> {
    fn from(jobs: Vec<J>) -> Self {
        Self {
            jobs,
            passed_over: false,
            short: Vec::new(),
        }
    }
}

/// A call that has ended.
#[derive(Debug)]
pub struct Done<J, R> {
    /// What was claimed.
    pub job: J,
    /// What came of it.
    pub report: R,
}

/// A worker that calls somebody outside.
pub trait Courier: Send + Sync + 'static {
    /// Names it in logs and metrics: `unikassa`.
    const NAME: &'static str;
    /// What wakes it.
    const NUDGE: Nudge;
    /// The most calls recorded together.
    const TOGETHER: usize;
    /// One claimed piece of work.
    type Job: Send + Sync + 'static;
    /// What came of the call.
    type Report: Send + Sync + 'static;

    /// Which lanes have work, now or later, but for those that want slots. One query for all of them.
    fn lanes_due(&self, but_for: &[String]) -> impl Future<Output = Result<Vec<LaneDue>, StoreError>> + Send;
    /// Claims due jobs of these lanes, as many as they have free slots for; the slots' leases outlast the calls.
    fn claim(&self, wanted: &[Wanted]) -> impl Future<Output = Result<Claim<Self::Job>, StoreError>> + Send;
    /// Whose job it is.
    fn lane(job: &Self::Job) -> &str;
    /// The slot that can be claimed again now that the call has ended, before that is recorded; none where the record has to
    /// free it.
    fn freed(_job: &Self::Job, _report: &Self::Report) -> Option<Slot> {
        None
    }
    /// Makes the call. Holds neither transaction nor pooled connection, and always ends by its own timeout.
    fn call(&self, job: &Self::Job) -> impl Future<Output = Self::Report> + Send;
    /// Records what came of calls and frees their slots. Fenced: recording twice, or late, does no harm.
    fn record(&self, done: &[Done<Self::Job, Self::Report>]) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// While one transaction commits, the next one is made ready.
const RECORDERS: usize = 2;

/// A call that has ended, and its place among those in hand.
type Ended<C> = (Done<<C as Courier>::Job, <C as Courier>::Report>, Permits);

/// Starts a courier: claims when nudged, when something falls due, and by sweep.
pub fn spawn<C: Courier>(context: &Context, courier: C) -> Arc<C> {
    let courier = Arc::new(courier);
    let room = Arc::new(Room::new());
    // As many as can be in hand: a call that ended never waits to say so.
    let (ended, waiting) = mpsc::channel(MOST_IN_HAND);
    let waiting = Arc::new(Mutex::new(waiting));
    for _ in 0..RECORDERS {
        let (context, courier, room, waiting) = (context.clone(), courier.clone(), room.clone(), waiting.clone());
        context
            .tasks
            .clone()
            .spawn(async move { record_all(&context, &*courier, &room, &waiting).await });
    }
    let dispatcher = Arc::new(Dispatcher::new(context, &courier, &room, ended));
    sweep::spawn(context, C::NAME, C::NUDGE, move |_| {
        let dispatcher = dispatcher.clone();
        async move { dispatcher.round().await }
    });
    courier
}

fn halves<T>(part: &[T]) -> [&[T]; 2] {
    let (first, second) = part.split_at(part.len() / 2);
    [first, second]
}
