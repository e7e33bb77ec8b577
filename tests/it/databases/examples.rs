//! The examples, played against servers and files like those they are about.

use std::path::{Path, PathBuf};

use domain::PaymentId;
use domain::payment::PaymentState;
use serde_json::json;
use store::deliveries;
use testkit::wait_for;

use super::books::{Backend, Books};
use super::{WORKERS, check, payment};
use crate::cli::unigate;
use crate::fixtures::new_id;
use crate::world::{PATIENCE, World, refused};

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples/databases")
        .join(name);
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn a_utility_is_paid_with_its_meter_read() {
    let books = Books::empty(Backend::Postgres).await;
    books.script(&example("utility.postgres.sql")).await;
    let world = World::start(&WORKERS).await;
    let scenario = example("utility.toml")
        .replace("env:VODOKANAL_URL", books.url.as_str())
        .replace("env:VODOKANAL_READ_URL", books.url.as_str());
    world.payee(&scenario).await;
    let asked = world
        .ask("payment.check", &check("vodokanal", "100200300", &json!({})))
        .await;
    assert_eq!(asked["outcome"], "ask", "{asked}");
    assert_eq!(
        asked["display"],
        "Иванов Иван Иванович, ул. Речная, 5, кв. 12.\nК оплате 1 250,40 руб."
    );
    assert_eq!(asked["ask"][0]["label"], "Показание счётчика холодной воды (было 123)");
    let closed = world
        .ask("payment.check", &check("vodokanal", "100200302", &json!({})))
        .await;
    refused(&closed, "account_inactive", "Лицевой счёт закрыт");
    for (reading, kept) in [("130", "130"), ("125", "130")] {
        let id = new_id();
        let told = payment(&id, "vodokanal", "100200300", &json!({"meter_cold": reading}));
        assert_eq!(world.tell("payment.accepted", &told).await["outcome"], "accepted");
        world.reaches(&id, "delivered").await;
        let now = "select reading::text from meters where account = '100200300'";
        assert_eq!(books.value(now).await, kept, "no reading goes back");
    }
    assert_eq!(
        books
            .value("select debt::text from customers where account = '100200300'")
            .await,
        "950.40"
    );
    world.stop().await;
}

/// How often a payment was asked about, and what was told the last time.
async fn last_asked(world: &World, id: &str) -> (usize, String) {
    let attempts = deliveries::attempts(world.store(), PaymentId::parse(id).unwrap()).await;
    let told: Vec<String> = attempts
        .unwrap()
        .into_iter()
        .filter_map(|attempt| attempt.result)
        .collect();
    (told.len(), told.last().cloned().unwrap_or_default())
}

#[tokio::test]
async fn a_providers_inbox_is_acknowledged_by_its_own_job() {
    let books = Books::empty(Backend::Mariadb).await;
    books.script(&example("provider.mariadb.sql")).await;
    let world = World::start(&WORKERS).await;
    world
        .payee(&example("provider.toml").replace("env:NETLINE_URL", books.url.as_str()))
        .await;
    let blocked = world
        .ask("payment.check", &check("netline", "blocked-1", &json!({})))
        .await;
    refused(&blocked, "account_inactive", "");
    let asked = world
        .ask("payment.check", &check("netline", "ivanov-17", &json!({})))
        .await;
    assert_eq!(asked["display"], "Договор Иванов И. И., баланс 120.50 руб.");
    let (posted, refused_there) = (new_id(), new_id());
    for id in [&posted, &refused_there] {
        let told = payment(id, "netline", "ivanov-17", &json!({}));
        assert_eq!(world.tell("payment.accepted", &told).await["outcome"], "accepted");
        world.reaches(id, "waiting").await;
    }
    assert_eq!(
        books
            .count("select count(*) from payments_inbox where processed = 0")
            .await,
        2
    );
    // In work, not looked at, and what nobody has told us the meaning of: none of it is the money's arrival.
    books
        .script("alter table payments_inbox modify processed tinyint")
        .await;
    for (mark, word) in [("2", "pending"), ("null", "pending"), ("7", "retry"), ("0", "pending")] {
        books
            .script(&format!("update payments_inbox set processed = {mark}"))
            .await;
        for id in [&posted, &refused_there] {
            let before = last_asked(&world, id).await.0;
            let told = wait_for("it is asked about", PATIENCE, async || {
                world.hurry().await;
                let (count, told) = last_asked(&world, id).await;
                // One that was on its way does not count.
                (count > before + 1).then_some(told)
            });
            assert_eq!(told.await, word, "processed = {mark}");
            assert_eq!(
                world.payment(id).await.state,
                PaymentState::Waiting,
                "processed = {mark}"
            );
        }
    }
    books
        .script(
            "update payments_inbox set processed = 1 order by number limit 1;
             update payments_inbox set processed = 2, error = 'договор расторгнут' where processed = 0",
        )
        .await;
    wait_for("both are decided", PATIENCE, async || {
        world.hurry().await;
        let (one, other) = (world.payment(&posted).await, world.payment(&refused_there).await);
        let decided = |state: PaymentState| state != PaymentState::Waiting;
        (decided(one.state) && decided(other.state)).then_some(())
    })
    .await;
    let posted = world.reaches(&posted, "delivered").await;
    assert!(posted.provider_reference.is_some(), "{posted:?}");
    let error = world.reaches(&refused_there, "refused").await.last_error.unwrap();
    assert!(error.contains("refused_by_billing"), "{error}");
    world.stop().await;
}

