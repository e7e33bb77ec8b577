//! Couriers killed, put to sleep, cut off and ended in mid-call; and two whole installations of which one is killed.

use std::time::Duration;

use futures::future::join_all;
use serde_json::Value;
use store::deliveries;
use testkit::mail::MailServer;
use testkit::payee::{Behaviour, Payee, Verb};
use testkit::process::Process;
use testkit::wait_for;

use crate::faults::{bare, credited_once, dying_at, environment, expire_leases, publish_all, repeat_all};
use crate::fixtures::{
    MTS, UTILITY, internet_provider, new_id, new_ids, online_payment, reservation, sale, utility_payment,
};
use crate::late_answer::LateAnswer;
use crate::world::{PATIENCE, World};

/// Kills a courier in mid-call and says what the payee saw in the end: how many pays, and how many credits.
async fn courier_killed_at(point: &str, profile: &str, end: &str) -> (usize, u32) {
    let world = bare().await;
    let payee = Payee::start().await.unwrap();
    world
        .payee(&internet_provider(
            &payee.url(),
            &format!("timeout_seconds = 5\n{profile}"),
        ))
        .await;
    let intake = Process::start_ready(&environment(&world, &[]), &["run", "intake"]).await;
    let id = new_id();
    let answer = world.tell("payment.accepted", &online_payment(&id)).await;
    let mut doomed = Process::start(&dying_at(&world, &format!("unikassa:{point}")), &["run", "unikassa"]);
    doomed.dies().await;
    let healthy = Process::start_ready(&environment(&world, &[]), &["run", "unikassa"]).await;
    assert_eq!(
        world.payment(&id).await.shown_state,
        "delivering",
        "nobody knows before the lease is over"
    );
    expire_leases(&world).await;
    let row = world.reaches(&id, end).await;
    let attempts = deliveries::attempts(world.store(), row.payment_id).await.unwrap();
    assert_eq!(attempts[0].ending, "maybe", "{attempts:?}");
    assert!(healthy.end().await.success() && intake.end().await.success());
    (
        payee.requests_of(Verb::Pay).len(),
        payee.credits(answer["number"].as_str().unwrap()),
    )
}

#[tokio::test]
async fn a_courier_killed_before_its_call_delivers_once() {
    assert_eq!(courier_killed_at("before_call", "", "delivered").await, (1, 1));
}

#[tokio::test]
async fn a_courier_killed_after_its_call_delivers_once() {
    assert_eq!(courier_killed_at("after_call", "", "delivered").await, (2, 1));
}

#[tokio::test]
async fn a_courier_killed_before_its_call_to_a_payee_that_is_not_idempotent() {
    assert_eq!(
        courier_killed_at("before_call", "idempotent = false", "failed").await,
        (0, 0)
    );
}

#[tokio::test]
async fn a_courier_killed_after_its_call_to_a_payee_that_is_not_idempotent() {
    assert_eq!(
        courier_killed_at("after_call", "idempotent = false", "delivered").await,
        (1, 1)
    );
}

