//! Cards, message by message: reserved, counted, sold, released.

use serde_json::{Value, json};
use unigate::workers::Worker;

use crate::fixtures::{MTS, about, new_id, reservation, sale};
use crate::world::{World, refused, with};

pub(crate) async fn shop(cards: usize) -> World {
    let world = World::start(&[Worker::Cards]).await;
    world.product(MTS).await;
    if cards > 0 {
        world.cards("mts-100", 1, cards).await;
    }
    world
}

pub(crate) async fn reserve(world: &World, id: &str) -> Value {
    let answer = world.ask("card.reserve", &reservation(id)).await;
    assert_eq!(answer["outcome"], "reserved", "{answer}");
    answer
}

fn seconds_until(time: &Value) -> f64 {
    let at: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
    at.duration_since(domain::clock::now()).as_secs_f64()
}

pub(crate) async fn parked(world: &World) -> usize {
    store::parked::list(world.store(), &store::parked::Filter::default())
        .await
        .unwrap()
        .len()
}

#[tokio::test]
async fn a_reservation_holds_one_card_and_the_same_request_gets_it_again() {
    let world = shop(3).await;
    let id = new_id();
    let first = reserve(&world, &id).await;
    assert_eq!(first["reservation_id"], id);
    assert_eq!(
        (&first["product"], &first["sealed_card"]),
        (&json!("mts-100"), &Value::Null)
    );
    assert_eq!(first["card"]["serial"], "0001", "in the order of the file");
    assert_eq!(
        first["card"]["fields"],
        json!({"pin": "8231-secret-0001", "activation": "*111*823144000001#"})
    );
    assert_eq!(
        (&first["face_value"], &first["price"], &first["currency"]),
        (&json!(10000), &json!(10000), &json!("RUB"))
    );
    let receipt = first["receipt"].as_str().unwrap();
    assert!(
        receipt.contains("0001") && receipt.contains("8231-secret-0001") && receipt.contains("100.00"),
        "{receipt}"
    );
    let held = seconds_until(&first["held_until"]);
    assert!(
        (240.0..=301.0).contains(&held),
        "the product's first hold is the default: {held}"
    );

    let again = world.ask("card.reserve", &reservation(&id)).await;
    assert_eq!(again, first);
    let longer = world
        .ask("card.reserve", &with(reservation(&id), "hold_seconds", json!(60)))
        .await;
    assert_eq!(longer, first, "how long it is wanted is not its content");
    let other = world
        .ask("card.reserve", &with(reservation(&id), "product", json!("mts-200")))
        .await;
    refused(&other, "reservation_id_reused", "reservation_id");
    let theirs = world
        .ask("card.reserve", &with(reservation(&id), "terminal", json!("T-0002")))
        .await;
    refused(&theirs, "reservation_id_reused", "reservation_id");
    assert_eq!(reserve(&world, &new_id()).await["card"]["serial"], "0002");
}

#[tokio::test]
async fn holds_are_shortened_to_what_the_product_offers() {
    let world = shop(5).await;
    for (wanted, least, most) in [
        (300, 240.0, 301.0),
        (299, 45.0, 61.0),
        (60, 45.0, 61.0),
        (9000, 240.0, 301.0),
        (1, 0.0, 16.0),
    ] {
        let answer = world
            .ask(
                "card.reserve",
                &with(reservation(&new_id()), "hold_seconds", json!(wanted)),
            )
            .await;
        let held = seconds_until(&answer["held_until"]);
        assert!((least..=most).contains(&held), "wanted {wanted} s, got {held} s");
    }
    for nonsense in [json!(0), json!(-5), json!("60"), json!(1.5)] {
        let answer = world
            .ask("card.reserve", &with(reservation(&new_id()), "hold_seconds", nonsense))
            .await;
        refused(&answer, "invalid_request", "hold_seconds");
    }
}

