//! Processes that stand still (SIGSTOP) with a lock or a lease in their hands: others are not kept waiting for long, and
//! what is woken does no harm.

use std::time::{Duration, Instant};

use bus::frontend::Message;
use futures::future::select_ok;
use serde_json::{Value, json};
use store::parked::{self, Filter, PutBack};
use testkit::mail::MailServer;
use testkit::process::Process;

use crate::faults::{bare, environment, expire_leases, publish_all, repeat_all};
use crate::fixtures::{MTS, UTILITY, new_id, new_ids, reservation, sale, utility_payment};
use crate::world::{World, with};

/// What the log says of a process that a test has stopped at a point.
const STANDS_STILL: &str = "a test wants this process to stand still";
/// A session that is idle in a transaction is ended by the database after so long; whoever waited for its locks has given up
/// once by then, and tries again.
const WAITS: Duration = Duration::from_secs(15 + 10);

/// Starts a worker that stops itself when it first gets to this point.
async fn asleep_at(world: &World, point: &str, more: &[(&str, &str)], arguments: &[&str]) -> Process {
    let stopping = [more, &[("UNIGATE_TEST_STOP_AT", point)]].concat();
    Process::start(&environment(world, &stopping), arguments)
}

/// Wakes it, and lets it finish what it has in hand.
async fn wakes_and_ends(sleeper: Process) {
    sleeper.signal("CONT").await;
    assert!(sleeper.end().await.success());
}

/// A terminal that says a fact four times and listens until it has an answer. The broker gives messages to the sleeping
/// consumer as well as to the other; those are the terminal's to repeat.
async fn heard(world: &World, key: &str, body: &Value) -> Value {
    let begun = Instant::now();
    let message = Message::new(key, body.to_string());
    let repeats = (0..4).map(|_| Box::pin(world.frontend.tell(&message, WAITS)));
    let (answer, _) = select_ok(repeats).await.expect("an answer in time");
    assert!(begun.elapsed() < WAITS, "it waited for {:?}", begun.elapsed());
    serde_json::from_slice(&answer.body).unwrap()
}

/// How many rows a query finds that nobody has locked.
async fn unlocked(world: &World, query: &str) -> usize {
    world.sql(&format!("{query} FOR UPDATE SKIP LOCKED")).await.len()
}

#[tokio::test]
async fn an_intake_that_stands_still_with_the_ledger_in_its_hands_stops_nobody_for_long() {
    let world = bare().await;
    world.payee(UTILITY).await;
    let first = Process::start_ready(&environment(&world, &[]), &["run", "intake"]).await;
    let wrong = with(utility_payment(&new_id()), "account", json!("12"));
    assert_eq!(world.tell("payment.accepted", &wrong).await["reason"], "invalid_field");
    assert!(first.end().await.success());
    // A batch takes the ledger with its commit, in one flight. A fact that was put back takes it a flight earlier.
    let row = parked::list(world.store(), &Filter::default()).await.unwrap().remove(0);
    let right = with(wrong.clone(), "account", json!("1920679795")).to_string();
    let tx = world.store().begin().await.unwrap();
    parked::put_back(&tx, row.parked_id, "test", PutBack::corrected(right.as_bytes()))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let sleeper = asleep_at(&world, "intake.facts:before_commit_of_parked", &[], &["run", "intake"]).await;
    sleeper.wait_for_log(STANDS_STILL).await;
    assert_eq!(unlocked(&world, "SELECT 1 FROM ledger").await, 0, "it holds the ledger");

    let other = Process::start_ready(&environment(&world, &[]), &["run", "intake"]).await;
    let payment = utility_payment(&new_id());
    let answer = heard(&world, "payment.accepted", &payment).await;
    assert!(answer["number"].is_string(), "{answer}");
    // What the sleeper had in hand is the other's now.
    world.reaches(wrong["payment_id"].as_str().unwrap(), "accepted").await;
    wakes_and_ends(sleeper).await;
    repeat_all(&world, "payment.accepted", &[payment, wrong], &["already_accepted"]).await;
    let stored = "SELECT count(*) || ' ' || count(DISTINCT position) || ' ' || max(position) FROM payment";
    assert_eq!(world.value(stored).await, "2 2 2");
    let found = parked::find(world.store(), row.parked_id).await.unwrap().unwrap();
    assert_eq!(found.state, "resolved");
    assert!(other.end().await.success());
}

