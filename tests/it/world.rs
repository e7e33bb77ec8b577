//! A whole small installation for one test: the stand's services, the workers it asks for in this process, a front-end.

use std::time::Duration;

use bus::frontend::{Frontend, Message};
use contract::RoutingKey;
use domain::declaration::{Payee, Product, Terminal};
use domain::ids::{PaymentId, ProductId};
use runtime::{Context, Nudge, Settings};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use store::payments::{self, PaymentRow};
use store::{Store, declarations, imports, scratch};
use testkit::leak;
use testkit::stand::Stand;
use testkit::wait_for;
use tokio_util::sync::CancellationToken;
use unigate::workers::{self, Worker};

use crate::listener::Listener;

/// How long anything may take on a machine that does many things at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(45);

/// One installation.
pub(crate) struct World {
    pub(crate) context: Context,
    pub(crate) frontend: Frontend,
    // Last: it takes away what the others use.
    pub(crate) stand: Stand,
}

impl World {
    /// An installation with these workers, and terminals open to everybody.
    pub(crate) async fn start(workers: &[Worker]) -> Self {
        Self::start_with(workers, |_| {}).await
    }

    /// The same with other settings.
    pub(crate) async fn start_with(workers: &[Worker], change: impl FnOnce(&mut Settings)) -> Self {
        Self::put_on(Settings::load().unwrap(), workers, change).await
    }

    /// One without workers, on the services of these settings.
    pub(crate) async fn on(services: Settings) -> Self {
        Self::put_on(services, &[], |_| {}).await
    }

    async fn put_on(services: Settings, workers: &[Worker], change: impl FnOnce(&mut Settings)) -> Self {
        // Several tests of one process install it; the first one counts.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let stand = Stand::on(services).await;
        let mut settings = stand.settings();
        change(&mut settings);
        let context = process(settings, workers).await;
        let frontend = stand.frontend().await;
        Self {
            context,
            frontend,
            stand,
        }
    }

    /// One more process's worth of workers beside the first.
    pub(crate) async fn another(&self, workers: &[Worker], change: impl FnOnce(&mut Settings)) -> Context {
        let mut settings = self.stand.settings();
        change(&mut settings);
        process(settings, workers).await
    }

    pub(crate) fn store(&self) -> &Store {
        &self.context.store
    }

    /// Declares a payee, as `unigate payees apply` would.
    pub(crate) async fn payee(&self, toml: &str) {
        declare_payee(self.store(), toml).await;
    }

    /// Declares a product.
    pub(crate) async fn product(&self, toml: &str) {
        declare_product(self.store(), toml).await;
    }

