//! Questions that need a call to somebody else: each handled by itself, many at once, acknowledged when taken.
//!
//! A question carries no money: one lost with a killed worker is asked again by its terminal.

use std::sync::Arc;
use std::time::Duration;

use bus::{Delivery, Queue};
use tokio::sync::Semaphore;

use crate::Context;
use crate::incoming::{Incoming, Item};
use crate::outcome::Reply;

/// Questions in hand at once, per process. More wait in the queue, where they expire by themselves.
const AT_ONCE: usize = 1024;

/// Answers questions one by one, concurrently.
pub trait Answerer: Send + Sync + 'static {
    /// Names it in logs and metrics.
    const NAME: &'static str;
    /// Where its questions come from.
    const QUEUE: Queue;

    /// The answer, or None when nobody waits for one.
    fn answer(&self, item: &Item) -> impl Future<Output = Option<Reply>> + Send;
}

/// Starts answering until shutdown; questions in hand are answered still.
pub fn spawn<A: Answerer>(context: &Context, answerer: A) {
    let context = context.clone();
    let answerer = Arc::new(answerer);
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    context.tasks.clone().spawn(async move {
        while !context.shutdown.is_cancelled() {
            let mut session = tokio::select! {
                () = context.shutdown.cancelled() => return,
                session = context.bus.session(A::QUEUE, 64) => session,
            };
            loop {
                let batch = tokio::select! {
                    () = context.shutdown.cancelled() => return session.close().await,
                    batch = session.next_batch(64, Duration::ZERO) => batch,
                };
                let Some(batch) = batch else { break };
                let tags = bus::Tags::of(&batch);
                for delivery in batch {
                    start_one(&context, &answerer, &permits, delivery).await;
                }
                if session.ack_all(tags).await.is_err() {
                    break;
                }
            }
        }
    });
}

async fn start_one<A: Answerer>(context: &Context, answerer: &Arc<A>, permits: &Arc<Semaphore>, delivery: Delivery) {
    // The semaphore is never closed.
    let Ok(permit) = permits.clone().acquire_owned().await else {
        return;
    };
    let (context, answerer) = (context.clone(), answerer.clone());
    context.tasks.clone().spawn(async move {
        let _permit = permit;
        let message = Incoming::parse(delivery);
        if message.is_overdue() {
            return;
        }
        let answer = match &message.content {
            Ok(item) => answerer.answer(item).await,
            Err(refusal) => Some(Reply::refused(refusal)),
        };
        let Some(answer) = answer else { return };
        metrics::counter!("unigate_messages_total", "worker" => A::NAME, "outcome" => answer.outcome().to_owned())
            .increment(1);
        context.bus.answer(&message.delivery, answer.body().to_vec());
    });
}
