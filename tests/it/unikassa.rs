//! Online payees: every way a call can end, and what comes of the payment.

use bus::frontend::Message;
use contract::webhook::Secrets;
use futures::future::join_all;
use serde_json::{Value, json};
use store::deliveries;
use testkit::payee::{Behaviour, Payee, Signature, Verb};

use crate::fixtures::{
    LATE, SECRET, about, internet_provider, new_id, new_ids, online_payee, online_payment, timeout_for,
};
use crate::world::{PATIENCE, World, refused, with};
use unigate::workers::Worker;

pub(crate) const ONLINE: [Worker; 2] = [Worker::Intake, Worker::Unikassa];

/// A world with one online payee.
pub(crate) async fn provider(more: &str) -> (World, Payee) {
    let world = World::start(&ONLINE).await;
    let payee = Payee::start_signed(Secrets::parse(SECRET).unwrap()).await.unwrap();
    world.payee(&internet_provider(&payee.url(), more)).await;
    (world, payee)
}

/// Takes a payment; returns its id and number.
pub(crate) async fn pay(world: &World) -> (String, String) {
    let id = new_id();
    let answer = world.tell("payment.accepted", &online_payment(&id)).await;
    assert_eq!(answer["outcome"], "accepted", "{answer}");
    (id, answer["number"].as_str().unwrap().to_owned())
}

