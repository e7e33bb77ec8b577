//! What is published without waiting: answers, wake-ups, forwarded questions.
//!
//! The classes of publishing, settled once:
//!
//! | class | mandatory | confirmed | survives a broker's restart | lost when |
//! |---|---|---|---|---|
//! | answer | no | no | no | disconnected; the terminal repeats its request |
//! | wake-up | no | no | no | disconnected; the sweep finds what it meant |
//! | forwarded question | no | no | no | disconnected; the terminal asks again |
//! | event | no | yes, awaited | yes | never: its row is deleted after the confirm ([`crate::publish`]) |
//!
//! Callers never wait: a bounded queue takes the message or drops and counts it.

use std::sync::Arc;

use futures::future::join_all;
use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel};
use tokio::sync::{mpsc, oneshot, watch};

use crate::metrics::{self, Why};
use crate::publish::PublishLine;
use crate::reply::Address;
use crate::strangers::Trusted;
use crate::{BusError, survive};

/// Some seconds of the broker's utmost. Beyond that the terminals are better served by repeating.
const QUEUE_LIMIT: usize = 8192;
/// Published together; the library writes them in one go.
const AT_ONCE: usize = 256;

/// One message to the default exchange.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) queue: ShortString,
    pub(crate) properties: BasicProperties,
    pub(crate) body: Vec<u8>,
    /// Set on answers.
    pub(crate) address: Option<Address>,
}

impl Outgoing {
    /// Counts it as not sent.
    pub(crate) fn drop_for(self, why: Why) {
        match self.address {
            Some(_) => metrics::answer_dropped(why),
            None => metrics::hint_dropped(why),
        }
    }

    /// Publishes it; returns when it was written to the socket.
    pub(crate) async fn publish(self, channel: &Channel) -> Result<(), BusError> {
        let options = BasicPublishOptions::default();
        channel
            .basic_publish(ShortString::default(), self.queue, options, &self.body, self.properties)
            .await?;
        Ok(())
    }
}

#[derive(Debug)]
enum Job {
    Send(Box<Outgoing>),
    Flush(oneshot::Sender<()>),
}

/// The end that callers hold.
#[derive(Clone, Debug)]
pub(crate) struct Outbox(mpsc::Sender<Job>);

impl Outbox {
    /// Starts the task that publishes; it ends with the last outbox.
    pub(crate) fn start(
        line: watch::Receiver<Option<Arc<PublishLine>>>,
        trusted: Trusted,
        strangers: mpsc::Sender<Outgoing>,
    ) -> Self {
        let (sender, mut jobs) = mpsc::channel(QUEUE_LIMIT);
        tokio::spawn(async move {
            // What was in hand when it panicked is lost, as when a connection ends.
            while survive("outbox", run(&mut jobs, &line, &trusted, &strangers))
                .await
                .is_none()
            {}
        });
        Self(sender)
    }

    /// Takes a message, or drops it when the broker does not keep up.
    pub(crate) fn send(&self, message: Outgoing) {
        if let Err(refused) = self.0.try_send(Job::Send(Box::new(message)))
            && let Job::Send(message) = refused.into_inner()
        {
            message.drop_for(Why::QueueFull);
        }
    }

    /// Waits until everything sent before was written.
    pub(crate) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.0.send(Job::Flush(done)).await.is_ok() {
            let _ = written.await;
        }
    }
}

async fn run(
    jobs: &mut mpsc::Receiver<Job>,
    line: &watch::Receiver<Option<Arc<PublishLine>>>,
    trusted: &Trusted,
    strangers: &mpsc::Sender<Outgoing>,
) {
    let mut taken = Vec::with_capacity(AT_ONCE);
    while jobs.recv_many(&mut taken, AT_ONCE).await > 0 {
        let mut flushes = Vec::new();
        let mut messages = Vec::with_capacity(taken.len());
        for job in taken.drain(..) {
            match job {
                Job::Flush(done) => flushes.push(done),
                Job::Send(message) if trusted.includes(message.address.as_ref()) => messages.push(*message),
                Job::Send(message) => {
                    if let Err(refused) = strangers.try_send(*message) {
                        refused.into_inner().drop_for(Why::QueueFull);
                    }
                }
            }
        }
        let current = line.borrow().clone();
        publish_all(current, messages).await;
        for done in flushes {
            let _ = done.send(());
        }
    }
}

async fn publish_all(line: Option<Arc<PublishLine>>, messages: Vec<Outgoing>) {
    let Some(line) = line.filter(|line| line.plain.status().connected()) else {
        return messages
            .into_iter()
            .for_each(|message| message.drop_for(Why::Disconnected));
    };
    // All are handed over in order before the first is awaited.
    let written = join_all(messages.into_iter().map(async |message| {
        let is_answer = message.address.is_some();
        let written = line.link.while_open(message.publish(&line.plain)).await;
        (is_answer, written.ok_or(BusError::NotConnected).flatten())
    }))
    .await;
    metrics::answers_sent(
        written
            .iter()
            .filter(|(is_answer, result)| *is_answer && result.is_ok())
            .count() as u64,
    );
    for (is_answer, error) in written
        .into_iter()
        .filter_map(|(is_answer, result)| Some((is_answer, result.err()?)))
    {
        tracing::debug!(%error, "not sent");
        line.fail();
        if is_answer {
            metrics::answer_dropped(Why::Disconnected);
        } else {
            metrics::hint_dropped(Why::Disconnected);
        }
    }
}