#[tokio::test]
async fn a_courier_that_sleeps_past_its_lease_does_no_harm_when_it_wakes() {
    let world = bare().await;
    let payee = Payee::start().await.unwrap();
    world
        .payee(&internet_provider(
            &payee.url(),
            "timeout_seconds = 5\nidempotent = false",
        ))
        .await;
    payee.script(Verb::Pay, [Behaviour::Hold]);
    let sleeper = Process::start_ready(&environment(&world, &[]), &["run", "unikassa"]).await;
    // Intake comes later than the sleeper, so that nobody else can have claimed the payment.
    let intake = Process::start_ready(&environment(&world, &[]), &["run", "intake"]).await;
    let id = new_id();
    let number = world.tell("payment.accepted", &online_payment(&id)).await["number"]
        .as_str()
        .unwrap()
        .to_owned();
    payee.wait_for_requests(Verb::Pay, 1, PATIENCE).await;
    sleeper.signal("STOP").await;
    let attempt = "SELECT ending FROM attempt ORDER BY ordinal LIMIT 1";
    let asleep_in_mid_call = world.value(attempt).await == "open";
    payee.release();
    let other = Process::start_ready(&environment(&world, &[]), &["run", "unikassa"]).await;
    // The real lease: the call's timeout and fifteen seconds.
    world.reaches(&id, "delivered").await;
    assert!(asleep_in_mid_call, "stopped too late to say anything");
    assert_eq!(world.value(attempt).await, "maybe");
    sleeper.signal("CONT").await;
    assert!(sleeper.end().await.success());
    assert_eq!(world.payment(&id).await.shown_state, "delivered");
    assert_eq!((payee.requests_of(Verb::Pay).len(), payee.credits(&number)), (1, 1));
    assert!(other.end().await.success() && intake.end().await.success());
}

#[tokio::test]
async fn a_late_answer_turns_unknown_into_delivered() {
    let world = bare().await;
    let payee = Payee::start().await.unwrap();
    payee.script(Verb::Pay, [Behaviour::Hold]);
    let answer = LateAnswer::in_hand(&world, &payee, "idempotent = false\noffers_status = false").await;
    world.reaches(&answer.id, "unknown").await;
    answer.comes();
    world.reaches(&answer.id, "delivered").await;
    assert_eq!(world.value("SELECT late::text FROM attempt").await, "true");
    assert_eq!(payee.requests().len(), 1);
    answer.end().await;
}

#[tokio::test]
async fn what_an_earlier_call_has_credited_is_delivered_while_the_next_call_is_open() {
    let world = bare().await;
    let payee = Payee::start().await.unwrap();
    payee.script(Verb::Pay, [Behaviour::Hold, Behaviour::Hang]);
    let answer = LateAnswer::in_hand(&world, &payee, "").await;
    payee.wait_for_requests(Verb::Pay, 2, PATIENCE).await;
    answer.comes();
    world.reaches(&answer.id, "delivered").await;
    let calls = "SELECT string_agg(ending, ' ' ORDER BY ordinal) FROM attempt";
    assert_eq!(world.value(calls).await, "answered open");
    // Nothing will be heard of the second call.
    answer.other.signal("KILL").await;
    expire_leases(&world).await;
    wait_for("the second call to be closed", PATIENCE, async || {
        (world.value(calls).await == "answered maybe").then_some(())
    })
    .await;
    let row = world.payment(&answer.id).await;
    assert_eq!((row.shown_state.as_str(), row.due_at), ("delivered", None), "{row:?}");
    assert!(row.flags.is_empty(), "{row:?}");
    assert_eq!(payee.requests().len(), 2);
}

#[tokio::test]
async fn sigterm_with_work_in_hand_ends_with_everything_recorded() {
    let world = bare().await;
    let payee = Payee::start().await.unwrap();
    world
        .payee(&internet_provider(&payee.url(), "timeout_seconds = 20"))
        .await;
    payee.script(Verb::Pay, [Behaviour::Hold]);
    let process = Process::start_ready(&environment(&world, &[]), &["run"]).await;
    let id = new_id();
    world.tell("payment.accepted", &online_payment(&id)).await;
    payee.wait_for_requests(Verb::Pay, 1, PATIENCE).await;
    let mut ids = new_ids(200);
    let more: Vec<Value> = ids.iter().map(|id| online_payment(id)).collect();
    publish_all(&world, "payment.accepted", &more).await;
    process.signal("TERM").await;
    process.wait_for_log("finishing what is in hand").await;
    payee.release();
    assert!(process.end().await.success());
    assert_eq!(
        world.payment(&id).await.shown_state,
        "delivered",
        "the call in hand was finished"
    );
    assert_eq!(
        world.value("SELECT count(*) FROM attempt WHERE ending = 'open'").await,
        "0"
    );
    let healthy = Process::start_ready(&environment(&world, &[]), &["run"]).await;
    ids.push(id);
    for id in &ids {
        world.reaches(id, "delivered").await;
    }
    credited_once(&payee, &ids);
    assert!(healthy.end().await.success());
}

