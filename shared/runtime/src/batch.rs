//! The worker that works inside a database transaction (intake, cards): takes what is there, handles it in one
//! transaction, commits, sends what follows from it, acknowledges.
//!
//! Acknowledged implies committed. Infrastructure failures never nack: the batch stays in hand and its transaction is
//! repeated with growing pauses. A batch the database refuses for its data, or at which its worker panics, is split in
//! halves until the guilty message is alone and parked; its neighbours are not delayed. A message the broker has delivered
//! before, twice or more, is handled alone from the start, and what was done before it is acknowledged first: it may be
//! what killed us.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::{Queue, Session, SessionEnded, Tags};
use contract::RoutingKey;
use store::declarations::Declarations;
use store::{StoreError, Tx};

use crate::incoming::Incoming;
use crate::transact::{Concluded, PANICKED, Transactor};
use crate::{Context, Handled, checkpoint, database_delay, retry_parked};
use bus::survive;

pub use crate::incoming::Item;

/// Most messages handled together.
pub const BATCH_SIZE: usize = 256;
/// How long to wait for more in a crowd.
const LINGER: Duration = Duration::from_millis(2);
/// From so many messages in the last batch on it is a crowd. Whoever comes alone never waits.
const CROWD: usize = 16;
/// Redelivered this often, a message is handled alone.
const SUSPICIOUS_DELIVERIES: u32 = 2;
/// A third of the broker's default `consumer_timeout` (30 min): then the channel is closed and the messages go back.
const PATIENCE: Duration = Duration::from_secs(600);
/// Twice what the database allows one statement (`statement_timeout`): past this it hangs without saying so.
const TRANSACTION_LIMIT: Duration = Duration::from_secs(120);
// And reports count on its end, with as much time as one statement has for the server to end what was given up here.
const _: () = assert!(TRANSACTION_LIMIT.as_secs() + 60 <= store::SETTLES_WITHIN.as_secs());

/// A worker that handles messages inside a database transaction.
pub trait BatchWorker: Send + Sync + 'static {
    /// Names it in logs and metrics: `intake.facts`.
    const NAME: &'static str;
    /// Where its messages come from.
    const QUEUE: Queue;
    /// The keys whose parked facts it handles again when they are put back.
    const FACTS: &'static [RoutingKey];

    /// Handles a batch, in arrival order, in `tx`. Must return an outcome for every item. May run again with the same
    /// items after a failed commit.
    fn handle(
        &self,
        tx: &Tx,
        declarations: &Declarations,
        batch: &[&Item],
    ) -> impl Future<Output = Result<Handled, StoreError>> + Send;
}

/// Starts a batch worker: its channel, and the sweep over facts put back to it. Two channels would share the same messages out
/// over more batches, and what costs is a batch: more processes, not more channels, is the way to more (ARCHITECTURE.md,
/// decisions).
pub fn spawn<W: BatchWorker>(context: &Context, worker: W) {
    spawn_sized(context, worker, 1, BATCH_SIZE);
}

/// The same with other numbers of channels and of messages per batch: the benchmark compares batches with one message
/// at a time.
pub fn spawn_sized<W: BatchWorker>(context: &Context, worker: W, channels: usize, batch_size: usize) {
    let transactor = Arc::new(Transactor::new(context.clone(), worker));
    for _ in 0..channels {
        let transactor = transactor.clone();
        context
            .tasks
            .spawn(async move { consume(&transactor, batch_size).await });
    }
    if !W::FACTS.is_empty() {
        retry_parked::spawn(transactor);
    }
}

async fn consume<W: BatchWorker>(transactor: &Transactor<W>, batch_size: usize) {
    let context = &transactor.context;
    while !context.shutdown.is_cancelled() {
        let session = tokio::select! {
            () = context.shutdown.cancelled() => return,
            session = open_session::<W>(context, batch_size) => session,
        };
        // After a panic out here the session is gone and its messages come again, counted as delivered before: soon each
        // alone.
        if survive(W::NAME, consume_session(transactor, session, batch_size))
            .await
            .is_none()
        {
            tokio::time::sleep(bus::reconnect_delay(0)).await;
        }
    }
}

/// Consuming begins when both services are there: messages taken with the database away would only wait in hand.
async fn open_session<W: BatchWorker>(context: &Context, batch_size: usize) -> Session {
    let mut attempt = 0;
    while context.store.ping().await.is_err() {
        tokio::time::sleep(database_delay(attempt)).await;
        attempt += 1;
    }
    // Twice a batch: the next one is there when this one is done.
    context
        .bus
        .session(W::QUEUE, u16::try_from(2 * batch_size).unwrap_or(u16::MAX))
        .await
}

async fn consume_session<W: BatchWorker>(transactor: &Transactor<W>, mut session: Session, batch_size: usize) {
    let context = &transactor.context;
    let mut crowded = false;
    loop {
        let linger = if crowded { LINGER } else { Duration::ZERO };
        let batch = tokio::select! {
            biased;
            () = context.shutdown.cancelled() => return session.close().await,
            batch = session.next_batch(batch_size, linger) => batch,
        };
        let Some(batch) = batch else { return };
        let messages: Vec<_> = batch.into_iter().map(Incoming::parse).collect();
        crowded = messages.len() >= CROWD;
        let begun = Instant::now();
        metrics::histogram!("unigate_batch_size", "worker" => W::NAME).record(messages.len() as f64);
        let worked = work(transactor, &mut session, &messages).await;
        let outcome = match worked {
            Ok(true) => "done",
            Ok(false) => "given_back",
            Err(SessionEnded) => "session_ended",
        };
        metrics::histogram!("messaging_process_duration_seconds", "destination" => W::NAME, "outcome" => outcome)
            .record(begun.elapsed().as_secs_f64());
        match worked {
            Ok(true) => {}
            Ok(false) => {
                // Closing the channel gives the messages back; they are taken again when the database is there.
                tracing::warn!(worker = W::NAME, messages = messages.len(), "given back to the broker");
                return session.close().await;
            }
            Err(SessionEnded) => return,
        }
    }
}

