//! Payees' own databases: one suite for every kind, the whole way from a terminal's message to a row of the payee's and back.

mod accounts;
mod apart;
pub(crate) mod books;
mod commands;
mod dialogues;
mod encodings;
mod examples;
mod faults;
mod injections;
mod kills;
mod lists;
mod mysql;
mod named;
#[cfg(feature = "odbc")]
mod odbc;
mod once;
mod outgoing;
mod promised;
mod references;
mod revoked;
mod rights;
mod troubles;
mod unreached;

use serde_json::{Value, json};
use unigate::workers::Worker;

use crate::fixtures::{new_id, now};
use crate::world::{World, refused};
use books::{Backend, Books};

pub(crate) const WORKERS: [Worker; 2] = [Worker::Intake, Worker::Databases];

/// A utility whose debts and readings lie in a database at `url`.
pub(crate) fn utility(id: &str, url: &str, more: &str) -> String {
    format!(
        r#"
        id = "{id}"
        name = "Водоканал"
        gateway = "databases"
        currency = "RUB"
        account = {{ pattern = "^.{{1,200}}$" }}
        amount = {{ min = 100, max = 10000000 }}
        [databases]
        url = "{url}"
        amount_as = "decimal"
        timeout_seconds = 4
        retry_seconds = [1]
        probe_seconds = 1
        types = {{ meter_cold = "integer" }}
        {more}
        [databases.messages]
        account_not_found = "Лицевой счёт не найден"
        [databases.check]
        display = "Уважаемый {{{{ name }}}}!{{% if amount_due is defined %}} К оплате {{{{ amount_due | money(\",\") }}}}{{% endif %}}"
        carry = ["tariff"]
        [[databases.check.statement]]
        sql = "select name, debt as amount_due, state, last_cold, 'T-' || account as tariff from accounts where account = :account"
        when = [{{ column = "state", is = ["closed"], then = "refused: account_inactive" }}]
        [[databases.check.statement.ask]]
        name = "meter_cold"
        label = "Холодная вода{{% if last_cold is defined %}}, было {{{{ last_cold }}}}{{% endif %}}"
        pattern = "^[0-9]{{1,6}}$"
        required = true
        at_least = "last_cold"
        [[databases.pay.statement]]
        sql = "insert into payments (number, account, amount, paid_at, cold, note) values (:number, :account, :amount, :paid_at, :meter_cold, :tariff)"
        unique = true
        [[databases.pay.statement]]
        sql = "update accounts set debt = debt - :amount where account = :account"
        [[databases.status.statement]]
        sql = "select amount, cancelled from payments where number = :number"
        when = [{{ column = "cancelled", is = ["1"], then = "cancelled" }}]
        [[databases.cancel.statement]]
        sql = "update payments set cancelled = 1 where number = :number and cancelled = 0"
        [[databases.cancel.statement]]
        sql = "update accounts set debt = debt + :amount where account = :account"
        [[databases.list.statement]]
        sql = "select number, amount, paid_at as credited_at, note as provider_reference from payments where cancelled = 0 and paid_at >= :from and paid_at < :to and number > :after order by number limit :limit"
    "#
    )
}

pub(crate) fn check(payee: &str, account: &str, fields: &Value) -> Value {
    json!({"payment_id": new_id(), "terminal": "T-0001", "payee": payee, "account": account, "fields": fields})
}

pub(crate) fn payment(id: &str, payee: &str, account: &str, fields: &Value) -> Value {
    json!({"payment_id": id, "terminal": "T-0001", "payee": payee, "account": account, "fields": fields,
        "amount": 15_000, "currency": "RUB", "paid_at": now()})
}

/// Takes a payment and returns its id.
pub(crate) async fn pay(world: &World, payee: &str, account: &str) -> String {
    let id = new_id();
    let fields = json!({"meter_cold": "130", "tariff": "T-1"});
    let answer = world
        .tell("payment.accepted", &payment(&id, payee, account, &fields))
        .await;
    assert_eq!(answer["outcome"], "accepted", "{answer}");
    id
}

async fn world(books: &Books) -> World {
    let world = World::start(&WORKERS).await;
    world.payee(&utility("vodokanal", books.url.as_str(), "")).await;
    world
}

