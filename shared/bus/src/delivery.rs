//! A message as it was delivered: properties and headers read leniently, because anyone may have set them.
//!
//! Nothing here refuses a message. What is unreadable is absent, or marked so where absence would mean something else.

mod headers;
#[cfg(test)]
mod tests;

use lapin::BasicProperties;
use lapin::types::ShortString;
use serde_json::Value;

use crate::topology::is_of_the_dead;

pub(crate) use headers::{DECLARED, ROUTING_KEY, TRACEPARENT, USER_ID, VERSION};
pub use headers::{is_traceparent, version_of};

/// Milliseconds since 1970 passed this in 1973, seconds will in the year 5138: senders confuse the two.
const SURELY_MILLISECONDS: u64 = 100_000_000_000;

/// Why and from where a message was dead-lettered last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// The queue it left.
    pub queue: String,
    /// Where it had been published.
    pub exchange: String,
    /// With which key.
    pub routing_key: String,
    /// `expired`, `rejected`, `maxlen` or `delivery_limit`.
    pub reason: String,
}

/// A message as it was delivered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delivery {
    /// The session's number for it.
    pub tag: u64,
    /// Where it was published.
    pub exchange: String,
    /// With which key. A forwarded question keeps its own.
    pub routing_key: String,
    /// As it came; never trusted to be anything.
    pub body: Vec<u8>,
    /// Delivered before, perhaps handled.
    pub redelivered: bool,
    /// Deliveries before this one, as far as the broker knows.
    pub delivery_count: u32,
    /// Where an answer is wanted.
    pub reply_to: Option<String>,
    /// To be repeated in the answer.
    pub correlation_id: Option<String>,
    /// The broker user that published it, verified by the broker.
    pub user_id: Option<String>,
    /// On forwarded questions: the generation of the declarations by which it was forwarded, current when it came.
    pub declared: Option<i64>,
    /// When it was sent, in seconds, by the sender's clock.
    pub timestamp: Option<u64>,
    /// How long the sender waits.
    pub expiration_ms: Option<u64>,
    /// The sender's name for it.
    pub message_id: Option<String>,
    /// The `type` property.
    pub kind: Option<String>,
    /// Header `unigate-version`; -1 when there is one that cannot be read.
    pub version: Option<i64>,
    /// W3C trace context, if it is one.
    pub traceparent: Option<String>,
    /// Set on dead-lettered messages.
    pub death: Option<Death>,
    /// All of that and what else came with it, for people.
    pub envelope: Envelope,
}

/// Properties and headers as they came. Few are ever looked at: they are made readable when somebody does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Envelope(Kept);

#[derive(Clone, Debug, PartialEq)]
enum Kept {
    Wire(Box<BasicProperties>),
    Readable(Value),
}

impl Default for Kept {
    fn default() -> Self {
        Self::Readable(Value::Null)
    }
}

impl Envelope {
    /// Properties by name, and `headers`, as far as they can be printed; for parked rows.
    pub fn json(&self) -> Value {
        match &self.0 {
            Kept::Wire(properties) => headers::json(properties),
            Kept::Readable(json) => json.clone(),
        }
    }
}

/// Of a message that was kept in a parked row.
impl From<Value> for Envelope {
    fn from(json: Value) -> Self {
        Self(Kept::Readable(json))
    }
}

impl Delivery {
    /// A delivery made by hand: of a parked fact that was put back, and in tests.
    pub fn new(routing_key: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self {
            routing_key: routing_key.into(),
            body: body.into(),
            ..Self::default()
        }
    }

    /// As it came. Headers that only the broker writes, or another worker (`forwarded`: to the queues of forwarded questions), are
    /// nothing where others may have written them.
    pub(crate) fn read(wire: lapin::message::Delivery, forwarded: bool) -> Self {
        let properties = &wire.properties;
        let table = properties.headers().as_ref();
        let mut delivery = Self {
            tag: wire.delivery_tag,
            exchange: wire.exchange.as_str().to_owned(),
            routing_key: wire.routing_key.as_str().to_owned(),
            redelivered: wire.redelivered,
            // Classic queues do not count; that it was delivered before is all they know.
            delivery_count: match (wire.redelivered, table.and_then(headers::delivery_count)) {
                (true, Some(count)) => count,
                (again, _) => u32::from(again),
            },
            reply_to: text(properties.reply_to()),
            correlation_id: text(properties.correlation_id()),
            user_id: text(properties.user_id()),
            declared: None,
            timestamp: properties
                .timestamp()
                .map(|at| if at > SURELY_MILLISECONDS { at / 1000 } else { at }),
            expiration_ms: properties
                .expiration()
                .as_ref()
                .and_then(|text| text.as_str().parse().ok()),
            message_id: text(properties.message_id()),
            kind: text(properties.kind()),
            version: table.and_then(headers::version),
            traceparent: table.and_then(headers::traceparent),
            death: table
                .filter(|_| is_of_the_dead(wire.exchange.as_str()))
                .and_then(headers::death),
            body: wire.data,
            envelope: Envelope::default(),
        };
        if forwarded
            && delivery.exchange.is_empty()
            && let Some(table) = table
        {
            delivery.become_forwarded(table);
        }
        delivery.envelope = Envelope(Kept::Wire(Box::new(wire.properties)));
        delivery
    }

    /// A forwarded question comes by the default exchange, where terminals may not write: what its first reader saw
    /// is told in headers of ours.
    fn become_forwarded(&mut self, table: &lapin::types::FieldTable) {
        if let Some(key) = headers::text(table, ROUTING_KEY) {
            self.routing_key = key;
            self.user_id = headers::text(table, USER_ID);
            self.declared = headers::number(table, DECLARED);
        }
    }
}

fn text(property: &Option<ShortString>) -> Option<String> {
    property.as_ref().map(|text| text.as_str().to_owned())
}
