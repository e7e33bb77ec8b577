//! A database and a vault of one's own, and the worker's handlers called by hand.

use std::path::PathBuf;
use std::sync::Arc;

use cards::vault::Vault;
use cards::{Desk, Facts, Questions, import, vault};
use contract::RoutingKey;
use domain::declaration::{Product, Terminal};
use domain::fingerprint::Fingerprint;
use domain::ids::ProductId;
use runtime::Outcome;
use runtime::batch::{BatchWorker, Item};
use serde_json::{Value, json};
use store::cards::{SaleFilter, SaleRow};
use store::declarations::{self, Declarations};
use store::{Store, StoreError, StoreSettings, Tx};
use uuid::Uuid;

/// A database and a vault of one's own.
pub(crate) struct Stand {
    pub(crate) store: Store,
    pub(crate) vault: Arc<Vault>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) identity_file: PathBuf,
    settings: StoreSettings,
}

impl Stand {
    pub(crate) async fn new() -> Self {
        let name = Uuid::new_v4().simple().to_string();
        let server = runtime::Settings::load().unwrap().store;
        let settings = StoreSettings {
            pool_size: 32,
            ..testkit::stand::with_database(&server, &format!("unigate_test_{name}"))
        };
        testkit::leak::watch_log();
        store::create_from_template(&settings).await.unwrap();
        let store = Store::connect(&settings).unwrap();
        let identity_file = std::env::temp_dir()
            .join(format!("unigate_test_{name}"))
            .join("identity.txt");
        let (vault, opened) = vault::open(&store, &identity_file).await.unwrap();
        assert_eq!(opened, vault::Opened::Made);
        let vault = Arc::new(vault);
        Self {
            store,
            desk: Arc::new(Desk::new(vault.clone())),
            vault,
            identity_file,
            settings,
        }
    }

    /// Searches everything for secrets and drops the database; a test that failed leaves it for whoever looks into it.
    pub(crate) async fn end(self) {
        testkit::leak::fail_for(&testkit::leak::places(&self.store).await.unwrap());
        std::fs::remove_dir_all(self.identity_file.parent().unwrap()).unwrap();
        drop(self.store);
        store::drop_database(&self.settings).await.unwrap();
    }

    /// SQL by hand: the first column of what it finds.
    pub(crate) async fn sql(&self, sql: &str) -> Vec<String> {
        let rows = store::scratch::sql(&self.store, sql).await.unwrap();
        rows.into_iter().map(|row| row[0].clone().unwrap_or_default()).collect()
    }

    /// Asks again and again until the answer is yes; the test runner ends a test that waits for ever.
    pub(crate) async fn until(&self, question: &str) {
        while self
            .sql(&format!("SELECT CASE WHEN ({question}) THEN 'yes' ELSE 'no' END"))
            .await
            != ["yes"]
        {
            tokio::task::yield_now().await;
        }
    }

    /// A product whose hold of one second is over at once: no test waits for a time to pass.
    pub(crate) async fn product(&self, id: &str, with: Value) {
        let mut product = json!({
            "id": id, "name": "Card", "face_value": 10000, "price": 10000, "currency": "RUB",
            "holds_seconds": [300, 0], "reissue_exposed": true,
        });
        product
            .as_object_mut()
            .unwrap()
            .extend(with.as_object().unwrap().clone());
        let product: Product = serde_json::from_value(product).unwrap();
        let tx = self.store.begin().await.unwrap();
        declarations::apply_product(&tx, &product, "test").await.unwrap();
        tx.commit().await.unwrap();
    }

    pub(crate) async fn terminal(&self, terminal: Value) {
        let terminal: Terminal = serde_json::from_value(terminal).unwrap();
        let tx = self.store.begin().await.unwrap();
        declarations::apply_terminal(&tx, &terminal, "test").await.unwrap();
        tx.commit().await.unwrap();
    }

    pub(crate) async fn declared(&self) -> Declarations {
        declarations::load(&self.store).await.unwrap()
    }

    pub(crate) async fn submit(&self, product: &str, text: &str) -> import::ImportId {
        let product = ProductId::parse(product).unwrap();
        let recipients = vault::recipients(&self.store).await.unwrap();
        import::submit(&self.store, &recipients, &product, "cards.csv", text.as_bytes(), "test")
            .await
            .unwrap()
    }

    pub(crate) async fn import(&self, product: &str, text: &str) -> import::Finished {
        let id = self.submit(product, text).await;
        import::work_one(&self.store, &self.vault, Some(id))
            .await
            .unwrap()
            .unwrap()
    }

    /// Imports `count` cards `<product>-1` … with details of their own.
    pub(crate) async fn stock(&self, product: &str, count: usize) {
        let rows: String = (1..=count)
            .map(|at| format!("{product}-{at},{product}{}\n", testkit::leak::digits(at)))
            .collect();
        let finished = self.import(product, &format!("serial,pin\n{rows}")).await;
        assert_eq!(finished.report.added, count as u64);
    }

