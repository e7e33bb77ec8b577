//! The handle that workers hold.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, ShortString};
use tokio::sync::{Notify, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::delivery::{DECLARED, ROUTING_KEY, USER_ID};
use crate::metrics::{self, Why};
use crate::outbox::{Outbox, Outgoing};
use crate::publish::{self, Event, short, text};
use crate::strangers::{self, Trusted};
use crate::supervisor::Supervisor;
use crate::{BusError, BusSettings, Delivery, Queue, Session, persist, reconnect_delay, reply};

/// For what is queued at the end.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);
/// For both goodbyes.
const CLOSE_LIMIT: Duration = Duration::from_secs(4);

/// Connection to the broker, kept alive in the background. Cheap to clone; the last one hangs up.
#[derive(Clone)]
pub struct Bus(Arc<Inner>);

struct Inner {
    supervisor: Arc<Supervisor>,
    outbox: Outbox,
    tasks: TaskTracker,
    _hang_up: DropGuard,
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus")
            .field("namespace", &self.namespace())
            .field("ready", &self.ready())
            .finish()
    }
}

impl Bus {
    /// Starts connecting and returns at once, also with the broker away. After `shutdown` a lost connection is not
    /// rebuilt; the ones there are stay until [`close`](Self::close).
    pub fn start(settings: BusSettings, shutdown: CancellationToken) -> Self {
        let stop = CancellationToken::new();
        let trusted = Trusted::default();
        let publish = watch::Sender::new(None);
        let strangers = strangers::start(settings.clone(), trusted.clone());
        let outbox = Outbox::start(publish.subscribe(), trusted.clone(), strangers);
        let consume = watch::Sender::new(None);
        let (suspicion, sighted) = (Notify::new(), Notify::new());
        let supervisor = Supervisor {
            suspicion,
            sighted,
            settings,
            publish,
            consume,
            trusted,
            stop: stop.clone(),
            shutdown,
        };
        let supervisor = Arc::new(supervisor);
        let tasks = TaskTracker::new();
        let (publishing, consuming) = (supervisor.clone(), supervisor.clone());
        tasks.spawn(async move { persist("publishing", || publishing.keep_publishing()).await });
        tasks.spawn(async move { persist("consuming", || consuming.keep_consuming()).await });
        Self(Arc::new(Inner {
            supervisor,
            outbox,
            tasks,
            _hang_up: stop.drop_guard(),
        }))
    }

    /// The namespace it works in.
    pub fn namespace(&self) -> &str {
        &self.0.supervisor.settings.namespace
    }

    /// Whether both connections are up and the topology was found in order.
    pub fn ready(&self) -> bool {
        self.0.supervisor.publish.borrow().is_some() && self.0.supervisor.consume.borrow().is_some()
    }

    /// Whether the broker does not read what is published now: events have to wait.
    pub fn blocked(&self) -> bool {
        let line = self.0.supervisor.publish.borrow();
        line.as_ref().is_some_and(|line| line.is_blocked())
    }

    /// Waits until [`ready`](Self::ready).
    pub async fn wait_ready(&self) {
        let mut publish = self.0.supervisor.publish.subscribe();
        let mut consume = self.0.supervisor.consume.subscribe();
        while !self.ready() {
            // The senders live in `self`: there is nothing to fail.
            let _ = publish.wait_for(Option::is_some).await;
            let _ = consume.wait_for(Option::is_some).await;
        }
    }

    /// Consumes from `queue`, as soon as that is possible and answers can be sent too; declares it again if somebody
    /// deleted it. Waits for ever after [`close`](Self::close): select it against your own shutdown.
    pub async fn session(&self, queue: Queue, prefetch: u16) -> Session {
        let mut attempt = 0;
        loop {
            self.wait_ready().await;
            let link = self.0.supervisor.consume.borrow().clone();
            // Gone again in this very moment.
            let Some(link) = link else { continue };
            match Session::open(link, self.namespace(), queue, prefetch).await {
                Ok(session) => return session,
                Err(error) => tracing::warn!(queue = queue.label(), attempt, %error, "cannot consume yet"),
            }
            tokio::time::sleep(reconnect_delay(attempt)).await;
            attempt += 1;
        }
    }

