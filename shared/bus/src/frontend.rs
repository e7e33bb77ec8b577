//! A terminal's front-end, as the wire contract describes it: for the demo, the bench and tests. Workers do not use it.
//!
//! It refuses to be clever: nothing is sent again by itself and a lost connection is an error.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Consumer};
use tokio::sync::oneshot;

use crate::connect::Link;
use crate::publish::{self, PERSISTENT, short};
use crate::topology::{events_exchange, terminal_exchange};
use crate::{BusError, BusSettings, Delivery};

const DIRECT_REPLY: &str = "amq.rabbitmq.reply-to";

/// What a terminal sends.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// Routing key, for example `payment.accepted`.
    pub key: String,
    /// JSON, if it is well-formed.
    pub body: Vec<u8>,
    /// The broker checks that it is the connection's own user.
    pub user_id: Option<String>,
    /// With the present time as its timestamp, set by [`expiring`](Self::expiring).
    pub expiration: Option<(u64, Duration)>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// Another version of the messages than 1.
    pub version: Option<i32>,
}

impl Message {
    /// A message with nothing but its key and body.
    pub fn new(key: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self {
            key: key.into(),
            body: body.into(),
            ..Self::default()
        }
    }

    /// The same, sent at `timestamp` (seconds) by somebody who waits only so long.
    pub fn expiring(self, timestamp: u64, after: Duration) -> Self {
        Self {
            expiration: Some((timestamp, after)),
            ..self
        }
    }

    fn properties(&self) -> Result<BasicProperties, BusError> {
        let mut properties = publish::json(&self.key, self.traceparent.as_deref())?;
        if let Some(user) = &self.user_id {
            properties = properties.with_user_id(short(user)?);
        }
        if let Some((timestamp, after)) = self.expiration {
            properties = properties
                .with_timestamp(timestamp)
                .with_expiration(short(&after.as_millis().to_string())?);
        }
        if let Some(version) = self.version {
            let mut headers = properties.headers().clone().unwrap_or_default();
            headers.insert(ShortString::from(crate::delivery::VERSION), AMQPValue::LongInt(version));
            properties = properties.with_headers(headers);
        }
        Ok(properties)
    }
}

type Waiting = Arc<Mutex<HashMap<String, oneshot::Sender<Delivery>>>>;

/// A connected front-end. Cheap to clone; asks and sends as much at once as it likes.
#[derive(Clone, Debug)]
pub struct Frontend(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    namespace: String,
    link: Link,
    /// Confirms, for facts.
    sure: Channel,
    /// Direct reply-to demands that questions go by the channel their answers come to.
    quick: Channel,
    waiting: Waiting,
    asked: AtomicU64,
}

impl Frontend {
    /// Connects.
    pub async fn connect(settings: &BusSettings) -> Result<Self, BusError> {
        let link = Link::open(settings, "front-end").await?;
        let (sure, quick) = (link.channel().await?, link.channel().await?);
        sure.confirm_select(ConfirmSelectOptions::default()).await?;
        let waiting = Waiting::default();
        for channel in [&sure, &quick] {
            let answers = consume(channel, ShortString::from(DIRECT_REPLY)).await?;
            tokio::spawn(hand_out(answers, waiting.clone()));
        }
        let (namespace, asked) = (settings.namespace.clone(), AtomicU64::new(0));
        Ok(Self(Arc::new(Inner {
            namespace,
            link,
            sure,
            quick,
            waiting,
            asked,
        })))
    }

    /// Sends a fact without wanting an answer: persistent, mandatory, confirmed.
    pub async fn send(&self, message: &Message) -> Result<(), BusError> {
        self.publish_surely(message, message.properties()?).await
    }

    /// Sends a fact, and waits for its confirm and then for its answer.
    pub async fn tell(&self, message: &Message, limit: Duration) -> Result<Delivery, BusError> {
        let (properties, answer) = self.expect_answer(message.properties()?)?;
        self.publish_surely(message, properties).await?;
        wait(answer, limit).await
    }

    /// Asks a question, transient and unconfirmed, and waits for the answer.
    pub async fn ask(&self, message: &Message, limit: Duration) -> Result<Delivery, BusError> {
        let (properties, answer) = self.expect_answer(message.properties()?)?;
        let options = BasicPublishOptions {
            mandatory: false,
            immediate: false,
        };
        let exchange = short(&terminal_exchange(&self.0.namespace))?;
        self.0
            .quick
            .basic_publish(exchange, short(&message.key)?, options, &message.body, properties)
            .await?;
        wait(answer, limit).await
    }

