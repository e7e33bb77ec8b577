//! Payments at the door, message by message.

use std::time::{Duration, Instant};

use bus::frontend::Message;
use futures::future::join_all;
use serde_json::json;
use store::parked::{self, Filter, PutBack};
use testkit::wait_for;
use unigate::workers::Worker;

use crate::fixtures::{UTILITY, new_id, new_ids, utility_payment};
use crate::world::{PATIENCE, World, end, refused, with};

/// How long a good payment may take on a machine that does many things at once; alone, milliseconds.
const PROMPTLY: Duration = Duration::from_secs(10);

async fn utility() -> World {
    let world = World::start(&[Worker::Intake]).await;
    world.payee(UTILITY).await;
    world
}

#[tokio::test]
async fn a_payment_is_accepted_once_under_one_number() {
    let world = utility().await;
    let payment = utility_payment(&new_id());
    let first = world.tell("payment.accepted", &payment).await;
    assert_eq!(first["outcome"], "accepted", "{first}");
    let number = first["number"].as_str().unwrap();
    assert!(
        number.len() <= 20 && number.bytes().all(|byte| byte.is_ascii_digit()),
        "{number}"
    );

    let again = world.tell("payment.accepted", &payment).await;
    assert_eq!(
        (&again["outcome"], &again["number"]),
        (&json!("already_accepted"), &first["number"])
    );
    let later = world
        .tell(
            "payment.accepted",
            &with(payment.clone(), "paid_at", json!("2026-01-01T00:00:00Z")),
        )
        .await;
    assert_eq!(
        later["outcome"], "already_accepted",
        "when it was paid is not its content: {later}"
    );
    let other = world
        .tell("payment.accepted", &with(payment.clone(), "amount", json!(15001)))
        .await;
    assert_eq!(
        (&other["outcome"], &other["reason"]),
        (&json!("refused"), &json!("payment_id_reused"))
    );

    let status = world
        .ask(
            "payment.status",
            &json!({"payment_id": payment["payment_id"], "terminal": "T-0001"}),
        )
        .await;
    assert_eq!(
        (&status["outcome"], &status["state"]),
        (&json!("ok"), &json!("accepted")),
        "{status}"
    );
    assert_eq!(status["number"], first["number"]);
    let nosy = world
        .ask(
            "payment.status",
            &json!({"payment_id": payment["payment_id"], "terminal": "T-0002"}),
        )
        .await;
    assert_eq!(nosy["reason"], "not_your_terminal");
}

#[tokio::test]
async fn duplicates_inside_one_batch_get_an_answer_each() {
    let world = utility().await;
    let payment = utility_payment(&new_id());
    let message = Message::new("payment.accepted", payment.to_string());
    let answers = futures::future::join_all((0..50).map(|_| world.publish(&message))).await;
    let accepted = answers.iter().filter(|answer| answer["outcome"] == "accepted").count();
    assert_eq!(accepted, 1);
    assert!(answers.iter().all(|answer| answer["number"] == answers[0]["number"]));
}

#[tokio::test]
async fn what_the_payee_does_not_take_is_parked_once_and_can_be_put_back() {
    let world = utility().await;
    let payment = with(utility_payment(&new_id()), "account", json!("12"));
    for _ in 0..3 {
        let refused = world.tell("payment.accepted", &payment).await;
        assert_eq!(
            (&refused["outcome"], &refused["reason"]),
            (&json!("refused"), &json!("invalid_field"))
        );
        assert!(refused["detail"].as_str().unwrap().contains("account"), "{refused}");
    }
    let rows = parked::list(&world.context.store, &Filter::default()).await.unwrap();
    assert_eq!(rows.len(), 1, "once per key, id and content");
    assert_eq!(rows[0].body, payment.to_string().into_bytes());

    let corrected = with(payment.clone(), "account", json!("1920679795")).to_string();
    let tx = world.context.store.begin().await.unwrap();
    parked::put_back(&tx, rows[0].parked_id, "test", PutBack::corrected(corrected.as_bytes()))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    wait_for("the corrected payment to be handled", PATIENCE, async || {
        let row = parked::find(&world.context.store, rows[0].parked_id)
            .await
            .unwrap()
            .unwrap();
        (row.state == "resolved").then_some(())
    })
    .await;
    let again = world.tell("payment.accepted", &payment).await;
    assert_eq!(
        again["outcome"], "already_accepted",
        "the original arriving again: {again}"
    );
}

