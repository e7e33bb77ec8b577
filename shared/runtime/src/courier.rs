//! The courier: claims, calls, records.
//!
//! A short transaction claims (the attempt's row is written before the call); the call is made with no transaction and
//! no pooled connection held; a short transaction records what came of it, fenced by the attempt. A courier claims only
//! as much as may be called now. It serves lanes: a slow payee fills its own lane's slots and nobody else's.
//!
//! What costs is a transaction, so one claims for all lanes that have work, and calls that end while others are being
//! recorded are recorded together. Whoever comes alone waits for nobody. A batch that fails for good is split in halves
//! until whatever is wrong is alone.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use store::StoreError;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};

use crate::survive::survive;
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

/// What is asked of a lane.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The lane.
    pub lane: String,
    /// At most so many jobs.
    pub most: usize,
}

/// What was claimed.
#[derive(Debug)]
pub struct Claim<J> {
    /// Ours to call now.
    pub jobs: Vec<J>,
    /// Some lane was in other hands: it is worth another look soon.
    pub passed_over: bool,
}

impl<J> From<Vec<J>> for Claim<J> {
    fn from(jobs: Vec<J>) -> Self {
        Self {
            jobs,
            passed_over: false,
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

    /// Which lanes have work, now or later. One query for all of them.
    fn lanes_due(&self) -> impl Future<Output = Result<Vec<LaneDue>, StoreError>> + Send;
    /// Claims due jobs of these lanes, as many as they have free slots for; the slots' leases outlast the calls.
    fn claim(&self, wanted: &[Wanted]) -> impl Future<Output = Result<Claim<Self::Job>, StoreError>> + Send;
    /// Whose job it is.
    fn lane(job: &Self::Job) -> &str;
    /// Makes the call. Holds neither transaction nor pooled connection, and always ends by its own timeout.
    fn call(&self, job: &Self::Job) -> impl Future<Output = Self::Report> + Send;
    /// Records what came of calls and frees their slots. Fenced: recording twice, or late, does no harm.
    fn record(&self, done: &[Done<Self::Job, Self::Report>]) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Jobs of one lane claimed together; the lane's own limit is in the database.
const MOST_PER_CLAIM: usize = 64;
/// Jobs of one lane in hand per process: one that hangs must leave room for the others. A payee that is called more often
/// at a time needs more processes.
const MOST_OF_A_LANE: usize = 128;
/// Jobs in hand per process, all lanes together: bounds memory, never reached by lanes that answer.
const MOST_IN_HAND: usize = 2048;
/// How soon a lane is looked at again that was in other hands.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// While one transaction commits, the next one is made ready.
const RECORDERS: usize = 2;
/// Where many are called, so great a part of the calls in hand is recorded together (half), if it ends within a moment: a
/// transaction for each few costs everybody more than the moment does, and the plans of its statements besides.
const PART_RECORDED: usize = 2;
const MOMENT: Duration = Duration::from_millis(10);

/// A call that has ended, and its place among those in hand.
type Ended<C> = (Done<<C as Courier>::Job, <C as Courier>::Report>, Permits);

/// Starts a courier: claims when nudged, when something falls due, and by sweep.
pub fn spawn<C: Courier>(context: &Context, courier: C) -> Arc<C> {
    let courier = Arc::new(courier);
    let shared = courier.clone();
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
    sweep::spawn(context, C::NAME, C::NUDGE, move |context| {
        let (courier, room, ended) = (courier.clone(), room.clone(), ended.clone());
        async move { dispatch(&context, &courier, &room, &ended).await }
    });
    shared
}

/// How much more this process may have in hand.
struct Room {
    all: Arc<Semaphore>,
    lanes: std::sync::Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Room {
    fn new() -> Self {
        Self {
            all: Arc::new(Semaphore::new(MOST_IN_HAND)),
            lanes: std::sync::Mutex::default(),
        }
    }

    fn of(&self, lane: &str) -> Arc<Semaphore> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Semaphore::new(MOST_OF_A_LANE));
        lanes.entry(lane.to_owned()).or_insert_with(new).clone()
    }

    /// How many jobs are called or recorded.
    fn in_hand(&self) -> usize {
        MOST_IN_HAND.saturating_sub(self.all.available_permits())
    }

    /// How many jobs each of these lanes may be given.
    fn wanted(&self, lanes: Vec<String>) -> Vec<Wanted> {
        let left = self.all.available_permits();
        let each = (left / lanes.len().max(1)).clamp(1, MOST_PER_CLAIM);
        let wanted = lanes.into_iter().take(left).map(|lane| Wanted {
            most: each.min(self.of(&lane).available_permits()),
            lane,
        });
        wanted.filter(|wanted| wanted.most > 0).collect()
    }

    /// Only one task takes permits, and it claims no more than there are.
    async fn take(&self, lane: &str) -> Option<Permits> {
        let all = self.all.clone().acquire_owned().await.ok()?;
        Some([all, self.of(lane).acquire_owned().await.ok()?])
    }
}

/// A job's place among all in hand, and among its lane's.
type Permits = [OwnedSemaphorePermit; 2];

/// One look at all lanes: whatever is due and has a free slot is started.
async fn dispatch<C: Courier>(
    context: &Context,
    courier: &Arc<C>,
    room: &Room,
    ended: &mpsc::Sender<Ended<C>>,
) -> Result<Swept, StoreError> {
    let (now, later): (Vec<_>, Vec<_>) = courier
        .lanes_due()
        .await?
        .into_iter()
        .partition(|due| due.due_in.is_zero());
    let mut next = later.iter().map(|due| due.due_in).min();
    let wanted = room.wanted(now.into_iter().map(|due| due.lane).collect());
    let mut parts = vec![&wanted[..]];
    while let Some(part) = parts.pop().filter(|part| !part.is_empty()) {
        match courier.claim(part).await {
            Ok(claim) => {
                if claim.passed_over {
                    next = Some(next.map_or(LOOK_AGAIN, |next| next.min(LOOK_AGAIN)));
                }
                for job in claim.jobs {
                    if let Some(permits) = room.take(C::lane(&job)).await {
                        start(context, courier, job, permits, ended.clone());
                    }
                }
            }
            Err(error) if error.is_retryable() => return Err(error),
            // One lane's bad row must not keep other lanes waiting.
            Err(_) if part.len() > 1 => parts.extend(halves(part)),
            Err(error) => {
                tracing::error!(courier = C::NAME, lane = part[0].lane, %error, "nothing of this lane can be claimed");
                metrics::counter!("unigate_invariant_violations_total", "kind" => "unclaimable").increment(1);
            }
        }
    }
    Ok(next.map_or(Swept::Idle, Swept::Next))
}

fn start<C: Courier>(
    context: &Context,
    courier: &Arc<C>,
    job: C::Job,
    permits: Permits,
    ended: mpsc::Sender<Ended<C>>,
) {
    let courier = courier.clone();
    context.tasks.spawn(async move {
        checkpoint(C::NAME, "before_call");
        let report = courier.call(&job).await;
        checkpoint(C::NAME, "after_call");
        // Fails only when the recorders are gone, and they outlive whoever holds a sender.
        let _ = ended.send((Done { job, report }, permits)).await;
    });
}

/// Records calls as they end, as many together as have ended, until nobody is left who could make one.
async fn record_all<C: Courier>(
    context: &Context,
    courier: &C,
    room: &Room,
    waiting: &Mutex<mpsc::Receiver<Ended<C>>>,
) {
    loop {
        let batch = gather::<C>(room, &mut *waiting.lock().await, MOMENT).await;
        if batch.is_empty() {
            return;
        }
        let (done, permits): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        survive(C::NAME, record_surely(context, courier, &done)).await;
        drop(permits);
        // Slots are free: somebody may be waiting for them.
        context.nudge(C::NUDGE);
    }
}

/// Waits for a call to end; then for more of a crowd, so long at most. None: nobody is left who could make one.
async fn gather<C: Courier>(room: &Room, waiting: &mut mpsc::Receiver<Ended<C>>, at_most: Duration) -> Vec<Ended<C>> {
    let mut batch = Vec::new();
    waiting.recv_many(&mut batch, C::TOGETHER).await;
    let until = Instant::now() + at_most;
    let enough = (room.in_hand() / PART_RECORDED).min(C::TOGETHER);
    while !batch.is_empty() && batch.len() < enough {
        let left = C::TOGETHER - batch.len();
        let more = waiting.recv_many(&mut batch, left);
        if !matches!(timeout_at(until, more).await, Ok(1..)) {
            break;
        }
    }
    batch
}

async fn record_surely<C: Courier>(context: &Context, courier: &C, done: &[Done<C::Job, C::Report>]) {
    let mut parts = vec![done];
    while let Some(part) = parts.pop() {
        match record_patiently(context, courier, part).await {
            Ok(()) => {}
            Err(_) if part.len() > 1 => parts.extend(halves(part)),
            Err(error) => {
                tracing::error!(courier = C::NAME, %error, "the result of a call could not be recorded");
                metrics::counter!("unigate_invariant_violations_total", "kind" => "unrecorded").increment(1);
            }
        }
    }
}

/// What came of a call is worth patience: without it the payment is `maybe`. The lease bounds how long it matters.
async fn record_patiently<C: Courier>(
    context: &Context,
    courier: &C,
    done: &[Done<C::Job, C::Report>],
) -> Result<(), StoreError> {
    let mut attempt = 0;
    loop {
        match courier.record(done).await {
            Err(error) if error.is_retryable() => {
                if attempt == 0 {
                    tracing::warn!(courier = C::NAME, calls = done.len(), %error, "what calls came to waits for the database");
                }
                if context.shutdown.is_cancelled() && attempt > 5 {
                    return Ok(());
                }
            }
            recorded => return recorded,
        }
        tokio::time::sleep(bus::reconnect_delay(attempt)).await;
        attempt += 1;
    }
}

fn halves<T>(part: &[T]) -> [&[T]; 2] {
    let (first, second) = part.split_at(part.len() / 2);
    [first, second]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whose calls are only recorded here.
    struct Nobody;

    impl Courier for Nobody {
        const NAME: &'static str = "nobody";
        const NUDGE: Nudge = Nudge::Payments;
        const TOGETHER: usize = 4;
        type Job = u32;
        type Report = ();

        async fn lanes_due(&self) -> Result<Vec<LaneDue>, StoreError> {
            Ok(Vec::new())
        }

        async fn claim(&self, _: &[Wanted]) -> Result<Claim<u32>, StoreError> {
            Ok(Vec::new().into())
        }

        fn lane(_: &u32) -> &str {
            "lane"
        }

        async fn call(&self, _: &u32) {}

        async fn record(&self, _: &[Done<u32, ()>]) -> Result<(), StoreError> {
            Ok(())
        }
    }

    /// So many in hand, of which one ends and then some at once: which are recorded together, and after how long.
    async fn gathered(in_hand: u32, ending: usize, at_most: Duration) -> (Vec<u32>, Duration) {
        let room = Room::new();
        let (ended, mut waiting) = mpsc::channel::<Ended<Nobody>>(MOST_IN_HAND);
        let mut calls = Vec::new();
        for job in 0..in_hand {
            calls.push((Done { job, report: () }, room.take("lane").await.unwrap()));
        }
        let still_called = calls.split_off(ending);
        let end = async {
            for (nth, call) in calls.into_iter().enumerate() {
                ended.send(call).await.unwrap();
                if nth == 0 {
                    tokio::task::yield_now().await;
                }
            }
        };
        let begun = Instant::now();
        // In this order: who gathers looks after the first end.
        let (batch, ()) = futures::future::join(gather::<Nobody>(&room, &mut waiting, at_most), end).await;
        let took = begun.elapsed();
        drop(still_called);
        (batch.into_iter().map(|(done, _)| done.job).collect(), took)
    }

    #[tokio::test]
    async fn half_of_a_crowd_is_waited_for_and_whoever_comes_alone_for_nobody() {
        const LONG: Duration = Duration::from_secs(3600);
        assert_eq!(gathered(1, 1, LONG).await.0, [0]);
        assert_eq!(gathered(3, 2, LONG).await.0, [0]);
        // And no more than are recorded together, however many have ended.
        assert_eq!(gathered(8, 7, LONG).await.0, [0, 1, 2, 3]);
    }

    #[tokio::test]
    async fn a_crowd_that_goes_on_calling_is_waited_for_a_moment() {
        let (batch, took) = gathered(100, 3, MOMENT).await;
        assert!(
            (1..=3).contains(&batch.len()) && took >= MOMENT,
            "{batch:?} after {took:?}"
        );
    }

    #[tokio::test]
    async fn without_anybody_who_calls_there_is_nothing_to_record() {
        let (ended, mut waiting) = mpsc::channel::<Ended<Nobody>>(1);
        drop(ended);
        assert!(gather::<Nobody>(&Room::new(), &mut waiting, MOMENT).await.is_empty());
    }
}