#[tokio::test]
async fn what_is_not_sold_here_is_refused() {
    let world = shop(1).await;
    let unknown = world
        .ask(
            "card.reserve",
            &with(reservation(&new_id()), "product", json!("nothing")),
        )
        .await;
    refused(&unknown, "unknown_product", "product");
    reserve(&world, &new_id()).await;
    refused(
        &world.ask("card.reserve", &reservation(&new_id())).await,
        "out_of_stock",
        "mts-100",
    );
    world.product(&format!("{MTS}\nsuspended = true")).await;
    refused(
        &world.ask("card.reserve", &reservation(&new_id())).await,
        "product_suspended",
        "product",
    );
    world.product(&format!("{MTS}\ngroups = [\"center\"]")).await;
    world.cards("mts-100", 2, 1).await;
    refused(
        &world.ask("card.reserve", &reservation(&new_id())).await,
        "not_allowed_here",
        "product",
    );
    world.terminal("id = \"T-0001\"\ngroup = \"center\"").await;
    reserve(&world, &new_id()).await;
    refused(
        &world
            .ask("card.reserve", &json!({"terminal": "T-0001", "product": "mts-100"}))
            .await,
        "invalid_request",
        "reservation_id",
    );
}

#[tokio::test]
async fn availability_counts_what_could_be_reserved() {
    let world = shop(3).await;
    world
        .product(
            &MTS.replace("mts-100", "radio")
                .replace("price = 10000", "price = 9000\nsuspended = true"),
        )
        .await;
    let count = async |products: Value| {
        world
            .ask(
                "card.availability",
                &json!({"terminal": "T-0001", "products": products}),
            )
            .await
    };
    let mts = |available: u64| json!({"product": "mts-100", "available": available, "price": 10000, "currency": "RUB", "suspended": false});
    assert_eq!(
        count(json!(["mts-100"])).await,
        json!({"outcome": "ok", "products": [mts(3)]})
    );
    let radio = json!({"product": "radio", "available": 0, "price": 9000, "currency": "RUB", "suspended": true});
    assert_eq!(
        count(json!([])).await,
        json!({"outcome": "ok", "products": [mts(3), radio]})
    );

    let (sold, released) = (new_id(), new_id());
    reserve(&world, &sold).await;
    reserve(&world, &released).await;
    assert_eq!(count(json!(["mts-100"])).await["products"][0], mts(1));
    assert_eq!(world.tell("card.sell", &sale(&sold)).await["outcome"], "sold");
    assert_eq!(
        world.tell("card.release", &about("reservation_id", &released)).await["outcome"],
        "released"
    );
    assert_eq!(
        count(json!(["mts-100"])).await["products"][0],
        mts(2),
        "the released one came back"
    );
}

#[tokio::test]
async fn a_sale_counts_once() {
    let world = shop(2).await;
    let id = new_id();
    reserve(&world, &id).await;
    let first = world.tell("card.sell", &sale(&id)).await;
    assert_eq!(first, json!({"outcome": "sold", "reservation_id": id}));
    let again = world
        .tell("card.sell", &with(sale(&id), "paid_at", json!("2026-01-01T00:00:00Z")))
        .await;
    assert_eq!(
        again["outcome"], "already_sold",
        "when it was paid is not its content: {again}"
    );
    let differs = world.tell("card.sell", &with(sale(&id), "amount", json!(20000))).await;
    refused(&differs, "sale_differs", "reservation_id");
    refused(
        &world.ask("card.reserve", &reservation(&id)).await,
        "reservation_over",
        "",
    );
    assert_eq!(world.ask("card.reserve", &reservation(&id)).await["state"], "sold");
}

#[tokio::test]
async fn a_wrong_sale_is_parked_and_its_reservation_stands() {
    let world = shop(1).await;
    let id = new_id();
    reserve(&world, &id).await;
    for (wrong, reason, place) in [
        (with(sale(&id), "amount", json!(9999)), "amount_too_small", "amount"),
        (
            with(sale(&id), "currency", json!("USD")),
            "currency_differs",
            "currency",
        ),
        (with(sale(&id), "serial", json!("0777")), "sale_differs", "serial"),
        (with(sale(&id), "product", json!("mts-500")), "sale_differs", "product"),
        (
            with(sale(&id), "terminal", json!("T-0002")),
            "not_your_terminal",
            "reservation_id",
        ),
        (with(sale(&id), "amount", json!(0)), "invalid_request", "amount"),
        (sale(&new_id()), "unknown_reservation", "reservation_id"),
    ] {
        refused(&world.tell("card.sell", &wrong).await, reason, place);
        refused(&world.tell("card.sell", &wrong).await, reason, place);
    }
    assert_eq!(parked(&world).await, 7, "each once");
    let right = world.tell("card.sell", &with(sale(&id), "amount", json!(10050))).await;
    assert_eq!(right, json!({"outcome": "sold", "reservation_id": id, "surplus": 50}));
    assert_eq!(world.value("SELECT kind FROM card_case").await, "surplus");
}

