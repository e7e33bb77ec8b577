//! The rule of batches, with a worker made for it: a message that the database refuses is parked alone, and one that was
//! delivered before is handled alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bus::Queue;
use bus::frontend::Message;
use contract::answer::{PaymentAcceptedAnswer, PaymentNumber};
use contract::{Message as Read, RoutingKey};
use domain::ids::Number;
use futures::future::join_all;
use runtime::batch::{self, BatchWorker, Item};
use runtime::{Handled, Outcome};
use serde_json::json;
use store::declarations::Declarations;
use store::parked::{self, Filter};
use store::{StoreError, Tx};
use testkit::wait_for;

use crate::fixtures::{new_ids, utility_payment};
use crate::world::{PATIENCE, World};

/// The account that this worker's "database" refuses.
const POISON: &str = "6666666666";

/// Accepts everything but the poison, and remembers the largest batch it saw.
struct Touchy {
    largest: Arc<AtomicUsize>,
    seen: Arc<AtomicUsize>,
}

impl BatchWorker for Touchy {
    const NAME: &'static str = "touchy";
    const QUEUE: Queue = Queue::IntakeFacts;
    const CHANNELS: usize = 1;
    const FACTS: &'static [RoutingKey] = &[];

    async fn handle(&self, _: &Tx, _: &Declarations, batch: &[&Item]) -> Result<Handled, StoreError> {
        self.largest.fetch_max(batch.len(), Ordering::Relaxed);
        let mut handled = Handled::default();
        for item in batch {
            let Read::PaymentAccepted(message) = &item.message else {
                unreachable!("only payments are published")
            };
            if message.account.as_str() == POISON {
                return Err(StoreError::Data("poison".into()));
            }
            let number = PaymentNumber {
                payment_id: message.payment_id,
                number: Number::new(1).unwrap(),
            };
            handled
                .outcomes
                .push(Outcome::answered(&PaymentAcceptedAnswer::Accepted(number)));
        }
        self.seen.fetch_add(batch.len(), Ordering::Relaxed);
        Ok(handled)
    }
}

impl Touchy {
    fn start(world: &World) -> (Arc<AtomicUsize>, Arc<AtomicUsize>) {
        let (largest, seen) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        batch::spawn(
            &world.context,
            Self {
                largest: largest.clone(),
                seen: seen.clone(),
            },
        );
        (largest, seen)
    }
}

/// Messages that wait in the queue together.
const TOGETHER: usize = 21;

fn messages(poisoned: Option<usize>) -> Vec<Message> {
    let body = |(nth, id): (usize, String)| {
        let mut body = utility_payment(&id);
        if poisoned == Some(nth) {
            body["account"] = json!(POISON);
        }
        Message::new("payment.accepted", body.to_string())
    };
    new_ids(TOGETHER).into_iter().enumerate().map(body).collect()
}

#[tokio::test]
async fn a_message_the_database_refuses_is_parked_alone_and_its_neighbours_are_done() {
    let world = World::start(&[]).await;
    let messages = messages(Some(13));
    join_all(messages.iter().map(|message| world.frontend.send(message)))
        .await
        .into_iter()
        .for_each(|sent| sent.unwrap());
    let (largest, seen) = Touchy::start(&world);
    wait_for("the neighbours to be done", PATIENCE, async || {
        (seen.load(Ordering::Relaxed) == TOGETHER - 1).then_some(())
    })
    .await;
    let rows = wait_for("the guilty one to be parked", PATIENCE, async || {
        let rows = parked::list(world.store(), &Filter::default()).await.unwrap();
        (!rows.is_empty()).then_some(rows)
    })
    .await;
    assert!(
        largest.load(Ordering::Relaxed) > 1,
        "they were to be handled together at first"
    );
    assert_eq!((rows.len(), rows[0].reason.as_str()), (1, "internal_error"));
    assert_eq!(rows[0].body, messages[13].body);
    world.stop().await;
}

#[tokio::test]
async fn what_was_delivered_twice_before_is_handled_alone() {
    let world = World::start(&[]).await;
    for message in messages(None) {
        world.frontend.send(&message).await.unwrap();
    }
    for _ in 0..2 {
        // Somebody takes them all and dies.
        let mut session = world.context.bus.session(Queue::IntakeFacts, 256).await;
        let mut taken = 0;
        while taken < TOGETHER {
            taken += session.next_batch(256, Duration::from_millis(2)).await.unwrap().len();
        }
        session.close().await;
    }
    let (largest, seen) = Touchy::start(&world);
    wait_for("all to be done", PATIENCE, async || {
        (seen.load(Ordering::Relaxed) == TOGETHER).then_some(())
    })
    .await;
    assert_eq!(
        largest.load(Ordering::Relaxed),
        1,
        "any of them may be what killed its worker"
    );
    world.stop().await;
}
