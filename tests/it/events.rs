//! Events: every kind of the contract, with the members of its items and no others.

use serde_json::{Value, json};
use testkit::payee::{Behaviour, Payee, Verb};

use crate::fixtures::{MTS, about, internet_provider, new_id, online_payment, reservation, sale, utility_payment};
use crate::registers::utility;
use crate::unikassa::ONLINE;
use crate::world::{World, with};
use unigate::workers::Worker;

/// Checks that an item has these members, perhaps these, and no others.
#[track_caller]
fn has(item: &Value, members: &[&str], perhaps: &[&str]) {
    let item_members = item.as_object().expect("an object");
    for member in members {
        assert!(
            item_members.get(*member).is_some_and(|value| !value.is_null()),
            "{item} lacks {member}"
        );
    }
    for member in item_members.keys() {
        assert!(
            members.contains(&&**member) || perhaps.contains(&&**member),
            "{item} has {member}"
        );
    }
}

const PAYMENT: [&str; 9] = [
    "payment_id",
    "number",
    "payee",
    "terminal",
    "account",
    "amount",
    "fee",
    "currency",
    "state",
];
const CARD: [&str; 4] = ["reservation_id", "product", "serial", "terminal"];
const REGISTER: [&str; 10] = [
    "register_id",
    "payee",
    "kind",
    "series",
    "sequence",
    "first_accepted_at",
    "last_accepted_at",
    "count",
    "total",
    "currency",
];

#[tokio::test]
async fn payments_tell_what_becomes_of_them() {
    let world = World::start(&ONLINE).await;
    let payee = Payee::start().await.unwrap();
    world
        .payee(&internet_provider(
            &payee.url(),
            "timeout_seconds = 30\nretry_seconds = [600]",
        ))
        .await;
    let mut events = world.listen("#").await;
    let pay = async |behaviour: Behaviour| {
        payee.script(Verb::Pay, [behaviour]);
        let id = new_id();
        let answer = world
            .tell("payment.accepted", &with(online_payment(&id), "fee", json!(300)))
            .await;
        (id, answer["number"].clone())
    };
    let (delivered, number) = pay(Behaviour::Accept).await;
    let accepted = events.item("payment.accepted", "payment_id", &delivered).await;
    has(&accepted, &PAYMENT, &[]);
    let expected = json!({
        "payment_id": delivered, "number": number, "payee": "isp", "terminal": "T-0001", "account": "user-17",
        "amount": 50000, "fee": 300, "currency": "RUB", "state": "accepted"
    });
    assert_eq!(accepted, expected);
    let told = events.item("payment.delivered", "payment_id", &delivered).await;
    assert_eq!(told, with(expected, "state", json!("delivered")));

    let (refused, _) = pay(Behaviour::Refuse("closed".into())).await;
    has(
        &events.item("payment.refused", "payment_id", &refused).await,
        &[&PAYMENT[..], &["error"]].concat(),
        &[],
    );
    let (unknown, _) = pay(Behaviour::Refuse("number_conflict".into())).await;
    has(
        &events.item("payment.unknown", "payment_id", &unknown).await,
        &[&PAYMENT[..], &["error"]].concat(),
        &[],
    );
    let (held, _) = pay(Behaviour::Hold).await;
    payee.wait_for_requests(Verb::Pay, 4, crate::world::PATIENCE).await;
    world.tell("payment.revoke", &about("payment_id", &held)).await;
    payee.release();
    has(
        &events.item("payment.revoke_refused", "payment_id", &held).await,
        &PAYMENT,
        &["error"],
    );

    payee.down().await;
    let (revoked, _) = pay(Behaviour::Accept).await;
    let (failed, _) = pay(Behaviour::Accept).await;
    world.reaches(&revoked, "waiting").await;
    world.reaches(&failed, "waiting").await;
    assert_eq!(
        world.tell("payment.revoke", &about("payment_id", &revoked)).await["outcome"],
        "revoked"
    );
    has(
        &events.item("payment.revoked", "payment_id", &revoked).await,
        &PAYMENT,
        &[],
    );
    world.sql("UPDATE payment SET give_up_at = clock_timestamp()").await;
    world.hurry().await;
    has(
        &events.item("payment.failed", "payment_id", &failed).await,
        &[&PAYMENT[..], &["error"]].concat(),
        &[],
    );

    for _ in 0..5 {
        pay(Behaviour::Accept).await;
    }
    has(
        &events.item("payee.down", "payee", "isp").await,
        &["payee", "error"],
        &[],
    );
    payee.up().unwrap();
    has(&events.item("payee.up", "payee", "isp").await, &["payee"], &[]);
}

