//! What `unigate doctor` says of what is in the database and waits for a person.

use serde_json::json;
use testkit::payee::{Behaviour, Verb};
use testkit::process::Process;

use crate::cli::{done, failed, rows, unigate};
use crate::faults::{bare, environment};
use crate::fixtures::MTS;
use crate::promises::shown;
use crate::unikassa::{pay, provider};

#[tokio::test]
async fn the_doctor_counts_payments_that_wait_for_a_person() {
    let (world, payee) = provider("").await;
    let well = unigate(&world, &["doctor"]).await;
    assert!(well.stdout.contains("none waits for a person"), "{well:?}");
    payee.script(Verb::Pay, [Behaviour::Refuse("number_conflict".into())]);
    let (id, _) = pay(&world).await;
    world.reaches(&id, "unknown").await;
    let ill = unigate(&world, &["doctor"]).await;
    for said in [
        "1 payments are unknown",
        "deliveries groups --payee isp",
        "1 payments are flagged number_conflict",
    ] {
        assert!(ill.stdout.contains(said), "{said}: {}", ill.stdout);
    }
}

#[tokio::test]
async fn what_contradicts_a_settlement_is_counted_until_somebody_says_that_it_stands() {
    let (world, payee) = provider("").await;
    payee.script(Verb::Pay, [Behaviour::Refuse("closed".into())]);
    let mut told = world.listen("payment.#").await;
    let (refused, _) = pay(&world).await;
    told.item("payment.refused", "payment_id", &refused).await;
    let (delivered, _) = pay(&world).await;
    told.item("payment.delivered", "payment_id", &delivered).await;
    for (id, how, flag) in [
        (&refused, "refused", "credited_after_settlement"),
        (&delivered, "delivered", "payee_denies"),
    ] {
        let letter = ["--reason", "their letter", "--provider-reference", "P-9"];
        let settle = [&["deliveries", "settle", id, "--as", how][..], &letter].concat();
        let unquestioned = unigate(&world, &settle).await;
        failed(&unquestioned, 1, &format!("is {how}"));
        world
            .sql(&format!(
                "UPDATE payment SET flags = ARRAY['settled_by_operator', '{flag}'] WHERE payment_id = '{id}'"
            ))
            .await;
        let ill = unigate(&world, &["doctor"]).await.stdout;
        assert!(ill.contains(&format!("1 payments are flagged {flag}")), "{ill}");
        assert!(ill.contains("write in --reason what the payee says"), "{ill}");
        let questioned = ["payments", "list", "--payee", "isp", "--flagged"];
        let listed = rows(&world, &questioned).await;
        assert_eq!((listed.len(), &listed[0]["payment_id"]), (1, &json!(id)), "{listed:?}");
        let confirmed = done(&world, &settle).await;
        assert!(confirmed.stdout.contains(&format!("stays {how}")), "{confirmed:?}");
        let well = unigate(&world, &["doctor"]).await;
        assert!(well.stdout.contains("none waits for a person"), "{well:?}");
        assert!(rows(&world, &questioned).await.is_empty(), "what is answered is listed");
        let row = world.payment(id).await;
        assert_eq!(row.flags, [flag, "settled_by_operator"]);
        assert_eq!(row.provider_reference.as_deref(), Some("P-9"));
        let audited = "SELECT after ->> 'provider_reference' FROM audit ORDER BY audit_id DESC LIMIT 1";
        assert_eq!(world.value(audited).await, "P-9");
    }
    let denied = [
        "deliveries",
        "settle",
        &delivered,
        "--as",
        "refused",
        "--reason",
        "their letter",
    ];
    failed(
        &unigate(&world, &denied).await,
        1,
        "confirm it as it stands (--as delivered)",
    );
    for kind in ["payment.refused", "payment.delivered"] {
        assert_eq!(
            told.all(&world, kind).await.len(),
            1,
            "nothing new was told of what is {kind}"
        );
    }
}

#[tokio::test]
async fn a_number_that_the_payee_knew_before_it_was_sent_is_asked_about_until_somebody_answers() {
    let (world, payee) = provider("").await;
    payee.script(Verb::Pay, [Behaviour::AlreadyAccepted]);
    let (id, _) = pay(&world).await;
    world.reaches(&id, "delivered").await;
    let told =
        "SELECT subject || array_to_string(lines, ' ') FROM notice WHERE kind = 'payment.already_on_first_attempt'";
    let alarm = world.value(told).await;
    assert!(alarm.starts_with("isp") && alarm.contains(&id), "{alarm}");
    for cause in ["credits_on_check", "a second installation"] {
        assert!(alarm.contains(cause), "{cause}: {alarm}");
    }
    let ill = unigate(&world, &["doctor"]).await.stdout;
    assert!(ill.contains("1 payments are flagged already_on_first_attempt"), "{ill}");
    let questioned = ["payments", "list", "--payee", "isp", "--flagged"];
    assert_eq!(rows(&world, &questioned).await[0]["payment_id"], json!(id));
    let letter = ["--as", "delivered", "--reason", "their letter"];
    let confirmed = done(&world, &[&["deliveries", "settle", &id][..], &letter].concat()).await;
    assert!(confirmed.stdout.contains("stays delivered"), "{confirmed:?}");
    assert!(rows(&world, &questioned).await.is_empty(), "what is answered is listed");
    let well = unigate(&world, &["doctor"]).await;
    assert!(well.stdout.contains("none waits for a person"), "{well:?}");
}

#[tokio::test]
async fn the_doctor_names_the_alerts_that_somebody_gets() {
    let (world, _payee) = provider("").await;
    world.product(&format!("{MTS}\nlow_stock = 3")).await;
    let untold = unigate(&world, &["doctor"]).await;
    assert!(untold.stdout.contains("no alert is mailed at all"), "{untold:?}");
    assert!(!untold.stdout.contains("except low stock"), "{untold:?}");
    let told = format!("{MTS}\nlow_stock = 3\nalert_mail_to = [\"stock@example.org\"]");
    world.product(&told).await;
    let told = unigate(&world, &["doctor"]).await;
    assert!(told.stdout.contains("except low stock of mts-100"), "{told:?}");
}

/// For sessions that begin from now on the database's clock is so many seconds behind what it was.
const CLOCK_BEHIND: &str = "CREATE SCHEMA aside;
    CREATE FUNCTION aside.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
        AS $$ SELECT pg_catalog.clock_timestamp() - interval '90 seconds' $$;
    DO $$ BEGIN
        EXECUTE format('ALTER DATABASE %I SET search_path = aside, public, pg_catalog', current_database());
    END $$";

#[tokio::test]
async fn a_clock_that_is_not_the_databases_is_told_of() {
    let world = bare().await;
    let ahead = async |process: &Process| {
        let told = shown(process, "unigate_clock_ahead_seconds").await.unwrap();
        told.parse::<f64>().unwrap()
    };
    let well = unigate(&world, &["doctor"]).await.stdout;
    assert!(well.contains("agrees with the database's"), "{well}");
    let process = Process::start_ready(&environment(&world, &[]), &["run", "intake"]).await;
    assert!(ahead(&process).await.abs() < 1.0);
    assert!(process.end().await.success());

    world.sql(CLOCK_BEHIND).await;
    let ill = unigate(&world, &["doctor"]).await.stdout;
    assert!(ill.contains("ahead of the database's") && ill.contains("NTP"), "{ill}");
    let process = Process::start_ready(&environment(&world, &[]), &["run", "intake"]).await;
    let told = ahead(&process).await;
    assert!((told - 90.0).abs() < 5.0, "{told}");
    assert!(process.end().await.success());
}
