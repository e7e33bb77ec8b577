//! The executable by hand: stuck deliveries found, grouped, requeued, settled, stopped and held back.

use serde_json::{Value, json};
use testkit::payee::{Behaviour, Payee, Verb};
use testkit::process::{Process, run};

use crate::cli::{done, failed, rows, unigate};
use crate::faults::{bare, environment, publish_all};
use crate::fixtures::{SECRET, internet_provider, new_id, new_ids, online_payment};
use crate::late_answer::LateAnswer;
use crate::world::{PATIENCE, World, with};
use testkit::wait_for;

/// A world with so many payments that the payee has refused, and nobody who delivers.
async fn refused(count: usize) -> (World, Payee, Vec<String>) {
    let world = bare().await;
    let payee = Payee::start().await.unwrap();
    world.payee(&internet_provider(&payee.url(), "concurrency = 8")).await;
    payee.script(Verb::Pay, (0..count).map(|_| Behaviour::Refuse("closed".into())));
    let workers = Process::start_ready(&environment(&world, &[]), &["run", "intake", "unikassa"]).await;
    let ids = new_ids(count);
    let payments: Vec<Value> = ids.iter().map(|id| online_payment(id)).collect();
    publish_all(&world, "payment.accepted", &payments).await;
    wait_for("all to be refused", PATIENCE, async || {
        (world
            .value("SELECT count(*) FROM payment WHERE state = 'refused'")
            .await
            == count.to_string())
        .then_some(())
    })
    .await;
    assert!(workers.end().await.success());
    // Who listens from now on hears only of what comes after.
    wait_for("all to be told", PATIENCE, async || {
        (world.value("SELECT count(*) FROM event").await == "0").then_some(())
    })
    .await;
    (world, payee, ids)
}

/// Every payment is credited once, and requeued once.
async fn all_once(world: &World, payee: &Payee, count: usize) {
    let credited = payee.wait_for_credits(count, PATIENCE).await;
    assert!(credited.values().all(|entry| entry.credits == 1), "{credited:?}");
    let once = "SELECT count(*) FILTER (WHERE generation = 1) || ' ' || count(*) FROM payment";
    assert_eq!(world.value(once).await, format!("{count} {count}"));
    let audited = "SELECT count(*) || ' ' || count(DISTINCT subject) FROM audit
                   WHERE act = 'deliveries requeue' AND subject_kind = 'payment' AND allowed";
    assert_eq!(world.value(audited).await, format!("{count} {count}"));
}

pub(crate) const BY_FILTER: [&str; 10] = [
    "deliveries",
    "requeue",
    "--payee",
    "isp",
    "--state",
    "refused",
    "--from",
    "2026-01-01",
    "--rate",
    "20",
];