    /// Answers a request, if it named an address that may be answered. Never waits; dropped when disconnected.
    pub fn answer(&self, request: &Delivery, body: Vec<u8>) {
        let Some(reply_to) = &request.reply_to else { return };
        let Some(address) = reply::address(reply_to, self.namespace()) else {
            return metrics::answer_dropped(Why::ForeignAddress);
        };
        let properties = publish::json(
            &format!("{}.reply", request.routing_key),
            request.traceparent.as_deref(),
        )
        .and_then(|properties| with_correlation(properties, request));
        let (Ok(queue), Ok(properties)) = (short(reply_to), properties) else {
            return metrics::answer_dropped(Why::TooLong);
        };
        self.0.outbox.send(Outgoing {
            queue,
            properties,
            body,
            address: Some(address),
        });
    }

    /// Puts a hint into an internal queue. Never waits; dropped when disconnected.
    pub fn wake(&self, queue: Queue, body: Vec<u8>) {
        match (short(&queue.name(self.namespace())), publish::json("wake-up", None)) {
            (Ok(queue), Ok(properties)) => {
                self.0.outbox.send(Outgoing {
                    queue,
                    properties,
                    body,
                    address: None,
                });
            }
            _ => metrics::hint_dropped(Why::TooLong),
        }
    }

    /// Passes a question on, with its reply address, its deadline, who asked and what was declared. Never waits; dropped
    /// when disconnected.
    pub fn forward(&self, queue: Queue, question: Delivery) {
        match (short(&queue.name(self.namespace())), forwarded(&question)) {
            (Ok(queue), Ok(properties)) => {
                let body = question.body;
                self.0.outbox.send(Outgoing {
                    queue,
                    properties,
                    body,
                    address: None,
                });
            }
            _ => metrics::hint_dropped(Why::TooLong),
        }
    }

    /// Publishes an event and waits for the broker's confirm. On an error it may have been published all the same:
    /// publish it again under the same id. Several may be in flight.
    pub async fn publish_event(
        &self,
        kind: &str,
        event_id: Uuid,
        body: Vec<u8>,
        traceparent: Option<&str>,
    ) -> Result<(), BusError> {
        let line = self.0.supervisor.publish.borrow().clone();
        let event = Event {
            namespace: self.namespace(),
            kind,
            event_id,
            body,
            traceparent,
        };
        let outcome = match line {
            Some(line) => line.event(event).await,
            None => Err(BusError::NotConnected),
        };
        match &outcome {
            Ok(()) => metrics::event_published(),
            Err(_) => metrics::event_failed(),
        }
        outcome
    }

    /// Sends what is queued and closes both connections, within a few seconds.
    pub async fn close(&self) {
        let _ = tokio::time::timeout(FLUSH_LIMIT, self.0.outbox.flush()).await;
        self.0.supervisor.stop.cancel();
        self.0.tasks.close();
        let _ = tokio::time::timeout(CLOSE_LIMIT, self.0.tasks.wait()).await;
    }
}

fn with_correlation(properties: BasicProperties, request: &Delivery) -> Result<BasicProperties, BusError> {
    match &request.correlation_id {
        Some(id) => Ok(properties.with_correlation_id(short(id)?)),
        None => Ok(properties),
    }
}

/// The question's own properties; what the default exchange would lose goes into headers.
fn forwarded(question: &Delivery) -> Result<BasicProperties, BusError> {
    let properties = publish::json(&question.routing_key, question.traceparent.as_deref())?;
    let mut headers = properties.headers().clone().unwrap_or_default();
    headers.insert(ShortString::from(ROUTING_KEY), text(&question.routing_key));
    if let Some(user) = &question.user_id {
        headers.insert(ShortString::from(USER_ID), text(user));
    }
    if let Some(generation) = question.declared {
        headers.insert(ShortString::from(DECLARED), AMQPValue::LongLongInt(generation));
    }
    let mut properties = with_correlation(properties.with_headers(headers), question)?;
    if let Some(reply_to) = &question.reply_to {
        properties = properties.with_reply_to(short(reply_to)?);
    }
    if let Some(timestamp) = question.timestamp {
        properties = properties.with_timestamp(timestamp);
    }
    if let Some(expiration) = question.expiration_ms {
        properties = properties.with_expiration(short(&expiration.to_string())?);
    }
    Ok(properties)
}
