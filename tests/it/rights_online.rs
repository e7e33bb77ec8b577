//! The rights of `deploy/grants.sql` are enough for those who take payments and deliver them, for whoever puts them right, and for
//! whoever only looks.

use serde_json::json;
use testkit::payee::{Behaviour, Payee, Verb};
use testkit::process::{Process, run};
use testkit::wait_for;

use crate::cli::failed;
use crate::cli_deliveries::BY_FILTER;
use crate::fixtures::{about, internet_provider, new_id, online_payment};
use crate::rights::Site;
use crate::world::{PATIENCE, World};

/// Nothing is mailed here.
const NO_MAIL: &str = "smtp://127.0.0.1:1?tls=none";

async fn accepted(world: &World) -> String {
    let id = new_id();
    let answer = world.tell("payment.accepted", &online_payment(&id)).await;
    assert_eq!(answer["outcome"], "accepted", "{answer}");
    id
}

#[tokio::test]
async fn payments_are_taken_delivered_and_put_right_with_the_rights_of_each_role() {
    let site = Site::found().await;
    let world = &site.world;
    let payee = Payee::start().await.unwrap();
    let declared = internet_provider(
        &payee.url(),
        "offers_status = true\noffers_cancel = true\nidempotent = false",
    );
    world.payee(&declared).await;
    site.grant().await;
    let intake = site.user("unigate_intake").await;
    let courier = site.user("unigate_unikassa").await;
    let takes = Process::start_ready(&intake.environment(world, NO_MAIL), &["run", "intake"]).await;
    let delivers = Process::start_ready(&courier.environment(world, NO_MAIL), &["run", "unikassa"]).await;

    let check = json!({"payment_id": new_id(), "terminal": "T-0001", "payee": "isp", "account": "user-17"});
    let payable = world.ask("payment.check", &check).await;
    assert_eq!(payable["outcome"], "payable", "{payable}");
    let delivered = accepted(world).await;
    world.reaches(&delivered, "delivered").await;
    let status = world.ask("payment.status", &about("payment_id", &delivered)).await;
    assert_eq!(status["state"], "delivered", "{status}");
    // One that may have been credited: it is taken back while the payee is asked about it, and does not answer.
    payee.script(Verb::Pay, [Behaviour::status(500).after_credit()]);
    payee.always(Verb::Status, Behaviour::Hang);
    let unsure = accepted(world).await;
    payee.wait_for_requests(Verb::Status, 1, PATIENCE).await;
    world.tell("payment.revoke", &about("payment_id", &unsure)).await;
    world.reaches(&unsure, "revoked").await;
    payee.always(Verb::Status, Behaviour::Accept);
    payee.script(
        Verb::Pay,
        [
            Behaviour::Refuse("closed".to_owned()),
            Behaviour::Refuse("closed".to_owned()),
        ],
    );
    let (again, by_hand) = (accepted(world).await, accepted(world).await);
    for id in [&again, &by_hand] {
        world.reaches(id, "refused").await;
    }

    let operator = site.user("unigate_operator").await.environment(world, NO_MAIL);
    let support = site.user("unigate_readonly").await.environment(world, NO_MAIL);
    let acts: [&[&str]; 7] = [
        &["payees", "probe", "isp"],
        &["deliveries", "pause", "isp", "--reason", "they restore a backup"],
        &["deliveries", "requeue", &again, "--reason", "open again"],
        &["deliveries", "stop", &again, "--reason", "a dispute"],
        &["deliveries", "resume", &again, "--reason", "settled"],
        &[
            "deliveries",
            "settle",
            &by_hand,
            "--as",
            "delivered",
            "--reason",
            "their letter",
        ],
        &["deliveries", "unpause", "isp", "--reason", "restored"],
    ];
    for arguments in acts {
        failed(&run(&support, arguments).await, 1, "permission denied");
        let done = run(&operator, arguments).await;
        assert_eq!(done.code, Some(0), "{arguments:?}: {done:?}");
    }
    // It is asked first, and says what it said; then it is paid.
    wait_for("the payee to be asked", PATIENCE, async || {
        let row = world.payment(&again).await;
        (row.attempts == 2 && row.shown_state == "refused").then_some(())
    })
    .await;
    // Each by a login that the operator cannot choose, whatever he calls himself.
    let own = "SELECT bool_and(login ~ '^login_')::text FROM audit WHERE act LIKE 'deliveries %'";
    assert_eq!(world.value(own).await, "true");
    nobody_says_when_or_by_whose_login(world).await;
    let requeued = run(&operator, &BY_FILTER).await;
    assert!(requeued.stdout.contains("1 requeued"), "{requeued:?}");
    world.reaches(&again, "delivered").await;
    let looks: [&[&str]; 8] = [
        &["parked", "list"],
        &["payments", "list"],
        &["payments", "show", &again],
        &["deliveries", "list", "--account", "user-17"],
        &["deliveries", "show", &again],
        &["deliveries", "groups"],
        &["deliveries", "lanes"],
        &["deliveries", "acts"],
    ];
    for environment in [&operator, &support] {
        for arguments in looks {
            let seen = run(environment, arguments).await;
            assert_eq!(seen.code, Some(0), "{arguments:?}: {seen:?}");
        }
    }
    for environment in [&operator, &support] {
        let looked = run(environment, &["doctor"]).await;
        assert!(looked.stdout.contains("database rights"), "{looked:?}");
        assert!(!looked.stdout.contains("no role has any on"), "{looked:?}");
    }
    for process in [takes, delivers] {
        let lines = process.log_lines();
        let denied: Vec<_> = lines.iter().filter(|line| line.contains("denied")).collect();
        assert!(denied.is_empty(), "{denied:?}");
        assert!(process.end().await.success());
    }
}

/// When an act was and whose login it was by is the server's word, to every role; and what is written stays as it is.
async fn nobody_says_when_or_by_whose_login(world: &World) {
    let who_may = async |what: &str| {
        let roles = format!(
            "SELECT coalesce(string_agg(rolname, ' '), '') FROM pg_roles WHERE rolname LIKE 'unigate\\_%' AND ({what})"
        );
        world.value(&roles).await
    };
    let acts = who_may("has_column_privilege(oid, 'audit', 'act', 'INSERT')").await;
    assert!(acts.contains("unigate_operator"), "{acts}");
    for column in ["at", "login", "audit_id"] {
        let says = format!("has_column_privilege(oid, 'audit', '{column}', 'INSERT')");
        assert_eq!(who_may(&says).await, "", "{column}");
    }
    let changes =
        "has_any_column_privilege(oid, 'audit', 'UPDATE') OR has_table_privilege(oid, 'audit', 'DELETE, TRUNCATE')";
    assert_eq!(who_may(changes).await, "");
}