    /// Handles messages as one batch and commits it; again, as the worker does, when the server has ended it for a deadlock.
    pub(crate) async fn batch(&self, messages: &[Value]) -> Vec<Value> {
        loop {
            let tx = self.store.begin().await.unwrap();
            match self.try_handle(&tx, messages).await {
                Ok(answers) => {
                    tx.commit().await.unwrap();
                    return answers;
                }
                Err(error) => assert!(error.to_string().contains("deadlock detected"), "{error}"),
            }
        }
    }

    /// Handles messages in a transaction that is still open.
    pub(crate) async fn handle(&self, tx: &Tx, messages: &[Value]) -> Vec<Value> {
        self.try_handle(tx, messages).await.unwrap()
    }

    async fn try_handle(&self, tx: &Tx, messages: &[Value]) -> Result<Vec<Value>, StoreError> {
        let items: Vec<Item> = messages.iter().map(item).collect();
        let items: Vec<&Item> = items.iter().collect();
        let declared = self.declared().await;
        let is_fact = items[0].message.routing_key().is_fact();
        let handled = if is_fact {
            Facts::new(self.desk.clone()).handle(tx, &declared, &items).await?
        } else {
            Questions::new(self.desk.clone()).handle(tx, &declared, &items).await?
        };
        assert!(
            !testkit::leak::is_in(format!("{handled:?}").as_bytes()),
            "an outcome prints a secret"
        );
        Ok(handled.outcomes.iter().map(answer_of).collect())
    }

    pub(crate) async fn one(&self, message: Value) -> Value {
        self.batch(&[message]).await.remove(0)
    }

    /// The items of the events written since, by kind; they are gone then.
    pub(crate) async fn events(&self, kind: &str) -> Vec<Value> {
        let tx = self.store.begin().await.unwrap();
        let events = store::events::take(&tx, 10_000).await.unwrap();
        assert!(
            events.iter().all(|event| !testkit::leak::is_in(event.body.as_bytes())),
            "an event tells a secret"
        );
        let wanted: Vec<_> = events.into_iter().filter(|event| event.kind == kind).collect();
        let ids: Vec<Uuid> = wanted.iter().map(|event| event.event_id).collect();
        store::events::delete(&tx, &ids).await.unwrap();
        tx.commit().await.unwrap();
        let items = |body: &str| {
            serde_json::from_str::<Value>(body).unwrap()["items"]
                .as_array()
                .unwrap()
                .clone()
        };
        wanted.iter().flat_map(|event| items(&event.body)).collect()
    }

    pub(crate) async fn sweep(&self) -> (usize, usize) {
        cards::expiry::sweep_once(&self.store).await.unwrap()
    }

    /// The first page of all sales there were.
    pub(crate) async fn sales(&self) -> Vec<SaleRow> {
        let tx = self.store.begin_report().await.unwrap();
        let ever = ["1970-01-01T00:00:00Z", "2999-01-01T00:00:00Z"].map(|time| time.parse().unwrap());
        let page = store::cards::sales_page(&tx, &SaleFilter::period(ever[0], ever[1]), None).await;
        tx.commit().await.unwrap();
        page.unwrap()
    }

    /// fresh, returned, held, lapsed, sold
    pub(crate) async fn counts(&self, product: &str) -> [i64; 5] {
        let stock = store::cards::stock(&self.store).await.unwrap();
        let found = stock.iter().find(|stock| stock.product.as_str() == product).unwrap();
        [found.fresh, found.returned, found.held, found.lapsed, found.sold]
    }
}

fn item(message: &Value) -> Item {
    let mut body = message.clone();
    let key = body.as_object_mut().unwrap().remove("key").unwrap();
    let body = serde_json::to_vec(&body).unwrap();
    let message = contract::message::parse(RoutingKey::parse(key.as_str().unwrap()).unwrap(), &body).unwrap();
    let fingerprint = message.fingerprint().unwrap_or_else(|| Fingerprint::of_bytes(&body));
    Item {
        message,
        fingerprint,
        traceparent: None,
    }
}

fn answer_of(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Answered(reply) => serde_json::from_slice(reply.body()).unwrap(),
        Outcome::Refused(refusal) => serde_json::from_slice(&refusal.body()).unwrap(),
        Outcome::Silent => Value::Null,
    }
}

pub(crate) fn id() -> Uuid {
    Uuid::now_v7()
}

pub(crate) fn reserve(id: Uuid, product: &str) -> Value {
    json!({"key": "card.reserve", "reservation_id": id, "terminal": "T-1", "product": product})
}

/// A reservation whose hold is over at once.
pub(crate) fn reserve_briefly(id: Uuid, product: &str) -> Value {
    let mut message = reserve(id, product);
    message["hold_seconds"] = 1.into();
    message
}

pub(crate) fn sell(id: Uuid) -> Value {
    json!({"key": "card.sell", "reservation_id": id, "terminal": "T-1", "paid_at": "2026-11-23T10:02:11+03:00",
           "amount": 10000, "currency": "RUB"})
}

pub(crate) fn release(id: Uuid) -> Value {
    json!({"key": "card.release", "reservation_id": id, "terminal": "T-1"})
}

pub(crate) fn reprint(id: Uuid) -> Value {
    json!({"key": "card.reprint", "reservation_id": id, "terminal": "T-1"})
}

pub(crate) fn with(mut message: Value, member: &str, value: impl Into<Value>) -> Value {
    message[member] = value.into();
    message
}