#[tokio::test]
async fn two_whole_installations_and_one_of_them_killed_in_the_middle() {
    let world = bare().await;
    let payee = Payee::start().await.unwrap();
    let server = MailServer::start("127.0.0.1:0").await.unwrap();
    world
        .payee(&internet_provider(&payee.url(), "timeout_seconds = 1"))
        .await;
    world
        .payee(&UTILITY.replace("schedule = \"0 0 * * *\"", "every_payments = 10"))
        .await;
    world.product(MTS).await;
    world.cards("mts-100", 1, 40).await;
    let smtp = format!("smtp://{}?tls=none", server.addr);
    let settings = environment(&world, &[("UNIGATE_SMTP_URL", &smtp)]);
    let (doomed, healthy) = tokio::join!(
        Process::start_ready(&settings, &["run"]),
        Process::start_ready(&settings, &["run"])
    );
    let (online, listed, reserved) = (new_ids(60), new_ids(60), new_ids(40));
    let payments: Vec<Value> = online
        .iter()
        .map(|id| online_payment(id))
        .chain(listed.iter().map(|id| utility_payment(id)))
        .collect();
    let reservations: Vec<Value> = reserved.iter().map(|id| reservation(id)).collect();
    let held = join_all(
        reservations
            .iter()
            .map(|reservation| world.ask("card.reserve", reservation)),
    )
    .await;
    assert!(held.iter().all(|answer| answer["outcome"] == "reserved"), "{held:?}");
    publish_all(&world, "payment.accepted", &payments).await;
    payee.wait_for_requests(Verb::Pay, 1, PATIENCE).await;
    let sales: Vec<Value> = reserved.iter().map(|id| sale(id)).collect();
    publish_all(&world, "card.sell", &sales).await;
    doomed.signal("KILL").await;

    repeat_all(&world, "payment.accepted", &payments, &["accepted", "already_accepted"]).await;
    repeat_all(&world, "card.sell", &sales, &["sold", "already_sold"]).await;
    wait_for("the killed one's work to be done", PATIENCE, async || {
        expire_leases_of_the_dead(&world).await;
        let left = "SELECT count(*) FROM payment_view WHERE shown_state NOT IN ('delivered', 'reported')";
        (world.value(left).await == "0").then_some(())
    })
    .await;
    credited_once(&payee, &online);
    assert_eq!(
        world.value("SELECT count(*) FROM card WHERE state = 'sold'").await,
        "40"
    );
    let registers = store::registers::list(world.store(), None).await.unwrap();
    assert_eq!(registers.iter().map(|register| register.summary.count).sum::<i64>(), 60);
    assert!(healthy.end().await.success());
}

/// Leases of calls that have lasted longer than any call may are over; those of the living are left alone.
async fn expire_leases_of_the_dead(world: &World) {
    let old = Duration::from_secs(3).as_secs();
    world
        .sql(&format!(
            "UPDATE attempt SET lease_until = clock_timestamp()
                 WHERE ending = 'open' AND started_at < clock_timestamp() - interval '{old} seconds';
             UPDATE lane_slot SET lease_until = clock_timestamp() WHERE token IN
                 (SELECT attempt_id FROM attempt WHERE lease_until <= clock_timestamp());
             UPDATE register SET lease_until = clock_timestamp(), due_at = clock_timestamp()
                 WHERE lease_until < clock_timestamp() + interval '57 seconds';
             UPDATE mailing SET lease_until = clock_timestamp() WHERE state = 'sending'
                 AND lease_until < clock_timestamp() + interval '110 seconds'"
        ))
        .await;
}
