//! A worker with a bug: what it panics at, or dies of, harms no neighbour and is not tried for ever.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bus::Queue;
use bus::frontend::Message;
use contract::answer::{PaymentAcceptedAnswer, PaymentNumber};
use contract::{Message as Read, RoutingKey};
use domain::ids::Number;
use runtime::batch::{self, BatchWorker, Item};
use runtime::{Context, Handled, Outcome};
use serde_json::{Value, json};
use store::declarations::Declarations;
use store::parked::{self, NewParked, Parked};
use store::{Store, StoreError, Tx, scratch};
use testkit::stand::Stand;
use testkit::wait_for;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{PATIENCE, payment};

/// The account at which this worker panics.
const POISON: &str = "6666666666";
/// Messages that wait in the queue together.
const TOGETHER: usize = 21;

/// Accepts everything but the poison, and remembers what it has handled how often.
#[derive(Clone, Default)]
struct Buggy(Arc<Mutex<BTreeMap<Uuid, usize>>>);

impl BatchWorker for Buggy {
    const NAME: &'static str = "buggy";
    const QUEUE: Queue = Queue::IntakeFacts;
    const FACTS: &'static [RoutingKey] = &[RoutingKey::PaymentAccepted];

    async fn handle(&self, _: &Tx, _: &Declarations, batch: &[&Item]) -> Result<Handled, StoreError> {
        let mut handled = Handled::default();
        let mut ids = Vec::new();
        for item in batch {
            let Read::PaymentAccepted(message) = &item.message else {
                unreachable!("only payments are published")
            };
            assert_ne!(message.account.as_str(), POISON, "on purpose");
            ids.push(message.payment_id.as_uuid());
            let number = PaymentNumber {
                payment_id: message.payment_id,
                number: Number::new(1).unwrap(),
            };
            let answer = PaymentAcceptedAnswer::Accepted(number);
            handled.outcomes.push(Outcome::answered(&answer));
        }
        let mut seen = self.0.lock().unwrap();
        ids.into_iter().for_each(|id| *seen.entry(id).or_default() += 1);
        Ok(handled)
    }
}

async fn started() -> (Stand, Context) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let stand = Stand::new().await;
    let context = Context::start(stand.settings(), CancellationToken::new())
        .await
        .unwrap();
    (stand, context)
}

async fn end(context: &Context) {
    context.shutdown.cancel();
    runtime::end_within(context).await;
}

fn poison(id: &Uuid) -> Value {
    let mut body = payment(id, "gorvodokanal");
    body["account"] = json!(POISON);
    body
}

#[tokio::test]
async fn what_a_worker_panics_at_is_parked_alone_and_its_neighbours_are_done() {
    let (stand, context) = started().await;
    let (store, frontend) = (stand.store(), stand.frontend().await);
    let ids: Vec<Uuid> = (0..TOGETHER).map(|_| Uuid::new_v4()).collect();
    for (place, id) in ids.iter().enumerate() {
        let body = if place == 13 {
            poison(id)
        } else {
            payment(id, "gorvodokanal")
        };
        let message = Message::new("payment.accepted", body.to_string());
        frontend.send(&message).await.unwrap();
    }
    let worker = Buggy::default();
    batch::spawn(&context, worker.clone());
    let rows = wait_for("the guilty one to be parked", PATIENCE, async || {
        let rows = parked::list(&store, &parked::Filter::default()).await.unwrap();
        (!rows.is_empty()).then_some(rows)
    })
    .await;
    assert_eq!(
        (rows.len(), rows[0].payment_id, rows[0].reason.as_str()),
        (1, Some(ids[13]), "internal_error")
    );
    assert!(rows[0].detail.contains("panicked"), "{}", rows[0].detail);
    wait_for("the neighbours to be done", PATIENCE, async || {
        (worker.0.lock().unwrap().len() == TOGETHER - 1).then_some(())
    })
    .await;
    end(&context).await;
    assert!(
        worker.0.lock().unwrap().values().all(|&times| times == 1),
        "none of them came again"
    );
    let left = bus::peek::contents(stand.bus()).await.unwrap();
    let left: Vec<_> = left.iter().filter(|kept| kept.queue.contains("intake")).collect();
    assert!(left.is_empty(), "all were acknowledged: {left:?}");
}

/// Facts that wait to be handled again, the first one first.
async fn to_be_handled_again(store: &Store, bodies: &[Value]) -> Vec<Uuid> {
    let mut rows = Vec::new();
    for (place, body) in bodies.iter().enumerate() {
        let new = NewParked {
            routing_key: "payment.accepted".to_owned(),
            payment_id: None,
            reservation_id: None,
            content_hash: [u8::try_from(place).unwrap(); 32],
            reason: "undeliverable".to_owned(),
            detail: String::new(),
            body: body.to_string().into_bytes(),
            properties: json!({"headers": {"traceparent": "not one"}}),
            retry: true,
        };
        let tx = store.begin().await.unwrap();
        rows.push(parked::add(&tx, &new).await.unwrap().unwrap());
        tx.commit().await.unwrap();
    }
    rows
}

async fn begun(store: &Store, parked_id: Uuid, tries: u32, when: &str) {
    let begun = format!(
        "UPDATE parked SET resolution = jsonb_build_object('tries', {tries}, 'begun_at', clock_timestamp() + interval '{when}')
         WHERE parked_id = '{parked_id}'"
    );
    scratch::sql(store, &begun).await.unwrap();
}

async fn found(store: &Store, parked_id: Uuid) -> Parked {
    parked::find(store, parked_id).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_fact_put_back_that_its_worker_panics_at_or_dies_of_hides_no_other() {
    let (stand, context) = started().await;
    let store = stand.store();
    let good = || payment(&Uuid::new_v4(), "gorvodokanal");
    let bodies = [poison(&Uuid::new_v4()), good(), good(), good(), good()];
    let rows = to_be_handled_again(&store, &bodies).await;
    begun(&store, rows[1], 3, "-1 minute").await;
    begun(&store, rows[2], 2, "-1 minute").await;
    // By another, who is at it: by a clock that does not get there during this test.
    begun(&store, rows[3], 1, "1 hour").await;
    let worker = Buggy::default();
    batch::spawn(&context, worker.clone());
    wait_for("the last one to be handled", PATIENCE, async || {
        (found(&store, rows[4]).await.state == "resolved").then_some(())
    })
    .await;
    end(&context).await;
    let panicked = found(&store, rows[0]).await;
    assert_eq!(
        (panicked.state.as_str(), panicked.reason.as_str(), panicked.tries()),
        ("parked", "internal_error", 0)
    );
    assert!(panicked.detail.contains("panicked"), "{}", panicked.detail);
    let deadly = found(&store, rows[1]).await;
    assert_eq!(
        (deadly.state.as_str(), deadly.reason.as_str()),
        ("parked", "internal_error")
    );
    assert!(deadly.detail.contains("did not live"), "{}", deadly.detail);
    assert_eq!(found(&store, rows[2]).await.state, "resolved", "twice is not often");
    assert_eq!(found(&store, rows[3]).await.state, "retry", "another has it");
    assert_eq!(worker.0.lock().unwrap().len(), 2);
}
