//! The rights of `deploy/grants.sql` are enough for those who take payments and deliver them, for whoever puts them right, and for
//! whoever only looks.

use serde_json::json;
use testkit::payee::{Behaviour, Payee, Verb};
use testkit::process::{Process, run};
use testkit::wait_for;

use crate::cli::failed;
use crate::cli_deliveries::BY_FILTER;
use crate::fixtures::{SECRET, about, internet_provider, new_id, online_payment, utility_payment};
use crate::registers::every;
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
    let refuse = || Behaviour::Refuse("closed".to_owned());
    payee.script(Verb::Pay, [refuse(), refuse(), refuse()]);
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
    // The payee has said that it did not take it, so it is paid again, and refused once more.
    wait_for("the payment to be refused again", PATIENCE, async || {
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

/// Whoever only looks is told what each payee was paid and when its registers come, and may read no secret of any.
#[tokio::test]
async fn reports_are_made_by_whoever_only_looks_and_show_no_secret() {
    const HIDDEN: [&str; 3] = ["relay.example.net", "of-series.example.net", SECRET];
    let site = Site::found().await;
    let world = &site.world;
    let relays = "[register.mail]\nrelay = \"smtps://relay.example.net\"\n[[register.series]]\nname = \"metered\"
        when = { field = \"meter_cold\", values = [\"1\"] }\nevery_payments = 3
        mail = { relay = \"smtps://of-series.example.net\" }\n";
    world.payee(&format!("{}\n{relays}", every(2))).await;
    let delivered = "[register]\nschedule = \"0 5 * * *\"\ntime_zone = \"Europe/Moscow\"";
    world.payee(&internet_provider("http://127.0.0.1:9/", delivered)).await;
    site.grant().await;
    let intake = site.user("unigate_intake").await;
    let takes = Process::start_ready(&intake.environment(world, NO_MAIL), &["run", "intake"]).await;
    let (open, waits) = (new_id(), accepted(world).await);
    world.tell("payment.accepted", &utility_payment(&open)).await;
    let support = site.user("unigate_readonly").await.environment(world, NO_MAIL);
    let period = ["--from", "2020-01-01", "--to", "2099-01-01"];
    let reports: [(Vec<&str>, &str); 7] = [
        (vec!["payees", "list"], "Internet provider"),
        (vec!["registers", "schedule"], "metered"),
        (vec!["registers", "explain", &open], "number 1 of those"),
        (vec!["registers", "explain", &waits], "of what was delivered"),
        (
            [&["registers", "statement", "gorvodokanal"], &period[..]].concat(),
            "15000",
        ),
        ([&["registers", "statement", "isp"], &period[..]].concat(), "total"),
        ([&["payments", "list", "--payee", "isp"], &period[..]].concat(), &waits),
    ];
    for (report, expected) in &reports {
        let seen = run(&support, report).await;
        assert_eq!(seen.code, Some(0), "{report:?}: {seen:?}");
        assert!(seen.stdout.contains(expected), "{report:?}: {seen:?}");
    }
    let told = "SELECT (SELECT string_agg(declaration::text, '') FROM payee_card)
                    || (SELECT string_agg(declaration::text, '') FROM payee_version_card)";
    let (shown, all) = (world.value(told).await, world.value(&told.replace("_card", "")).await);
    for hidden in HIDDEN {
        assert!(all.contains(hidden) && !shown.contains(hidden), "{hidden}: {shown}");
    }
    assert!(takes.end().await.success());
}