/// The conformance suite of sources: what every database has to do in the same way.
async fn conforms(backend: Backend) {
    let books = Books::utility(backend).await;
    conforms_by(&books, books.url.as_str()).await;
}

/// The same by another way to that database.
async fn conforms_by(books: &Books, url: &str) {
    let world = World::start(&WORKERS).await;
    let declared = utility("vodokanal", url, "");
    world.payee(&declared).await;
    a_dialogue(&world).await;
    entered_once_and_taken_back(&world, books).await;
    hostile_fields(&world, books).await;
    lists::are_compared(&world, books, &declared).await;
    world.stop().await;
}

async fn a_dialogue(world: &World) {
    let asked = |account: &'static str, fields: Value| async move {
        world.ask("payment.check", &check("vodokanal", account, &fields)).await
    };
    let first = asked("1001", json!({})).await;
    assert_eq!(
        (&first["outcome"], &first["amount_due"]),
        (&json!("ask"), &json!(125_040)),
        "{first}"
    );
    assert_eq!(first["display"], "Уважаемый Иванов И. И.! К оплате 1 250,40");
    let label = first["ask"][0]["label"].as_str().unwrap();
    assert!(label.starts_with("Холодная вода, было 123.5"), "{label}");
    assert!(first["ask"][0]["required"].as_bool().unwrap() && first["ask"][0]["name"] == "meter_cold");
    let backwards = asked("1001", json!({"meter_cold": "123"})).await;
    refused(&backwards, "invalid_field", "");
    let then = asked("1001", json!({"meter_cold": "124"})).await;
    assert_eq!(then["outcome"], "payable", "{then}");
    assert_eq!(then["fields"], json!({"tariff": "T-1001"}));
    let nothing_due = asked("1002", json!({"meter_cold": "5"})).await;
    assert_eq!(
        (&nothing_due["outcome"], &nothing_due["amount_due"]),
        (&json!("payable"), &Value::Null)
    );
    assert_eq!(nothing_due["display"], "Уважаемый O'Hara!");
    let closed = asked("1003", json!({})).await;
    refused(&closed, "account_inactive", "");
    let unknown = asked("9999", json!({})).await;
    refused(&unknown, "account_not_found", "");
    assert_eq!(unknown["detail"], "Лицевой счёт не найден");
}

async fn entered_once_and_taken_back(world: &World, books: &Books) {
    let id = pay(world, "vodokanal", "1001").await;
    let row = world.reaches(&id, "delivered").await;
    assert!(row.flags.is_empty() && row.last_error.is_none(), "{row:?}");
    let text = "select concat(account, '|', amount, '|', cold, '|', note) from payments";
    assert_eq!(
        books.value(text).await,
        "1001|150|130|T-1".replace("150|", books.shown("150.00|", "150|"))
    );
    assert_eq!(
        books
            .count("select count(*) from accounts where account = '1001' and debt = 1100.40")
            .await,
        1
    );
    // Sent once more, as after a lost answer: the key keeps it out, and status says how it stands.
    world
        .sql("UPDATE payment SET state = 'waiting', next_act = 'pay', due_at = now(), generation = generation + 1")
        .await;
    world.context.nudge(runtime::Nudge::Entries);
    world.reaches(&id, "delivered").await;
    assert_eq!(
        books
            .count("select count(*) from accounts where account = '1001' and debt = 1100.40")
            .await,
        1
    );
    // What the payee may have, and an operator has not settled, is taken back there.
    world
        .sql("UPDATE payment SET state = 'unknown', next_act = NULL, due_at = NULL, maybes = 1, generation = generation + 1")
        .await;
    let revoke = json!({"payment_id": id, "terminal": "T-0001", "reason": "the payer's mistake"});
    let answer = world.tell("payment.revoke", &revoke).await;
    assert_eq!(answer["outcome"], "revoking", "{answer}");
    world.reaches(&id, "revoked").await;
    assert_eq!(
        books.count("select count(*) from payments where cancelled = 1").await,
        1
    );
    assert_eq!(
        books
            .count("select count(*) from accounts where account = '1001' and debt = 1250.40")
            .await,
        1
    );
}