#[tokio::test]
async fn the_price_answered_at_the_reservation_rules_its_sale() {
    let world = shop(4).await;
    let priced = async |price: i64, id: &str| {
        world
            .product(&MTS.replace("price = 10000", &format!("price = {price}")))
            .await;
        assert_eq!(reserve(&world, id).await["price"], price);
    };
    let [before, dear, cheap] = [new_id(), new_id(), new_id()];
    priced(10_000, &before).await;
    priced(12_000, &dear).await;
    priced(8_000, &cheap).await;
    let sell = async |id: &str, amount: i64| world.tell("card.sell", &with(sale(id), "amount", json!(amount))).await;
    // The product is cheap by now; who was told more owes more, and pays no surplus by it.
    for (id, price) in [(&before, 10_000), (&dear, 12_000), (&cheap, 8_000)] {
        refused(&sell(id, price - 1).await, "amount_too_small", "amount");
        let sold = sell(id, price).await;
        assert_eq!(sold, json!({"outcome": "sold", "reservation_id": id}));
    }
    let last = new_id();
    priced(8_000, &last).await;
    // And dear again: what is paid beyond the price that was answered is a surplus, however little the price is now.
    world.product(&MTS.replace("price = 10000", "price = 12000")).await;
    let sold = sell(&last, 9_000).await;
    assert_eq!(
        sold,
        json!({"outcome": "sold", "reservation_id": last, "surplus": 1000})
    );
}

#[tokio::test]
async fn a_release_gives_the_card_back() {
    let world = shop(1).await;
    let (first, second) = (new_id(), new_id());
    let serial = reserve(&world, &first).await["card"]["serial"].clone();
    refused(
        &world
            .tell("card.release", &json!({"reservation_id": first, "terminal": "T-0002"}))
            .await,
        "not_your_terminal",
        "",
    );
    let release = about("reservation_id", &first);
    assert_eq!(
        world.tell("card.release", &release).await,
        json!({"outcome": "released", "reservation_id": first})
    );
    assert_eq!(
        world.tell("card.release", &release).await["outcome"],
        "already_released"
    );
    let over = world.ask("card.reserve", &reservation(&first)).await;
    refused(&over, "reservation_over", "");
    assert_eq!((&over["state"], &over["card"]), (&json!("released"), &Value::Null));

    assert_eq!(reserve(&world, &second).await["card"]["serial"], serial);
    assert_eq!(world.tell("card.sell", &sale(&second)).await["outcome"], "sold");
    assert_eq!(
        world.tell("card.release", &about("reservation_id", &second)).await["outcome"],
        "already_sold"
    );
    assert_eq!(world.ask("card.reserve", &reservation(&second)).await["state"], "sold");
}

#[tokio::test]
async fn a_release_may_come_before_its_reservation() {
    let world = shop(1).await;
    let id = new_id();
    assert_eq!(
        world.tell("card.release", &about("reservation_id", &id)).await["outcome"],
        "released"
    );
    assert_eq!(
        world.tell("card.release", &about("reservation_id", &id)).await["outcome"],
        "already_released"
    );
    let late = world.ask("card.reserve", &reservation(&id)).await;
    refused(&late, "reservation_over", "");
    assert_eq!(late["state"], "released");
    refused(
        &world.tell("card.sell", &sale(&id)).await,
        "unknown_reservation",
        "reservation_id",
    );
    reserve(&world, &new_id()).await;
}

#[tokio::test]
async fn a_card_once_shown_is_not_offered_again_unless_the_product_says_so() {
    let world = World::start(&[Worker::Cards]).await;
    world
        .product(&MTS.replace("reissue_exposed = true", "reissue_exposed = false"))
        .await;
    world.cards("mts-100", 1, 1).await;
    let id = new_id();
    reserve(&world, &id).await;
    assert_eq!(
        world.tell("card.release", &about("reservation_id", &id)).await["outcome"],
        "released"
    );
    refused(
        &world.ask("card.reserve", &reservation(&new_id())).await,
        "out_of_stock",
        "",
    );
    let late = world.tell("card.sell", &sale(&id)).await;
    assert_eq!(
        (&late["outcome"], &late["late"]),
        (&json!("sold"), &json!(true)),
        "whoever saw it may still have paid"
    );
}
