//! The publishing connection: a plain channel for what is not awaited, a confirming one for events.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lapin::options::{BasicPublishOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::{BasicProperties, Channel, Confirmation};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::connect::Link;
use crate::delivery::{TRACEPARENT, VERSION};
use crate::topology::events_exchange;
use crate::{BusError, BusSettings};

/// A confirm needs milliseconds, a disk sync at worst.
const CONFIRM_LIMIT: Duration = Duration::from_secs(10);
/// Past this too the connection is taken for broken. With the other less than the database lets a transaction idle.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
pub(crate) const PERSISTENT: u8 = 2;
const TRANSIENT: u8 = 1;

/// Connection and channels for publishing.
#[derive(Debug)]
pub(crate) struct PublishLine {
    pub(crate) link: Link,
    /// Without confirms: every confirm is work for the broker, which is the bottleneck.
    pub(crate) plain: Channel,
    confirming: Channel,
    failed: AtomicBool,
    failure: Notify,
}

impl PublishLine {
    pub(crate) async fn open(settings: &BusSettings) -> Result<Self, BusError> {
        let link = Link::open(settings, "publish").await?;
        let plain = link.channel().await?;
        let confirming = link.confirming_channel().await?;
        Ok(Self {
            link,
            plain,
            confirming,
            failed: AtomicBool::new(false),
            failure: Notify::new(),
        })
    }

    /// Someone saw it fail: the supervisor rebuilds it.
    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
        self.failure.notify_one();
    }

    /// Returns when someone saw it fail.
    pub(crate) async fn failure(&self) {
        self.failure.notified().await;
    }

    /// Whether connection and channels are all in order.
    pub(crate) fn is_alive(&self) -> bool {
        !self.failed.load(Ordering::Relaxed)
            && self.link.connection.status().connected()
            && self.plain.status().connected()
            && self.confirming.status().connected()
    }

    /// Whether the broker has said that it does not read what is published.
    pub(crate) fn is_blocked(&self) -> bool {
        self.link.connection.status().blocked()
    }

    /// Publishes an event and waits for its confirm. Several may be in flight.
    pub(crate) async fn event(&self, event: Event<'_>) -> Result<(), BusError> {
        if self.is_blocked() {
            // The library keeps what it cannot write, also after whoever waited for it has given up.
            return Err(BusError::Blocked);
        }
        let publish = async {
            self.confirming
                .basic_publish(
                    short(&events_exchange(event.namespace))?,
                    short(event.kind)?,
                    BasicPublishOptions::default(),
                    &event.body,
                    event.properties()?,
                )
                .await?
                .await
                .map_err(BusError::from)
        };
        match tokio::time::timeout(CONFIRM_LIMIT, publish).await {
            Ok(Ok(Confirmation::Ack(_))) => Ok(()),
            // A listener's queue is full and set to refuse: no fault of the line, which carries all answers.
            Ok(Ok(Confirmation::Nack(_))) => Err(BusError::Refused),
            // The channel does not confirm.
            Ok(Ok(Confirmation::NotRequested)) => {
                self.fail();
                Err(BusError::Refused)
            }
            Ok(Err(error)) => {
                self.fail();
                Err(error)
            }
            // A broker in need of memory says so, and a new connection would be blocked as well.
            Err(_) if self.is_blocked() => Err(BusError::Blocked),
            // It waits for a listener's queue, which may have lost its majority.
            Err(_) if self.answers().await => Err(BusError::TimedOut(CONFIRM_LIMIT)),
            Err(_) => {
                self.fail();
                Err(BusError::NotConnected)
            }
        }
    }

    /// Whether the broker answers on the channel that waits for confirms.
    async fn answers(&self) -> bool {
        let asked = self.confirming.basic_qos(1, BasicQosOptions::default());
        matches!(tokio::time::timeout(ANSWER_LIMIT, asked).await, Ok(Ok(())))
    }
}

/// What is published about an event.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) event_id: Uuid,
    pub(crate) body: Vec<u8>,
    pub(crate) traceparent: Option<&'a str>,
}

impl Event<'_> {
    fn properties(&self) -> Result<BasicProperties, BusError> {
        let id = self.event_id.to_string();
        Ok(json(self.kind, self.traceparent)?
            .with_message_id(short(&id)?)
            .with_delivery_mode(PERSISTENT))
    }
}

/// The properties that everything of ours has. Transient; events are made persistent.
pub(crate) fn json(kind: &str, traceparent: Option<&str>) -> Result<BasicProperties, BusError> {
    let mut headers = FieldTable::default();
    headers.insert(ShortString::from(VERSION), AMQPValue::LongInt(1));
    if let Some(trace) = traceparent {
        headers.insert(ShortString::from(TRACEPARENT), text(trace));
    }
    Ok(BasicProperties::default()
        .with_content_type(ShortString::from("application/json"))
        .with_type(short(kind)?)
        .with_delivery_mode(TRANSIENT)
        .with_headers(headers))
}

pub(crate) fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(text.as_bytes()))
}

pub(crate) fn short(text: &str) -> Result<ShortString, BusError> {
    ShortString::try_new(text).map_err(|_| BusError::TooLong("a name or property"))
}
