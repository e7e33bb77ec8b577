//! The courier's own shape, with a worker that is scripted.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use runtime::Nudge;
use runtime::courier::{self, Claim, Courier, Done, LaneDue, Wanted};
use store::StoreError;
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

    async fn lanes_due(&self) -> Result<Vec<LaneDue>, StoreError> {
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