impl Books {
    /// How SQLite shows what the others do not.
    fn shown(&self, others: &'static str, sqlite: &'static str) -> &'static str {
        if self.backend == Backend::Sqlite {
            sqlite
        } else {
            others
        }
    }
}

/// Whatever is typed stays a value: it changes no statement, and arrives as it was typed.
async fn hostile_fields(world: &World, books: &Books) {
    for hostile in [
        "'; drop table payments; --",
        "1001' or '1'='1",
        "\" or \"\"=\"",
        "1); delete from accounts; --",
        "\\'; delete from accounts; #",
        ":account $1 ?1 ? @a {{ name }} %s",
        "Ω≈ç√ 'кавычки' «ёлочки» 😀",
    ] {
        let asked = world
            .ask(
                "payment.check",
                &check("vodokanal", hostile, &json!({"meter_cold": "1", "tariff": hostile})),
            )
            .await;
        refused(&asked, "account_not_found", "");
        let id = new_id();
        let told = payment(
            &id,
            "vodokanal",
            hostile,
            &json!({"meter_cold": "1", "tariff": hostile}),
        );
        assert_eq!(world.tell("payment.accepted", &told).await["outcome"], "accepted");
        // No account: the second statement touches nothing, and the first is undone with it.
        let row = world.reaches(&id, "refused").await;
        assert!(row.last_error.unwrap().contains("account_not_found"), "{hostile}");
        let told = payment(
            &new_id(),
            "vodokanal",
            "1002",
            &json!({"meter_cold": "1", "tariff": hostile}),
        );
        assert_eq!(world.tell("payment.accepted", &told).await["outcome"], "accepted");
        world.reaches(told["payment_id"].as_str().unwrap(), "delivered").await;
        let note = "select note from payments order by number desc limit 1";
        assert_eq!(books.value(note).await, hostile);
    }
    assert_eq!(books.count("select count(*) from accounts").await, 3);
    assert_eq!(books.count("select count(*) from payments").await, 8);
}

#[tokio::test]
async fn a_payee_on_sqlite_conforms() {
    conforms(Backend::Sqlite).await;
}

#[tokio::test]
async fn a_payee_on_postgres_conforms() {
    conforms(Backend::Postgres).await;
}

#[tokio::test]
async fn a_payee_on_mariadb_conforms() {
    conforms(Backend::Mariadb).await;
}

#[tokio::test]
async fn two_hundred_and_fifty_six_terminals_ask_at_once() {
    let books = Books::utility(Backend::Postgres).await;
    let world = world(&books).await;
    let ask = |_| {
        world.ask_owned(
            "payment.check",
            check("vodokanal", "1001", &json!({"meter_cold": "200"})),
        )
    };
    let answers = futures::future::join_all((0..256).map(ask)).await;
    for answer in &answers {
        assert_eq!(answer["outcome"], "payable", "{answer}");
    }
    world.stop().await;
}

#[tokio::test]
async fn wrong_types_are_told_to_the_operator_and_not_to_the_payer() {
    let books = Books::utility(Backend::Postgres).await;
    let world = World::start(&WORKERS).await;
    let broken = utility("vodokanal", books.url.as_str(), "").replace(
        "where account = :account\"\n        when",
        "where debt = :account\"\n        when",
    );
    world.payee(&broken).await;
    let answer = world
        .ask("payment.check", &check("vodokanal", "1001", &json!({})))
        .await;
    assert_eq!(answer["outcome"], "unavailable", "{answer}");
    assert!(!answer.to_string().contains("numeric"), "{answer}");
    let wrong = utility("vodokanal", books.url.as_str(), "").replace(
        "values (:number, :account, :amount, :paid_at,",
        "values (:number, :account, :paid_at, :amount,",
    );
    world.payee(&wrong).await;
    let id = pay(&world, "vodokanal", "1001").await;
    let row = world.reaches(&id, "waiting").await;
    let error = row.last_error.unwrap_or_default();
    assert!(
        error.contains("databases.pay.statement[0]") && error.contains("42804"),
        "{error}"
    );
    assert_eq!(books.count("select count(*) from payments").await, 0);
    // Set right by the operator, it goes through by itself.
    world.payee(&utility("vodokanal", books.url.as_str(), "")).await;
    world.hurry().await;
    world.reaches(&id, "delivered").await;
    world.stop().await;
}
