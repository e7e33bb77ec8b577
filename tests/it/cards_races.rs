//! Cards out of order and at the same moment.

use std::collections::BTreeMap;

use bus::frontend::Message;
use futures::future::{join, join_all};
use serde_json::Value;
use testkit::wait_for;
use unigate::workers::Worker;

use crate::fixtures::{MTS, about, new_id, new_ids, reservation, sale};
use crate::world::{PATIENCE, World, end, refused};

async fn shop(cards: usize) -> World {
    let world = World::start(&[Worker::Cards]).await;
    world.product(MTS).await;
    world.cards("mts-100", 1, cards).await;
    world
}

async fn reserve_all(world: &World, ids: &[String]) -> Vec<Value> {
    let reservations: Vec<Value> = ids.iter().map(|id| reservation(id)).collect();
    join_all(
        reservations
            .iter()
            .map(|reservation| world.ask("card.reserve", reservation)),
    )
    .await
}

fn count(answers: &[Value], outcome: &str) -> usize {
    answers.iter().filter(|answer| answer["outcome"] == outcome).count()
}

/// A card is sold to at most one reservation, and nothing is held that nobody holds.
async fn holds_together(world: &World) {
    let doubly = "SELECT count(*) FROM (SELECT card_id FROM reservation WHERE state = 'sold' GROUP BY card_id HAVING count(*) > 1) d";
    assert_eq!(world.value(doubly).await, "0");
    let orphans = "SELECT count(*) FROM card c LEFT JOIN reservation r ON r.card_id = c.card_id AND r.state = 'held'
                   WHERE (c.state = 'reserved') <> (r.card_id IS NOT NULL)";
    assert_eq!(world.value(orphans).await, "0");
    let unsold = "SELECT count(*) FROM card c LEFT JOIN reservation r ON r.card_id = c.card_id AND r.state = 'sold'
                  WHERE (c.state = 'sold') <> (r.card_id IS NOT NULL)";
    assert_eq!(world.value(unsold).await, "0");
}

#[tokio::test]
async fn a_sale_before_its_reservation_is_money_without_a_home_until_it_has_one() {
    let world = shop(1).await;
    let id = new_id();
    refused(
        &world.tell("card.sell", &sale(&id)).await,
        "unknown_reservation",
        "reservation_id",
    );
    assert_eq!(
        world.ask("card.reserve", &reservation(&id)).await["outcome"],
        "reserved"
    );
    let rows = store::parked::list(world.store(), &store::parked::Filter::default())
        .await
        .unwrap();
    assert_eq!(rows.len(), 1);
    let tx = world.store().begin().await.unwrap();
    store::parked::put_back(&tx, rows[0].parked_id, "test", store::parked::PutBack::default())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    wait_for("the parked sale to count", PATIENCE, async || {
        let row = store::parked::find(world.store(), rows[0].parked_id)
            .await
            .unwrap()
            .unwrap();
        (row.state == "resolved").then_some(())
    })
    .await;
    assert_eq!(world.tell("card.sell", &sale(&id)).await["outcome"], "already_sold");
    holds_together(&world).await;
}

#[tokio::test]
async fn a_sale_settled_by_hand_leaves_its_reservation_refused() {
    let world = shop(1).await;
    let id = new_id();
    refused(
        &world.tell("card.sell", &sale(&id)).await,
        "unknown_reservation",
        "reservation_id",
    );
    let rows = store::parked::list(world.store(), &store::parked::Filter::default())
        .await
        .unwrap();
    let tx = world.store().begin().await.unwrap();
    store::parked::discard(&tx, rows[0].parked_id, "test", "paid back in cash")
        .await
        .unwrap();
    tx.commit().await.unwrap();

    let mut other = sale(&id);
    other["receipt_number"] = serde_json::json!("another");
    refused(&world.tell("card.sell", &sale(&id)).await, "settled_by_operator", "");
    refused(
        &world.tell("card.sell", &other).await,
        "settled_by_operator",
        "reservation_id",
    );
    refused(
        &world.ask("card.reserve", &reservation(&id)).await,
        "settled_by_operator",
        "reservation_id",
    );
    let rows = store::parked::list(world.store(), &store::parked::Filter::default())
        .await
        .unwrap();
    assert!(rows.is_empty(), "there is no money in it any more: {rows:?}");
    holds_together(&world).await;
}