/// Begins an act on thirty payments whose command dies after the first ten.
async fn killed_in_the_middle(world: &World) -> String {
    let dying = environment(
        world,
        &[
            ("UNIGATE_OPERATOR", "tester"),
            ("UNIGATE_TEST_DIE_AT", "deliveries:between_parts"),
        ],
    );
    let died = run(&dying, &BY_FILTER).await;
    assert_eq!(died.code, None, "{died:?}");
    let acts = rows(world, &["deliveries", "acts", "--open"]).await;
    assert_eq!(
        (
            &acts[0]["matched"],
            &acts[0]["done"],
            &acts[0]["waiting"],
            &acts[0]["who"]
        ),
        (&json!(30), &json!(10), &json!(20), &json!("tester"))
    );
    acts[0]["act_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_requeue_whose_command_was_killed_is_gone_on_with_by_a_worker() {
    let (world, payee, _) = refused(30).await;
    let act = killed_in_the_middle(&world).await;
    let worker = Process::start_ready(&environment(&world, &[]), &["run", "unikassa"]).await;
    all_once(&world, &payee, 30).await;
    let shown = rows(&world, &["deliveries", "acts", "show", &act]).await.remove(0);
    assert_eq!(
        (&shown["state"], &shown["done"], &shown["waiting"]),
        (&json!("done"), &json!(30), &json!(0))
    );
    assert!(worker.end().await.success());
}

#[tokio::test]
async fn a_requeue_whose_command_was_killed_is_gone_on_with_by_another_command() {
    let (world, payee, ids) = refused(30).await;
    let act = killed_in_the_middle(&world).await;
    // Somebody else clicks meanwhile: what waits in the act is the act's.
    let again = unigate(&world, &BY_FILTER).await;
    failed(&again, 1, "");
    assert!(again.stdout.contains("20 not: is in another act"), "{again:?}");
    let resumed = done(&world, &["deliveries", "acts", "resume", &act]).await;
    assert!(resumed.stdout.contains("30 of 30 done"), "{resumed:?}");
    let late = unigate(&world, &["deliveries", "acts", "cancel", &act]).await;
    failed(&late, 1, "is done");
    assert_eq!(
        world
            .value("SELECT count(*) FROM audit WHERE act = 'deliveries acts cancel' AND NOT allowed")
            .await,
        "1"
    );
    let worker = Process::start_ready(&environment(&world, &[]), &["run", "unikassa"]).await;
    all_once(&world, &payee, 30).await;
    world.reaches(&ids[0], "delivered").await;
    let shown = rows(&world, &["deliveries", "show", &ids[0]]).await.remove(0);
    let calls = shown["calls"].as_array().unwrap();
    assert_eq!((&calls[0]["automatic"], &calls[0]["who"]), (&json!(true), &Value::Null));
    assert_eq!(
        (&calls[1]["automatic"], &calls[1]["who"], &calls[1]["act_id"]),
        (&json!(false), &json!("tester"), &json!(act))
    );
    assert!(calls[1]["seconds"].is_number() && calls[1]["worker"].is_string());
    assert!(calls[1]["request"].as_str().unwrap().contains("\"pay\""), "{calls:?}");
    assert!(calls[1]["response"].as_str().unwrap().contains("accepted"), "{calls:?}");
    assert!(!shown.to_string().contains(SECRET));
    assert_eq!(shown["acts"][0]["outcome"], "done");
    assert!(worker.end().await.success());
}

#[tokio::test]
async fn stuck_deliveries_are_searched_grouped_and_requeued_as_a_group() {
    let (world, payee, ids) = refused(5).await;
    world
        .sql("UPDATE payment SET account = 'user-18', last_error = 'HTTP 404' WHERE number = (SELECT min(number) FROM payment)")
        .await;
    let groups = rows(&world, &["deliveries", "groups", "--state", "refused"]).await;
    assert_eq!(groups.len(), 2);
    assert_eq!(
        (&groups[0]["count"], &groups[0]["totals"]),
        (&json!(4), &json!({"RUB": 200_000}))
    );
    let group = groups[0]["group"].as_str().unwrap();
    let found = |arguments: &'static [&'static str]| {
        let world = &world;
        async move {
            rows(world, &[&["deliveries", "list"][..], arguments].concat())
                .await
                .len()
        }
    };
    assert_eq!(found(&["--account", "user-18"]).await, 1);
    assert_eq!(found(&["--payee", "isp", "--account", "user-18"]).await, 1);
    assert_eq!(found(&["--error", "http 404", "--state", "refused"]).await, 1);
    assert_eq!(found(&["--state", "refused", "--limit", "3"]).await, 3);
    assert_eq!(found(&["--from", "2020-01-01", "--to", "2020-01-02"]).await, 0);
    assert_eq!(
        rows(
            &world,
            &["deliveries", "list", "--payment", &ids[0], "--payment", &ids[1]]
        )
        .await
        .len(),
        2
    );
    assert_eq!(rows(&world, &["deliveries", "list", "--group", group]).await.len(), 4);

    let dry = done(&world, &["deliveries", "requeue", "--group", group, "--dry-run"]).await;
    assert_eq!(dry.stdout, "4 would be requeued: 4 to be paid, 0 to be asked about\n");
    assert_eq!(
        world.value("SELECT count(*) FROM payment WHERE generation > 0").await,
        "0"
    );
    let real = done(&world, &["deliveries", "requeue", "--group", group]).await;
    assert_eq!(real.stdout, "4 requeued: 4 to be paid, 0 to be asked about\n");
    assert_eq!(
        world
            .value("SELECT count(*) FROM payment WHERE due_at IS NOT NULL")
            .await,
        "4"
    );
    assert_eq!(
        unigate(&world, &["deliveries", "requeue", "--group", "isp"]).await.code,
        Some(2)
    );
    let worker = Process::start_ready(&environment(&world, &[]), &["run", "unikassa"]).await;
    payee.wait_for_credits(4, PATIENCE).await;
    assert!(worker.end().await.success());
}

