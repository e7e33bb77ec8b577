//! The bounds: what the broker alone allows. Loops that touch no database, on the same kind of queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bus::frontend::{Frontend, Message};
use bus::{Bus, Queue, Tags};
use futures::future::join_all;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ground::Ground;

const BATCH: usize = 256;
const CHANNELS: usize = 2;

/// A loop without a database, running until stopped.
pub(super) struct Loop {
    bus: Bus,
    publisher: Frontend,
    stop: CancellationToken,
    tasks: TaskTracker,
    done: Arc<AtomicU64>,
}

/// What the loop does with a batch before it acknowledges.
#[derive(Clone, Copy)]
pub(super) enum Does {
    /// One confirmed message per message, into a queue of the same kind.
    Publishes,
    /// One answer per message.
    Answers,
}

impl Loop {
    /// A loop on the queue of payments.
    pub(super) async fn start(ground: &Ground, does: Does) -> anyhow::Result<Self> {
        Self::start_on(ground, Queue::IntakeFacts, does).await
    }

    /// A loop on this queue, in place of the worker whose it is.
    pub(super) async fn start_on(ground: &Ground, queue: Queue, does: Does) -> anyhow::Result<Self> {
        let (halt, among) = ground.tasks();
        let bus = Bus::start(ground.settings.bus.clone(), halt.clone());
        bus.wait_ready().await;
        let publisher = Frontend::connect(&ground.settings.bus).await?;
        let (stop, tasks, done) = (halt.child_token(), TaskTracker::new(), Arc::new(AtomicU64::new(0)));
        for _ in 0..CHANNELS {
            let (bus, publisher) = (bus.clone(), publisher.clone());
            let (stop, done) = (stop.clone(), done.clone());
            let turning = async move { turn(bus, queue, &publisher, does, &stop, &done).await };
            tasks.spawn(among.track_future(turning));
        }
        Ok(Self {
            bus,
            publisher,
            stop,
            tasks,
            done,
        })
    }

    /// Messages acknowledged so far.
    pub(super) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    pub(super) async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.publisher.close().await;
        self.bus.close().await;
    }
}

async fn turn(bus: Bus, queue: Queue, publisher: &Frontend, does: Does, stop: &CancellationToken, done: &AtomicU64) {
    let mut session = bus.session(queue, 2 * BATCH as u16).await;
    loop {
        let batch = tokio::select! {
            () = stop.cancelled() => return session.close().await,
            batch = session.next_batch(BATCH, Duration::from_millis(2)) => batch,
        };
        let Some(batch) = batch else { return };
        let tags = Tags::of(&batch);
        let count = batch.len() as u64;
        match does {
            Does::Publishes => {
                // Nobody consumes the other worker's queue here, as nobody would wait for it.
                let follow_ups: Vec<_> = batch
                    .into_iter()
                    .map(|one| Message::new("card.sell", one.body))
                    .collect();
                if join_all(follow_ups.iter().map(|message| publisher.send(message)))
                    .await
                    .iter()
                    .any(Result::is_err)
                {
                    return;
                }
            }
            Does::Answers => {
                for one in batch {
                    let body = one.body.clone();
                    bus.answer(&one, body);
                }
            }
        }
        if session.ack_all(tags).await.is_err() {
            return;
        }
        done.fetch_add(count, Ordering::Relaxed);
    }
}
