//! Promises of the documents that no other test is about: each fails here when it is not kept.

use std::net::TcpListener;

use domain::delivery::operator::Settlement;
use domain::ids::PaymentId;
use serde_json::{Value, json};
use store::deliveries::{self, Settle};
use store::invariants::{self, Finding};
use store::{Store, scratch};
use testkit::payee::{Behaviour, Payee, Verb};
use testkit::process::{Process, run};
use testkit::stand::Stand;
use testkit::wait_for;
use unigate::workers::Worker;

use crate::faults::{bare, environment};
use crate::fixtures::{MTS, UTILITY, internet_provider, new_id, new_ids, online_payment, reservation, utility_payment};
use crate::world::{PATIENCE, World, ask_through, declare_payee, reaches};
use bus::frontend::Message;

/// Holds in the test of the sweep.
const HOLDS: usize = 10;
/// How long past its end the sweep may leave a hold: a few intervals of one second, on a machine that is busy.
const LATE_SECONDS: f64 = 15.0;

/// What `/metrics` shows on a line that begins so.
pub(crate) async fn shown(process: &Process, line: &str) -> Option<String> {
    let (_, text) = process.get("/metrics").await?;
    text.lines()
        .find_map(|shown| shown.strip_prefix(line).map(|value| value.trim().to_owned()))
}

#[tokio::test]
async fn holds_whose_messages_are_lost_are_ended_by_the_sweep_alone() {
    let world = bare().await;
    world.product(MTS).await;
    world.cards("mts-100", 1, HOLDS).await;
    let mut events = world.listen("card.expired").await;
    let slow = environment(&world, &[("UNIGATE_SWEEP_SECONDS", "1")]);
    let process = Process::start_ready(&slow, &["run", "cards"]).await;
    for id in new_ids(HOLDS) {
        let answer = world.ask("card.reserve", &reservation(&id)).await;
        assert_eq!(answer["outcome"], "reserved", "{answer}");
    }
    // Their messages would wait for five minutes; the clock is moved, and the row alone knows.
    world.sql("UPDATE reservation SET held_until = clock_timestamp()").await;
    let mut latest = 0.0_f64;
    wait_for("every hold to be ended", PATIENCE, async || {
        latest = latest.max(invariants::longest_overdue_hold(world.store()).await.unwrap());
        (world
            .value("SELECT count(*) FROM reservation WHERE state = 'held'")
            .await
            == "0")
            .then_some(())
    })
    .await;
    assert!(latest < LATE_SECONDS, "a hold was over for {latest} s");
    assert_eq!(events.all(&world, "card.expired").await.len(), HOLDS);
    let by = |source: &str| format!("unigate_cards_reservations_ended_total{{kind=\"lapsed\",source=\"{source}\"}}");
    // The table has it a moment before the process has counted it.
    wait_for("all to be counted", PATIENCE, async || {
        (shown(&process, &by("sweep")).await? == HOLDS.to_string()).then_some(())
    })
    .await;
    assert_eq!(shown(&process, &by("message")).await.unwrap_or("0".into()), "0");
    assert!(process.end().await.success());
}

/// Runs a command as this operator.
async fn requeue_as(world: &World, operator: &str, id: &str) -> String {
    let environment = environment(world, &[("UNIGATE_OPERATOR", operator)]);
    let done = run(&environment, &["deliveries", "requeue", id]).await;
    format!("{}{}", done.stdout, done.stderr)
}