#[tokio::test]
async fn a_payment_is_settled_by_hand_once_and_told() {
    let (world, _payee, ids) = refused(2).await;
    let mut events = world.listen("payment.#").await;
    let (lost, had) = (&*ids[0], &*ids[1]);
    world.sql("UPDATE payment SET state = 'unknown', maybes = 1").await;
    let settle = |id: &str, how: &'static str| {
        let (world, id) = (&world, id.to_owned());
        async move {
            unigate(
                world,
                &["deliveries", "settle", &id, "--as", how, "--reason", "their letter"],
            )
            .await
        }
    };
    world
        .sql(&format!(
            "UPDATE attempt SET ending = 'open', ended_at = NULL, lease_until = now() + interval '1 hour'
             WHERE payment_id = '{lost}'"
        ))
        .await;
    failed(&settle(lost, "refused").await, 1, "right now");
    world
        .sql("UPDATE attempt SET ending = 'maybe', ended_at = now() WHERE ending = 'open'")
        .await;
    let settled = settle(lost, "refused").await;
    assert_eq!(settled.code, Some(0), "{settled:?}");
    let referred = [
        "deliveries",
        "settle",
        had,
        "--as",
        "delivered",
        "--reason",
        "seen",
        "--provider-reference",
        "P-7",
    ];
    done(&world, &referred).await;
    for id in [lost, had] {
        let row = world.payment(id).await;
        assert_eq!(
            (row.flags, row.maybes, row.due_at),
            (vec!["settled_by_operator".to_owned()], 0, None)
        );
    }
    assert_eq!(world.payment(had).await.provider_reference.as_deref(), Some("P-7"));
    let told = events.item("payment.refused", "payment_id", lost).await;
    assert_eq!(
        (&told["state"], &told["error"]),
        (&json!("refused"), &json!("their letter"))
    );
    assert_eq!(
        events.item("payment.delivered", "payment_id", had).await["state"],
        "delivered"
    );
    failed(&settle(lost, "refused").await, 1, "is refused already");
    failed(&settle(had, "refused").await, 1, "is delivered");
    failed(&settle(&new_id(), "refused").await, 1, "unknown");
    let audited = "SELECT string_agg(allowed::text, ' ' ORDER BY audit_id) FROM audit WHERE act = 'deliveries settle'";
    assert_eq!(world.value(audited).await, "false true true false false");
    // A requeue opens it again.
    let worker = Process::start_ready(&environment(&world, &[]), &["run", "unikassa"]).await;
    done(&world, &["deliveries", "requeue", lost]).await;
    let row = world.reaches(lost, "delivered").await;
    assert!(row.flags.is_empty(), "{row:?}");
    assert!(worker.end().await.success());
}

