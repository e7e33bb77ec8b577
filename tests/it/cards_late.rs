//! What comes after the hold: expiry, late sales, superseded reservations, conflicts.

use serde_json::{Value, json};
use testkit::wait_for;
use unigate::workers::Worker;

use crate::fixtures::{MTS, about, new_id, reservation, sale};
use crate::world::{PATIENCE, World, refused, with};

async fn shop(product: &str, cards: usize) -> World {
    let world = World::start(&[Worker::Cards]).await;
    world.product(product).await;
    world.cards("mts-100", 1, cards).await;
    world
}

async fn reserve(world: &World, id: &str) -> Value {
    let answer = world.ask("card.reserve", &reservation(id)).await;
    assert_eq!(answer["outcome"], "reserved", "{answer}");
    answer
}

/// Moves the clock to the end of a hold.
async fn end_hold(world: &World, id: &str) {
    world
        .sql(&format!(
            "UPDATE reservation SET held_until = clock_timestamp() WHERE reservation_id = '{id}'"
        ))
        .await;
    reservation_becomes(world, id, "lapsed").await;
}

/// Moves the clock to the end of a grace.
async fn end_grace(world: &World, id: &str) {
    world
        .sql(&format!(
            "UPDATE reservation SET grace_until = clock_timestamp() WHERE reservation_id = '{id}'"
        ))
        .await;
    reservation_becomes(world, id, "expired").await;
}