#[tokio::test]
async fn of_two_operators_who_requeue_one_payment_at_once_one_does() {
    let world = World::start(&[Worker::Intake, Worker::Unikassa]).await;
    let payee = Payee::start().await.unwrap();
    world.payee(&internet_provider(&payee.url(), "")).await;
    payee.script(Verb::Pay, [Behaviour::Refuse("closed".into())]);
    let id = new_id();
    world.tell("payment.accepted", &online_payment(&id)).await;
    let seen = world.reaches(&id, "refused").await;
    // Somebody holds the payment until one operator waits to change it and the other one has come.
    let tx = world.store().begin().await.unwrap();
    let held = Settle {
        payment_id: seen.payment_id,
        to: Settlement::Delivered,
        reason: "never committed",
        provider_reference: None,
    };
    deliveries::settle(&tx, &held).await.unwrap();
    let second = async {
        wait_for("the first to wait for the payment", PATIENCE, async || {
            let waiting =
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
            (world.value(waiting).await != "0").then_some(())
        })
        .await;
        let said = requeue_as(&world, "boris", &id).await;
        tx.rollback().await.unwrap();
        said
    };
    let (anna, boris) = tokio::join!(requeue_as(&world, "anna", &id), second);
    assert!(anna.contains("1 requeued"), "{anna}");
    assert!(boris.contains("is in another act"), "{boris}");
    world.reaches(&id, "delivered").await;
    let numbers = payee.ledger();
    assert!(
        numbers.len() == 1 && numbers.values().all(|entry| entry.credits == 1),
        "{numbers:?}"
    );
    assert_eq!(
        payee.requests_of(Verb::Pay).len(),
        2,
        "the refused one and the requeued one"
    );
    let audited = world
        .sql(&format!(
            "SELECT who, allowed FROM audit WHERE subject = '{id}' ORDER BY allowed, who"
        ))
        .await;
    let who: Vec<_> = audited.iter().filter_map(|act| act[0].as_deref()).collect();
    let allowed: Vec<_> = audited.iter().filter_map(|act| act[1].as_deref()).collect();
    assert!(who.contains(&"anna") && who.contains(&"boris"), "{audited:?}");
    assert_eq!(allowed, ["f", "t"], "{audited:?}");
    world.stop().await;
}

/// How many rows wait to be told.
async fn events_waiting(store: &Store) -> String {
    scratch::sql(store, "SELECT count(*) FROM event").await.unwrap()[0][0]
        .clone()
        .unwrap()
}

#[tokio::test]
async fn an_event_whose_relay_died_before_it_forgot_it_is_told_again_under_its_id() {
    // No world: its process would relay events as well.
    let stand = Stand::new().await;
    let (store, frontend) = (stand.store(), stand.frontend().await);
    declare_payee(&store, UTILITY).await;
    let mut told = frontend.listen("payment.accepted").await.unwrap();
    let mut dying = stand.environment();
    dying.push(("UNIGATE_TEST_DIE_AT".into(), "events:before_delete".into()));
    let mut doomed = Process::start_ready(&dying, &["run", "intake"]).await;
    let id = new_id();
    let payment = Message::new("payment.accepted", utility_payment(&id).to_string());
    frontend.send(&payment).await.unwrap();
    doomed.dies().await;
    let first = tokio::time::timeout(PATIENCE, told.next()).await.unwrap().unwrap();
    assert_eq!(events_waiting(&store).await, "1", "it is not forgotten");
    let healthy = Process::start_ready(&stand.environment(), &["run", "intake"]).await;
    let second = tokio::time::timeout(PATIENCE, told.next()).await.unwrap().unwrap();
    let event: Value = serde_json::from_slice(&first.body).unwrap();
    assert_eq!(event["items"][0]["payment_id"], json!(id));
    assert_eq!((&first.message_id, &first.body), (&second.message_id, &second.body));
    assert_eq!(first.message_id.as_deref(), event["event_id"].as_str());
    wait_for("the event to be forgotten", PATIENCE, async || {
        (events_waiting(&store).await == "0").then_some(())
    })
    .await;
    assert_eq!(ask_through(&frontend, &payment).await["outcome"], "already_accepted");
    assert!(healthy.end().await.success());
}

/// An event that nobody can be told yet, so that it stays.
#[tokio::test]
async fn for_how_long_an_event_waits_is_shown() {
    let world = bare().await;
    world
        .sql(
            "INSERT INTO event (event_id, kind, body, occurred_at, due_at)
             VALUES (gen_random_uuid(), 'stock.low', '{}', now() - interval '100 seconds', now() + interval '1 hour')",
        )
        .await;
    let process = Process::start_ready(&environment(&world, &[]), &["run", "intake"]).await;
    let waits = wait_for("the gauge", PATIENCE, async || {
        shown(&process, "unigate_events_waiting_seconds")
            .await?
            .parse::<f64>()
            .ok()
    })
    .await;
    assert!((100.0..200.0).contains(&waits), "{waits}");
    assert!(process.end().await.success());
}