#[tokio::test]
async fn a_late_answer_does_not_overturn_a_settlement_and_is_flagged() {
    let world = bare().await;
    let payee = Payee::start().await.unwrap();
    payee.script(Verb::Pay, [Behaviour::Hold]);
    let answer = LateAnswer::in_hand(&world, &payee, "idempotent = false\noffers_status = false").await;
    let id = &answer.id;
    world.reaches(id, "unknown").await;
    done(
        &world,
        &[
            "deliveries",
            "settle",
            id,
            "--as",
            "refused",
            "--reason",
            "they deny it",
        ],
    )
    .await;
    // And now comes the answer that it was credited.
    answer.comes();
    wait_for("the answer to be written down", PATIENCE, async || {
        (world.value("SELECT late::text FROM attempt").await == "true").then_some(())
    })
    .await;
    let row = world.payment(id).await;
    assert_eq!(row.shown_state, "refused");
    assert_eq!(row.flags, ["settled_by_operator", "credited_after_settlement"]);
    answer.end().await;
}

#[tokio::test]
async fn payments_are_stopped_and_resumed_and_payees_paused() {
    let world = bare().await;
    let payee = Payee::start().await.unwrap();
    world.payee(&internet_provider(&payee.url(), "")).await;
    let workers = Process::start_ready(&environment(&world, &[]), &["run", "intake", "unikassa"]).await;
    assert_eq!(
        unigate(&world, &["deliveries", "pause", "isp"]).await.code,
        Some(2),
        "a reason is required"
    );
    done(
        &world,
        &["deliveries", "pause", "isp", "--reason", "they restore a backup"],
    )
    .await;
    failed(
        &unigate(&world, &["deliveries", "pause", "isp", "--reason", "too"]).await,
        1,
        "tester",
    );
    let lane = rows(&world, &["deliveries", "lanes"]).await.remove(0);
    assert_eq!(
        (
            &lane["payee"],
            &lane["paused"],
            &lane["paused_by"],
            &lane["paused_reason"]
        ),
        (
            &json!("isp"),
            &json!(true),
            &json!("tester"),
            &json!("they restore a backup")
        )
    );
    let doctor = unigate(&world, &["doctor"]).await;
    assert!(
        doctor.stdout.contains("is paused by tester"),
        "nobody forgets it: {doctor:?}"
    );
    let (sent, kept) = (new_id(), new_id());
    for id in [&sent, &kept] {
        assert_eq!(
            world.tell("payment.accepted", &online_payment(id)).await["outcome"],
            "accepted"
        );
    }
    let check = with(online_payment(&new_id()), "paid_at", Value::Null);
    assert_eq!(world.ask("payment.check", &check).await["outcome"], "unavailable");
    done(&world, &["deliveries", "stop", &kept, "--reason", "a dispute"]).await;
    failed(
        &unigate(&world, &["deliveries", "stop", &kept, "--reason", "again"]).await,
        1,
        "stopped already",
    );
    let unknown = new_id();
    failed(
        &unigate(&world, &["deliveries", "stop", &unknown, "--reason", "no"]).await,
        1,
        "no such payment",
    );
    done(&world, &["deliveries", "unpause", "isp", "--reason", "restored"]).await;
    world.reaches(&sent, "delivered").await;
    assert_eq!(world.payment(&kept).await.shown_state, "stopped");
    assert_eq!(
        payee.requests_of(Verb::Pay).len(),
        1,
        "nothing is sent of a stopped one"
    );
    let delivered = unigate(&world, &["deliveries", "resume", &sent, "--reason", "no"]).await;
    failed(&delivered, 1, "is not stopped");
    let resumed = done(&world, &["deliveries", "resume", &kept, "--reason", "settled"]).await;
    assert!(resumed.stdout.starts_with("1 resumed"), "{resumed:?}");
    world.reaches(&kept, "delivered").await;
    for (act, allowed) in [
        ("stop", "true false"),
        ("resume", "false true"),
        ("pause", "true false"),
        ("unpause", "true"),
    ] {
        let audited = format!(
            "SELECT string_agg(allowed::text, ' ' ORDER BY audit_id) FROM audit
             WHERE act = 'deliveries {act}' AND subject_kind <> 'act' AND who = 'tester'"
        );
        assert_eq!(world.value(&audited).await, allowed, "{act}");
    }
    assert!(workers.end().await.success());
}
