//! What can become of one message, in the trade's words.

use bus::Queue;
use contract::Refusal;
use contract::event::{Event, Events};
use serde_json::Value;
use store::{StoreError, Tx};

use crate::Nudge;

/// What became of one message.
#[derive(Debug)]
pub enum Outcome {
    /// Done, or found done already; this is told to whoever asked.
    Answered(Reply),
    /// Final for the sender. A fact is parked, whole, in the same transaction.
    Refused(Refusal),
    /// A question that another worker will answer, or that nobody waits for any more.
    Silent,
}

impl Outcome {
    /// An answer of the contract. A refused one is [`Outcome::Refused`] instead, or its fact would not be parked.
    pub fn answered(answer: &impl contract::Answer) -> Self {
        Self::Answered(Reply::of(answer))
    }
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// An answer, written out. It may carry a card's secrets, so it does not print.
#[derive(Clone)]
pub struct Reply {
    body: Vec<u8>,
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reply({})", self.outcome())
    }
}

/// Outcomes that a repetition is told as `already_…`.
const DONE_ONCE: [&str; 4] = ["accepted", "revoked", "sold", "released"];
/// Members of answers that hold a card's secrets.
const SECRET_MEMBERS: [&str; 4] = ["card", "sealed_card", "receipt", "replacement"];
/// Every answer begins with its outcome.
const OUTCOME: &[u8] = br#"{"outcome":""#;

impl Reply {
    /// An answer of the contract.
    pub fn of(answer: &impl contract::Answer) -> Self {
        Self { body: answer.body() }
    }

    /// A refusal, which has the same form for every message.
    pub fn refused(refusal: &Refusal) -> Self {
        Self { body: refusal.body() }
    }

    /// The answer to a fact that was settled before, from what was answered then: `accepted` is `already_accepted` now.
    pub(crate) fn repeated(resolution: Value) -> Option<Self> {
        let Value::Object(mut members) = resolution else {
            return None;
        };
        let mut outcome = members.remove("outcome")?.as_str()?.to_owned();
        if DONE_ONCE.contains(&outcome.as_str()) {
            outcome.insert_str(0, "already_");
        }
        // The database's order of members is not ours: every answer begins with its outcome.
        let mut answer = serde_json::Map::new();
        answer.insert("outcome".to_owned(), outcome.into());
        answer.extend(members);
        Some(Self {
            body: serde_json::to_vec(&answer).ok()?,
        })
    }

    /// For metrics: `sold`, `refused`.
    pub fn outcome(&self) -> &str {
        let rest = self.body.strip_prefix(OUTCOME).unwrap_or_default();
        let end = rest.iter().position(|&byte| byte == b'"').unwrap_or(0);
        std::str::from_utf8(&rest[..end]).unwrap_or_default()
    }

    /// What is sent. It may carry a card's secrets: it goes to whoever asked, and nowhere else.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The answer as it may be stored: without what only the terminal may read.
    pub(crate) fn to_stored(&self) -> Value {
        let mut answer: Value = serde_json::from_slice(&self.body).unwrap_or(Value::Null);
        if let Some(members) = answer.as_object_mut() {
            members.retain(|name, _| !SECRET_MEMBERS.contains(&name.as_str()));
        }
        answer
    }
}

/// Something to send after the commit. All of it is a hint or a question; nothing of it may carry the truth.
#[derive(Clone, Debug)]
pub enum Effect {
    /// A wake-up for workers of another kind.
    Wake(Queue),
    /// A message that waits out a hold: its queue carries the delay.
    Delay(Queue, Vec<u8>),
    /// The question at this place of the batch goes on to another worker, with its reply address and deadline.
    Forward(Queue, usize),
    /// Work of this process.
    Nudge(Nudge),
}

/// What became of a batch: one outcome per message, in the batch's order, and what to send after the commit.
#[derive(Debug, Default)]
pub struct Handled {
    /// As many as there were messages.
    pub outcomes: Vec<Outcome>,
    /// Sent once the transaction is committed.
    pub effects: Vec<Effect>,
}

/// Writes events into the transaction of what happened; the relay publishes them. `traceparent` is that of those that have none
/// of their own.
pub async fn emit(tx: &Tx, events: Events, traceparent: Option<&str>) -> Result<(), StoreError> {
    let rows: Vec<_> = events
        .finish()
        .into_iter()
        .map(|event| stored(event, traceparent))
        .collect();
    store::events::add(tx, &rows).await
}

fn stored(event: Event, otherwise: Option<&str>) -> store::events::Event {
    store::events::Event {
        event_id: event.event_id,
        kind: event.kind.to_string(),
        body: event.body,
        traceparent: event.traceparent.or_else(|| otherwise.map(str::to_owned)),
    }
}

#[cfg(test)]
mod tests {
    use super::Reply;
    use contract::{Reason, Refusal};
    use serde_json::json;

    #[test]
    fn the_outcome_is_read_from_what_is_sent() {
        let refused = Reply::refused(&Refusal::new(Reason::UnknownPayee, "payee: nobody"));
        assert_eq!(refused.outcome(), "refused");
        assert_eq!(format!("{refused:?}"), "Reply(refused)");
    }

    #[test]
    fn a_settled_fact_is_answered_as_done_before() {
        let again = |value| Reply::repeated(value).map(|reply| reply.outcome().to_owned());
        assert_eq!(
            again(json!({"number": "7", "outcome": "accepted"})).as_deref(),
            Some("already_accepted")
        );
        assert_eq!(
            again(json!({"outcome": "already_sold"})).as_deref(),
            Some("already_sold")
        );
        assert_eq!(again(json!({"outcome": "conflict"})).as_deref(), Some("conflict"));
        assert_eq!(again(json!(null)), None);
    }

    #[test]
    fn no_secret_is_stored_with_an_answer() {
        let body = json!({"outcome": "conflict", "replacement": {"card": {"fields": {"pin": "8231"}}}}).to_string();
        let stored = Reply {
            body: body.into_bytes(),
        }
        .to_stored();
        assert_eq!(stored, json!({"outcome": "conflict"}));
    }
}
