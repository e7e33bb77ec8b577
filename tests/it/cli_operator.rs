//! The executable by hand: an operator's day.

use serde_json::{Value, json};
use store::payments;
use testkit::mail::MailServer;
use testkit::payee::{Behaviour, Payee, Verb};
use testkit::process::Process;

use crate::cli::{Files, done, failed, rows, unigate};
use crate::faults::{bare, environment};
use crate::fixtures::{MTS, UTILITY, internet_provider, new_id, online_payment, reservation, sale, utility_payment};
use crate::world::{PATIENCE, World, with};

async fn audited(world: &World, act: &str) -> Vec<Vec<Option<String>>> {
    world
        .sql(&format!(
            "SELECT subject, allowed FROM audit WHERE act = '{act}' AND who = 'tester' ORDER BY audit_id"
        ))
        .await
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// The columns that the contract names, which come first; others follow.
async fn contract_stock(world: &World) -> Vec<Value> {
    let listed = rows(world, &["cards", "stock"]).await;
    let first = |row: &Value| {
        let members = row.as_object().unwrap().iter().take(6);
        Value::Object(members.map(|(name, value)| (name.clone(), value.clone())).collect())
    };
    listed.iter().map(first).collect()
}

#[tokio::test]
async fn cards_are_imported_once_and_counted() {
    let world = bare().await;
    world.product(MTS).await;
    let process = Process::start_ready(&environment(&world, &[]), &["run", "cards"]).await;
    let files = Files::new();
    let good = files.write(
        "good.csv",
        "serial,pin,expires_on\n0001,8231-secret-1,\n0002,8231-secret-2,2099-12-31\n0003,8231-secret-3,\n",
    );
    let imported = done(&world, &["cards", "import", "--product", "mts-100", &good]).await;
    assert!(imported.stdout.contains("3 cards added"), "{imported:?}");
    let stock = json!({"product": "mts-100", "fresh": 3, "returned": 0, "held": 0, "lapsed": 0, "sold": 0});
    assert_eq!(contract_stock(&world).await, std::slice::from_ref(&stock));
    let again = unigate(&world, &["cards", "import", "--product", "mts-100", &good]).await;
    assert_ne!(again.code, Some(0), "the same file does not come in twice: {again:?}");

    for (name, text) in [
        ("no-serial.csv", "number,pin\n1,secret\n"),
        ("short.csv", "serial,pin\n0010,8231-secret-10\n0011\n"),
        ("empty.csv", ""),
    ] {
        let refused = unigate(
            &world,
            &["cards", "import", "--product", "mts-100", &files.write(name, text)],
        )
        .await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(
            refused.stderr.contains(name) && !refused.stderr.contains("8231-secret"),
            "{refused:?}"
        );
    }
    let nobody = unigate(&world, &["cards", "import", "--product", "nobody", &good]).await;
    failed(&nobody, 1, "nobody");
    assert_eq!(
        contract_stock(&world).await,
        std::slice::from_ref(&stock),
        "all or nothing"
    );

    let id = new_id();
    assert_eq!(
        world.ask("card.reserve", &reservation(&id)).await["card"]["fields"],
        json!({"pin": "8231-secret-1"})
    );
    let held = with(with(stock, "fresh", json!(2)), "held", json!(1));
    assert_eq!(contract_stock(&world).await, std::slice::from_ref(&held));
    world.tell("card.sell", &sale(&id)).await;
    assert_eq!(
        contract_stock(&world).await,
        [with(with(held, "held", json!(0)), "sold", json!(1))]
    );
    let report = rows(
        &world,
        &["cards", "report", "--from", "2020-01-01", "--to", "2099-01-01"],
    )
    .await;
    assert_eq!(report.len(), 1);
    assert!(
        report[0].to_string().contains("0001") && !report[0].to_string().contains("secret"),
        "{report:?}"
    );
    assert!(!audited(&world, "cards import").await.is_empty());
    assert!(process.end().await.success());
}

#[tokio::test]
async fn payments_and_deliveries_are_found_and_requeued() {
    let world = bare().await;
    let payee = Payee::start().await.unwrap();
    world
        .payee(&internet_provider(
            &payee.url(),
            "idempotent = false\noffers_status = false",
        ))
        .await;
    let process = Process::start_ready(&environment(&world, &[]), &["run", "intake", "unikassa"]).await;
    payee.script(Verb::Pay, [Behaviour::status(500), Behaviour::Refuse("closed".into())]);
    let (unknown, refused) = (new_id(), new_id());
    let number = world.tell("payment.accepted", &online_payment(&unknown)).await["number"].clone();
    world.reaches(&unknown, "unknown").await;
    world.tell("payment.accepted", &online_payment(&refused)).await;
    world.reaches(&refused, "refused").await;

    let listed = rows(&world, &["deliveries", "list", "--payee", "isp", "--state", "unknown"]).await;
    assert_eq!(listed.len(), 1);
    let columns: Vec<&String> = listed[0].as_object().unwrap().keys().collect();
    assert_eq!(
        columns,
        [
            "payment_id",
            "number",
            "payee",
            "state",
            "attempts",
            "next_attempt_at",
            "last_error"
        ]
    );
    assert_eq!(
        (&listed[0]["payment_id"], &listed[0]["number"]),
        (&json!(unknown), &number)
    );
    assert_eq!(rows(&world, &["payments", "list"]).await.len(), 2);
    assert_eq!(
        rows(&world, &["payments", "list", "--state", "refused"]).await[0]["payment_id"],
        refused
    );
    for key in [&*unknown, text(&number)] {
        let shown = rows(&world, &["payments", "show", key]).await.remove(0);
        assert_eq!(
            (&shown["payment_id"], &shown["state"]),
            (&json!(unknown), &json!("unknown"))
        );
        assert_eq!(
            (&shown["calls"][0]["ending"], &shown["calls"][0]["http_status"]),
            (&json!("maybe"), &json!(500))
        );
    }
    let table = done(&world, &["payments", "list"]).await.stdout;
    assert!(table.starts_with("payment_id") && table.lines().count() == 3, "{table}");
    let csv = done(&world, &["payments", "list", "--format", "csv"]).await.stdout;
    assert!(
        csv.starts_with("payment_id,number,payee,") && csv.contains(&refused),
        "{csv}"
    );

    // It may have been credited, and could be credited twice: no filter and no click may send it again by the way.
    let filtered = unigate(
        &world,
        &["deliveries", "requeue", "--payee", "isp", "--state", "unknown"],
    )
    .await;
    assert_ne!(filtered.code, Some(0), "{filtered:?}");
    failed(
        &unigate(&world, &["deliveries", "requeue", &unknown]).await,
        1,
        "certain",
    );
    let dry = done(&world, &["deliveries", "requeue", &unknown, "--certain", "--dry-run"]).await;
    assert!(dry.stdout.contains('1'), "{dry:?}");
    assert_eq!(world.payment(&unknown).await.shown_state, "unknown");
    assert_eq!(payee.requests_of(Verb::Pay).len(), 2);
    done(
        &world,
        &[
            "deliveries",
            "requeue",
            &unknown,
            "--certain",
            "--reason",
            "they said so by telephone",
        ],
    )
    .await;
    world.reaches(&unknown, "delivered").await;
    let all_refused = ["deliveries", "requeue", "--payee", "isp", "--state", "refused"];
    let for_ever = unigate(&world, &all_refused).await;
    failed(&for_ever, 2, "say since when");
    done(&world, &[&all_refused[..], &["--from", "2026-01-01"]].concat()).await;
    world.reaches(&refused, "delivered").await;
    let delivered = unigate(&world, &["deliveries", "requeue", &refused]).await;
    failed(&delivered, 1, "delivered");
    let acts = world
        .sql("SELECT subject, allowed FROM audit WHERE subject_kind = 'payment' AND who = 'tester'")
        .await;
    let allowed = |id: &str| {
        acts.iter()
            .filter(|act| act[0].as_deref() == Some(id) && act[1].as_deref() == Some("t"))
            .count()
    };
    assert_eq!((allowed(&unknown), allowed(&refused)), (1, 1), "{acts:?}");
    assert!(acts.len() >= 4, "what was denied is audited too: {acts:?}");
    assert!(process.end().await.success());
}

#[tokio::test]
async fn registers_are_built_saved_and_sent_again() {
    let world = bare().await;
    world.payee(UTILITY).await;
    let server = MailServer::start("127.0.0.1:0").await.unwrap();
    let smtp = format!("smtp://{}?tls=none", server.addr);
    let settings = environment(&world, &[("UNIGATE_SMTP_URL", &smtp)]);
    let process = Process::start_ready(&settings, &["run", "intake", "registers", "mailer"]).await;
    let ids = crate::fixtures::new_ids(3);
    for id in &ids {
        world.tell("payment.accepted", &utility_payment(id)).await;
    }
    let built = done(&world, &["registers", "build", "gorvodokanal"]).await;
    assert!(built.stdout.contains("3 payments"), "{built:?}");
    world.reaches(&ids[0], "reported").await;
    let empty = done(&world, &["registers", "build", "gorvodokanal"]).await;
    assert!(empty.stdout.contains("no open payments"), "{empty:?}");
    failed(&unigate(&world, &["registers", "build", "nobody"]).await, 1, "nobody");

    let listed = rows(&world, &["registers", "list", "--payee", "gorvodokanal"]).await;
    let columns: Vec<&String> = listed[0].as_object().unwrap().keys().collect();
    let expected = [
        "register_id",
        "payee",
        "series",
        "sequence",
        "kind",
        "state",
        "count",
        "total",
        "currency",
        "file",
        "sha256",
        "bytes",
        "mailed_at",
        "parts",
    ];
    assert_eq!(columns, expected);
    assert_eq!(
        (&listed[0]["count"], &listed[0]["total"], &listed[0]["state"]),
        (&json!(3), &json!(45000), &json!("mailed"))
    );
    let files = Files::new();
    let target = files.path().join("saved.zip").display().to_string();
    done(&world, &["registers", "save", text(&listed[0]["register_id"]), &target]).await;
    let mailed = server.wait_for_mails(1, PATIENCE).await.remove(0);
    assert_eq!(std::fs::read(&target).unwrap(), &mailed.attachments[0].bytes[..]);
    done(
        &world,
        &[
            "registers",
            "save",
            text(&listed[0]["register_id"]),
            &files.path().display().to_string(),
        ],
    )
    .await;
    assert!(files.path().join("gorvodokanal-main-000001.csv.zip").is_file());

    let period = ["--from", "2020-01-01", "--to", "2099-01-01T00:00:00Z"];
    done(
        &world,
        &[&["registers", "resend", "--payee", "gorvodokanal"], &period[..]].concat(),
    )
    .await;
    let copy = server.wait_for_mails(2, PATIENCE).await.remove(1);
    assert_eq!(
        (copy.header("X-Unigate-Kind"), copy.header("X-Unigate-Count")),
        (Some("copy"), Some("3"))
    );
    let nothing = [
        "registers",
        "resend",
        "--payee",
        "gorvodokanal",
        "--from",
        "2020-01-01",
        "--to",
        "2020-01-02",
    ];
    failed(&unigate(&world, &nothing).await, 1, "no payments");
    assert_eq!(audited(&world, "registers build").await.len(), 3);
    assert_eq!(
        audited(&world, "registers resend").await.len(),
        2,
        "what was refused is audited too"
    );
    assert_eq!(audited(&world, "registers save").await.len(), 2);
    assert!(process.end().await.success());
}

#[tokio::test]
async fn parked_facts_are_looked_at_corrected_and_settled() {
    let world = bare().await;
    world.payee(UTILITY).await;
    let process = Process::start_ready(&environment(&world, &[]), &["run", "intake"]).await;
    let (wrong, lost) = (new_id(), new_id());
    let payment = with(utility_payment(&wrong), "account", json!("12"));
    world.tell("payment.accepted", &payment).await;
    let nobody = with(utility_payment(&lost), "payee", json!("nobody"));
    world.tell("payment.accepted", &nobody).await;
    let listed = rows(&world, &["parked", "list"]).await;
    assert_eq!(listed.len(), 2);
    let columns: Vec<&String> = listed[0].as_object().unwrap().keys().collect();
    assert_eq!(
        columns,
        [
            "parked_id",
            "parked_at",
            "routing_key",
            "reason",
            "detail",
            "payment_id",
            "reservation_id"
        ]
    );
    assert_eq!(
        (&listed[0]["payment_id"], &listed[0]["reason"]),
        (&json!(wrong), &json!("invalid_field"))
    );
    let (first, second) = (text(&listed[0]["parked_id"]), text(&listed[1]["parked_id"]));
    let shown = rows(&world, &["parked", "show", first]).await.remove(0);
    assert_eq!(shown["body"], payment.to_string(), "whole");
    assert!(shown["properties"].is_object(), "{shown}");

    let uncorrected = unigate(&world, &["parked", "put-back", first]).await;
    failed(&uncorrected, 1, "invalid_field");
    let files = Files::new();
    let another = files.write("another.json", &utility_payment(&new_id()).to_string());
    failed(
        &unigate(&world, &["parked", "put-back", first, "--body", &another]).await,
        1,
        "payment_id",
    );
    let corrected = files.write(
        "right.json",
        &with(payment.clone(), "account", json!("1920679795")).to_string(),
    );
    done(&world, &["parked", "put-back", first, "--body", &corrected]).await;
    assert_eq!(world.payment(&wrong).await.account, "1920679795");
    assert_eq!(
        world.tell("payment.accepted", &payment).await["outcome"],
        "already_accepted"
    );
    failed(
        &unigate(&world, &["parked", "put-back", first]).await,
        1,
        "no longer parked",
    );

    assert_eq!(
        unigate(&world, &["parked", "discard", second]).await.code,
        Some(2),
        "a reason is required"
    );
    done(&world, &["parked", "discard", second, "--reason", "paid back in cash"]).await;
    assert_eq!(
        world.tell("payment.accepted", &nobody).await["reason"],
        "settled_by_operator"
    );
    assert!(rows(&world, &["parked", "list"]).await.is_empty());
    assert_eq!(rows(&world, &["parked", "list", "--all"]).await.len(), 2);
    assert_eq!(
        audited(&world, "parked discard").await,
        [vec![Some(second.to_owned()), Some("t".to_owned())]]
    );
    let put_back = audited(&world, "parked put-back").await;
    assert_eq!(
        put_back.iter().filter(|act| act[1].as_deref() == Some("t")).count(),
        2,
        "{put_back:?}"
    );
    assert_eq!(
        put_back.iter().filter(|act| act[1].as_deref() == Some("f")).count(),
        2,
        "{put_back:?}"
    );
    assert_eq!(payments::count_by_state(world.store()).await.unwrap().len(), 1);
    assert!(process.end().await.success());
}