/// Handles everything, splitting where it must, and acknowledges what was handled. False when something was left: the
/// database stayed away too long, or a message can be neither handled nor parked.
async fn work<W: BatchWorker>(
    transactor: &Transactor<W>,
    session: &mut Session,
    messages: &[Incoming],
) -> Result<bool, SessionEnded> {
    // The part to do next is last.
    let mut parts = parts_of(messages);
    let mut done = Tags::default();
    let mut complete = true;
    while let Some(part) = parts.pop() {
        if is_suspicious(&part[0]) {
            acknowledge::<W>(session, &mut done).await?;
        }
        match persist(transactor, part).await {
            Persisted::Done(concluded) => {
                transactor.send(part, concluded).await;
                done.extend(part.iter().map(|message| message.delivery.tag));
            }
            Persisted::GuiltyInside => {
                let (first, second) = part.split_at(part.len() / 2);
                parts.push(second);
                parts.push(first);
            }
            // It comes again until the broker gives it up; its neighbours must not be given up with it.
            Persisted::Unparkable => complete = false,
            Persisted::Abandoned => {
                complete = false;
                break;
            }
        }
    }
    acknowledge::<W>(session, &mut done).await?;
    Ok(complete)
}

async fn acknowledge<W: BatchWorker>(session: &mut Session, done: &mut Tags) -> Result<(), SessionEnded> {
    if done.is_empty() {
        return Ok(());
    }
    checkpoint(W::NAME, "before_ack");
    session.ack_all(std::mem::take(done)).await
}

fn is_suspicious(message: &Incoming) -> bool {
    message.delivery.delivery_count >= SUSPICIOUS_DELIVERIES
}

/// Runs of unsuspicious messages, and each suspicious one alone; last first.
fn parts_of(messages: &[Incoming]) -> Vec<&[Incoming]> {
    let mut parts: Vec<_> = messages
        .chunk_by(|a, b| !is_suspicious(a) && !is_suspicious(b))
        .collect();
    parts.reverse();
    parts
}

enum Persisted {
    Done(Concluded),
    /// Among several.
    GuiltyInside,
    Unparkable,
    Abandoned,
}

async fn persist<W: BatchWorker>(transactor: &Transactor<W>, part: &[Incoming]) -> Persisted {
    let begun = Instant::now();
    let mut attempt = 0;
    loop {
        let error = match ended(W::NAME, TRANSACTION_LIMIT, transactor.commit(part)).await {
            Tried::Done(concluded) => return Persisted::Done(concluded),
            Tried::Guilty(why) if part.len() > 1 => {
                tracing::error!(
                    worker = W::NAME,
                    why,
                    messages = part.len(),
                    "a bug met them; splitting"
                );
                return Persisted::GuiltyInside;
            }
            Tried::Guilty(why) => match park(transactor, &part[0], &why).await {
                Tried::Done(concluded) => return Persisted::Done(concluded),
                Tried::Guilty(why) => {
                    tracing::error!(worker = W::NAME, why, "it could not even be parked");
                    return Persisted::Unparkable;
                }
                Tried::Later(error) => error,
            },
            Tried::Later(error) => error,
        };
        if attempt == 0 {
            tracing::warn!(worker = W::NAME, %error, "a batch waits for the database");
        }
        if begun.elapsed() > PATIENCE || transactor.context.shutdown.is_cancelled() {
            return Persisted::Abandoned;
        }
        tokio::select! {
            // One more try at once, and then it is given back: an end has no time for long pauses.
            () = transactor.context.shutdown.cancelled() => {}
            () = tokio::time::sleep(database_delay(attempt)) => {}
        }
        attempt += 1;
    }
}

/// What came of a transaction.
enum Tried {
    Done(Concluded),
    /// The same may succeed another time.
    Later(StoreError),
    /// It never will.
    Guilty(String),
}

async fn park<W: BatchWorker>(transactor: &Transactor<W>, message: &Incoming, why: &str) -> Tried {
    tracing::error!(worker = W::NAME, why, "a bug met this message: parked");
    metrics::counter!("unigate_invariant_violations_total", "kind" => "data_error").increment(1);
    ended(W::NAME, TRANSACTION_LIMIT, transactor.park_guilty(message, why)).await
}

/// Runs a transaction to its end, which also comes when it panics and when the database hangs. It is dropped then, and its
/// session with it.
async fn ended(
    worker: &'static str,
    limit: Duration,
    transaction: impl Future<Output = Result<Concluded, StoreError>>,
) -> Tried {
    match survive(worker, tokio::time::timeout(limit, transaction)).await {
        Some(Ok(Ok(concluded))) => Tried::Done(concluded),
        Some(Ok(Err(error))) if error.is_retryable() => Tried::Later(error),
        Some(Ok(Err(error))) => Tried::Guilty(error.to_string()),
        Some(Err(_)) => Tried::Later(StoreError::Infrastructure(
            format!("no end of a transaction within {limit:?}").into(),
        )),
        None => Tried::Guilty(PANICKED.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_database_that_hangs_is_one_that_is_away() {
        let ended = ended("test", Duration::from_millis(1), std::future::pending()).await;
        assert!(matches!(ended, Tried::Later(error) if error.is_retryable()));
    }
}