#[tokio::test]
async fn a_discarded_payment_leaves_its_id_refused() {
    let world = utility().await;
    let payment = with(utility_payment(&new_id()), "payee", json!("nobody"));
    assert_eq!(
        world.tell("payment.accepted", &payment).await["reason"],
        "unknown_payee"
    );
    let rows = parked::list(&world.context.store, &Filter::default()).await.unwrap();
    let tx = world.context.store.begin().await.unwrap();
    parked::discard(&tx, rows[0].parked_id, "test", "paid back in cash")
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(
        world.tell("payment.accepted", &payment).await["reason"],
        "settled_by_operator"
    );
    let right = with(payment, "payee", json!("gorvodokanal"));
    assert_eq!(
        world.tell("payment.accepted", &right).await["reason"],
        "settled_by_operator"
    );
    let rows = parked::list(&world.context.store, &Filter::default()).await.unwrap();
    assert!(rows.is_empty(), "there is no money in it any more: {rows:?}");
}

#[tokio::test]
async fn every_rule_of_the_payee_names_the_member_at_fault() {
    let world = utility().await;
    let payment = || utility_payment(&new_id());
    for (body, reason, place) in [
        (with(payment(), "payee", json!("nobody")), "unknown_payee", "payee"),
        (with(payment(), "amount", json!(99)), "amount_out_of_range", "amount"),
        (
            with(payment(), "amount", json!(1_500_001)),
            "amount_out_of_range",
            "amount",
        ),
        (
            with(payment(), "currency", json!("USD")),
            "currency_differs",
            "currency",
        ),
        (with(payment(), "account", json!("abc")), "invalid_field", "account"),
        (
            with(payment(), "fields", json!({"payer": "И", "meter_cold": "x"})),
            "invalid_field",
            "fields.meter_cold",
        ),
        (
            with(payment(), "fields", json!({"meter_cold": "1"})),
            "invalid_field",
            "fields.payer",
        ),
        (
            with(payment(), "paid_at", json!("2020-01-01T00:00:00Z")),
            "too_old",
            "paid_at",
        ),
        (with(payment(), "amount", json!("15000")), "invalid_request", "amount"),
        (
            with(payment(), "account", json!("1\u{0}2")),
            "invalid_request",
            "account",
        ),
        (
            with(payment(), "payment_id", json!("17")),
            "invalid_request",
            "payment_id",
        ),
    ] {
        let answer = world.tell("payment.accepted", &body).await;
        assert_eq!(
            (&answer["outcome"], &answer["reason"]),
            (&json!("refused"), &json!(reason)),
            "{body}"
        );
        assert!(
            answer["detail"].as_str().unwrap().contains(place),
            "{answer} should name {place}"
        );
    }
}

#[tokio::test]
async fn a_revocation_may_come_before_its_payment() {
    let world = utility().await;
    let id = new_id();
    let revocation = json!({"payment_id": id, "terminal": "T-0001", "reason": "typed wrong"});
    assert_eq!(world.tell("payment.revoke", &revocation).await["outcome"], "revoked");
    assert_eq!(
        world.tell("payment.revoke", &revocation).await["outcome"],
        "already_revoked"
    );
    let late = world.tell("payment.accepted", &utility_payment(&id)).await;
    assert_eq!(
        (&late["outcome"], &late["reason"]),
        (&json!("refused"), &json!("revoked"))
    );

    let other = new_id();
    assert_eq!(
        world.tell("payment.accepted", &utility_payment(&other)).await["outcome"],
        "accepted"
    );
    let not_yours = json!({"payment_id": other, "terminal": "T-0002"});
    assert_eq!(
        world.tell("payment.revoke", &not_yours).await["reason"],
        "not_your_terminal"
    );
    let revocation = json!({"payment_id": other, "terminal": "T-0001"});
    assert_eq!(world.tell("payment.revoke", &revocation).await["outcome"], "revoked");
    let status = world.ask("payment.status", &revocation).await;
    assert_eq!(status["state"], "revoked");
}

#[tokio::test]
async fn a_check_of_a_register_payee_answers_from_its_declaration() {
    let world = utility().await;
    let check = json!({"payment_id": new_id(), "terminal": "T-0001", "payee": "gorvodokanal", "account": "1920679795"});
    let answer = world.ask("payment.check", &check).await;
    assert_eq!(answer["outcome"], "ask", "the name is required: {answer}");
    assert_eq!(answer["ask"][0]["name"], "payer");
    assert_eq!(
        (&answer["min_amount"], &answer["max_amount"]),
        (&json!(100), &json!(1_500_000))
    );
    let answer = world
        .ask(
            "payment.check",
            &with(check.clone(), "fields", json!({"payer": "Иванов"})),
        )
        .await;
    assert_eq!(answer["outcome"], "payable", "{answer}");
    let answer = world.ask("payment.check", &with(check, "account", json!("1"))).await;
    assert_eq!(
        (&answer["outcome"], &answer["reason"]),
        (&json!("refused"), &json!("invalid_field"))
    );
}

