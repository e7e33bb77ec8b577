//! Somebody who bound a queue to the events exchange.

use std::collections::BTreeMap;

use bus::Delivery;
use futures::FutureExt;
use serde_json::{Value, json};
use store::events::Event;
use testkit::wait_for;
use tokio::time::{Instant, timeout_at};

use crate::fixtures::now;
use crate::world::{PATIENCE, World};

/// What was told of one thing.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) kind: String,
    pub(crate) item: Value,
    /// Of the event that told of it.
    pub(crate) traceparent: Option<String>,
}

/// Hears every event once, whichever relay repeats it.
pub(crate) struct Listener {
    incoming: bus::frontend::Listener,
    heard: BTreeMap<String, String>,
    items: Vec<Told>,
}

impl Listener {
    pub(crate) fn new(incoming: bus::frontend::Listener) -> Self {
        Self {
            incoming,
            heard: BTreeMap::new(),
            items: Vec::new(),
        }
    }

    /// The first item of a kind in which a member has this text; waits for it.
    pub(crate) async fn item(&mut self, kind: &str, member: &str, text: &str) -> Value {
        let what = format!("{kind} with {member} {text}");
        self.until(&what, |items| {
            items.iter().find(|told| told.is(kind, member, text)).cloned()
        })
        .await
        .item
    }

    /// The trace of the event that told of this; waits for it.
    pub(crate) async fn trace(&mut self, kind: &str, member: &str, text: &str) -> Option<String> {
        let what = format!("{kind} with {member} {text}");
        let found = |items: &[Told]| items.iter().find(|told| told.is(kind, member, text)).cloned();
        self.until(&what, found).await.traceparent
    }

    /// Waits until at least so many items of a kind were told, and returns them. Says nothing of more that may follow:
    /// that is [`Self::all`].
    pub(crate) async fn items(&mut self, kind: &str, count: usize) -> Vec<Value> {
        let of_kind = |items: &[Told]| {
            let found: Vec<Value> = items
                .iter()
                .filter(|told| told.kind == kind)
                .map(|told| told.item.clone())
                .collect();
            (found.len() >= count).then_some(found)
        };
        self.until(&format!("{count} items of {kind}"), of_kind).await
    }

    /// Everything heard so far about a kind, without waiting.
    fn so_far(&mut self, kind: &str) -> Vec<Value> {
        while let Some(Some(event)) = self.incoming.next().now_or_never() {
            self.hear(&event);
        }
        self.items
            .iter()
            .filter(|told| told.kind == kind)
            .map(|told| told.item.clone())
            .collect()
    }

    /// Everything about a kind that was told until now: nothing of it is still under way. A relay has to be at work.
    ///
    /// With the table of events empty, all of them are confirmed and so in the listener's queue; what is told of
    /// afterwards comes behind them.
    pub(crate) async fn all(&mut self, world: &World, kind: &str) -> Vec<Value> {
        wait_for("the relay to have told all", PATIENCE, async || {
            (world.value("SELECT count(*) FROM event").await == "0").then_some(())
        })
        .await;
        let event_id = uuid::Uuid::new_v4();
        let marker = event_id.to_string();
        let body = json!({"event_id": marker, "occurred_at": now(), "items": [{"marker": marker}]});
        let event = Event {
            event_id,
            kind: kind.to_owned(),
            body: body.to_string(),
            traceparent: None,
        };
        let tx = world.store().begin().await.unwrap();
        store::events::add(&tx, &[event]).await.unwrap();
        tx.commit().await.unwrap();
        self.item(kind, "marker", &marker).await;
        self.items.retain(|told| told.item["marker"].is_null());
        self.so_far(kind)
    }

    /// How many events were heard, repeats not counted, and without those that [`Self::all`] marks an end with.
    pub(crate) fn events(&self) -> usize {
        self.heard.values().filter(|body| !body.contains("\"marker\"")).count()
    }

    async fn until<T>(&mut self, what: &str, found: impl Fn(&[Told]) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = found(&self.items) {
                return found;
            }
            match timeout_at(deadline, self.incoming.next()).await {
                Ok(Some(event)) => self.hear(&event),
                Ok(None) => panic!("the events ended while waiting for {what}"),
                Err(_) => panic!("no {what}; heard {:?}", self.items),
            }
        }
    }

    fn hear(&mut self, event: &Delivery) {
        let kind = event.kind.clone().expect("a type");
        assert_eq!(kind, event.routing_key);
        let body: Value = serde_json::from_slice(&event.body).unwrap();
        let id = body["event_id"].as_str().expect("an event_id").to_owned();
        assert_eq!(event.message_id.as_deref(), Some(&*id));
        assert!(
            body["occurred_at"]
                .as_str()
                .is_some_and(|at| at.parse::<jiff::Timestamp>().is_ok()),
            "{body}"
        );
        let items = body["items"].as_array().expect("items");
        assert!((1..=256).contains(&items.len()), "{} items", items.len());
        // At least once: a repeat is the same event under the same id.
        let text = body.to_string();
        if let Some(before) = self.heard.insert(id, text.clone()) {
            assert_eq!(before, text);
            return;
        }
        self.items.extend(items.iter().map(|item| Told {
            kind: kind.clone(),
            item: item.clone(),
            traceparent: event.traceparent.clone(),
        }));
    }
}

impl Told {
    fn is(&self, kind: &str, member: &str, text: &str) -> bool {
        self.kind == kind && self.item[member] == text
    }
}
