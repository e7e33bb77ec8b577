//! Names of this crate's metrics, with their help texts. Labels are words of ours, never ids.

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

const RECONNECTS: &str = "unigate_broker_reconnects_total";
const CONNECTED: &str = "unigate_broker_connected";
const BLOCKED: &str = "unigate_broker_blocked";
const ANSWERS_SENT: &str = "unigate_answers_sent_total";
const ANSWERS_DROPPED: &str = "unigate_answers_dropped_total";
const HINTS_DROPPED: &str = "unigate_hints_dropped_total";
const EVENTS: &str = "unigate_events_published_total";
const EVENTS_FAILED: &str = "unigate_events_unconfirmed_total";
const DELIVERIES: &str = "unigate_deliveries_total";
const REDELIVERIES: &str = "unigate_redeliveries_total";
const SESSIONS_ENDED: &str = "unigate_sessions_ended_total";

/// Tells the recorder what the metrics of this crate mean.
pub fn describe_metrics() {
    describe_counter!(
        RECONNECTS,
        "Connections to the broker that ended and were rebuilt, by role"
    );
    describe_gauge!(CONNECTED, "1 while the connection to the broker is up, by role");
    describe_gauge!(
        BLOCKED,
        "1 while the broker does not read what we publish (memory or disk alarm)"
    );
    describe_counter!(ANSWERS_SENT, "Answers handed to the broker");
    describe_counter!(ANSWERS_DROPPED, "Answers not sent, by why; the terminal asks again");
    describe_counter!(
        HINTS_DROPPED,
        "Wake-ups and forwarded questions not sent, by why; sweeps find what they meant"
    );
    describe_counter!(EVENTS, "Events confirmed by the broker");
    describe_counter!(EVENTS_FAILED, "Events not confirmed; they are published again");
    describe_counter!(DELIVERIES, Unit::Count, "Messages received, by queue");
    describe_counter!(
        REDELIVERIES,
        Unit::Count,
        "Messages received that had been delivered before, by queue"
    );
    describe_counter!(SESSIONS_ENDED, "Consuming sessions that ended, by queue");
}

/// Why something was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Disconnected,
    /// The broker is slower than we are.
    QueueFull,
    /// A reply address that we do not answer.
    ForeignAddress,
    /// A direct reply address whose node the broker does not know.
    UnknownNode,
    TooLong,
}

impl Why {
    fn label(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::QueueFull => "queue_full",
            Self::ForeignAddress => "foreign_address",
            Self::UnknownNode => "unknown_node",
            Self::TooLong => "too_long",
        }
    }
}

pub(crate) fn connected(role: &'static str, up: bool) {
    gauge!(CONNECTED, "role" => role).set(if up { 1.0 } else { 0.0 });
}

pub(crate) fn reconnecting(role: &'static str) {
    counter!(RECONNECTS, "role" => role).increment(1);
}

pub(crate) fn blocked(is: bool) {
    gauge!(BLOCKED).set(if is { 1.0 } else { 0.0 });
}

pub(crate) fn answers_sent(count: u64) {
    counter!(ANSWERS_SENT).increment(count);
}

pub(crate) fn answer_dropped(why: Why) {
    counter!(ANSWERS_DROPPED, "why" => why.label()).increment(1);
}

pub(crate) fn hint_dropped(why: Why) {
    counter!(HINTS_DROPPED, "why" => why.label()).increment(1);
}

pub(crate) fn event_published() {
    counter!(EVENTS).increment(1);
}

pub(crate) fn event_failed() {
    counter!(EVENTS_FAILED).increment(1);
}

pub(crate) fn delivered(queue: &'static str, count: u64, again: u64) {
    counter!(DELIVERIES, "queue" => queue).increment(count);
    if again > 0 {
        counter!(REDELIVERIES, "queue" => queue).increment(again);
    }
}

pub(crate) fn session_ended(queue: &'static str) {
    counter!(SESSIONS_ENDED, "queue" => queue).increment(1);
}