/// A file of one test, gone with it.
struct Workbook(PathBuf);

impl Workbook {
    fn of(rows: &[[&str; 4]]) -> Self {
        let path = std::env::temp_dir().join(format!("unigate-test-{}.xlsx", uuid::Uuid::new_v4().simple()));
        let written = Self(path);
        written.write(rows);
        written
    }

    fn write(&self, rows: &[[&str; 4]]) {
        let mut book = rust_xlsxwriter::Workbook::new();
        let sheet = book.add_worksheet();
        sheet.set_name("Постановления").unwrap();
        sheet.write(0, 0, "Список на сегодня").unwrap();
        let heading = ["Номер постановления", "ФИО", "Статья", "Сумма"];
        for (line, row) in [heading].iter().chain(rows).enumerate() {
            for (column, value) in row.iter().enumerate() {
                let (line, column) = (line as u32 + 2, column as u16);
                match value.parse::<f64>() {
                    Ok(number) if value.len() < 10 => sheet.write(line, column, number).unwrap(),
                    _ => sheet.write(line, column, *value).unwrap(),
                };
            }
        }
        book.save(&self.0).unwrap();
    }
}

impl Drop for Workbook {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn fines_are_found_in_a_workbook_and_in_the_one_that_takes_its_place() {
    let order = |n: u32| format!("188101770123456789{n:02}");
    let (first, second) = (order(1), order(2));
    let book = Workbook::of(&[[&first, "Сидоров С. С.", "12.9 ч.2", "500"]]);
    let world = World::start(&WORKERS).await;
    let path = book.0.to_str().unwrap();
    let scenario = example("fines.toml")
        .replace("/srv/payees/fines/fines.xlsx", path)
        .replace("refresh_seconds = 10", "refresh_seconds = 1");
    world.payee(&scenario).await;
    let asked = world.ask("payment.check", &check("fines", &first, &json!({}))).await;
    assert_eq!(asked["display"], "Сидоров С. С., 12.9 ч.2: к оплате 500,00 руб.");
    assert_eq!(
        (&asked["min_amount"], &asked["max_amount"]),
        (&json!(50_000), &json!(50_000))
    );
    let other = world.ask("payment.check", &check("fines", &second, &json!({}))).await;
    refused(&other, "account_not_found", "Постановление не найдено");
    // Cut off in the middle: what was there stays, and people are told.
    let whole = std::fs::read(&book.0).unwrap();
    std::fs::write(&book.0, &whole[..whole.len() / 2]).unwrap();
    let notices = "SELECT count(*) FROM notice WHERE kind = 'payee.file_refused' AND subject = 'fines'";
    wait_for("the file is told of", PATIENCE, async || {
        (world.value(notices).await == "1").then_some(())
    })
    .await;
    let still = world.ask("payment.check", &check("fines", &first, &json!({}))).await;
    assert_eq!(still["outcome"], "payable", "{still}");
    let file = async || {
        let doctor = unigate(&world, &["doctor", "--format", "json"]).await;
        doctor
            .rows()
            .into_iter()
            .find(|row| row["check"] == "file of fines")
            .unwrap()
    };
    assert_eq!(file().await["result"], "warn");
    book.write(&[
        [&first, "Сидоров С. С.", "12.9 ч.2", "500"],
        [&second, "Ким А.", "12.16", "1000.5"],
    ]);
    let found = wait_for("the new one is read", PATIENCE, async || {
        let asked = world.ask("payment.check", &check("fines", &second, &json!({}))).await;
        (asked["outcome"] == "payable").then_some(asked)
    });
    assert_eq!(found.await["amount_due"], 100_050);
    assert_eq!(file().await["result"], "ok");
    let id = new_id();
    let told = payment(&id, "fines", &first, &json!({}));
    assert_eq!(world.tell("payment.accepted", &told).await["outcome"], "accepted");
    world.reaches(&id, "delivered").await;
    world.stop().await;
}