async fn calls(world: &World, id: &str) -> Vec<deliveries::AttemptRow> {
    deliveries::attempts(world.store(), domain::PaymentId::parse(id).unwrap())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_payment_reaches_its_payee_signed_and_traced() {
    let (world, payee) = provider("").await;
    let mut events = world.listen("payment.delivered").await;
    let id = new_id();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let payment = with(online_payment(&id), "fields", json!({"payer": "Иванов"}));
    let traced = Message {
        traceparent: Some(trace.into()),
        ..Message::new("payment.accepted", payment.to_string())
    };
    let number = world.publish(&traced).await["number"].as_str().unwrap().to_owned();
    let row = world.reaches(&id, "delivered").await;
    assert_eq!(
        row.provider_reference.as_deref().map(|reference| !reference.is_empty()),
        Some(true)
    );
    assert!(row.flags.is_empty() && row.last_error.is_none(), "{row:?}");

    let requests = payee.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    let request = &requests[0];
    assert_eq!((request.verb, request.signature), (Some(Verb::Pay), Signature::Good));
    assert_eq!(request.header("webhook-id"), Some(&*format!("pay-{number}")));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert!(
        request
            .traceparent()
            .is_some_and(|sent| sent.contains("4bf92f3577b34da6a3ce929d0e0e4736")),
        "{request:?}"
    );
    let mut body = request.body.clone();
    let paid_at: jiff::Timestamp = body["paid_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(paid_at.to_string()[..19], payment["paid_at"].as_str().unwrap()[..19]);
    body["paid_at"] = Value::Null;
    let expected = json!({
        "request": "pay", "number": number, "payment_id": id, "account": "user-17", "amount": 50000, "currency": "RUB",
        "paid_at": null, "fields": {"payer": "Иванов"}
    });
    assert_eq!(body, expected);
    let told = events.item("payment.delivered", "payment_id", &id).await;
    assert_eq!((&told["number"], &told["state"]), (&json!(number), &json!("delivered")));
    let status = world.ask("payment.status", &about("payment_id", &id)).await;
    assert_eq!(
        (&status["state"], &status["attempts"], &status["last_error"]),
        (&json!("delivered"), &json!(1), &Value::Null)
    );
}

#[tokio::test]
async fn a_number_the_payee_knew_at_the_first_attempt_is_looked_at() {
    let (world, payee) = provider("").await;
    payee.script(Verb::Pay, [Behaviour::AlreadyAccepted]);
    let (id, _) = pay(&world).await;
    let row = world.reaches(&id, "delivered").await;
    assert_eq!(row.flags, ["already_on_first_attempt"]);
    let (id, _) = pay(&world).await;
    assert!(world.reaches(&id, "delivered").await.flags.is_empty());
}

#[tokio::test]
async fn what_the_payee_has_not_decided_is_asked_about_and_never_paid_again() {
    let (world, payee) = provider("").await;
    payee.always(Verb::Pay, Behaviour::Pending);
    let ((credited, number), (refused, other)) = (pay(&world).await, pay(&world).await);
    world.reaches(&credited, "waiting").await;
    payee.wait_for_requests(Verb::Status, 2, PATIENCE).await;
    payee.settle(&number);
    payee.refuse(&other, "account_closed");
    world.reaches(&credited, "delivered").await;
    let row = world.reaches(&refused, "refused").await;
    assert!(row.last_error.unwrap().contains("account_closed"));
    assert_eq!(payee.requests_of(Verb::Pay).len(), 2);
    let ids: Vec<_> = payee
        .requests_of(Verb::Status)
        .iter()
        .map(|r| r.header("webhook-id").unwrap().to_owned())
        .collect();
    assert!(ids.contains(&format!("status-{number}")), "{ids:?}");
}

#[tokio::test]
async fn the_payees_no_is_final() {
    let (world, payee) = provider("").await;
    let mut events = world.listen("payment.refused").await;
    payee.script(Verb::Pay, [Behaviour::Refuse("account_not_found".into())]);
    let (id, _) = pay(&world).await;
    world.reaches(&id, "refused").await;
    let told = events.item("payment.refused", "payment_id", &id).await;
    assert!(told["error"].as_str().unwrap().contains("account_not_found"), "{told}");
    let status = world.ask("payment.status", &about("payment_id", &id)).await;
    assert_eq!((&status["state"], &status["attempts"]), (&json!("refused"), &json!(1)));
    assert!(status["last_error"].as_str().unwrap().contains("account_not_found"));
    let (next, _) = pay(&world).await;
    world.reaches(&next, "delivered").await;
    assert_eq!(payee.requests().len(), 2);
}

#[tokio::test]
async fn a_number_known_with_another_content_is_nobodys_guess() {
    let (world, payee) = provider("").await;
    let mut events = world.listen("payment.unknown").await;
    payee.script(Verb::Pay, [Behaviour::Refuse("number_conflict".into())]);
    let (id, _) = pay(&world).await;
    events.item("payment.unknown", "payment_id", &id).await;
    let row = world.payment(&id).await;
    assert_eq!((row.shown_state.as_str(), row.due_at), ("unknown", None));
    assert_eq!(row.flags, ["number_conflict"]);
    let told = "SELECT subject || array_to_string(lines, ' ') FROM notice WHERE kind = 'payment.number_conflict'";
    let alarm = world.value(told).await;
    assert!(alarm.starts_with("isp") && alarm.contains(&id), "{alarm}");
    // Whatever the payee would say or take back under this number is somebody else's.
    let revoked = world.tell("payment.revoke", &about("payment_id", &id)).await;
    refused(&revoked, "not_revocable", "payment_id");
    assert_eq!(payee.requests().len(), 1, "the payee is asked nothing about it");
}

/// What is no answer, each of a payee of its own; the second column says whether it was credited.
fn no_answers() -> Vec<(Behaviour, bool)> {
    let spoilt = [
        Behaviour::status(500),
        Behaviour::status(503),
        Behaviour::Empty,
        Behaviour::NotJson,
        Behaviour::Huge,
        Behaviour::WrongNumber,
        Behaviour::UnknownResult,
        Behaviour::Answer(json!({"number": null, "result": "accepted"})),
    ];
    let mut all: Vec<_> = spoilt.iter().map(|spoilt| (spoilt.clone(), false)).collect();
    all.extend(spoilt.into_iter().map(|spoilt| (spoilt.after_credit(), true)));
    all.extend([
        (Behaviour::Hang, false),
        (Behaviour::HangAfterCredit, true),
        (Behaviour::ResetBeforeRead, false),
        (Behaviour::ResetAfterCredit, true),
        // Answered, but after our timeout.
        (LATE, true),
    ]);
    all
}

/// A payee and a payment for each way not to answer.
async fn meet_no_answers(world: &World, more: &str) -> Vec<(Payee, String, String, Behaviour, bool)> {
    let mut met = Vec::new();
    for (at, (behaviour, credited)) in no_answers().into_iter().enumerate() {
        let payee = Payee::start().await.unwrap();
        payee.script(Verb::Pay, [behaviour.clone()]);
        let more = format!("timeout_seconds = {}\n{more}", timeout_for(&behaviour));
        world
            .payee(&online_payee(&format!("payee-{at}"), &payee.url(), &more))
            .await;
        met.push((payee, new_id(), format!("payee-{at}"), behaviour, credited));
    }
    let payments: Vec<_> = met
        .iter()
        .map(|(_, id, name, ..)| with(online_payment(id), "payee", json!(name)))
        .collect();
    let answers = join_all(payments.iter().map(|payment| world.tell("payment.accepted", payment))).await;
    assert!(
        answers.iter().all(|answer| answer["outcome"] == "accepted"),
        "{answers:?}"
    );
    met
}

#[tokio::test]
async fn what_is_no_answer_is_repeated_to_an_idempotent_payee_and_credited_once() {
    let world = World::start(&ONLINE).await;
    let met = meet_no_answers(&world, "").await;
    for (payee, id, _, behaviour, _) in &met {
        let row = world.reaches(id, "delivered").await;
        assert_eq!((row.maybes, row.attempts), (1, 2), "{behaviour:?}: {row:?}");
        let other = [Behaviour::WrongNumber, Behaviour::WrongNumber.after_credit()].contains(behaviour);
        let flags: &[&str] = if other { &["echoed_number_differs"] } else { &[] };
        assert_eq!(
            row.flags, flags,
            "{behaviour:?}: it may be known from the first attempt"
        );
        let attempts = calls(&world, id).await;
        assert_eq!(
            (&*attempts[0].ending, &*attempts[1].ending),
            ("maybe", "answered"),
            "{behaviour:?}"
        );
        let pays = payee.requests_of(Verb::Pay);
        assert_eq!(pays.len(), 2, "{behaviour:?}");
        assert_eq!(pays[0].header("webhook-id"), pays[1].header("webhook-id"));
        assert_eq!(payee.credits(&row.number.to_string()), 1, "{behaviour:?}");
    }
}

#[tokio::test]
async fn what_is_no_answer_is_never_repeated_to_a_payee_that_is_not_idempotent() {
    let world = World::start(&ONLINE).await;
    let mut events = world.listen("payment.unknown").await;
    let met = meet_no_answers(&world, "idempotent = false").await;
    events.items("payment.unknown", met.len()).await;
    for (payee, id, _, behaviour, credited) in &met {
        let row = world.reaches(id, if *credited { "delivered" } else { "failed" }).await;
        assert_eq!(payee.requests_of(Verb::Pay).len(), 1, "{behaviour:?}");
        assert_eq!(
            payee.credits(&row.number.to_string()),
            u32::from(*credited),
            "{behaviour:?}"
        );
        if !credited {
            let asked = payee.requests_of(Verb::Status);
            let paid = payee.requests_of(Verb::Pay)[0].at;
            let twice = 2.0 * f64::from(timeout_for(behaviour));
            let after: Vec<f64> = asked
                .iter()
                .map(|ask| ask.at.duration_since(paid).as_secs_f64())
                .collect();
            assert!(
                after.iter().filter(|after| **after >= twice).count() >= 2,
                "{behaviour:?}: not known, twice, twice the timeout after the attempt: {after:?}"
            );
        }
    }
}

#[tokio::test]
async fn who_can_neither_repeat_nor_say_leaves_it_unknown() {
    let (world, payee) = provider("idempotent = false\noffers_status = false").await;
    payee.script(Verb::Pay, [Behaviour::status(500).after_credit()]);
    let (id, _) = pay(&world).await;
    let row = world.reaches(&id, "unknown").await;
    assert_eq!((row.due_at, payee.requests().len()), (None, 1));
    let (next, _) = pay(&world).await;
    world.reaches(&next, "delivered").await;
    assert_eq!(payee.requests().len(), 2);
}

#[tokio::test]
async fn what_was_not_taken_up_is_repeated_to_anybody() {
    let (world, payee) = provider("idempotent = false").await;
    for code in [408, 425, 429] {
        payee.script(Verb::Pay, [Behaviour::status(code)]);
        let (id, number) = pay(&world).await;
        let row = world.reaches(&id, "delivered").await;
        assert_eq!((row.attempts, payee.credits(&number)), (2, 1), "{code}");
    }
    assert!(payee.requests_of(Verb::Status).is_empty());
}

#[tokio::test]
async fn what_is_about_the_request_is_shown_and_repeated() {
    let (world, payee) = provider("idempotent = false").await;
    for code in [201, 302, 400, 401, 404] {
        let away = ("location".to_owned(), format!("{}/elsewhere", payee.url()));
        payee.script(
            Verb::Pay,
            [Behaviour::Status {
                code,
                headers: vec![away],
            }],
        );
        let (id, number) = pay(&world).await;
        let waiting = world.reaches(&id, "waiting").await;
        let error = waiting.last_error.unwrap();
        assert!(error.contains(&code.to_string()), "{error}");
        world.hurry().await;
        world.reaches(&id, "delivered").await;
        assert_eq!(payee.credits(&number), 1);
    }
    assert!(
        payee.requests().iter().all(|request| request.verb == Some(Verb::Pay)),
        "redirects are not followed"
    );
}

#[tokio::test]
async fn the_payee_may_ask_for_more_time() {
    let (world, payee) = provider("").await;
    payee.script(Verb::Pay, [Behaviour::busy(4)]);
    let (id, _) = pay(&world).await;
    world.reaches(&id, "delivered").await;
    let pays = payee.requests_of(Verb::Pay);
    let waited = pays[1].at.duration_since(pays[0].at).as_secs_f64();
    assert!(waited >= 3.9, "asked for 4 s, got {waited}");
}

#[tokio::test]
async fn the_hard_limit_holds_across_processes() {
    hold_to(2, 12).await;
}

/// Two processes deliver so many payments to a payee with so many slots, each of them once and never more at a time.
pub(crate) async fn hold_to(slots: usize, count: usize) {
    let (world, payee) = provider(&format!("concurrency = {slots}\ntimeout_seconds = 30")).await;
    let second = world.another(&ONLINE, |_| {}).await;
    payee.always(Verb::Pay, Behaviour::Hold);
    let payments: Vec<_> = new_ids(count).iter().map(|id| online_payment(id)).collect();
    join_all(payments.iter().map(|payment| world.tell("payment.accepted", payment))).await;
    testkit::wait_for("all to be credited", PATIENCE, async || {
        payee.release();
        let delivered = world
            .value("SELECT count(*) FROM payment WHERE state = 'delivered'")
            .await;
        (delivered == count.to_string()).then_some(())
    })
    .await;
    assert_eq!(payee.most_at_once(), slots);
    assert!(payee.ledger().values().all(|entry| entry.credits == 1));
    assert_eq!(payee.requests().len(), count);
    crate::world::end(&second).await;
}

#[tokio::test]
async fn a_slow_payee_delays_nobody_else() {
    let (world, slow) = provider("timeout_seconds = 30").await;
    let quick = Payee::start().await.unwrap();
    world.payee(&online_payee("quick", &quick.url(), "")).await;
    slow.always(Verb::Pay, Behaviour::Hold);
    let payments: Vec<_> = new_ids(10).iter().map(|id| online_payment(id)).collect();
    join_all(payments.iter().map(|payment| world.tell("payment.accepted", payment))).await;
    slow.wait_for_requests(Verb::Pay, 4, PATIENCE).await;
    let ids = new_ids(20);
    let payments: Vec<_> = ids
        .iter()
        .map(|id| with(online_payment(id), "payee", json!("quick")))
        .collect();
    join_all(payments.iter().map(|payment| world.tell("payment.accepted", payment))).await;
    for id in &ids {
        world.reaches(id, "delivered").await;
    }
    assert_eq!(slow.requests().len(), 4, "its own slots are still taken");
    slow.always(Verb::Pay, Behaviour::Accept);
    slow.release();
    slow.wait_for_credits(10, PATIENCE).await;
}

#[tokio::test]
async fn a_suspended_payees_payments_wait() {
    let (world, payee) = provider("").await;
    let declared = internet_provider(&payee.url(), "");
    world
        .payee(&declared.replace("gateway =", "suspended = true\ngateway ="))
        .await;
    let (id, _) = pay(&world).await;
    let status = world.ask("payment.status", &about("payment_id", &id)).await;
    assert_eq!(status["state"], "stopped", "{status}");
    let check = json!({"payment_id": new_id(), "terminal": "T-0001", "payee": "isp", "account": "user-17"});
    assert_eq!(world.ask("payment.check", &check).await["reason"], "payee_suspended");
    let other = Payee::start().await.unwrap();
    world.payee(&online_payee("other", &other.url(), "")).await;
    let paid = new_id();
    world
        .tell(
            "payment.accepted",
            &with(online_payment(&paid), "payee", json!("other")),
        )
        .await;
    world.reaches(&paid, "delivered").await;
    assert!(payee.requests().is_empty());
    world.payee(&declared).await;
    world.reaches(&id, "delivered").await;
}
