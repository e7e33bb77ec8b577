//! Online payees that are away, that are asked first, and payments that are taken back.

use serde_json::{Value, json};
use testkit::payee::{Behaviour, Verb};
use testkit::wait_for;

use crate::cli::done;
use crate::fixtures::{about, new_id, new_ids, online_payment};
use crate::unikassa::{pay, provider};
use crate::world::{PATIENCE, World, refused, with};

fn check() -> Value {
    json!({
        "payment_id": new_id(), "terminal": "T-0001", "payee": "isp", "account": "user-17", "amount": 50000,
        "currency": "RUB", "fields": {"payer": "Иванов"}
    })
}

async fn breaker(world: &World) -> String {
    world.value("SELECT breaker FROM lane WHERE lane_id = 'isp'").await
}

#[tokio::test]
async fn what_was_not_sent_is_sent_when_the_payee_is_there() {
    let (world, payee) = provider("idempotent = false").await;
    payee.down().await;
    let (id, number) = pay(&world).await;
    let row = world.reaches(&id, "waiting").await;
    assert_eq!((row.maybes, row.last_error.is_some()), (0, true), "{row:?}");
    payee.up().unwrap();
    world.reaches(&id, "delivered").await;
    assert_eq!(payee.credits(&number), 1);
}

#[tokio::test]
async fn a_payee_that_is_down_is_spared_and_served_when_it_is_back() {
    let (world, payee) = provider("retry_seconds = [600]").await;
    let mut events = world.listen("payee.*").await;
    payee.down().await;
    let ids = new_ids(8);
    for id in &ids {
        world.tell("payment.accepted", &online_payment(id)).await;
    }
    let down = events.item("payee.down", "payee", "isp").await;
    assert!(down["error"].as_str().is_some_and(|error| !error.is_empty()), "{down}");
    assert_eq!(breaker(&world).await, "open");
    let answer = world.ask("payment.check", &check()).await;
    assert_eq!(answer["outcome"], "unavailable", "{answer}");
    assert!(payee.requests().is_empty());
    // Calls that were under way when the breaker opened come to their end; nothing is claimed after them, no step of any
    // schedule is spent.
    wait_for("open calls to end", PATIENCE, async || {
        let open = world.value("SELECT count(*) FROM attempt WHERE ending = 'open'").await;
        (open == "0").then_some(())
    })
    .await;
    let before = world.value("SELECT sum(attempts) FROM payment").await;
    assert_eq!(
        before,
        world
            .value("SELECT count(*) FROM attempt WHERE ending = 'not_sent'")
            .await
    );

    payee.up().unwrap();
    let up = events.item("payee.up", "payee", "isp").await;
    assert_eq!(up["payee"], "isp");
    for id in &ids {
        world.reaches(id, "delivered").await;
    }
    assert_eq!(breaker(&world).await, "closed");
    assert_eq!(
        payee.requests()[0].verb,
        Some(Verb::Status),
        "it is asked, and never with a payment"
    );
    assert_eq!(world.ask("payment.check", &check()).await["outcome"], "payable");
    assert_eq!(
        (
            events.all(&world, "payee.down").await.len(),
            events.all(&world, "payee.up").await.len()
        ),
        (1, 1)
    );
}

#[tokio::test]
async fn refusals_open_no_breaker() {
    let (world, payee) = provider("").await;
    payee.always(Verb::Pay, Behaviour::Refuse("account_closed".into()));
    for _ in 0..8 {
        let (id, _) = pay(&world).await;
        world.reaches(&id, "refused").await;
    }
    assert_eq!(breaker(&world).await, "closed");
}