#[tokio::test]
async fn cards_and_stock_tell_what_becomes_of_them() {
    let world = World::start(&[Worker::Cards]).await;
    world.product(&format!("{MTS}\nlow_stock = 3")).await;
    world.cards("mts-100", 1, 4).await;
    let mut events = world.listen("#").await;
    let reserve = async || {
        let id = new_id();
        assert_eq!(
            world.ask("card.reserve", &reservation(&id)).await["outcome"],
            "reserved"
        );
        id
    };
    let first = reserve().await;
    let told = events.item("card.reserved", "reservation_id", &first).await;
    assert_eq!(
        told,
        json!({"reservation_id": first, "product": "mts-100", "serial": "0001", "terminal": "T-0001"})
    );
    world.tell("card.release", &about("reservation_id", &first)).await;
    has(
        &events.item("card.released", "reservation_id", &first).await,
        &CARD,
        &[],
    );
    let (second, third) = (reserve().await, reserve().await);
    let low = events.item("stock.low", "product", "mts-100").await;
    assert_eq!(
        (&low["threshold"], low["available"].as_u64().unwrap() < 3),
        (&json!(3), true)
    );
    has(&low, &["product", "available", "threshold"], &[]);
    world.tell("card.sell", &sale(&second)).await;
    let sold = events.item("card.sold", "reservation_id", &second).await;
    has(&sold, &[&CARD[..], &["amount", "currency"]].concat(), &[]);
    assert_eq!((&sold["amount"], &sold["currency"]), (&json!(10000), &json!("RUB")));

    world.sql(&format!(
        "UPDATE reservation SET held_until = clock_timestamp(), grace_until = clock_timestamp() WHERE reservation_id = '{third}'"
    ))
    .await;
    has(&events.item("card.expired", "reservation_id", &third).await, &CARD, &[]);
    // What came back is offered when nothing fresh is left, and its earlier holders may have paid all the same.
    let late = reserve().await;
    world.tell("card.sell", &sale(&late)).await;
    let returned = [reserve().await, reserve().await];
    for earlier in [&first, &third] {
        assert_eq!(world.tell("card.sell", &sale(earlier)).await["outcome"], "sold");
        let sold = events.item("card.sold", "reservation_id", earlier).await;
        has(
            &sold,
            &[&CARD[..], &["amount", "currency", "late"]].concat(),
            &["other_reservation_id"],
        );
        assert_eq!(sold["late"], true);
    }
    for other in &returned {
        let superseded = events.item("card.superseded", "reservation_id", other).await;
        has(&superseded, &[&CARD[..], &["other_reservation_id"]].concat(), &[]);
        assert_eq!(world.tell("card.sell", &sale(other)).await["outcome"], "conflict");
        let conflict = events.item("card.conflict", "reservation_id", other).await;
        has(
            &conflict,
            &[&CARD[..], &["amount", "currency", "other_reservation_id"]].concat(),
            &["late"],
        );
    }
}

