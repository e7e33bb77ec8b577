//! What everybody who binds a queue to `<ns>.events` is told. Events are written as rows in the transaction of what
//! happened: one per kind, batch and trace, with 1 to 256 items and never above the contract's size of a message. This builds
//! their bodies; it publishes nothing. Each kind of item goes only with its own kinds of events, by type.

mod item;
mod kind;

use domain::limits::{BATCH_MAX, MESSAGE_MAX_BYTES};
pub use item::{CardItem, ParkedItem, PayeeItem, PaymentItem, RegisterItem, StockItem};
use jiff::Timestamp;
pub use kind::{CardEvent, EventKind, MessageEvent, PayeeEvent, PaymentEvent, RegisterEvent, RegisterKind, StockEvent};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

/// One thing that happened. Its type decides which kinds of events can tell of it.
pub trait EventItem: Serialize + JsonSchema {
    /// The kinds of events with such items.
    type Kind: Into<EventKind>;
}

/// An event, ready to be stored and published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Stable over repeats; also the `message_id`.
    pub event_id: Uuid,
    /// Routing key and `type`.
    pub kind: EventKind,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// The body to publish.
    pub body: String,
    /// W3C trace context of the messages that caused it, where they had one.
    pub traceparent: Option<String>,
}

/// Collects what happened in one batch.
#[derive(Debug)]
pub struct Events {
    occurred_at: Timestamp,
    open: Vec<Draft>,
    full: Vec<Event>,
}

impl Events {
    /// Nothing yet, of things that happened at `occurred_at`.
    pub fn new(occurred_at: Timestamp) -> Self {
        Self {
            occurred_at,
            open: Vec::new(),
            full: Vec::new(),
        }
    }

    /// Adds one thing that happened, whose cause has no trace or that of all the others.
    pub fn push<I: EventItem>(&mut self, kind: I::Kind, item: &I) {
        self.push_traced(kind, item, None);
    }

    /// Adds one thing that happened, under the trace of what caused it: an event has one trace.
    pub fn push_traced<I: EventItem>(&mut self, kind: I::Kind, item: &I, traceparent: Option<&str>) {
        let kind = kind.into();
        // Strings, integers and maps keyed by strings always have a JSON form.
        let item = serde_json::to_string(item).unwrap_or_default();
        // From the last: what has a trace mostly has one of its own.
        let same = |draft: &Draft| draft.kind == kind && draft.traceparent.as_deref() == traceparent;
        let at = match self.open.iter().rposition(same) {
            Some(at) => at,
            None => {
                self.open.push(Draft::new(kind, self.occurred_at, traceparent));
                self.open.len() - 1
            }
        };
        if !self.open[at].has_room_for(&item) {
            let fresh = Draft::new(kind, self.occurred_at, traceparent);
            let full = std::mem::replace(&mut self.open[at], fresh);
            self.full.push(full.finish(self.occurred_at));
        }
        self.open[at].add(&item);
    }

    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The events to store.
    pub fn finish(self) -> Vec<Event> {
        let mut events = self.full;
        let open = self.open.into_iter();
        events.extend(open.map(|draft| draft.finish(self.occurred_at)));
        events
    }
}

/// An event that may take more items.
#[derive(Debug)]
struct Draft {
    event_id: Uuid,
    kind: EventKind,
    traceparent: Option<String>,
    count: usize,
    body: String,
}

const END: &str = "]}";

impl Draft {
    fn new(kind: EventKind, occurred_at: Timestamp, traceparent: Option<&str>) -> Self {
        let event_id = Uuid::now_v7();
        Self {
            event_id,
            kind,
            traceparent: traceparent.map(str::to_owned),
            count: 0,
            body: format!(r#"{{"event_id":"{event_id}","occurred_at":"{occurred_at}","items":["#),
        }
    }

    fn has_room_for(&self, item: &str) -> bool {
        let bytes = self.body.len() + 1 + item.len() + END.len();
        self.count == 0 || (self.count < BATCH_MAX && bytes <= MESSAGE_MAX_BYTES)
    }

    fn add(&mut self, item: &str) {
        if self.count > 0 {
            self.body.push(',');
        }
        self.body.push_str(item);
        self.count += 1;
    }

    fn finish(mut self, occurred_at: Timestamp) -> Event {
        self.body.push_str(END);
        Event {
            event_id: self.event_id,
            kind: self.kind,
            occurred_at,
            body: self.body,
            traceparent: self.traceparent,
        }
    }
}

#[cfg(test)]
mod tests;