#[tokio::test]
async fn a_cards_worker_that_stands_still_in_a_sale_stops_nobody_for_long() {
    let world = bare().await;
    world.product(MTS).await;
    world.cards("mts-100", 1, 2).await;
    let mut events = world.listen("card.sold").await;
    let sleeper = asleep_at(&world, "cards.facts:before_commit", &[], &["run", "cards"]).await;
    sleeper.wait_for_readiness(200).await;
    let id = new_id();
    assert_eq!(
        world.ask("card.reserve", &reservation(&id)).await["outcome"],
        "reserved"
    );
    let paid = sale(&id);
    publish_all(&world, "card.sell", std::slice::from_ref(&paid)).await;
    sleeper.wait_for_log(STANDS_STILL).await;
    assert_eq!(
        unlocked(&world, "SELECT 1 FROM reservation").await,
        0,
        "it holds the reservation"
    );

    let other = Process::start_ready(&environment(&world, &[]), &["run", "cards"]).await;
    let answer = heard(&world, "card.sell", &paid).await;
    assert_eq!(answer["reservation_id"], json!(id), "{answer}");
    wakes_and_ends(sleeper).await;
    repeat_all(&world, "card.sell", &[paid], &["already_sold"]).await;
    let sold = "SELECT count(*) FROM card WHERE state = 'sold'";
    assert_eq!(world.value(sold).await, "1");
    assert_eq!(events.all(&world, "card.sold").await.len(), 1);
    assert!(other.end().await.success());
}

/// Stops a worker of registers or mails at a point, has its lease run out, and lets another do the work; then wakes it.
/// Returns how many mails there are in the end.
async fn register_asleep_at(point: &str) -> usize {
    let world = bare().await;
    let server = MailServer::start("127.0.0.1:0").await.unwrap();
    world
        .payee(&UTILITY.replace("schedule = \"0 0 * * *\"", "every_payments = 3"))
        .await;
    let mut events = world.listen("register.*").await;
    let smtp = format!("smtp://{}?tls=none", server.addr);
    let settings = [
        ("UNIGATE_SMTP_URL", &*smtp),
        ("UNIGATE_MAIL_FROM", "unigate@example.net"),
    ];
    let workers = ["run", "intake", "registers", "mailer"];
    let sleeper = asleep_at(&world, point, &settings, &workers).await;
    let ids = new_ids(3);
    let payments: Vec<Value> = ids.iter().map(|id| utility_payment(id)).collect();
    publish_all(&world, "payment.accepted", &payments).await;
    sleeper.wait_for_log(STANDS_STILL).await;

    let other = Process::start_ready(&environment(&world, &settings), &workers).await;
    expire_leases(&world).await;
    for id in &ids {
        world.reaches(id, "reported").await;
    }
    let before = store::registers::list(world.store(), None).await.unwrap();
    wakes_and_ends(sleeper).await;
    let registers = store::registers::list(world.store(), None).await.unwrap();
    assert_eq!(registers.len(), 1, "frozen once: {registers:?}");
    assert_eq!(
        format!("{registers:?}"),
        format!("{before:?}"),
        "the woken one changed nothing"
    );
    let parts = "SELECT (SELECT count(*) FROM register_part) || ' ' || (SELECT count(*) FROM artifact)
                 || ' ' || (SELECT string_agg(state, ' ') FROM mailing)";
    assert_eq!(world.value(parts).await, "1 1 sent");
    for kind in ["register.built", "register.mailed"] {
        assert_eq!(events.all(&world, kind).await.len(), 1, "{kind}");
    }
    let inbox = server.inbox();
    assert!(inbox.iter().all(|mail| mail.raw == inbox[0].raw), "the identical bytes");
    assert!(other.end().await.success());
    inbox.len()
}

#[tokio::test]
async fn a_builder_that_sleeps_past_its_lease_records_nothing_when_it_wakes() {
    assert_eq!(register_asleep_at("registers:before_record").await, 1);
}

/// What it had decided to send goes out after all: a mail that may have been sent is sent again, and seen to be the same.
#[tokio::test]
async fn a_mailer_that_sleeps_past_its_lease_before_it_sends_does_no_harm_when_it_wakes() {
    assert_eq!(register_asleep_at("mailer:before_call").await, 2);
}

#[tokio::test]
async fn a_mailer_that_sleeps_past_its_lease_after_it_sent_does_no_harm_when_it_wakes() {
    assert_eq!(register_asleep_at("mailer:after_call").await, 2);
}