    /// Listens to events whose key fits `pattern`: `payment.*`, `#`.
    pub async fn listen(&self, pattern: &str) -> Result<Listener, BusError> {
        let channel = self.0.link.channel().await?;
        let options = QueueDeclareOptions {
            exclusive: true,
            auto_delete: true,
            ..QueueDeclareOptions::default()
        };
        let queue = channel
            .queue_declare(ShortString::default(), options, FieldTable::default())
            .await?
            .name()
            .clone();
        let exchange = short(&events_exchange(&self.0.namespace))?;
        let options = QueueBindOptions::default();
        channel
            .queue_bind(queue.clone(), exchange, short(pattern)?, options, FieldTable::default())
            .await?;
        let events = consume(&channel, queue).await?;
        Ok(Listener {
            events,
            _frontend: self.clone(),
        })
    }

    /// Says goodbye.
    pub async fn close(&self) {
        self.0.link.close().await;
    }

    async fn publish_surely(&self, message: &Message, properties: BasicProperties) -> Result<(), BusError> {
        let options = BasicPublishOptions {
            mandatory: true,
            immediate: false,
        };
        let exchange = short(&terminal_exchange(&self.0.namespace))?;
        let properties = properties.with_delivery_mode(PERSISTENT);
        let published = self
            .0
            .sure
            .basic_publish(exchange, short(&message.key)?, options, &message.body, properties);
        match published.await?.await? {
            Confirmation::Ack(None) => Ok(()),
            Confirmation::Ack(Some(_)) => Err(BusError::Unroutable(message.key.clone())),
            Confirmation::Nack(_) | Confirmation::NotRequested => Err(BusError::Refused),
        }
    }

    fn expect_answer(&self, properties: BasicProperties) -> Result<(BasicProperties, Awaited), BusError> {
        let id = self.0.asked.fetch_add(1, Ordering::Relaxed).to_string();
        let (sender, answer) = oneshot::channel();
        lock(&self.0.waiting).insert(id.clone(), sender);
        let properties = properties
            .with_reply_to(short(DIRECT_REPLY)?)
            .with_correlation_id(short(&id)?);
        Ok((
            properties,
            Awaited {
                id,
                answer,
                waiting: self.0.waiting.clone(),
            },
        ))
    }
}

/// Events as they come.
#[derive(Debug)]
pub struct Listener {
    events: Consumer,
    _frontend: Frontend,
}

impl Listener {
    /// The next event; None when the connection has ended.
    pub async fn next(&mut self) -> Option<Delivery> {
        self.events.next().await?.ok().map(|wire| Delivery::read(wire, false))
    }
}

struct Awaited {
    id: String,
    answer: oneshot::Receiver<Delivery>,
    waiting: Waiting,
}

impl Drop for Awaited {
    fn drop(&mut self) {
        lock(&self.waiting).remove(&self.id);
    }
}

async fn wait(mut awaited: Awaited, limit: Duration) -> Result<Delivery, BusError> {
    match tokio::time::timeout(limit, &mut awaited.answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err(BusError::NotConnected),
        Err(_) => Err(BusError::TimedOut(limit)),
    }
}

async fn consume(channel: &Channel, queue: ShortString) -> Result<Consumer, BusError> {
    let options = BasicConsumeOptions {
        no_ack: true,
        ..BasicConsumeOptions::default()
    };
    Ok(channel
        .basic_consume(queue, ShortString::default(), options, FieldTable::default())
        .await?)
}

async fn hand_out(mut answers: Consumer, waiting: Waiting) {
    while let Some(Ok(wire)) = answers.next().await {
        let answer = Delivery::read(wire, false);
        let waiter = answer.correlation_id.as_ref().and_then(|id| lock(&waiting).remove(id));
        if let Some(waiter) = waiter {
            // Whoever stopped waiting does not miss it.
            let _ = waiter.send(answer);
        }
    }
    // Nothing more will come: whoever waits learns it.
    lock(&waiting).clear();
}

fn lock(waiting: &Waiting) -> std::sync::MutexGuard<'_, HashMap<String, oneshot::Sender<Delivery>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}
