//! A trace goes on with everything that follows from its message, and with nothing else.

use bus::frontend::Message;
use futures::future::join_all;
use serde_json::{Value, json};
use unigate::workers::Worker;

use crate::fixtures::{MTS, UTILITY, about, new_ids, reservation, sale, utility_payment};
use crate::world::{World, with};

/// The traces of as many messages; the last has none.
fn traces(count: usize) -> Vec<Option<String>> {
    let trace = |place| format!("00-{place:032x}-{place:016x}-01");
    (1..=count).map(|place| (place < count).then(|| trace(place))).collect()
}

/// Said together, so that they come in few batches.
async fn say(world: &World, key: &str, bodies: &[Value], traces: &[Option<String>], outcome: &str) {
    let said = bodies.iter().zip(traces).map(async |(body, trace)| {
        let message = Message {
            traceparent: trace.clone(),
            ..Message::new(key, body.to_string())
        };
        let answer = world.publish(&message).await;
        assert_eq!(answer["outcome"], outcome, "{answer}");
    });
    join_all(said).await;
}

#[tokio::test]
async fn events_of_payments_have_the_traces_of_their_messages() {
    let world = World::start(&[Worker::Intake]).await;
    world.payee(UTILITY).await;
    let mut events = world.listen("payment.*").await;
    let (ids, traces) = (new_ids(24), traces(24));
    let payments: Vec<Value> = ids.iter().map(|id| utility_payment(id)).collect();
    say(&world, "payment.accepted", &payments, &traces, "accepted").await;
    let revocations: Vec<Value> = ids.iter().map(|id| about("payment_id", id)).collect();
    let none = vec![None; ids.len()];
    say(&world, "payment.revoke", &revocations, &none, "revoked").await;
    for (id, trace) in ids.iter().zip(&traces) {
        for kind in ["payment.accepted", "payment.revoked"] {
            assert_eq!(events.trace(kind, "payment_id", id).await, *trace, "{kind}");
        }
    }
}

#[tokio::test]
async fn events_of_cards_have_the_traces_of_their_messages() {
    let world = World::start(&[Worker::Cards]).await;
    world.product(MTS).await;
    world.cards("mts-100", 1, 24).await;
    let mut events = world.listen("card.*").await;
    let (ids, traces) = (new_ids(24), traces(24));
    let held: Vec<Value> = ids
        .iter()
        .map(|id| with(reservation(id), "hold_seconds", json!(300)))
        .collect();
    say(&world, "card.reserve", &held, &traces, "reserved").await;
    let sales: Vec<Value> = ids[..8].iter().map(|id| sale(id)).collect();
    say(&world, "card.sell", &sales, &traces[..8], "sold").await;
    let released: Vec<Value> = ids[8..16].iter().map(|id| about("reservation_id", id)).collect();
    say(&world, "card.release", &released, &traces[8..16], "released").await;
    world
        .sql("UPDATE reservation SET held_until = created_at WHERE state = 'held'")
        .await;
    for (place, (id, trace)) in ids.iter().zip(&traces).enumerate() {
        let ended = ["card.sold", "card.released", "card.expired"][place / 8];
        for kind in ["card.reserved", ended] {
            assert_eq!(events.trace(kind, "reservation_id", id).await, *trace, "{kind}");
        }
    }
}