async fn reservation_becomes(world: &World, id: &str, state: &str) {
    let query = format!("SELECT state FROM reservation WHERE reservation_id = '{id}'");
    wait_for(&format!("the reservation to be {state}"), PATIENCE, async || {
        (world.value(&query).await == state).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_hold_ends_by_its_message_alone() {
    // No sweep comes by within this test, so nothing else can end it.
    let slow = |settings: &mut runtime::Settings| settings.sweep_interval = std::time::Duration::from_secs(3600);
    let world = World::start_with(&[Worker::Cards], slow).await;
    world.product(MTS).await;
    world.cards("mts-100", 1, 1).await;
    let mut events = world.listen("card.*").await;
    let (id, kept) = (new_id(), new_id());
    let answer = world
        .ask("card.reserve", &with(reservation(&id), "hold_seconds", json!(15)))
        .await;
    assert_eq!(answer["outcome"], "reserved", "{answer}");
    refused(
        &world.ask("card.reserve", &reservation(&kept)).await,
        "out_of_stock",
        "",
    );
    let expired = events.item("card.expired", "reservation_id", &id).await;
    assert_eq!(expired["serial"], "0001");
    let held_until: jiff::Timestamp = answer["held_until"].as_str().unwrap().parse().unwrap();
    assert!(domain::clock::now() >= held_until, "not a moment early");
    let over = world.ask("card.reserve", &reservation(&id)).await;
    refused(&over, "reservation_over", "");
    assert_eq!((&over["state"], &over["card"]), (&json!("expired"), &Value::Null));
    refused(
        &world.ask("card.reserve", &reservation(&kept)).await,
        "out_of_stock",
        "",
    );
}

#[tokio::test]
async fn a_lapsed_card_is_kept_for_its_payer_and_then_goes_back() {
    let world = shop(MTS, 1).await;
    let mut events = world.listen("card.*").await;
    let (id, other) = (new_id(), new_id());
    reserve(&world, &id).await;
    end_hold(&world, &id).await;
    events.item("card.expired", "reservation_id", &id).await;
    assert_eq!(world.ask("card.reserve", &reservation(&id)).await["state"], "expired");
    refused(
        &world.ask("card.reserve", &reservation(&other)).await,
        "out_of_stock",
        "",
    );
    assert_eq!(
        world.tell("card.release", &about("reservation_id", &id)).await["outcome"],
        "already_expired"
    );
    end_grace(&world, &id).await;
    assert_eq!(reserve(&world, &other).await["card"]["serial"], "0001");
    assert_eq!(
        events.all(&world, "card.expired").await.len(),
        1,
        "the end of the grace is our own affair"
    );
}

#[tokio::test]
async fn a_late_sale_within_the_grace_is_sold() {
    let world = shop(MTS, 1).await;
    let id = new_id();
    reserve(&world, &id).await;
    end_hold(&world, &id).await;
    let sold = json!({"outcome": "sold", "reservation_id": id, "late": true});
    assert_eq!(world.tell("card.sell", &sale(&id)).await, sold);
    assert_eq!(
        world.tell("card.sell", &sale(&id)).await,
        with(sold, "outcome", json!("already_sold"))
    );
}

#[tokio::test]
async fn lateness_is_judged_by_arrival_and_not_by_the_terminal() {
    let world = shop(MTS, 2).await;
    let (early, late) = (new_id(), new_id());
    reserve(&world, &early).await;
    reserve(&world, &late).await;
    let answer = world
        .tell(
            "card.sell",
            &with(sale(&early), "paid_at", json!("2031-01-01T00:00:00+03:00")),
        )
        .await;
    assert_eq!((&answer["outcome"], &answer["late"]), (&json!("sold"), &Value::Null));
    end_hold(&world, &late).await;
    let answer = world
        .tell(
            "card.sell",
            &with(sale(&late), "paid_at", json!("2020-01-01T00:00:00Z")),
        )
        .await;
    assert_eq!((&answer["outcome"], &answer["late"]), (&json!("sold"), &json!(true)));
}

#[tokio::test]
async fn paid_beats_held() {
    let world = shop(MTS, 1).await;
    let mut events = world.listen("card.*").await;
    let (first, second) = (new_id(), new_id());
    reserve(&world, &first).await;
    end_hold(&world, &first).await;
    end_grace(&world, &first).await;
    reserve(&world, &second).await;
    let late = world.tell("card.sell", &sale(&first)).await;
    assert_eq!(
        (&late["outcome"], &late["late"]),
        (&json!("sold"), &json!(true)),
        "{late}"
    );
    let superseded = events.item("card.superseded", "reservation_id", &second).await;
    assert_eq!(
        (&superseded["other_reservation_id"], &superseded["serial"]),
        (&json!(first), &json!("0001"))
    );
    assert_eq!(
        world.ask("card.reserve", &reservation(&second)).await["state"],
        "superseded"
    );
    assert_eq!(
        world.tell("card.release", &about("reservation_id", &second)).await["outcome"],
        "already_expired"
    );

    // Whose hold was taken away may have paid all the same: a case for an operator, not another sale.
    let conflict = world.tell("card.sell", &sale(&second)).await;
    assert_eq!(
        (&conflict["outcome"], &conflict["replacement"]),
        (&json!("conflict"), &Value::Null),
        "{conflict}"
    );
    assert_eq!(world.tell("card.sell", &sale(&second)).await, conflict);
    let told = events.item("card.conflict", "reservation_id", &second).await;
    assert_eq!(
        (&told["other_reservation_id"], &told["amount"]),
        (&json!(first), &json!(10000))
    );
    assert_eq!(
        world.value("SELECT string_agg(kind, ',') FROM card_case").await,
        "conflict"
    );
    assert_eq!(
        world
            .value("SELECT count(*) FROM reservation WHERE state = 'sold'")
            .await,
        "1"
    );
    assert_eq!(events.all(&world, "card.conflict").await.len(), 1);
}

#[tokio::test]
async fn a_conflict_gets_another_card_where_the_product_says_so() {
    let world = shop(&format!("{MTS}\nreplace_on_conflict = true"), 1).await;
    let (first, second) = (new_id(), new_id());
    reserve(&world, &first).await;
    world.tell("card.release", &about("reservation_id", &first)).await;
    reserve(&world, &second).await;
    world.tell("card.sell", &sale(&second)).await;
    world.cards("mts-100", 2, 1).await;
    let conflict = world.tell("card.sell", &sale(&first)).await;
    assert_eq!(conflict["outcome"], "conflict", "{conflict}");
    let replacement = &conflict["replacement"];
    assert_eq!(replacement["card"]["fields"]["pin"], "8231-secret-0002", "{conflict}");
    assert_eq!(
        world.tell("card.sell", &sale(&first)).await,
        conflict,
        "told again, not given again"
    );
    let own = replacement["reservation_id"].as_str().unwrap();
    let printed = world.ask("card.reprint", &about("reservation_id", own)).await;
    assert_eq!(printed["card"], replacement["card"], "{printed}");
    let cases = world
        .sql("SELECT kind, replacement_reservation_id FROM card_case")
        .await;
    assert_eq!(cases, [vec![Some("conflict".to_owned()), Some(own.to_owned())]]);
}

#[tokio::test]
async fn a_faulty_card_that_was_paid_for_is_sold_and_a_case() {
    let world = shop(MTS, 2).await;
    for (id, state) in [(new_id(), "faulty"), (new_id(), "withdrawn")] {
        let serial = reserve(&world, &id).await["card"]["serial"].clone();
        let serial = serial.as_str().unwrap();
        world
            .sql(&format!("UPDATE card SET state = '{state}' WHERE serial = '{serial}'"))
            .await;
        let answer = world.tell("card.sell", &sale(&id)).await;
        assert_eq!(answer["outcome"], "sold", "{answer}");
        let case = world
            .value(&format!("SELECT kind FROM card_case WHERE reservation_id = '{id}'"))
            .await;
        assert_eq!(case, state);
    }
}