#[tokio::test]
async fn stock_is_low_once_per_crossing() {
    let world = World::start(&[Worker::Cards]).await;
    world.product(&format!("{MTS}\nlow_stock = 2")).await;
    world.cards("mts-100", 1, 2).await;
    let mut events = world.listen("stock.low").await;
    for crossing in 1..=2 {
        world.ask("card.reserve", &reservation(&new_id())).await;
        events.items("stock.low", crossing).await;
        // Another look at the same low stock.
        let declared = world.context.declarations().await.unwrap();
        cards::upkeep::tell_low_stock(world.store(), &declared).await.unwrap();
        assert_eq!(events.all(&world, "stock.low").await.len(), crossing);
        world.cards("mts-100", 10 * crossing, 1).await;
        testkit::wait_for("the stock to be seen above", crate::world::PATIENCE, async || {
            (world.value("SELECT low FROM product_stock").await == "f").then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn registers_tell_what_becomes_of_them() {
    let (world, server) =
        utility(&crate::fixtures::UTILITY.replace("schedule = \"0 0 * * *\"", "every_payments = 2")).await;
    let mut events = world.listen("register.*").await;
    for _ in 0..2 {
        world.tell("payment.accepted", &utility_payment(&new_id())).await;
    }
    for kind in ["register.built", "register.mailed"] {
        let told = events.item(kind, "payee", "gorvodokanal").await;
        has(&told, &REGISTER, &[]);
        assert_eq!(
            (&told["kind"], &told["series"], &told["sequence"]),
            (&json!("regular"), &json!("main"), &json!(1))
        );
        assert_eq!(
            (&told["count"], &told["total"], &told["currency"]),
            (&json!(2), &json!(30000), &json!("RUB"))
        );
        let at = |member: &str| told[member].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        assert!(at("first_accepted_at") <= at("last_accepted_at"));
    }
    server.refuse_recipient("buh@example.org", 550);
    for _ in 0..2 {
        world.tell("payment.accepted", &utility_payment(&new_id())).await;
    }
    let failed = events.item("register.failed", "payee", "gorvodokanal").await;
    has(&failed, &[&REGISTER[..], &["error"]].concat(), &[]);
    assert_eq!(failed["sequence"], 2);
}

#[tokio::test]
async fn parked_facts_are_told_with_their_reason() {
    let world = World::start(&[Worker::Intake, Worker::Cards]).await;
    let mut events = world.listen("message.parked").await;
    let (payment, reservation) = (new_id(), new_id());
    world.tell("payment.accepted", &utility_payment(&payment)).await;
    let told = events.item("message.parked", "payment_id", &payment).await;
    has(&told, &["parked_id", "routing_key", "reason", "payment_id"], &[]);
    assert_eq!(
        (&told["routing_key"], &told["reason"]),
        (&json!("payment.accepted"), &json!("unknown_payee"))
    );
    world.tell("card.sell", &sale(&reservation)).await;
    let told = events.item("message.parked", "reservation_id", &reservation).await;
    has(&told, &["parked_id", "routing_key", "reason", "reservation_id"], &[]);
    assert_eq!(
        (&told["routing_key"], &told["reason"]),
        (&json!("card.sell"), &json!("unknown_reservation"))
    );
    world.tell("payment.nonsense", &json!({})).await;
    let told = events.item("message.parked", "routing_key", "payment.nonsense").await;
    has(&told, &["parked_id", "routing_key", "reason"], &[]);
}

#[tokio::test]
async fn many_things_of_one_kind_are_told_together_and_each_once() {
    let world = World::start(&[Worker::Intake]).await;
    world.payee(crate::fixtures::UTILITY).await;
    let mut events = world.listen("payment.accepted").await;
    let payments: Vec<Value> = crate::fixtures::new_ids(600)
        .iter()
        .map(|id| utility_payment(id))
        .collect();
    crate::faults::publish_all(&world, "payment.accepted", &payments).await;
    events.items("payment.accepted", 600).await;
    let mut told: Vec<_> = events
        .all(&world, "payment.accepted")
        .await
        .iter()
        .map(|item| item["payment_id"].to_string())
        .collect();
    let mut sent: Vec<_> = payments
        .iter()
        .map(|payment| payment["payment_id"].to_string())
        .collect();
    told.sort_unstable();
    sent.sort_unstable();
    assert_eq!(told, sent);
    assert!(events.events() < 600, "none was told together with another");
}

#[tokio::test]
async fn what_a_full_listener_refuses_holds_no_other_event_back() {
    let world = World::start(&[]).await;
    let bus = &world.stand.settings().bus;
    bus::peek::refuse_events(bus, "payee.up").await.unwrap();
    let mut events = world.listen("payee.down").await;
    // More than are taken at once, and older than what somebody else waits for.
    let add = async |kind: &str, count: usize| {
        let event = |_| {
            let event_id = uuid::Uuid::new_v4();
            store::events::Event {
                event_id,
                kind: kind.to_owned(),
                body: json!({"event_id": event_id, "occurred_at": crate::fixtures::now(), "items": [{"payee": "isp"}]})
                    .to_string(),
                traceparent: None,
            }
        };
        let tx = world.store().begin().await.unwrap();
        let these: Vec<_> = (0..count).map(event).collect();
        store::events::add(&tx, &these).await.unwrap();
        tx.commit().await.unwrap();
    };
    add("payee.up", 200).await;
    add("payee.down", 1).await;
    events.item("payee.down", "payee", "isp").await;
    assert!(world.context.bus.ready());
    bus::peek::take_events_again(bus).await.unwrap();
    testkit::wait_for("all to be told", crate::world::PATIENCE, async || {
        (world.value("SELECT count(*) FROM event").await == "0").then_some(())
    })
    .await;
}
