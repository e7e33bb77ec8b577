//! Holds that run out: by their messages, each length by itself, and while the broker dies under them.

use std::time::Duration;

use bus::frontend::{Frontend, Message};
use serde_json::json;
use store::{Store, scratch};
use testkit::process::Process;
use testkit::stand::Stand;
use testkit::wait_for;
use tokio::process::Command;
use unigate::workers::Worker;

use crate::fixtures::{MTS, new_id, new_ids, reservation};
use crate::restarts::{Private, Service};
use crate::world::{PATIENCE, World, ask_through, declare_product, stock_up, with};

/// Holds that are to run out.
const HOLDS: usize = 40;
/// How long past its end a hold may last, on a machine that is busy and has lost its broker.
const LATE_SECONDS: f64 = 5.0;

#[tokio::test]
async fn a_hold_is_not_delayed_by_longer_ones_before_it() {
    // No sweep comes by within this test, so a message alone can end a hold.
    let slow = |settings: &mut runtime::Settings| settings.sweep_interval = Duration::from_secs(3600);
    let world = World::start_with(&[Worker::Cards], slow).await;
    world.product(MTS).await;
    world.cards("mts-100", 1, 10).await;
    let mut events = world.listen("card.expired").await;
    let hold = async |id: &str, seconds: u32| {
        let answer = world
            .ask("card.reserve", &with(reservation(id), "hold_seconds", json!(seconds)))
            .await;
        assert_eq!(answer["outcome"], "reserved", "{answer}");
    };
    let short = new_id();
    for id in new_ids(4) {
        hold(&id, 300).await;
    }
    for id in new_ids(4) {
        hold(&id, 60).await;
    }
    hold(&short, 15).await;
    events.item("card.expired", "reservation_id", &short).await;
    let held = world
        .value("SELECT count(*) FROM reservation WHERE state = 'held'")
        .await;
    assert_eq!(held, "8", "the longer ones go on");
}

async fn value(store: &Store, query: &str) -> String {
    let rows = scratch::sql(store, query).await.unwrap();
    rows.into_iter()
        .next()
        .and_then(|mut row| row.remove(0))
        .unwrap_or_default()
}

async fn becomes(store: &Store, what: &str, query: &str, expected: &str) {
    wait_for(what, PATIENCE, async || {
        (value(store, query).await == expected).then_some(())
    })
    .await;
}

fn some(state: &str) -> String {
    format!("SELECT EXISTS (SELECT FROM reservation WHERE state = '{state}')::text")
}

/// Holds half of the cards for as short as can be.
async fn hold_half(frontend: &Frontend) {
    for id in new_ids(HOLDS / 2) {
        let body = with(reservation(&id), "hold_seconds", json!(15));
        let answer = ask_through(frontend, &Message::new("card.reserve", body.to_string())).await;
        assert_eq!(answer["outcome"], "reserved", "{answer}");
    }
}

#[tokio::test]
async fn a_broker_killed_while_holds_run_out_loses_none() {
    // Several tests of one process install it; the first one counts.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let broker = Private::start(Service::RabbitMq).await;
    let stand = Stand::on(broker.settings()).await;
    let store = stand.store();
    declare_product(&store, MTS).await;
    stock_up(&store, &stand.settings(), "mts-100", 1, HOLDS).await;
    let process = Process::start_ready(&stand.environment(), &["run", "cards"]).await;
    let frontend = stand.frontend().await;
    hold_half(&frontend).await;
    let later = "SELECT (clock_timestamp() > max(created_at) + interval '2 seconds')::text FROM reservation";
    becomes(&store, "two seconds to pass", later, "true").await;
    hold_half(&frontend).await;
    let pid = broker.pid().await;
    becomes(&store, "the first half to run out", &some("lapsed"), "true").await;
    let killed = Command::new("kill").args(["-KILL", &pid]).status().await.unwrap();
    assert!(killed.success(), "process {pid}");
    // What waited out its hold at the broker was lost with it, or comes late; the rows alone know.
    let unended = value(
        &store,
        &format!(
            "SELECT (count(*) >= {})::text FROM reservation WHERE state = 'held'",
            HOLDS / 2
        ),
    )
    .await;
    assert_eq!(unended, "true", "the kill came after the second half had run out");
    let all = format!("SELECT count(*)::text FROM reservation WHERE state = 'lapsed' HAVING count(*) = {HOLDS}");
    becomes(
        &store,
        "all of them to be over, without a broker",
        &all,
        &HOLDS.to_string(),
    )
    .await;
    let late = "SELECT max(extract(epoch FROM c.updated_at - r.held_until))::text FROM reservation r JOIN card c USING (card_id)";
    let late: f64 = value(&store, late).await.parse().unwrap();
    assert!(late < LATE_SECONDS, "a hold was over for {late} s");
    // Every end is told once the broker is back.
    process.wait_for_readiness(503).await;
    broker.up_again().await;
    process.wait_for_readiness(200).await;
    becomes(
        &store,
        "every event to be told",
        "SELECT count(*)::text FROM event",
        "0",
    )
    .await;
    assert!(process.end().await.success());
}
