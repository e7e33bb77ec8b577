//! What an operator asks of registers: when they come, in which one a payment is and why, what a payee was paid.

use domain::declaration::Gateway;
use domain::ids::PaymentId;
use serde_json::{Value, json};
use store::payments::{self, Numbers};
use testkit::wait_for;
use unigate::workers::Worker;
use uuid::Uuid;

use crate::cards_report::{read_by_python, waits_until_settled};
use crate::cli::{Files, done, failed, rows, unigate};
use crate::fixtures::{UTILITY, about, internet_provider, new_id, online_payment, utility_payment};
use crate::registers::{unzip, utility};
use crate::transactions::accept_in;
use crate::world::{PATIENCE, World, end, with};

/// The utility with a series of its own for those who enter a meter, closed by threes, and for kiosks of a group.
const SERIES: &str = r#"
    [[register.series]]
    name = "meters"
    when = { field = "meter_cold", pattern = ".+" }
    every_payments = 3
    [[register.series]]
    name = "center"
    when = { terminal_groups = ["center"] }
"#;

async fn world() -> World {
    let world = World::start(&[Worker::Intake]).await;
    world.payee(&format!("{UTILITY}{SERIES}")).await;
    world
        .terminal("id = \"T-0002\"\ngroup = \"center\"\nusers = [\"guest\"]")
        .await;
    world
}

/// Pays and says the payment's id.
async fn pay(world: &World, terminal: &str, meter: Option<&str>) -> String {
    let id = new_id();
    let mut fields = json!({ "payer": "Иванов И. И." });
    if let Some(meter) = meter {
        fields["meter_cold"] = json!(meter);
    }
    let payment = with(
        with(utility_payment(&id), "fields", fields),
        "terminal",
        json!(terminal),
    );
    let answer = world.tell("payment.accepted", &payment).await;
    assert_eq!(answer["outcome"], "accepted", "{answer}");
    id
}

async fn explained(world: &World, id: &str) -> Value {
    rows(world, &["registers", "explain", id]).await.remove(0)
}

fn says(explained: &Value, words: &[&str]) {
    let why = explained["why"].as_str().unwrap();
    assert!(words.iter().all(|word| why.contains(word)), "{why}: {words:?}");
}

#[tokio::test]
async fn each_payment_is_in_one_series_and_the_schedule_says_when_it_goes() {
    let world = world().await;
    let meter = pay(&world, "T-0002", Some("00123")).await;
    let center = pay(&world, "T-0002", None).await;
    let main = pay(&world, "T-0001", None).await;
    pay(&world, "T-0001", Some("00124")).await;

    let listed = rows(&world, &["registers", "schedule", "gorvodokanal", "--next", "2"]).await;
    let shown = |row: &Value| format!("{} {} {}", row["series"], row["cause"], row["open"]).replace('"', "");
    assert_eq!(
        listed.iter().map(shown).collect::<Vec<_>>(),
        [
            "main schedule 1",
            "main schedule 1",
            "meters payments 2",
            "center schedule 1",
            "center schedule 1"
        ]
    );
    let cutoff = listed[0]["cutoff"].as_str().unwrap();
    assert!(cutoff.ends_with("T00:00:00+03:00"), "{cutoff}");
    failed(
        &unigate(&world, &["registers", "schedule", "nobody"]).await,
        1,
        "has no registers",
    );

    let main_one = explained(&world, &main).await;
    assert_eq!(
        (&main_one["series"], &main_one["register"]),
        (&json!("main"), &Value::Null)
    );
    says(
        &main_one,
        &["not in a register yet", &format!("Its cut-off comes at {cutoff}")],
    );
    says(&explained(&world, &center).await, &["into the series center"]);
    let meter_one = explained(&world, &meter).await;
    says(&meter_one, &["when 3 payments are open", "number 1 of those"]);

    // One more, and a worker closes it by its count.
    let last = pay(&world, "T-0001", Some("00125")).await;
    registers::close_all_due(world.store()).await.unwrap();
    let full = explained(&world, &last).await;
    assert_eq!(
        (&full["state"], &full["register"]["sequence"]),
        (&json!("registered"), &json!(1))
    );
    says(
        &full,
        &[
            "closed by its count: 3 payments were open",
            "No register of the series was closed before",
            "not built yet",
        ],
    );
    world.stop().await;
}

