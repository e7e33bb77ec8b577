//! Answers to nodes of the broker that have not been answered before go by a connection that may be lost.
//!
//! See [`crate::reply`] for what they can do to it. Once an answer to a node went well, the node is trusted and its
//! answers go the usual way; a node that cost a connection is left alone for a while.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use lapin::Channel;
use lapin::options::BasicQosOptions;
use tokio::sync::mpsc;

use crate::connect::{Link, limited};
use crate::metrics::Why;
use crate::outbox::Outgoing;
use crate::reply::Address;
use crate::{BusError, BusSettings, survive};

/// As many answers as a burst of requests right after the start may need.
const QUEUE_LIMIT: usize = 8192;
/// A broker has a handful of nodes; more are forged.
const MOST_NODES: usize = 64;
/// How long a node that cost a connection is not answered: twice as long with every further one. Not longer the first time,
/// for it may have been the broker that ended, in the middle of an answer, and every terminal is answered through it.
const FIRST_SHUNNED_FOR: Duration = Duration::from_secs(1);
const SHUNNED_FOR: Duration = Duration::from_secs(60);
/// After a lost connection: an attacker gets one a second. After none: what waits is dropped rather than sent late.
const PAUSE: Duration = Duration::from_secs(1);
/// Without work the connection is closed.
const IDLE: Duration = Duration::from_secs(30);
/// For the broker to take an answer, and to show that it survived it.
const PROOF_LIMIT: Duration = Duration::from_secs(5);

/// The nodes that were answered without harm.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trusted(Arc<RwLock<HashSet<String>>>);

impl Trusted {
    /// Whether a message to this address may go by the common connection. Internal queues and terminals' may.
    pub(crate) fn includes(&self, address: Option<&Address>) -> bool {
        match address {
            None | Some(Address::Queue) => true,
            Some(Address::Unclear) => false,
            Some(Address::Node(node)) => self.0.read().unwrap_or_else(PoisonError::into_inner).contains(node),
        }
    }

    /// A lost connection: perhaps a node has gone, so everyone proves themselves again.
    pub(crate) fn forget(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn add(&self, node: String) {
        let mut nodes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if nodes.len() < MOST_NODES {
            nodes.insert(node);
        }
    }
}

/// Starts the task; it ends with the last sender.
pub(crate) fn start(settings: BusSettings, trusted: Trusted) -> mpsc::Sender<Outgoing> {
    let (sender, mut messages) = mpsc::channel(QUEUE_LIMIT);
    let mut strangers = Strangers {
        settings,
        trusted,
        shunned: HashMap::new(),
        line: None,
        not_before: None,
    };
    tokio::spawn(async move { while survive("strangers", strangers.run(&mut messages)).await.is_none() {} });
    sender
}

/// A node that cost a connection lately.
#[derive(Debug)]
struct Shunned {
    /// How many it had cost before.
    connections: u32,
    since: Instant,
}

impl Shunned {
    fn is_over(&self) -> bool {
        let pause = FIRST_SHUNNED_FOR.saturating_mul(1 << self.connections.min(8));
        self.since.elapsed() >= pause.min(SHUNNED_FOR)
    }

    fn is_forgotten(&self) -> bool {
        self.since.elapsed() >= SHUNNED_FOR
    }
}

struct Strangers {
    settings: BusSettings,
    trusted: Trusted,
    shunned: HashMap<String, Shunned>,
    line: Option<(Link, Channel)>,
    not_before: Option<Instant>,
}

impl Strangers {
    async fn run(&mut self, messages: &mut mpsc::Receiver<Outgoing>) {
        loop {
            match tokio::time::timeout(IDLE, messages.recv()).await {
                Ok(Some(message)) => self.send(message).await,
                Ok(None) => return self.hang_up().await,
                Err(_) => self.hang_up().await,
            }
        }
    }

    async fn send(&mut self, message: Outgoing) {
        let node = match &message.address {
            Some(Address::Node(node)) => node.clone(),
            // Shunned together: a form that harms the broker once will harm it again.
            _ => String::new(),
        };
        if self.shuns(&node) {
            return message.drop_for(Why::UnknownNode);
        }
        let Ok(channel) = self.channel().await else {
            return message.drop_for(Why::Disconnected);
        };
        let known = self.trusted.includes(message.address.as_ref());
        match limited(PROOF_LIMIT, publish(&channel, message, !known)).await {
            Ok(()) => {
                crate::metrics::answers_sent(1);
                self.shunned.remove(&node);
                if !known && !node.is_empty() {
                    self.trusted.add(node);
                }
            }
            Err(_) if self.is_blocked() => {
                // A memory alarm is no fault of the node.
                crate::metrics::answer_dropped(Why::Disconnected);
                self.hang_up().await;
            }
            Err(error) => {
                tracing::warn!(%error, node, "an answer by direct reply-to cost its connection");
                crate::metrics::answer_dropped(Why::UnknownNode);
                self.shun(node);
                self.hang_up().await;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    fn shuns(&mut self, node: &str) -> bool {
        self.shunned.retain(|_, shunned| !shunned.is_forgotten());
        match self.shunned.get(node) {
            Some(shunned) => !shunned.is_over(),
            None => self.shunned.len() >= MOST_NODES,
        }
    }

    fn shun(&mut self, node: String) {
        let connections = self.shunned.get(&node).map_or(0, |shunned| shunned.connections + 1);
        let since = Instant::now();
        self.shunned.insert(node, Shunned { connections, since });
    }

    fn is_blocked(&self) -> bool {
        let line = self.line.as_ref();
        line.is_some_and(|(link, _)| link.connection.status().blocked())
    }

    async fn channel(&mut self) -> Result<Channel, BusError> {
        if let Some((_, channel)) = &self.line
            && channel.status().connected()
        {
            return Ok(channel.clone());
        }
        if self.not_before.is_some_and(|at| Instant::now() < at) {
            return Err(BusError::NotConnected);
        }
        let opened = Link::open(&self.settings, "answers").await;
        let link = opened.inspect_err(|_| self.not_before = Some(Instant::now() + PAUSE))?;
        let channel = link.channel().await?;
        self.line = Some((link, channel.clone()));
        Ok(channel)
    }

    async fn hang_up(&mut self) {
        if let Some((link, _)) = self.line.take() {
            link.close().await;
        }
    }
}

async fn publish(channel: &Channel, message: Outgoing, prove: bool) -> Result<(), BusError> {
    message.publish(channel).await?;
    if prove {
        // Anything the broker answers to will do: it comes after the publish on the same channel.
        channel.basic_qos(1, BasicQosOptions::default()).await?;
    }
    Ok(())
}
