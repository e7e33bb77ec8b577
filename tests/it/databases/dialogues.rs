//! A dialogue of several questions, each held against what the payee knows, the whole way from a terminal and back.

use serde_json::{Value, json};

use super::books::{Backend, Books};
use super::{WORKERS, payment};
use crate::fixtures::new_id;
use crate::world::{World, refused};

/// Cold water is asked for with the account; hot water is a meter of its own table; the way to pay comes last.
fn scenario(url: &str) -> String {
    format!(
        r#"
        id = "vodokanal"
        name = "Водоканал"
        gateway = "databases"
        currency = "RUB"
        account = {{ pattern = "^[0-9]{{4}}$" }}
        amount = {{ min = 100, max = 10000000 }}
        [databases]
        url = "{url}"
        amount_as = "decimal"
        types = {{ cold = "integer", hot = "integer" }}
        [databases.messages]
        no_hot_water = "Горячей воды по этому счёту нет"
        [databases.check]
        display = "{{{{ name }}}}: к оплате {{{{ amount_due | money(\",\") }}}} руб."
        [[databases.check.statement]]
        sql = "select name, last_cold from houses where account = :account"
        [[databases.check.statement.ask]]
        name = "cold"
        label = "Холодная вода, было {{{{ last_cold }}}}"
        pattern = "^[0-9]{{1,6}}$"
        required = true
        at_least = "last_cold"
        [[databases.check.statement]]
        sql = "select last_hot, last_hot + 100 as most_hot from hot where account = :account"
        none = "refused: no_hot_water"
        [[databases.check.statement.ask]]
        name = "hot"
        label = "Горячая вода, было {{{{ last_hot }}}}"
        pattern = "^[0-9]{{1,6}}$"
        required = true
        at_least = "last_hot"
        at_most = "most_hot"
        [[databases.check.statement]]
        sql = "select (:cold - last_cold) * 40 + (:hot - last_hot) * 150.5 as amount_due from houses join hot using (account) where account = :account"
        [[databases.check.statement.ask]]
        name = "plan"
        label = "В рассрочку (да или нет)?"
        pattern = "^(да|нет)$"
        required = true
        [[databases.pay.statement]]
        sql = "insert into payments (number, account, amount, cold, hot, plan) values (:number, :account, :amount, :cold, :hot, :plan)"
        unique = true
        [[databases.pay.statement]]
        sql = "update houses set last_cold = :cold where account = :account and last_cold <= :cold"
        [[databases.pay.statement]]
        sql = "update hot set last_hot = :hot where account = :account and last_hot <= :hot"
        [[databases.status.statement]]
        sql = "select amount from payments where number = :number"
        "#
    )
}

const TABLES: &str = "
    create table houses (account varchar(20) primary key, name varchar(100), last_cold integer not null);
    create table hot (account varchar(20) primary key, last_hot integer not null);
    create table payments (number bigint primary key, account varchar(20) not null, amount decimal(12,2) not null,
        cold integer not null, hot integer not null, plan varchar(10) not null);
    insert into houses values ('1001', 'Ёлкина А. Я.', 123), ('1002', 'Ким', 5);
    insert into hot values ('1001', 40);";

/// What the terminal is told, in a line.
fn in_short(answer: &Value) -> String {
    let asked = answer["ask"].as_array().into_iter().flatten();
    let asked: Vec<_> = asked.map(|ask| ask["label"].as_str().unwrap()).collect();
    let display = answer["display"].as_str().unwrap_or_default();
    format!(
        "{} [{}] {display}",
        answer["outcome"].as_str().unwrap(),
        asked.join(", ")
    )
}

async fn is_held(backend: Backend) {
    let books = Books::empty(backend).await;
    books.script(TABLES).await;
    let world = World::start(&WORKERS).await;
    world.payee(&scenario(books.url.as_str())).await;
    let payment_id = new_id();
    let asked = async |account: &str, fields: Value| {
        let body = json!({"payment_id": payment_id, "terminal": "T-0001", "payee": "vodokanal", "account": account,
            "fields": fields});
        world.ask("payment.check", &body).await
    };
    // Question by question.
    let turn = asked("1001", json!({})).await;
    assert_eq!(in_short(&turn), "ask [Холодная вода, было 123] ");
    refused(&asked("1001", json!({"cold": "122"})).await, "invalid_field", "");
    let turn = asked("1001", json!({"cold": "130"})).await;
    assert_eq!(in_short(&turn), "ask [Горячая вода, было 40] ");
    for wrong in ["39", "141", "4x"] {
        let turn = asked("1001", json!({"cold": "130", "hot": wrong})).await;
        refused(&turn, "invalid_field", "");
        assert!(turn["detail"].as_str().unwrap().contains("fields.hot"), "{turn}");
    }
    let turn = asked("1001", json!({"cold": "130", "hot": "42"})).await;
    assert_eq!(
        in_short(&turn),
        "ask [В рассрочку (да или нет)?] Ёлкина А. Я.: к оплате 581,00 руб."
    );
    refused(
        &asked("1001", json!({"cold": "130", "hot": "42", "plan": "maybe"})).await,
        "invalid_field",
        "",
    );
    let turn = asked("1001", json!({"cold": "130", "hot": "42", "plan": "нет"})).await;
    assert_eq!(in_short(&turn), "payable [] Ёлкина А. Я.: к оплате 581,00 руб.");
    assert_eq!(turn["amount_due"], 58_100);
    // Back to the first question: what follows from it is reckoned anew.
    let turn = asked("1001", json!({"cold": "131", "hot": "42", "plan": "нет"})).await;
    assert_eq!(turn["amount_due"], 62_100, "{turn}");
    // An answer that was skipped is asked for, whatever was answered after it.
    let turn = asked("1001", json!({"hot": "42", "plan": "нет"})).await;
    assert_eq!(in_short(&turn), "ask [Холодная вода, было 123] ");
    // In the middle it may turn out that there is nothing to be paid.
    let turn = asked("1002", json!({"cold": "7"})).await;
    refused(&turn, "refused_by_payee", "");
    assert_eq!(turn["detail"], "Горячей воды по этому счёту нет");
    let fields = json!({"cold": "131", "hot": "42", "plan": "нет"});
    let told = payment(&payment_id, "vodokanal", "1001", &fields);
    assert_eq!(world.tell("payment.accepted", &told).await["outcome"], "accepted");
    world.reaches(&payment_id, "delivered").await;
    let kept = "select concat(cold, '|', hot, '|', plan) from payments";
    assert_eq!(books.value(kept).await, "131|42|нет");
    // The next payer's readings are held against these.
    let turn = asked("1001", json!({"cold": "130"})).await;
    refused(&turn, "invalid_field", "");
    world.stop().await;
}

#[tokio::test]
async fn a_dialogue_of_three_questions_is_held_on_postgres() {
    is_held(Backend::Postgres).await;
}

#[tokio::test]
async fn a_dialogue_of_three_questions_is_held_on_mariadb() {
    is_held(Backend::Mariadb).await;
}

#[tokio::test]
async fn a_dialogue_of_three_questions_is_held_on_sqlite() {
    is_held(Backend::Sqlite).await;
}