#[tokio::test]
async fn rubbish_is_refused_and_parked_and_delays_nobody() {
    let world = utility().await;
    let rubbish: [&[u8]; 6] = [
        b"",
        b"not json",
        b"\xff\xfe",
        b"[]",
        b"{\"payment_id\":\"x\",\"payment_id\":\"y\"}",
        b"\0",
    ];
    // Of each many at once, and good ones among them.
    let bad = async {
        let messages: Vec<_> = rubbish
            .iter()
            .map(|body| Message::new("payment.accepted", *body))
            .collect();
        let asked = messages.iter().map(|message| world.publish_often(message, 30));
        for answer in join_all(asked).await.iter().flatten() {
            refused(answer, "invalid_request", "");
        }
    };
    let good = async || {
        let mut longest = Duration::ZERO;
        for id in new_ids(10) {
            let begun = Instant::now();
            let answer = world.tell("payment.accepted", &utility_payment(&id)).await;
            assert_eq!(answer["outcome"], "accepted");
            longest = longest.max(begun.elapsed());
        }
        longest
    };
    let alone = good().await;
    let ((), longest) = tokio::join!(bad, good());
    let promptly = PROMPTLY.max(10 * alone);
    assert!(
        longest < promptly,
        "a payment took {longest:?}, and {alone:?} at most without rubbish"
    );
    let huge = format!("{{\"payment_id\":\"{}\"}}", "x".repeat(70_000));
    assert_eq!(
        world.publish(&Message::new("payment.accepted", huge)).await["reason"],
        "invalid_request"
    );
    let unknown = world.publish(&Message::new("payment.acepted", "{}")).await;
    assert_eq!(unknown["reason"], "invalid_request", "an unknown routing key");
    let rows = parked::list(&world.context.store, &Filter::default()).await.unwrap();
    assert_eq!(rows.len(), rubbish.len() + 2, "all of it may have carried money");
}

#[tokio::test]
async fn a_fact_with_an_expiration_is_not_lost() {
    let world = utility().await;
    world.stop().await;
    let payment = utility_payment(&new_id());
    let sent_at = u64::try_from(domain::clock::now().as_second()).unwrap();
    let hasty = Message::new("payment.accepted", payment.to_string()).expiring(sent_at, Duration::from_millis(1));
    world.frontend.send(&hasty).await.unwrap();

    let again = world.another(&[Worker::Intake], |_| {}).await;
    world.reaches(payment["payment_id"].as_str().unwrap(), "accepted").await;
    assert_eq!(
        world.tell("payment.accepted", &payment).await["outcome"],
        "already_accepted"
    );
    end(&again).await;
}

#[tokio::test]
async fn a_question_nobody_waits_for_any_more_is_dropped() {
    let world = utility().await;
    let long_ago = u64::try_from(domain::clock::now().as_second()).unwrap() - 60;
    let check = json!({"payment_id": new_id(), "terminal": "T-0001", "payee": "gorvodokanal", "account": "1920679795"});
    let stale = Message::new("payment.check", check.to_string()).expiring(long_ago, Duration::from_secs(30));
    let fresh = Message::new("payment.check", check.to_string()).expiring(long_ago, Duration::from_secs(600));
    let stale = tokio::spawn({
        let frontend = world.frontend.clone();
        async move { frontend.ask(&stale, PATIENCE).await }
    });
    // The later question's answer shows that the earlier one's time has come.
    assert_eq!(world.publish(&fresh).await["outcome"], "ask");
    assert_eq!(world.publish(&fresh).await["outcome"], "ask");
    assert!(!stale.is_finished(), "it was answered");
    stale.abort();
}

#[tokio::test]
async fn terminals_that_are_declared_are_spoken_for_by_their_users_only() {
    let world = World::start_with(&[Worker::Intake], |settings| settings.terminals_open = false).await;
    world.payee(UTILITY).await;
    world.terminal("id = \"T-0001\"\nusers = [\"guest\"]").await;
    let payment = utility_payment(&new_id());
    let message = Message::new("payment.accepted", payment.to_string());
    assert_eq!(
        world.publish(&message).await["reason"],
        "not_your_terminal",
        "user_id is required"
    );
    let spoken = Message {
        user_id: Some("guest".into()),
        ..message.clone()
    };
    // The refused one is parked; the same content said by the right user is no longer waited for by anybody else.
    assert_eq!(world.publish(&spoken).await["outcome"], "accepted");
    let unknown = with(payment, "terminal", json!("T-9999")).to_string();
    let unknown = Message {
        user_id: Some("guest".into()),
        ..Message::new("payment.accepted", unknown)
    };
    assert_eq!(world.publish(&unknown).await["reason"], "unknown_terminal");
    let version = Message {
        version: Some(2),
        ..spoken
    };
    assert_eq!(world.publish(&version).await["reason"], "unsupported_version");
}