/// A payee whose declaration is in order, and whose host then turns out to be inside. An address in a URL is refused when
/// it is applied; what a name leads to can change afterwards.
async fn a_payee_inside(world: &World, host: &str) -> TcpListener {
    let inside = TcpListener::bind("127.0.0.1:0").unwrap();
    inside.set_nonblocking(true).unwrap();
    let port = inside.local_addr().unwrap().port();
    let outside = internet_provider("https://payee.example/unikassa", "").replace("allow_private = true", "");
    world.payee(&outside).await;
    world
        .sql(&format!(
            "UPDATE payee SET declaration = jsonb_set(declaration, '{{unikassa,url}}', '\"https://{host}:{port}/unikassa\"')"
        ))
        .await;
    inside
}

async fn is_not_called(host: &str) {
    let world = bare().await;
    let inside = a_payee_inside(&world, host).await;
    let workers = world.another(&[Worker::Intake, Worker::Unikassa], |_| {}).await;
    let id = new_id();
    assert_eq!(
        world.tell("payment.accepted", &online_payment(&id)).await["outcome"],
        "accepted"
    );
    let calls = wait_for("two attempts", PATIENCE, async || {
        world.hurry().await;
        let calls = deliveries::attempts(world.store(), PaymentId::parse(&id).unwrap())
            .await
            .unwrap();
        let ended: Vec<_> = calls.into_iter().filter(|call| call.ending != "open").collect();
        (ended.len() >= 2).then_some(ended)
    })
    .await;
    for call in &calls {
        let why = call.error.as_deref().unwrap_or_default();
        assert!(call.ending == "not_sent" && why.contains("private address"), "{call:?}");
    }
    reaches(world.store(), &id, "waiting").await;
    assert!(inside.accept().is_err(), "somebody connected to {host}");
    crate::world::end(&workers).await;
    world.stop().await;
}

#[tokio::test]
async fn a_name_that_leads_inside_is_not_called() {
    is_not_called("localhost").await;
}

#[tokio::test]
async fn an_address_that_is_inside_is_not_called() {
    is_not_called("127.0.0.1").await;
}

/// What the checks say about positions that stay open too long.
async fn open_positions(world: &World) -> Finding {
    let findings = invariants::check_all(world.store()).await.unwrap();
    let about = |finding: &Finding| finding.what.starts_with("no open position waits");
    findings.into_iter().find(about).expect("a check of that")
}

#[tokio::test]
async fn a_position_that_stays_open_too_long_is_found_until_it_is_closed() {
    let world = World::start(&[Worker::Intake]).await;
    world.payee(UTILITY).await;
    let ids = new_ids(2);
    for id in &ids {
        world.tell("payment.accepted", &utility_payment(id)).await;
    }
    let fresh = open_positions(&world).await;
    assert_eq!((fresh.looked_at, fresh.broken), (2, 0));
    world
        .sql(&format!(
            "UPDATE payment SET accepted_at = accepted_at - interval '3 days' WHERE payment_id = '{}';
             UPDATE series SET next_cutoff = clock_timestamp() - interval '2 days',
                    last_cutoff = last_cutoff - interval '4 days'",
            ids[0]
        ))
        .await;
    let late = open_positions(&world).await;
    assert_eq!(
        (late.looked_at, late.broken, late.example),
        (2, 1, Some(ids[0].clone()))
    );
    let registers = world.another(&[Worker::Registers], |_| {}).await;
    let closed = wait_for("the late one to be closed", PATIENCE, async || {
        let found = open_positions(&world).await;
        (found.looked_at < 2).then_some(found)
    })
    .await;
    assert_eq!(closed.broken, 0, "{closed:?}");
    crate::world::end(&registers).await;
    world.stop().await;
}