/// Two channels of a worker may take a pair apart, so either may come first; but whichever did, both know of it.
#[tokio::test]
async fn a_sale_and_a_release_at_once_agree_on_which_came_first() {
    let world = shop(20).await;
    for release_first in [true, false] {
        let ids = new_ids(10);
        assert_eq!(count(&reserve_all(&world, &ids).await, "reserved"), 10);
        let both = ids.iter().flat_map(|id| {
            let sale = Message::new("card.sell", sale(id).to_string());
            let release = Message::new("card.release", about("reservation_id", id).to_string());
            if release_first {
                [release, sale]
            } else {
                [sale, release]
            }
        });
        let answers = join_all(both.map(async |message| world.publish(&message).await)).await;
        for pair in answers.chunks(2) {
            let (sold, released) = if release_first {
                (&pair[1], &pair[0])
            } else {
                (&pair[0], &pair[1])
            };
            assert_eq!(sold["outcome"], "sold", "paid beats everything: {sold}");
            let expected = if sold["late"] == true {
                "released"
            } else {
                "already_sold"
            };
            assert_eq!(released["outcome"], expected, "{sold} {released}");
        }
    }
    assert_eq!(
        world
            .value("SELECT count(*) FROM reservation WHERE state = 'sold'")
            .await,
        "20"
    );
    holds_together(&world).await;
}

#[tokio::test]
async fn too_many_terminals_for_too_few_cards_and_two_processes() {
    let world = shop(10).await;
    let second = world.another(&[Worker::Cards], |_| {}).await;
    let ids = new_ids(40);
    let answers = reserve_all(&world, &ids).await;
    assert_eq!(count(&answers, "reserved"), 10);
    assert!(
        answers
            .iter()
            .all(|answer| answer["outcome"] == "reserved" || answer["reason"] == "out_of_stock")
    );
    let mut serials: Vec<_> = answers
        .iter()
        .filter_map(|answer| answer["card"]["serial"].as_str())
        .collect();
    serials.sort_unstable();
    serials.dedup();
    assert_eq!(serials.len(), 10, "a card each");
    holds_together(&world).await;
    end(&second).await;
}

#[tokio::test]
async fn expiry_racing_a_sale_leaves_it_sold() {
    let world = shop(30).await;
    let second = world.another(&[Worker::Cards], |_| {}).await;
    let ids = new_ids(30);
    assert_eq!(count(&reserve_all(&world, &ids).await, "reserved"), 30);
    let over = "UPDATE reservation SET held_until = clock_timestamp(), grace_until = clock_timestamp()";
    let sales: Vec<Value> = ids.iter().map(|id| sale(id)).collect();
    let selling = join_all(sales.iter().map(|sale| world.tell("card.sell", sale)));
    let (_, sold) = join(world.sql(over), selling).await;
    assert_eq!(count(&sold, "sold"), 30, "{sold:?}");
    assert_eq!(
        world.value("SELECT count(*) FROM card WHERE state = 'sold'").await,
        "30"
    );
    holds_together(&world).await;
    end(&second).await;
}

#[tokio::test]
async fn of_two_who_pay_for_one_card_the_first_wins() {
    let world = shop(10).await;
    let second = world.another(&[Worker::Cards], |_| {}).await;
    let firsts = new_ids(10);
    reserve_all(&world, &firsts).await;
    let releases: Vec<Value> = firsts.iter().map(|id| about("reservation_id", id)).collect();
    join_all(releases.iter().map(|release| world.tell("card.release", release))).await;
    let seconds = new_ids(10);
    assert_eq!(count(&reserve_all(&world, &seconds).await, "reserved"), 10);

    let sales: Vec<Value> = firsts.iter().chain(&seconds).map(|id| sale(id)).collect();
    let answers = join_all(sales.iter().map(|sale| world.tell("card.sell", sale))).await;
    assert_eq!(
        (count(&answers, "sold"), count(&answers, "conflict")),
        (10, 10),
        "{answers:?}"
    );
    let rows = world
        .sql("SELECT card_id, state FROM reservation ORDER BY card_id, state")
        .await;
    let mut ends: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in rows {
        ends.entry(row[0].clone().unwrap())
            .or_default()
            .push(row[1].clone().unwrap());
    }
    assert!(ends.values().all(|states| *states == ["conflict", "sold"]), "{ends:?}");
    assert_eq!(
        world
            .value("SELECT count(*) FROM card_case WHERE kind = 'conflict'")
            .await,
        "10"
    );
    holds_together(&world).await;
    end(&second).await;
}