    /// Declares a terminal.
    pub(crate) async fn terminal(&self, toml: &str) {
        let terminal: Terminal = parsed(toml);
        terminal.check().unwrap();
        let tx = self.store().begin().await.unwrap();
        declarations::lock_for_apply(&tx).await.unwrap();
        declarations::apply_terminal(&tx, &terminal, "test").await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Puts so many cards in stock, `first` on: serial `0017`, PIN `8231-secret-0017`, activation
    /// `*111*823144000017#`.
    pub(crate) async fn cards(&self, product: &str, first: usize, count: usize) {
        stock_up(self.store(), &self.stand.settings(), product, first, count).await;
    }

    /// Makes the vault, as the first cards worker would.
    pub(crate) async fn cards_vault(&self) {
        cards::vault::open(self.store(), &self.stand.settings().vault_identity_file)
            .await
            .unwrap();
    }

    /// Publishes a fact and waits for its answer.
    pub(crate) async fn tell(&self, routing_key: &str, body: &Value) -> Value {
        self.publish(&Message::new(routing_key, body.to_string())).await
    }

    /// Publishes a question and waits for its answer.
    pub(crate) async fn ask(&self, routing_key: &str, body: &Value) -> Value {
        self.publish(&Message::new(routing_key, body.to_string())).await
    }

    /// The same with a question of its own.
    pub(crate) async fn ask_owned(&self, routing_key: &str, body: Value) -> Value {
        self.ask(routing_key, &body).await
    }

    /// Publishes anything and waits for an answer.
    pub(crate) async fn publish(&self, message: &Message) -> Value {
        ask_through(&self.frontend, message).await
    }

    /// The same message so many times at once: they meet in a batch.
    pub(crate) async fn publish_often(&self, message: &Message, times: usize) -> Vec<Value> {
        futures::future::join_all((0..times).map(|_| self.publish(message))).await
    }

    /// Listens to events from now on.
    pub(crate) async fn listen(&self, pattern: &str) -> Listener {
        Listener::new(self.frontend.listen(pattern).await.unwrap())
    }

    /// What no message and no function does: moves clocks, looks into tables.
    pub(crate) async fn sql(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        scratch::sql(self.store(), sql).await.unwrap()
    }

    /// The one value that a query finds.
    pub(crate) async fn value(&self, sql: &str) -> String {
        self.sql(sql).await[0][0].clone().unwrap_or_default()
    }

    /// A payment as it stands.
    pub(crate) async fn payment(&self, id: &str) -> PaymentRow {
        payments::find(self.store(), PaymentId::parse(id).unwrap())
            .await
            .unwrap()
            .expect("an accepted payment")
    }

    /// Waits until readers call a payment's state by this word.
    pub(crate) async fn reaches(&self, id: &str, state: &str) -> PaymentRow {
        reaches(self.store(), id, state).await
    }

    /// Makes everything that waits for a later moment due now.
    pub(crate) async fn hurry(&self) {
        self.sql("UPDATE payment SET due_at = clock_timestamp() WHERE due_at > clock_timestamp()")
            .await;
        self.context.nudge(Nudge::Payments);
        self.context.nudge(Nudge::Entries);
    }

    /// Ends the workers as SIGTERM would.
    pub(crate) async fn stop(&self) {
        end(&self.context).await;
    }
}

/// Ends a process's worth of workers.
pub(crate) async fn end(context: &Context) {
    context.shutdown.cancel();
    runtime::end_within(context).await;
}

async fn process(settings: Settings, names: &[Worker]) -> Context {
    let context = Context::start(settings, CancellationToken::new()).await.unwrap();
    workers::start(&context, names).await.unwrap();
    context.bus.wait_ready().await;
    context
}

/// Declares a payee in any stand.
pub(crate) async fn declare_payee(store: &Store, toml: &str) {
    let payee: Payee = parsed(toml);
    payee.check().unwrap();
    let tx = store.begin().await.unwrap();
    declarations::lock_for_apply(&tx).await.unwrap();
    declarations::apply_payee(&tx, &payee, "test").await.unwrap();
    tx.commit().await.unwrap();
}

/// Declares a product in any stand.
pub(crate) async fn declare_product(store: &Store, toml: &str) {
    let product: Product = parsed(toml);
    product.check().unwrap();
    let tx = store.begin().await.unwrap();
    declarations::lock_for_apply(&tx).await.unwrap();
    declarations::apply_product(&tx, &product, "test").await.unwrap();
    tx.commit().await.unwrap();
}

/// Imports cards into any stand, whether or not a cards worker runs there.
pub(crate) async fn stock_up(store: &Store, settings: &Settings, product: &str, first: usize, count: usize) {
    let (vault, _) = cards::vault::open(store, &settings.vault_identity_file).await.unwrap();
    let vault = std::sync::Arc::new(vault);
    let rows = (first..first + count).map(|n| format!("{n:04},{},*111*{}#\n", leak::pin(n), leak::digits(n)));
    let file = format!("serial,pin,activation\n{}", rows.collect::<String>());
    let product = ProductId::parse(product).unwrap();
    let import = cards::import::submit(
        store,
        &vault.recipients(),
        &product,
        "test.csv",
        file.as_bytes(),
        "test",
    )
    .await
    .unwrap();
    // A worker that runs may have taken it up; then it is waited for.
    cards::import::work_one(store, &vault, Some(import)).await.unwrap();
    wait_for("the cards to be imported", PATIENCE, async || {
        let found = imports::find(store, import).await.unwrap().unwrap();
        assert_ne!(found.state, "refused", "{found:?}");
        (found.state == "done").then_some(())
    })
    .await;
}

/// Publishes as the contract says, facts surely and questions quickly, and waits for an answer of the right type.
pub(crate) async fn ask_through(frontend: &Frontend, message: &Message) -> Value {
    let is_question = RoutingKey::parse(&message.key).is_some_and(|key| !key.is_fact());
    let answer = if is_question {
        frontend.ask(message, PATIENCE).await
    } else {
        frontend.tell(message, PATIENCE).await
    };
    let answer = answer.unwrap_or_else(|error| panic!("no answer to {}: {error}", message.key));
    assert_eq!(answer.kind, Some(format!("{}.reply", message.key)));
    serde_json::from_slice(&answer.body).unwrap()
}

/// Waits until readers call a payment's state by this word.
pub(crate) async fn reaches(store: &Store, id: &str, state: &str) -> PaymentRow {
    let payment_id = PaymentId::parse(id).unwrap();
    let mut last = None;
    let waited = tokio::time::timeout(PATIENCE, async {
        wait_for(&format!("payment {id} to be {state}"), 2 * PATIENCE, async || {
            let found = payments::find(store, payment_id).await.unwrap();
            last.clone_from(&found);
            found.filter(|row| row.shown_state == state)
        })
        .await
    })
    .await;
    waited.unwrap_or_else(|_| panic!("payment {id} did not become {state}; last seen: {last:?}"))
}

pub(crate) fn parsed<T: DeserializeOwned>(toml: &str) -> T {
    toml::from_str(toml).unwrap()
}

/// A copy with one member set.
pub(crate) fn with(mut body: Value, member: &str, value: Value) -> Value {
    body[member] = value;
    body
}

/// Checks that an answer is this refusal, and that its detail is for people and names the place.
#[track_caller]
pub(crate) fn refused(answer: &Value, reason: &str, place: &str) {
    assert_eq!(
        (&answer["outcome"], &answer["reason"]),
        (&json!("refused"), &json!(reason)),
        "{answer}"
    );
    let detail = answer["detail"].as_str().unwrap_or_default();
    assert!(
        !detail.is_empty() && detail.contains(place),
        "{answer} should name {place}"
    );
}