#[tokio::test]
async fn a_payment_is_explained_by_what_happened_to_it() {
    let world = world().await;
    let first = pay(&world, "T-0001", None).await;
    let taken_back = pay(&world, "T-0001", None).await;
    world.tell("payment.revoke", &about("payment_id", &taken_back)).await;
    says(
        &explained(&world, &taken_back).await,
        &["was revoked, so it is in no file"],
    );
    done(&world, &["registers", "build", "gorvodokanal"]).await;
    let later = pay(&world, "T-0001", None).await;
    done(&world, &["payees", "suspend", "gorvodokanal", "--reason", "audit"]).await;
    let waiting = pay(&world, "T-0001", None).await;
    says(&explained(&world, &waiting).await, &["suspended since"]);
    done(&world, &["payees", "resume", "gorvodokanal", "--reason", "done"]).await;
    done(&world, &["registers", "build", "gorvodokanal"]).await;

    says(&explained(&world, &first).await, &["was closed by tester"]);
    says(
        &explained(&world, &later).await,
        &[
            "The register before, 1, ends at",
            "before that",
            "Register 2 was closed by tester",
        ],
    );
    let waited = explained(&world, &waiting).await;
    says(
        &waited,
        &["The payee was suspended from", "Register 2 was closed by tester"],
    );
    assert_eq!(waited["copies"], json!([]));
    done(
        &world,
        &[
            "registers",
            "resend",
            "--payee",
            "gorvodokanal",
            "--from",
            "2020-01-01",
            "--to",
            "2099-01-01",
        ],
    )
    .await;
    assert_eq!(explained(&world, &waiting).await["copies"].as_array().unwrap().len(), 1);

    world.payee(&internet_provider("http://127.0.0.1:9/", "")).await;
    let id = new_id();
    world.tell("payment.accepted", &online_payment(&id)).await;
    says(
        &explained(&world, &id).await,
        &["is served online and gets no registers"],
    );
    failed(
        &unigate(&world, &["registers", "explain", &new_id()]).await,
        1,
        "is unknown",
    );
    world.stop().await;
}

#[tokio::test]
async fn a_statement_agrees_with_the_registers_and_with_its_spreadsheet() {
    let world = world().await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(pay(&world, "T-0001", None).await);
    }
    ids.push(pay(&world, "T-0001", Some("00123")).await);
    world.tell("payment.revoke", &about("payment_id", &ids[3])).await;
    // The first two on the day before in Moscow, a second before its midnight.
    world
        .sql(&format!(
            "UPDATE payment SET accepted_at = '2026-11-23T20:59:59Z' WHERE payment_id IN ('{}', '{}');
             UPDATE payment SET accepted_at = '2026-11-23T21:00:00Z' WHERE payment_id NOT IN ('{}', '{}');
             UPDATE series SET last_cutoff = '2026-11-22T21:00:00Z', planned_version = NULL",
            ids[0], ids[1], ids[0], ids[1]
        ))
        .await;
    registers::close_all_due(world.store()).await.unwrap();
    let period = [
        "registers",
        "statement",
        "gorvodokanal",
        "--from",
        "2026-11-23",
        "--to",
        "2026-11-25",
    ];
    let stated = rows(&world, &period).await;
    let shown = |row: &Value| {
        let of = |key: &str| row[key].to_string().replace('"', "");
        ["day", "series", "sequence", "payments", "amount", "fee", "row"]
            .map(of)
            .join(" ")
    };
    assert_eq!(
        stated.iter().map(shown).collect::<Vec<_>>(),
        [
            "2026-11-23 main 1 2 30000 600 day",
            "2026-11-24 main 2 1 15000 300 day",
            "2026-11-24 meters null 1 15000 300 day",
            "null null null 4 60000 1200 total"
        ]
    );
    let half_open = [
        "registers",
        "statement",
        "gorvodokanal",
        "--from",
        "2026-11-23",
        "--to",
        "2026-11-24",
    ];
    let day = rows(&world, &half_open).await;
    assert_eq!((&day[1]["payments"], &day[1]["amount"]), (&json!(2), &json!(30000)));

    let csv = done(&world, &[&period[..], &["--format", "csv"]].concat()).await.stdout;
    assert_eq!(csv.lines().count(), 5);
    assert!(csv.ends_with(",,,,,4,60000,1200,RUB,total\r\n"), "{csv}");
    let files = Files::new();
    let file = files.path().join("statement.xlsx");
    done(
        &world,
        &[&period[..], &["--xlsx", &file.display().to_string()]].concat(),
    )
    .await;
    let book = read_by_python(&file);
    let totals = book["rows"].as_array().unwrap().last().unwrap();
    let number = |at: usize| totals[at]["number"].as_f64().unwrap();
    assert_eq!((number(5), number(6), number(7)), (4.0, 600.0, 12.0), "{totals}");

    // What a register was frozen with is compared.
    world
        .sql("UPDATE payment SET amount = amount + 1 WHERE state <> 'revoked'")
        .await;
    let wrong = unigate(&world, &period).await;
    failed(&wrong, 1, "registers that say otherwise than their payments");
    failed(
        &unigate(
            &world,
            &[
                "registers",
                "statement",
                "gorvodokanal",
                "--from",
                "2026-11-25",
                "--to",
                "2026-11-23",
            ],
        )
        .await,
        2,
        "ends before it begins",
    );
    world.stop().await;
}

