//! What a broken or hostile terminal runs into, through the contract alone, also between two processes.

use futures::future::join_all;
use serde_json::{Value, json};
use unigate::workers::Worker;

use crate::fixtures::{MTS, about, new_id, new_ids, reservation, sale};
use crate::world::{World, end, refused, with};

async fn shop(limits: &str) -> World {
    let world = World::start(&[Worker::Cards]).await;
    world.product(MTS).await;
    world.cards("mts-100", 1, 40).await;
    world
        .terminal(&format!("id = \"T-0001\"\nlimits = {{ {limits} }}"))
        .await;
    world
}

async fn ask(world: &World) -> (String, Value) {
    let id = new_id();
    let answer = world.ask("card.reserve", &reservation(&id)).await;
    (id, answer)
}

#[tokio::test]
async fn holds_at_once_are_limited_exactly_between_two_processes() {
    let world = shop("holds = 5").await;
    let other = world.another(&[Worker::Cards], |_| {}).await;
    let ids = new_ids(30);
    let asked: Vec<Value> = ids.iter().map(|id| reservation(id)).collect();
    let answers = join_all(asked.iter().map(|body| world.ask("card.reserve", body))).await;
    let held: Vec<usize> = (0..30).filter(|at| answers[*at]["outcome"] == "reserved").collect();
    assert_eq!(held.len(), 5, "{answers:?}");
    for answer in answers.iter().filter(|answer| answer["outcome"] != "reserved") {
        refused(answer, "limit_reached", "holds = 5");
    }
    assert_eq!(
        world.value("SELECT count(*) FROM card WHERE state = 'reserved'").await,
        "5"
    );
    // Another terminal has its own.
    let theirs = with(reservation(&new_id()), "terminal", json!("T-0002"));
    assert_eq!(world.ask("card.reserve", &theirs).await["outcome"], "reserved");
    world
        .tell("card.release", &about("reservation_id", &ids[held[0]]))
        .await;
    assert_eq!(ask(&world).await.1["outcome"], "reserved");
    refused(&ask(&world).await.1, "limit_reached", "terminal");
    // A hold that is over holds nothing, whether or not a sweep came by.
    world
        .sql("UPDATE reservation SET held_until = clock_timestamp() WHERE state = 'held'")
        .await;
    assert_eq!(ask(&world).await.1["outcome"], "reserved");
    end(&other).await;
}

#[tokio::test]
async fn so_many_sales_within_an_hour_and_no_sale_refused() {
    let world = shop("sales_per_hour = 2").await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let (id, answer) = ask(&world).await;
        assert_eq!(answer["outcome"], "reserved", "{answer}");
        ids.push(id);
    }
    refused(&ask(&world).await.1, "limit_reached", "sales_per_hour = 2");
    // Declared lower while they are held.
    world.terminal("id = \"T-0001\"\nlimits = { sales_per_hour = 1 }").await;
    for id in &ids {
        assert_eq!(
            world.tell("card.sell", &sale(id)).await["outcome"],
            "sold",
            "money taken is never refused"
        );
    }
    refused(&ask(&world).await.1, "limit_reached", "sales_per_hour = 1");
    world
        .sql("UPDATE reservation SET ended_at = ended_at - interval '1 hour' WHERE state = 'sold'")
        .await;
    assert_eq!(ask(&world).await.1["outcome"], "reserved");
}
