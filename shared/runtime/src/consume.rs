//! Taking messages that need no transaction over them: wake-ups, questions, what is to be parked. A session that ends is opened anew,
//! and a panic ends no more than its session.

use std::time::Duration;

use bus::{Delivery, Queue, Session, Tags};

use crate::Context;
use bus::survive;

/// Hands out what comes to a queue, up to `most` messages at a time, until the process is to end. What is returned is acknowledged;
/// with nothing returned the session is closed, and what it had taken goes back.
pub async fn consume<F>(context: &Context, queue: Queue, most: u16, each: impl Fn(Vec<Delivery>) -> F + Send + Sync)
where
    F: Future<Output = Option<Tags>> + Send,
{
    while !context.shutdown.is_cancelled() {
        // Twice as many: the next ones are there when these are done.
        let session = tokio::select! {
            () = context.shutdown.cancelled() => return,
            session = context.bus.session(queue, 2 * most) => session,
        };
        let taking = take_from(context, session, usize::from(most), &each);
        if survive(queue.label(), taking).await.is_none() {
            tokio::time::sleep(bus::reconnect_delay(0)).await;
        }
    }
}

async fn take_from<F>(
    context: &Context,
    mut session: Session,
    most: usize,
    each: &(impl Fn(Vec<Delivery>) -> F + Send + Sync),
) where
    F: Future<Output = Option<Tags>> + Send,
{
    loop {
        let batch = tokio::select! {
            () = context.shutdown.cancelled() => return session.close().await,
            batch = session.next_batch(most, Duration::ZERO) => batch,
        };
        let Some(batch) = batch else { return };
        let Some(done) = each(batch).await else {
            return session.close().await;
        };
        if session.ack_all(done).await.is_err() {
            return;
        }
    }
}
