//! How terminals speak: a handful of front-ends' connections shared by all of them. A fact that gets no answer is sent
//! again, same id and content, as the contract asks of a front-end; nobody here retries anything else. A question that gets
//! none is a surprise, unless it is one that waits for a payee.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bus::frontend::{Frontend, Message};
use bus::{BusError, BusSettings};
use serde_json::Value;
use uuid::Uuid;

use super::memory::Memory;

/// Connections that all terminals share.
const CONNECTIONS: usize = 4;
/// How long a terminal waits for the answer to a question.
pub(super) const QUESTION_PATIENCE: Duration = Duration::from_secs(10);
/// How long a front-end waits before it tells a fact again. The day has no half minutes to spare.
const FACT_PATIENCE: Duration = Duration::from_secs(10);
/// How often a fact is told before its terminal gives up on the day.
const TELLINGS: usize = 3;
/// The one question that waits for somebody else than us, and so may go unanswered.
pub(super) const WAITS_FOR_A_PAYEE: &str = "payment.check";

/// The front-ends.
#[derive(Debug)]
pub(super) struct Till {
    connections: Vec<Frontend>,
    user: Option<String>,
    memory: Arc<Memory>,
}

impl Till {
    /// Connects.
    pub(super) async fn open(
        settings: &BusSettings,
        user: Option<String>,
        memory: Arc<Memory>,
    ) -> anyhow::Result<Self> {
        let mut connections = Vec::with_capacity(CONNECTIONS);
        for _ in 0..CONNECTIONS {
            connections.push(Frontend::connect(settings).await.context("a front-end's connection")?);
        }
        Ok(Self {
            connections,
            user,
            memory,
        })
    }

    /// Asks a question. None: no answer in time, which the terminal takes for an error message to its payer.
    pub(super) async fn ask(&self, terminal: usize, key: &str, body: &Value) -> Option<Value> {
        let now = u64::try_from(domain::clock::now().as_second()).unwrap_or_default();
        let question = self.message(key, body.to_string()).expiring(now, QUESTION_PATIENCE);
        self.memory.sent(key);
        let begun = Instant::now();
        let answer = self.connection(terminal).ask(&question, QUESTION_PATIENCE).await;
        if let Err(BusError::TimedOut(_)) = answer {
            self.memory.unanswered(key, QUESTION_PATIENCE);
        }
        self.understand(key, answer.map(|answer| answer.body), begun)
    }

    /// Tells a fact until it is answered.
    pub(super) async fn tell(&self, terminal: usize, key: &str, body: &Value) -> Option<Value> {
        self.tell_bytes(terminal, key, body.to_string().into_bytes()).await
    }

    /// The same with any bytes under any key.
    pub(super) async fn tell_bytes(&self, terminal: usize, key: &str, body: Vec<u8>) -> Option<Value> {
        let fact = self.message(key, body);
        // Whoever stands at the terminal waits from the first telling on, however often it is told.
        let begun = Instant::now();
        for telling in 0..TELLINGS {
            self.memory.sent(key);
            if telling > 0 {
                self.memory.told_again();
            }
            let answer = self.connection(terminal).tell(&fact, FACT_PATIENCE).await;
            let answer = self.understand(key, answer.map(|answer| answer.body), begun);
            if answer.is_some() {
                return answer;
            }
        }
        self.memory.surprise(format!("{key}: no answer to {TELLINGS} tellings"));
        None
    }

    /// Says goodbye.
    pub(super) async fn close(&self) {
        for connection in &self.connections {
            connection.close().await;
        }
    }

    fn message(&self, key: &str, body: impl Into<Vec<u8>>) -> Message {
        Message {
            user_id: self.user.clone(),
            traceparent: Some(traceparent()),
            ..Message::new(key, body)
        }
    }

    fn connection(&self, terminal: usize) -> &Frontend {
        // There are CONNECTIONS of them.
        &self.connections[terminal % self.connections.len()]
    }

    fn understand(&self, key: &str, answer: Result<Vec<u8>, BusError>, begun: Instant) -> Option<Value> {
        match answer {
            Ok(body) => match serde_json::from_slice(&body) {
                Ok(answer) => {
                    self.memory.answered(key, &answer, begun.elapsed());
                    Some(answer)
                }
                Err(_) => {
                    self.memory.surprise(format!("{key}: an answer that is not JSON"));
                    None
                }
            },
            Err(BusError::TimedOut(_)) => None,
            Err(error) => {
                self.memory.surprise(format!("{key}: {error}"));
                None
            }
        }
    }
}

/// A W3C trace context of its own for every message: what follows from it can be found in the logs, the provider's too.
fn traceparent() -> String {
    let (trace, span) = (Uuid::new_v4().simple().to_string(), Uuid::new_v4().simple().to_string());
    format!("00-{trace}-{}-01", &span[..16])
}
