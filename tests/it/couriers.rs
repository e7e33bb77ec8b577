//! The courier's own shape, with a worker that is scripted.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use runtime::Nudge;
use runtime::courier::{self, Claim, Courier, Done, LaneDue, Wanted};
use store::StoreError;
use store::lanes::Slot;
use testkit::wait_for;
use tokio::sync::Semaphore;

use crate::world::{PATIENCE, World};

const JOBS: u32 = 40;
/// The one that no transaction takes.
const BAD: u32 = 13;

/// Calls end at once, and recording waits for the gate.
struct Scripted {
    jobs: Mutex<Vec<u32>>,
    called: AtomicUsize,
    gate: Semaphore,
    recorded: Mutex<Vec<Vec<u32>>>,
}

impl Courier for Scripted {
    const NAME: &'static str = "scripted";
    const NUDGE: Nudge = Nudge::Payments;
    const TOGETHER: usize = 256;
    type Job = u32;
    type Report = ();

    async fn lanes_due(&self, _: &[String]) -> Result<Vec<LaneDue>, StoreError> {
        let lane = LaneDue {
            lane: "lane".to_owned(),
            due_in: Duration::ZERO,
        };
        let waits = !self.jobs.lock().unwrap().is_empty();
        Ok(waits.then_some(lane).into_iter().collect())
    }

    async fn claim(&self, wanted: &[Wanted]) -> Result<Claim<u32>, StoreError> {
        let most = wanted.iter().map(|wanted| wanted.most).sum();
        let mut jobs = self.jobs.lock().unwrap();
        let left = jobs.len().saturating_sub(most);
        Ok(jobs.split_off(left).into())
    }

    fn lane(_job: &u32) -> &str {
        "lane"
    }

    async fn call(&self, _job: &u32) {
        self.called.fetch_add(1, Ordering::Relaxed);
    }

    async fn record(&self, done: &[Done<u32, ()>]) -> Result<(), StoreError> {
        let _open = self.gate.acquire().await.unwrap();
        let jobs: Vec<u32> = done.iter().map(|done| done.job).collect();
        if jobs.contains(&BAD) {
            return Err(StoreError::Unreadable("a bad one is among them".to_owned()));
        }
        self.recorded.lock().unwrap().push(jobs);
        Ok(())
    }
}

/// Calls that can be made at a time, of [`Crowded`].
const SLOTS: usize = 8;
const CROWD: usize = 24;

/// Has more to do than slots, and records nothing while the gate is shut.
struct Crowded {
    left: AtomicUsize,
    free: AtomicUsize,
    called: AtomicUsize,
    gate: Semaphore,
}

impl Courier for Crowded {
    const NAME: &'static str = "crowded";
    const NUDGE: Nudge = Nudge::Payments;
    const TOGETHER: usize = 256;
    type Job = ();
    type Report = ();

    async fn lanes_due(&self, but_for: &[String]) -> Result<Vec<LaneDue>, StoreError> {
        let lane = LaneDue {
            lane: "lane".to_owned(),
            due_in: Duration::ZERO,
        };
        Ok(but_for.is_empty().then_some(lane).into_iter().collect())
    }

    async fn claim(&self, wanted: &[Wanted]) -> Result<Claim<()>, StoreError> {
        let ended: usize = wanted.iter().map(|wanted| wanted.ended.len()).sum();
        let claimed = (self.free.swap(0, Ordering::Relaxed) + ended).min(self.left.load(Ordering::Relaxed));
        self.left.fetch_sub(claimed, Ordering::Relaxed);
        let short = (claimed > 0).then(|| "lane".to_owned());
        Ok(Claim {
            short: short.into_iter().collect(),
            ..vec![(); claimed].into()
        })
    }

    fn lane((): &()) -> &str {
        "lane"
    }

    fn freed((): &(), (): &()) -> Option<Slot> {
        Some(Slot {
            lane: "lane".to_owned(),
            place: 1,
            token: uuid::Uuid::now_v7(),
        })
    }

    async fn call(&self, (): &()) {
        self.called.fetch_add(1, Ordering::Relaxed);
    }

    async fn record(&self, _: &[Done<(), ()>]) -> Result<(), StoreError> {
        let _open = self.gate.acquire().await.unwrap();
        Ok(())
    }
}

#[tokio::test]
async fn slots_of_a_crowd_are_claimed_again_before_its_calls_are_recorded() {
    let world = World::start(&[]).await;
    let crowded = Crowded {
        left: AtomicUsize::new(CROWD),
        free: AtomicUsize::new(SLOTS),
        called: AtomicUsize::new(0),
        gate: Semaphore::new(0),
    };
    let courier = courier::spawn(&world.context, crowded);
    world.context.nudge(Nudge::Payments);
    wait_for("all calls to end", PATIENCE, async || {
        (courier.called.load(Ordering::Relaxed) == CROWD).then_some(())
    })
    .await;
    courier.gate.add_permits(CROWD);
}

#[tokio::test]
async fn calls_that_end_together_are_recorded_together_and_a_bad_one_alone() {
    let world = World::start(&[]).await;
    let scripted = Scripted {
        jobs: Mutex::new((0..JOBS).collect()),
        called: AtomicUsize::new(0),
        gate: Semaphore::new(0),
        recorded: Mutex::default(),
    };
    let courier = courier::spawn(&world.context, scripted);
    world.context.nudge(Nudge::Payments);
    wait_for("all calls to end", PATIENCE, async || {
        (courier.called.load(Ordering::Relaxed) == JOBS as usize).then_some(())
    })
    .await;
    courier.gate.add_permits(2);
    let recorded = wait_for("all but the bad one to be recorded", PATIENCE, async || {
        let recorded = courier.recorded.lock().unwrap().clone();
        (recorded.iter().map(Vec::len).sum::<usize>() == JOBS as usize - 1).then_some(recorded)
    })
    .await;
    assert!(recorded.len() <= 20, "not together: {recorded:?}");
    let mut all: Vec<u32> = recorded.concat();
    all.sort_unstable();
    assert_eq!(all, (0..JOBS).filter(|job| *job != BAD).collect::<Vec<_>>());
}