#[tokio::test]
async fn the_payee_itself_is_asked_before_the_payer_pays() {
    let (world, payee) = provider("").await;
    let asked = check();
    let answer = world.ask("payment.check", &asked).await;
    assert_eq!(
        (&answer["outcome"], &answer["display"]),
        (&json!("payable"), &json!("a scripted payee")),
        "{answer}"
    );
    let request = &payee.requests_of(Verb::Check)[0];
    let id = asked["payment_id"].as_str().unwrap();
    assert_eq!(request.header("webhook-id"), Some(&*format!("check-{id}")));
    assert_eq!(
        (&request.body["account"], &request.body["amount"]),
        (&json!("user-17"), &json!(50000))
    );
    assert_eq!(
        (&request.body["request"], &request.body["fields"]),
        (&json!("check"), &json!({"payer": "Иванов"}))
    );

    let flat = json!({"name": "flat", "label": "Flat", "pattern": "^[0-9]+$", "required": true});
    let ask = json!({"result": "ask", "display": "Dear Ivan", "amount_due": 125040, "currency": "RUB", "min_amount": 200,
        "max_amount": 99999, "ask": [flat.clone()], "fields": {"debt": "1"}});
    payee.script(Verb::Check, [Behaviour::Answer(ask)]);
    let answer = world.ask("payment.check", &check()).await;
    assert_eq!(
        (&answer["outcome"], &answer["ask"]),
        (&json!("ask"), &json!([flat])),
        "{answer}"
    );
    assert_eq!(
        (&answer["amount_due"], &answer["display"]),
        (&json!(125040), &json!("Dear Ivan"))
    );
    assert_eq!(
        (&answer["min_amount"], &answer["max_amount"]),
        (&json!(200), &json!(99999))
    );
    assert_eq!(answer["fields"], json!({"debt": "1"}));
    for (said, reason) in [
        ("account_not_found", "account_not_found"),
        ("account_inactive", "account_inactive"),
        ("amount_out_of_range", "amount_out_of_range"),
        ("invalid_field", "invalid_field"),
        ("a mood", "refused_by_payee"),
    ] {
        payee.script(Verb::Check, [Behaviour::Refuse(said.into())]);
        refused(&world.ask("payment.check", &check()).await, reason, "");
    }
    for spoilt in [
        Behaviour::status(500),
        Behaviour::status(404),
        Behaviour::NotJson,
        Behaviour::Huge,
        Behaviour::ResetBeforeRead,
    ] {
        payee.script(Verb::Check, [spoilt.clone()]);
        let answer = world.ask("payment.check", &check()).await;
        assert_eq!(answer["outcome"], "unavailable", "{spoilt:?}: {answer}");
        assert!(answer["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
        // A good answer in between keeps the breaker out of this.
        assert_eq!(world.ask("payment.check", &check()).await["outcome"], "payable");
    }
}

#[tokio::test]
async fn a_check_is_judged_by_the_declaration_first() {
    let (world, payee) = provider("").await;
    refused(
        &world.ask("payment.check", &with(check(), "amount", json!(1))).await,
        "amount_out_of_range",
        "amount",
    );
    refused(
        &world
            .ask("payment.check", &with(check(), "payee", json!("nobody")))
            .await,
        "unknown_payee",
        "payee",
    );
    let long = "x".repeat(41);
    refused(
        &world.ask("payment.check", &with(check(), "account", json!(long))).await,
        "invalid_field",
        "account",
    );
    assert!(payee.requests().is_empty());
}

#[tokio::test]
async fn a_question_takes_the_next_slot_before_any_payment() {
    let (world, payee) = provider("concurrency = 1\ntimeout_seconds = 30").await;
    payee.always(Verb::Pay, Behaviour::Hold);
    for id in new_ids(5) {
        world.tell("payment.accepted", &online_payment(&id)).await;
    }
    payee.wait_for_requests(Verb::Pay, 1, PATIENCE).await;
    let asking = tokio::spawn({
        let frontend = world.frontend.clone();
        let question = bus::frontend::Message::new("payment.check", check().to_string());
        async move { crate::world::ask_through(&frontend, &question).await }
    });
    wait_for("the question to wait for a slot", PATIENCE, async || {
        let waits = world
            .value("SELECT question_waits_until > clock_timestamp() FROM lane WHERE lane_id = 'isp'")
            .await;
        (waits == "t").then_some(())
    })
    .await;
    payee.always(Verb::Pay, Behaviour::Accept);
    payee.release();
    assert_eq!(asking.await.unwrap()["outcome"], "payable");
    payee.wait_for_credits(5, PATIENCE).await;
    assert_eq!(
        payee.requests()[1].verb,
        Some(Verb::Check),
        "the second call is the question"
    );
}

#[tokio::test]
async fn what_certainly_has_not_gone_out_is_revoked_at_once() {
    let (world, payee) = provider("retry_seconds = [600]").await;
    let mut events = world.listen("payment.revoked").await;
    payee.down().await;
    let (id, number) = pay(&world).await;
    world.reaches(&id, "waiting").await;
    let revoke = with(about("payment_id", &id), "reason", json!("typed wrong"));
    assert_eq!(world.tell("payment.revoke", &revoke).await["outcome"], "revoked");
    assert_eq!(
        world.tell("payment.revoke", &revoke).await["outcome"],
        "already_revoked"
    );
    events.item("payment.revoked", "payment_id", &id).await;
    payee.up().unwrap();
    let (next, _) = pay(&world).await;
    world.reaches(&next, "delivered").await;
    assert_eq!(
        (payee.credits(&number), world.payment(&id).await.shown_state.as_str()),
        (0, "revoked")
    );
    let delivered = world.tell("payment.revoke", &about("payment_id", &next)).await;
    refused(&delivered, "already_delivered", "payment_id");
}

#[tokio::test]
async fn a_revocation_of_an_open_attempt_waits_for_its_end() {
    let (world, payee) = provider("timeout_seconds = 30").await;
    let mut events = world.listen("payment.*").await;
    payee.script(Verb::Pay, [Behaviour::Hold]);
    let (id, _) = pay(&world).await;
    payee.wait_for_requests(Verb::Pay, 1, PATIENCE).await;
    let revoke = about("payment_id", &id);
    assert_eq!(world.tell("payment.revoke", &revoke).await["outcome"], "revoking");
    assert_eq!(world.tell("payment.revoke", &revoke).await["outcome"], "revoking");
    assert_eq!(world.payment(&id).await.shown_state, "revoking");
    payee.release();
    let told = events.item("payment.revoke_refused", "payment_id", &id).await;
    assert_eq!(told["state"], "delivered", "{told}");
    refused(&world.tell("payment.revoke", &revoke).await, "already_delivered", "");
}

#[tokio::test]
async fn the_payee_takes_back_what_may_have_been_credited() {
    let (world, payee) = provider("offers_cancel = true\nretry_seconds = [600]").await;
    let mut events = world.listen("payment.revoked").await;
    payee.script(Verb::Pay, [Behaviour::status(500).after_credit()]);
    let (id, number) = pay(&world).await;
    world.reaches(&id, "waiting").await;
    let mut revoke = about("payment_id", &id);
    revoke["reason"] = json!("Ошибка кассира");
    assert_eq!(world.tell("payment.revoke", &revoke).await["outcome"], "revoking");
    events.item("payment.revoked", "payment_id", &id).await;
    assert_eq!(world.payment(&id).await.shown_state, "revoked");
    let cancel = &payee.requests_of(Verb::Cancel)[0];
    assert_eq!(cancel.body["reason"], "Ошибка кассира");
    assert_eq!(cancel.number(), Some(number.clone()));
    assert_eq!(cancel.header("webhook-id"), Some(&*format!("cancel-{number}")));
    assert_eq!(payee.requests_of(Verb::Pay).len(), 1);
}

#[tokio::test]
async fn without_a_cancel_the_payee_is_asked_what_became_of_it() {
    let (world, payee) = provider("timeout_seconds = 1\nretry_seconds = [3]").await;
    let mut events = world.listen("payment.*").await;
    payee.script(
        Verb::Pay,
        [Behaviour::status(500).after_credit(), Behaviour::status(500)],
    );
    let ((credited, _), (lost, _)) = (pay(&world).await, pay(&world).await);
    world.reaches(&credited, "waiting").await;
    world.reaches(&lost, "waiting").await;
    for id in [&credited, &lost] {
        assert_eq!(
            world.tell("payment.revoke", &about("payment_id", id)).await["outcome"],
            "revoking"
        );
    }
    events.item("payment.revoke_refused", "payment_id", &credited).await;
    events.item("payment.revoked", "payment_id", &lost).await;
    assert_eq!(payee.requests_of(Verb::Pay).len(), 2);
    assert!(payee.requests_of(Verb::Cancel).is_empty());
}

#[tokio::test]
async fn retries_that_run_out_fail_what_was_never_sent() {
    let (world, payee) = provider("").await;
    let mut events = world.listen("payment.*").await;
    payee.down().await;
    let (id, _) = pay(&world).await;
    world.reaches(&id, "waiting").await;
    world.sql("UPDATE payment SET give_up_at = clock_timestamp()").await;
    world.hurry().await;
    world.reaches(&id, "failed").await;
    let failed = events.item("payment.failed", "payment_id", &id).await;
    assert!(
        failed["error"]
            .as_str()
            .is_some_and(|error| error.contains("retries ran out")),
        "{failed}"
    );
    let revoked = world.tell("payment.revoke", &about("payment_id", &id)).await;
    assert_eq!(revoked["outcome"], "revoked", "certainly not credited: {revoked}");
}

#[tokio::test]
async fn retries_that_run_out_leave_unknown_what_may_have_been_credited() {
    let (world, payee) = provider("").await;
    payee.always(Verb::Pay, Behaviour::status(500));
    let (id, _) = pay(&world).await;
    world.reaches(&id, "waiting").await;
    world.sql("UPDATE payment SET give_up_at = clock_timestamp()").await;
    world.hurry().await;
    let row = world.reaches(&id, "unknown").await;
    assert!(row.maybes >= 1 && row.due_at.is_none(), "{row:?}");
}

#[tokio::test]
async fn a_revocation_has_a_schedule_of_its_own() {
    let (world, payee) = provider("timeout_seconds = 1").await;
    let mut events = world.listen("payment.*").await;
    payee.script(Verb::Pay, [Behaviour::status(500)]);
    payee.always(Verb::Pay, Behaviour::status(500));
    let (id, _) = pay(&world).await;
    world.reaches(&id, "waiting").await;
    world.sql("UPDATE payment SET give_up_at = clock_timestamp()").await;
    world.hurry().await;
    world.reaches(&id, "unknown").await;
    let revoked = world.tell("payment.revoke", &about("payment_id", &id)).await;
    assert_eq!(revoked["outcome"], "revoking");
    // It never came there, which is believed when it has been said twice.
    events.item("payment.revoked", "payment_id", &id).await;
    assert!(payee.requests_of(Verb::Status).len() >= 2);
}

#[tokio::test]
async fn a_revocation_whose_payee_is_gone_is_ended_by_an_operator() {
    let (world, payee) = provider("offers_cancel = true\nretry_seconds = [600]").await;
    payee.always(Verb::Pay, Behaviour::status(500));
    let (taken, kept) = (pay(&world).await.0, pay(&world).await.0);
    for id in [&taken, &kept] {
        world.reaches(id, "waiting").await;
    }
    done(&world, &["deliveries", "pause", "isp", "--reason", "they closed down"]).await;
    let mut events = world.listen("payment.*").await;
    for (id, settled, event) in [
        (&taken, "refused", "payment.revoked"),
        (&kept, "delivered", "payment.revoke_refused"),
    ] {
        let revoked = world.tell("payment.revoke", &about("payment_id", id)).await;
        assert_eq!(revoked["outcome"], "revoking");
        let settle = ["deliveries", "settle", id, "--as", settled, "--reason", "their letter"];
        done(&world, &settle).await;
        events.item(event, "payment_id", id).await;
    }
    assert_eq!(world.payment(&taken).await.shown_state, "revoked");
}
