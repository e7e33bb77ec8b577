//! Records calls as they end, many together.

use std::time::Duration;

use store::StoreError;
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, timeout_at};

use super::room::Room;
use super::{Courier, Done, Ended, halves};
use crate::{Context, database_delay};
use bus::survive;

/// Where many are called, so great a part of the calls in hand is recorded together (half), if it ends within a moment: a
/// transaction for each few costs everybody more than the moment does, and the plans of its statements besides.
const PART_RECORDED: usize = 2;
const MOMENT: Duration = Duration::from_millis(10);

/// Records calls as they end, as many together as have ended, until nobody is left who could make one.
pub(super) async fn record_all<C: Courier>(
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
        tokio::time::sleep(database_delay(attempt)).await;
        attempt += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::room::MOST_IN_HAND;
    use super::super::{Claim, LaneDue, Wanted};
    use super::*;
    use crate::Nudge;

    /// Whose calls are only recorded here.
    struct Nobody;

    impl Courier for Nobody {
        const NAME: &'static str = "nobody";
        const NUDGE: Nudge = Nudge::Payments;
        const TOGETHER: usize = 4;
        type Job = u32;
        type Report = ();

        async fn lanes_due(&self, _: &[String]) -> Result<Vec<LaneDue>, StoreError> {
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
