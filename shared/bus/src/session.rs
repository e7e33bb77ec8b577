//! Consuming: one queue, one channel, batches, one acknowledgement rule.
//!
//! A message is acknowledged when its effects are committed, never before, and never negatively: what was not
//! acknowledged goes back when the session ends, however it ends.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Acker, Channel, Consumer};
use tokio::time::Instant;

use crate::connect::Link;
use crate::publish::short;
use crate::topology::{self, PROBE};
use crate::{BusError, Delivery, Queue, SessionEnded, metrics};

/// For opening a session and for closing one.
const LIMIT: Duration = Duration::from_secs(30);
const CLOSE_LIMIT: Duration = Duration::from_secs(2);
const LINE_ENDED: &str = "its connection ended";

/// Sessions are numbered so that a tag of one is nothing to another, where the broker's own numbers would be taken for
/// messages that nobody has handled yet. The broker's numbers have the lower bits.
static SESSIONS: AtomicU64 = AtomicU64::new(1);
const TAG_BITS: u32 = 40;

/// The tags of messages taken together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(Vec<u64>);

impl Tags {
    /// The tags of these deliveries.
    pub fn of(batch: &[Delivery]) -> Self {
        Self(batch.iter().map(|delivery| delivery.tag).collect())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Extend<u64> for Tags {
    fn extend<I: IntoIterator<Item = u64>>(&mut self, tags: I) {
        self.0.extend(tags);
    }
}

impl From<&Tags> for Tags {
    fn from(tags: &Tags) -> Self {
        tags.clone()
    }
}

impl From<&Vec<Delivery>> for Tags {
    fn from(batch: &Vec<Delivery>) -> Self {
        Self::of(batch)
    }
}

impl From<&[Delivery]> for Tags {
    fn from(batch: &[Delivery]) -> Self {
        Self::of(batch)
    }
}

/// A consumer on its own channel. Dropping it closes the channel; what was not acknowledged goes back.
#[derive(Debug)]
pub struct Session {
    number: u64,
    queue: Queue,
    channel: Channel,
    consumer: Consumer,
    /// Taken, not yet given out: taking can be interrupted.
    pending: Vec<Delivery>,
    /// Delivered and not acknowledged, in the order of their tags.
    unacked: VecDeque<(u64, Acker)>,
    ended: bool,
    /// The connection lives at least as long.
    link: Arc<Link>,
}

impl Session {
    pub(crate) async fn open(link: Arc<Link>, namespace: &str, queue: Queue, prefetch: u16) -> Result<Self, BusError> {
        let opening = async {
            topology::ensure_queue_on(&link, namespace, queue).await?;
            let channel = link.channel().await?;
            // Per consumer: a global limit closes the connection on quorum queues.
            channel.basic_qos(prefetch, BasicQosOptions { global: false }).await?;
            let name = short(&queue.name(namespace))?;
            let options = BasicConsumeOptions::default();
            let consumer = channel
                .basic_consume(name, ShortString::default(), options, FieldTable::default())
                .await?;
            Ok::<_, BusError>((channel, consumer))
        };
        let opened = tokio::time::timeout(LIMIT, link.while_open(opening)).await;
        let opened = opened.map_err(|_| BusError::TimedOut(LIMIT))?;
        let (channel, consumer) = opened.ok_or(BusError::NotConnected)??;
        let number = SESSIONS.fetch_add(1, Ordering::Relaxed);
        let (pending, unacked) = (Vec::new(), VecDeque::new());
        Ok(Self {
            number,
            queue,
            channel,
            consumer,
            pending,
            unacked,
            ended: false,
            link,
        })
    }

    /// Waits for a message, then takes what has arrived, up to `max`; for more than that it waits no longer than
    /// `linger`. `None`: the session ended, ask the bus for another. May be interrupted without losing anything.
    pub async fn next_batch(&mut self, max: usize, linger: Duration) -> Option<Vec<Delivery>> {
        while self.pending.is_empty() {
            if self.ended {
                return None;
            }
            match self.link.while_open(self.consumer.next()).await {
                Some(delivered) => self.take(delivered).await,
                None => self.end(LINE_ENDED),
            }
        }
        let patience = Instant::now() + linger;
        while self.pending.len() < max && !self.ended {
            let delivered = match self.consumer.next().now_or_never() {
                Some(delivered) => delivered,
                None if linger.is_zero() => break,
                None => match tokio::time::timeout_at(patience, self.consumer.next()).await {
                    Ok(delivered) => delivered,
                    Err(_) => break,
                },
            };
            self.take(delivered).await;
        }
        if self.pending.is_empty() {
            return None;
        }
        let rest = self.pending.split_off(self.pending.len().min(max));
        let batch = std::mem::replace(&mut self.pending, rest);
        let again = batch.iter().filter(|delivery| delivery.redelivered).count();
        metrics::delivered(self.queue.label(), batch.len() as u64, again as u64);
        Some(batch)
    }

    async fn take(&mut self, delivered: Option<lapin::Result<lapin::message::Delivery>>) {
        match delivered {
            Some(Ok(wire)) => {
                let acker = wire.acker.clone();
                let mut delivery = Delivery::read(wire, self.queue.is_forwarded_to());
                delivery.tag |= self.number << TAG_BITS;
                if delivery.body.is_empty() && delivery.kind.as_deref() == Some(PROBE) {
                    // `topology check` tried a binding. If this acknowledgement is lost the probe comes again.
                    let _ = self.link.while_open(acker.ack(BasicAckOptions::default())).await;
                } else {
                    self.unacked.push_back((delivery.tag, acker));
                    self.pending.push(delivery);
                }
            }
            Some(Err(error)) => {
                // What is in hand and not given out will come again.
                self.pending.clear();
                self.end(&error.to_string());
            }
            // The queue was deleted, or its node left. What was delivered before may still be acknowledged.
            None => self.end("cancelled by the broker"),
        }
    }

    /// Acknowledges messages whose effects are committed: in one frame when they are all that was delivered up to the
    /// last of them.
    pub async fn ack_all(&mut self, tags: impl Into<Tags>) -> Result<(), SessionEnded> {
        let Tags(mut tags) = tags.into();
        tags.sort_unstable();
        let Some(&last) = tags.last() else { return Ok(()) };
        let up_to_last = self.unacked.partition_point(|(tag, _)| *tag <= last);
        let delivered: Vec<_> = self.unacked.drain(..up_to_last).collect();
        if delivered.iter().map(|(tag, _)| tag).eq(&tags) {
            // Not empty: as many as there are tags.
            return match delivered.last() {
                Some((_, acker)) => self.ack(acker, true).await,
                None => Err(SessionEnded),
            };
        }
        self.ack_each(delivered, &tags).await
    }

    /// Where something before the last one is not to be acknowledged yet, or does not belong to this session.
    async fn ack_each(&mut self, delivered: Vec<(u64, Acker)>, tags: &[u64]) -> Result<(), SessionEnded> {
        let (given, kept): (Vec<_>, Vec<_>) = delivered
            .into_iter()
            .partition(|(tag, _)| tags.binary_search(tag).is_ok());
        kept.into_iter().rev().for_each(|entry| self.unacked.push_front(entry));
        for (_, acker) in &given {
            self.ack(acker, false).await?;
        }
        if given.len() == tags.len() {
            Ok(())
        } else {
            Err(SessionEnded)
        }
    }

    async fn ack(&mut self, acker: &Acker, multiple: bool) -> Result<(), SessionEnded> {
        match self.link.while_open(acker.ack(BasicAckOptions { multiple })).await {
            Some(Ok(true)) => return Ok(()),
            // Not sent: the channel it belongs to is gone.
            Some(Ok(false)) => self.end("an acknowledgement came too late"),
            Some(Err(error)) => self.end(&error.to_string()),
            None => self.end(LINE_ENDED),
        }
        Err(SessionEnded)
    }

    fn end(&mut self, why: &str) {
        if !self.ended {
            self.ended = true;
            metrics::session_ended(self.queue.label());
            tracing::warn!(queue = self.queue.label(), why, "a consuming session ended");
        }
    }

    /// Stops consuming; what was not acknowledged goes back at once.
    pub async fn close(self) {
        if self.channel.status().connected() {
            let closing = self.channel.close(200, ShortString::from("bye"));
            let _ = tokio::time::timeout(CLOSE_LIMIT, closing).await;
        }
    }
}
