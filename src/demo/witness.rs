//! Somebody who listens to all events from the first minute on, as another system would, and keeps them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use bus::BusSettings;
use bus::frontend::Frontend;
use serde_json::Value;
use uuid::Uuid;

/// What was heard.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    /// Events by kind, repeats not counted.
    pub(super) kinds: BTreeMap<String, u64>,
    /// How often each thing was told, by kind and the id an item carries: items of different events, or of one.
    pub(super) told: HashMap<(String, Uuid), u32>,
    /// Payees that went down or came back, in the order of hearing.
    pub(super) payees: Vec<(String, String)>,
    /// Events that came again under an id heard before; at least once is what is promised.
    pub(super) repeats: u64,
    /// What the contract does not let a listener expect.
    pub(super) wrong: Vec<String>,
    /// All bodies, one after the other.
    pub(super) text: Vec<u8>,
    seen: HashSet<String>,
}

/// Listens until dropped with its connection.
#[derive(Debug)]
pub(super) struct Witness {
    heard: Arc<Mutex<Heard>>,
    frontend: Frontend,
}

impl Witness {
    /// Begins to listen. The topology has to be there.
    pub(super) async fn listen(settings: &BusSettings) -> anyhow::Result<Self> {
        let frontend = Frontend::connect(settings)
            .await
            .context("a connection for the events")?;
        let mut events = frontend.listen("#").await.context("a queue for the events")?;
        let heard = Arc::<Mutex<Heard>>::default();
        let writes = heard.clone();
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                let mut heard = writes.lock().unwrap_or_else(PoisonError::into_inner);
                heard.take(&event.routing_key, event.message_id.as_deref(), &event.body);
            }
        });
        Ok(Self { heard, frontend })
    }

    /// A copy of everything heard so far.
    pub(super) fn heard(&self) -> Heard {
        self.look(Heard::clone)
    }

    /// Looks at what was heard so far.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Heard) -> T) -> T {
        look(&self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Stops listening.
    pub(super) async fn close(&self) {
        self.frontend.close().await;
    }
}

/// Members of an item that name what it is about, by the event's family.
fn subject_of(kind: &str) -> Option<&'static str> {
    match kind.split('.').next()? {
        "payment" => Some("payment_id"),
        "card" => Some("reservation_id"),
        "register" => Some("register_id"),
        "message" => Some("parked_id"),
        _ => None,
    }
}

impl Heard {
    pub(super) fn take(&mut self, kind: &str, message_id: Option<&str>, body: &[u8]) {
        self.text.extend_from_slice(body);
        self.text.push(b'\n');
        let event: Value = serde_json::from_slice(body).unwrap_or_default();
        let (Some(event_id), Some(items)) = (event["event_id"].as_str(), event["items"].as_array()) else {
            self.wrong.push(format!("{kind}: an event without event_id or items"));
            return;
        };
        if message_id != Some(event_id) {
            self.wrong.push(format!("{kind}: message_id is not the event_id"));
        }
        if items.is_empty() || items.len() > 256 {
            self.wrong.push(format!("{kind}: {} items", items.len()));
        }
        if !self.seen.insert(event_id.to_owned()) {
            self.repeats += 1;
            return;
        }
        *self.kinds.entry(kind.to_owned()).or_default() += 1;
        for item in items {
            self.take_item(kind, item);
        }
    }

    fn take_item(&mut self, kind: &str, item: &Value) {
        if let Some(payee) = item["payee"].as_str().filter(|_| kind.starts_with("payee.")) {
            self.payees.push((kind.to_owned(), payee.to_owned()));
        }
        let Some(member) = subject_of(kind) else { return };
        match item[member].as_str().and_then(|id| id.parse().ok()) {
            Some(id) => *self.told.entry((kind.to_owned(), id)).or_default() += 1,
            None => self.wrong.push(format!("{kind}: an item without {member}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_told_apart_and_items_are_counted_once() {
        let mut heard = Heard::default();
        let id = Uuid::from_u128(7);
        let body = format!(r#"{{"event_id":"e1","items":[{{"payment_id":"{id}"}}]}}"#);
        heard.take("payment.accepted", Some("e1"), body.as_bytes());
        heard.take("payment.accepted", Some("e1"), body.as_bytes());
        assert_eq!(
            (heard.repeats, heard.told[&("payment.accepted".to_owned(), id)]),
            (1, 1)
        );
        heard.take(
            "payee.down",
            Some("e2"),
            br#"{"event_id":"e2","items":[{"payee":"isp"}]}"#,
        );
        assert_eq!(heard.payees, [("payee.down".to_owned(), "isp".to_owned())]);
        assert!(heard.wrong.is_empty());
        heard.take("card.sold", Some("e4"), br#"{"event_id":"e3","items":[{}]}"#);
        assert_eq!(heard.wrong.len(), 2);
    }
}
