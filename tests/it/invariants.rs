//! The checks of the invariants can fail, and raise no false alarm for what an operator did.

use age::x25519::Identity;
use serde_json::json;
use store::invariants::{self, Finding};
use unigate::workers::Worker;

use crate::cli::{Files, done};
use crate::faults::bare;
use crate::fixtures::{MTS, SECRET, UTILITY, internet_provider, new_id, online_payment, utility_payment};
use crate::world::{World, end, with};

/// Nobody is there.
const NOWHERE: &str = "http://127.0.0.1:1/unikassa";

async fn findings_of(world: &World, invariant: u8) -> Vec<Finding> {
    let all = invariants::check_all(world.store()).await.unwrap();
    all.into_iter()
        .filter(|finding| finding.invariant == invariant)
        .collect()
}

/// Payments that no courier has come to, stopped by an operator.
async fn stopped(world: &World, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let id = new_id();
        world.tell("payment.accepted", &online_payment(&id)).await;
        done(world, &["deliveries", "stop", &id, "--reason", "wrong tariff"]).await;
        ids.push(id);
    }
    ids
}

#[tokio::test]
async fn a_payment_that_an_operator_settled_as_delivered_breaks_no_promise() {
    let world = World::start(&[Worker::Intake]).await;
    world.payee(&internet_provider(NOWHERE, "")).await;
    let ids = stopped(&world, 2).await;
    let settle = [
        "deliveries",
        "settle",
        &ids[0],
        "--as",
        "delivered",
        "--reason",
        "their letter",
    ];
    done(&world, &settle).await;
    let shown = async || {
        let found = findings_of(&world, 3).await;
        let about = |finding: &Finding| finding.what.starts_with("a delivered payment has an answer");
        found.into_iter().find(about).unwrap()
    };
    assert_eq!((shown().await.looked_at, shown().await.broken), (1, 0));
    // One that nobody has said anything about is found.
    let silently = format!(
        "UPDATE payment SET state = 'delivered', next_act = NULL, due_at = NULL WHERE payment_id = '{}'",
        ids[1]
    );
    world.sql(&silently).await;
    let found = shown().await;
    assert_eq!(
        (found.looked_at, found.broken, found.example),
        (2, 1, Some(ids[1].clone()))
    );
    world.stop().await;
}

/// Every kind of act that leaves something to be seen in the data.
async fn every_act(world: &World) {
    let files = Files::new();
    world.payee(&internet_provider(NOWHERE, "")).await;
    world.payee(UTILITY).await;
    world.product(MTS).await;
    world.cards("mts-100", 1, 2).await;
    let id = stopped(world, 1).await.remove(0);
    done(
        world,
        &[
            "deliveries",
            "settle",
            &id,
            "--as",
            "refused",
            "--reason",
            "their letter",
        ],
    )
    .await;
    done(
        world,
        &["deliveries", "pause", "isp", "--reason", "they restore a backup"],
    )
    .await;

    let wrong = with(utility_payment(&new_id()), "account", json!("12"));
    let lost = with(utility_payment(&new_id()), "payee", json!("nobody"));
    for body in [&wrong, &lost] {
        assert_eq!(world.tell("payment.accepted", body).await["outcome"], "refused");
    }
    let parked = async |id: &serde_json::Value| {
        let of = format!(
            "SELECT parked_id FROM parked WHERE payment_id = '{}'",
            id.as_str().unwrap()
        );
        world.value(&of).await
    };
    let right = files.write(
        "right.json",
        &with(wrong.clone(), "account", json!("1920679795")).to_string(),
    );
    let (wrong, lost) = (parked(&wrong["payment_id"]).await, parked(&lost["payment_id"]).await);
    done(world, &["parked", "put-back", &wrong, "--body", &right]).await;
    done(world, &["parked", "discard", &lost, "--reason", "paid back in cash"]).await;

    let me = Identity::generate().to_public().to_string();
    let show = [
        "cards",
        "show",
        "0001",
        "--product",
        "mts-100",
        "--reason",
        "lost receipt",
        "--to",
        &me,
    ];
    done(world, &show).await;
    let file = files.path().join("back.age").display().to_string();
    let back = [
        "cards",
        "return",
        "--product",
        "mts-100",
        "--reason",
        "over",
        "--to",
        &me,
        &file,
    ];
    done(world, &back).await;
}

#[tokio::test]
async fn what_operators_did_is_missed_when_it_is_not_in_the_audit_log() {
    let world = World::start(&[Worker::Intake, Worker::Cards]).await;
    every_act(&world).await;
    let found = findings_of(&world, 6).await;
    assert!(
        found.iter().all(|finding| finding.looked_at > 0 && finding.broken == 0),
        "{found:?}"
    );
    world.sql("DELETE FROM audit").await;
    for finding in findings_of(&world, 6).await {
        assert_eq!(finding.broken, finding.looked_at, "{finding:?}");
        assert!(finding.example.is_some(), "{finding:?}");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_payees_secret_that_got_out_is_found_wherever_it_lies() {
    let world = bare().await;
    world.payee(&internet_provider(NOWHERE, "")).await;
    let workers = world.another(&[Worker::Intake], |_| {}).await;
    world.tell("payment.accepted", &online_payment(&new_id())).await;
    end(&workers).await;
    // Nobody publishes what is put among the events.
    world.stop().await;
    let leaked = async || findings_of(&world, 8).await.remove(0);
    let found = leaked().await;
    assert_eq!((found.looked_at, found.broken), (1, 0), "{found:?}");
    let attempt =
        "INSERT INTO attempt (attempt_id, payment_id, ordinal, act, lane_id, slot, worker, lease_until, ending,
             ended_at, request) SELECT gen_random_uuid(), payment_id, 1, 'pay', 'isp', 1, 'x', now(), 'answered', now(),
             'POST {}' FROM payment";
    for (plant, mend) in [
        (
            "UPDATE payment SET last_error = 'with {}'",
            "UPDATE payment SET last_error = NULL",
        ),
        (attempt, "DELETE FROM attempt"),
        ("UPDATE lane SET last_error = '{}'", "UPDATE lane SET last_error = NULL"),
        (
            "INSERT INTO audit (who, act, subject_kind, subject, after) VALUES ('x', 'x', 'payee', 'isp', '[\"{}\"]')",
            "DELETE FROM audit",
        ),
        (
            "INSERT INTO event (event_id, kind, body) VALUES (gen_random_uuid(), 'x', '{}')",
            "DELETE FROM event",
        ),
        (
            "INSERT INTO notice (notice_id, kind, subject, title, lines) VALUES (gen_random_uuid(), 'x', 'x', 'x', '{ {} }')",
            "DELETE FROM notice",
        ),
        (
            "INSERT INTO notice_mail (mail_id, recipient, message_id, mail_from, subject, body, notices)
             VALUES (gen_random_uuid(), 'x', 'x', 'x', 'x', '{}', ARRAY[gen_random_uuid()])",
            "DELETE FROM notice_mail",
        ),
    ] {
        world.sql(&plant.replace("{}", SECRET)).await;
        let found = leaked().await;
        assert_eq!((found.broken, found.example.as_deref()), (1, Some("isp")), "{plant}");
        world.sql(mend).await;
        assert_eq!(leaked().await.broken, 0, "{mend}");
    }
}