/// A payment bears a time of the period and is committed when the period is over.
#[tokio::test]
async fn a_statement_of_a_period_that_has_just_ended_waits_for_its_last_payment() {
    let world = world().await;
    let tx = world.store().begin().await.unwrap();
    let id = PaymentId::from_uuid(Uuid::now_v7());
    let payee = ("gorvodokanal", Gateway::Registers);
    accept_in(&tx, &Numbers::default(), id, payee).await.unwrap();
    // Whoever asks for it sends it.
    payments::status(&tx, &[id]).await.unwrap();
    let to = domain::clock::now().to_string();
    let statement = ["registers", "statement", payee.0, "--from", "2026-01-01", "--to", &to];
    let (stated, ()) = tokio::join!(rows(&world, &statement), async {
        waits_until_settled(&world).await;
        tx.commit().await.unwrap();
    });
    assert_eq!(stated.last().unwrap()["payments"], 1, "{stated:?}");
    world.stop().await;
}

#[tokio::test]
async fn a_register_that_failed_is_an_alert() {
    let world = world().await;
    pay(&world, "T-0001", None).await;
    done(&world, &["registers", "build", "gorvodokanal"]).await;
    // Not what was frozen: no file of it may go out.
    world.sql("UPDATE payment SET amount = amount + 1").await;
    let worker = world.another(&[Worker::Registers], |_| {}).await;
    let alert = wait_for("an alert", PATIENCE, async || {
        rows(&world, &["notices", "list"]).await.pop()
    })
    .await;
    let failed_one = rows(&world, &["registers", "list"]).await.remove(0);
    assert_eq!(
        (&alert["kind"], &alert["subject"], &failed_one["state"]),
        (&json!("register.failed"), &failed_one["register_id"], &json!("failed"))
    );
    assert!(
        alert["title"].as_str().unwrap().contains("main 000001 (regular)"),
        "{alert}"
    );
    end(&worker).await;
    world.stop().await;
}

#[tokio::test]
async fn a_register_without_payments_is_built_mailed_and_told() {
    let wanted = UTILITY.replace("schedule = \"0 0 * * *\"", "every_seconds = 1\n    send_empty = true");
    let (world, server) = utility(&wanted).await;
    let mut events = world.listen("register.mailed").await;
    let mail = server.wait_for_mails(1, PATIENCE).await.remove(0);
    let headers = ["X-Unigate-Kind", "X-Unigate-Count", "X-Unigate-Total"].map(|name| mail.header(name));
    assert_eq!(headers, [Some("regular"), Some("0"), Some("0")]);
    assert_eq!(mail.attachments[0].file_name, "gorvodokanal-main-000001.csv.zip");
    let (name, text) = unzip(&mail.attachments[0].bytes);
    assert_eq!(
        (&*name, text.lines().count()),
        ("gorvodokanal-main-000001.csv", 1),
        "{text}"
    );
    let register = mail.header("X-Unigate-Register").unwrap();
    let told = events.item("register.mailed", "register_id", register).await;
    assert_eq!(
        (&told["count"], &told["total"], &told["sequence"]),
        (&json!(0), &json!(0), &json!(1))
    );
    world.stop().await;
}
