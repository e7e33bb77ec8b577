//! The rule of batches, with a worker made for it: a message that the database refuses is parked alone, and one that was
//! delivered before is handled alone. And the same message many times in one batch, of the kinds that are not tried elsewhere.

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
use serde_json::{Value, json};
use store::declarations::Declarations;
use store::parked::{self, Filter};
use store::{StoreError, Tx};
use testkit::wait_for;
use unigate::workers::Worker;

use crate::fixtures::{MTS, UTILITY, about, new_id, new_ids, reservation, sale, utility_payment};
use crate::world::{PATIENCE, World, end};

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

/// Takes all of them and gives them back.
async fn all_have_come(world: &World, queue: Queue) {
    let mut session = world.context.bus.session(queue, 256).await;
    let mut taken = 0;
    while taken < TOGETHER {
        taken += session.next_batch(256, Duration::from_millis(2)).await.unwrap().len();
    }
    session.close().await;
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
        all_have_come(&world, Queue::IntakeFacts).await;
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

/// Says the same many times. Its worker starts when all of them lie in the queue.
async fn said_together(world: &World, worker: Worker, queue: Queue, key: &str, body: &Value) -> Vec<Value> {
    let message = Message::new(key, body.to_string());
    let working = async {
        all_have_come(world, queue).await;
        world.another(&[worker], |_| {}).await
    };
    let (answers, workers) = tokio::join!(world.publish_often(&message, TOGETHER), working);
    end(&workers).await;
    answers
}

fn with_outcome(answers: &[Value], outcome: &str) -> usize {
    answers.iter().filter(|answer| answer["outcome"] == outcome).count()
}

#[tokio::test]
async fn repeated_revocations_in_one_batch_revoke_once_and_are_answered_each() {
    let world = World::start(&[]).await;
    world.payee(UTILITY).await;
    let mut events = world.listen("payment.revoked").await;
    let (stored, unheard) = (new_id(), new_id());
    let intake = world.another(&[Worker::Intake], |_| {}).await;
    world.tell("payment.accepted", &utility_payment(&stored)).await;
    end(&intake).await;
    for id in [&stored, &unheard] {
        let answers = said_together(
            &world,
            Worker::Intake,
            Queue::IntakeFacts,
            "payment.revoke",
            &about("payment_id", id),
        )
        .await;
        let counted = ["revoked", "already_revoked"].map(|outcome| with_outcome(&answers, outcome));
        assert_eq!(counted, [1, TOGETHER - 1], "{answers:?}");
    }
    world.reaches(&stored, "revoked").await;
    events.item("payment.revoked", "payment_id", &stored).await;
    assert_eq!(
        events.all(&world, "payment.revoked").await.len(),
        1,
        "nothing was there of the other"
    );
    world.stop().await;
}

#[tokio::test]
async fn repeated_questions_about_payments_in_one_batch_get_one_answer_each() {
    let world = World::start(&[]).await;
    world.payee(UTILITY).await;
    let id = new_id();
    let intake = world.another(&[Worker::Intake], |_| {}).await;
    let accepted = world.tell("payment.accepted", &utility_payment(&id)).await;
    end(&intake).await;
    let check = json!({"payment_id": new_id(), "terminal": "T-0001", "payee": "gorvodokanal", "account": "1920679795",
        "fields": {"payer": "Иванов И. И."}});
    let status = about("payment_id", &id);
    for (key, body, outcome) in [("payment.check", &check, "payable"), ("payment.status", &status, "ok")] {
        let answers = said_together(&world, Worker::Intake, Queue::IntakeQuestions, key, body).await;
        assert_eq!(with_outcome(&answers, outcome), TOGETHER, "{answers:?}");
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        if key == "payment.status" {
            assert_eq!(answers[0]["number"], accepted["number"]);
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn repeated_questions_about_cards_in_one_batch_get_one_answer_each() {
    let world = World::start(&[]).await;
    world.product(MTS).await;
    world.cards("mts-100", 1, 3).await;
    let id = new_id();
    let cards = world.another(&[Worker::Cards], |_| {}).await;
    let reserved = world.ask("card.reserve", &reservation(&id)).await;
    assert_eq!(world.tell("card.sell", &sale(&id)).await["outcome"], "sold");
    end(&cards).await;
    let reprint = about("reservation_id", &id);
    let asked = async |key: &str, body: &Value| {
        let answers = said_together(&world, Worker::Cards, Queue::CardsQuestions, key, body).await;
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{key}");
        answers[0].clone()
    };
    let printed = asked("card.reprint", &reprint).await;
    assert_eq!(printed["outcome"], "reprinted");
    assert_eq!(printed["card"], reserved["card"]);
    let audited = "SELECT count(*) FROM audit WHERE act = 'card.reprint'";
    assert_eq!(world.value(audited).await, TOGETHER.to_string(), "each look is noted");
    let offered = asked(
        "card.availability",
        &json!({"terminal": "T-0001", "products": ["mts-100"]}),
    )
    .await;
    assert_eq!(
        (&offered["outcome"], &offered["products"][0]["available"]),
        (&json!("ok"), &json!(2))
    );
    world.stop().await;
}
