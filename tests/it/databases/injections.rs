//! Whatever comes from outside is bound, under every name that a statement may use, and arrives as it was sent.

use serde_json::json;

use super::WORKERS;
use super::books::{Backend, Books};
use crate::fixtures::{new_id, now};
use crate::world::World;

/// Every name there is, written down.
fn scribe(url: &str) -> String {
    format!(
        r#"
        id = "scribe"
        name = "Писарь"
        gateway = "databases"
        currency = "RUB"
        account = {{ pattern = "^.{{1,200}}$" }}
        amount = {{ min = 100, max = 10000000 }}
        [[field]]
        name = "remark"
        label = "Примечание"
        pattern = "^.*$"
        required = false
        [databases]
        url = "{url}"
        amount_as = "decimal"
        time_zone = "UTC"
        [[databases.pay.statement]]
        sql = "insert into written (number, payment_id, account, terminal, amount, fee, currency, remark, fields) values (:number, :payment_id, :account, :terminal, :amount, :fee, :currency, :remark, :fields)"
        unique = true
        [[databases.status.statement]]
        sql = "select amount, reason from written where number = :number"
        [[databases.cancel.statement]]
        sql = "update written set reason = :reason where number = :number and account = :account and remark = :remark and fields = :fields"
        "#
    )
}

const TABLES: &str = "
    create table written (number bigint primary key, payment_id varchar(40), account varchar(200), terminal varchar(70),
        amount decimal(12,2), fee decimal(12,2), currency varchar(3), remark varchar(600), fields varchar(2000), reason varchar(600));
    create table bait (n integer);";

const HOSTILE: [&str; 6] = [
    "'; drop table bait; --",
    "\\'; drop table bait; #",
    "\"); delete from written; /*",
    "' or 1=1 union select '1",
    ":number ?1 $1 @x {{ account }} %s %27",
    "Ёж «ёлочка» 😀 Ω",
];

async fn is_only_written_down(backend: Backend) {
    let books = Books::empty(backend).await;
    let uuid = if backend == Backend::Postgres {
        "uuid"
    } else {
        "varchar(40)"
    };
    books
        .script(&TABLES.replace("payment_id varchar(40)", &format!("payment_id {uuid}")))
        .await;
    let world = World::start(&WORKERS).await;
    world.payee(&scribe(books.url.as_str())).await;
    for (nth, hostile) in HOSTILE.into_iter().enumerate() {
        let id = new_id();
        let told = json!({"payment_id": id, "terminal": "T-0001", "payee": "scribe", "account": hostile,
            "fields": {"remark": hostile}, "amount": 15_000, "fee": 305, "currency": "RUB",
            "paid_at": now(), "receipt_number": "000124"});
        let answer = world.tell("payment.accepted", &told).await;
        assert_eq!(answer["outcome"], "accepted", "{answer}");
        world.reaches(&id, "delivered").await;
        world
            .sql(&format!(
                "UPDATE payment SET state = 'unknown', maybes = 1, generation = generation + 1 WHERE payment_id = '{id}'"
            ))
            .await;
        let revoke = json!({"payment_id": id, "terminal": "T-0001", "reason": hostile});
        assert_eq!(world.tell("payment.revoke", &revoke).await["outcome"], "revoking");
        world.reaches(&id, "revoked").await;
        let number = answer["number"].as_str().unwrap();
        for column in ["account", "remark", "reason"] {
            let kept = format!("select {column} from written where number = {number}");
            assert_eq!(books.value(&kept).await, hostile, "{column}");
        }
        let fields = books
            .value(&format!("select fields from written where number = {number}"))
            .await;
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&fields).unwrap(),
            json!({"remark": hostile})
        );
        let rest = format!(
            "select count(*) from written where number = {number} and amount = 150 and fee = 3.05 and currency = 'RUB'
                and terminal = 'T-0001'"
        );
        assert_eq!(books.count(&rest).await, 1);
        assert_eq!(books.count("select count(*) from written").await, nth as i64 + 1);
    }
    assert_eq!(books.count("select count(*) from bait").await, 0, "it is still there");
    world.stop().await;
}

#[tokio::test]
async fn hostile_values_are_only_written_down_on_postgres() {
    is_only_written_down(Backend::Postgres).await;
}

#[tokio::test]
async fn hostile_values_are_only_written_down_on_mariadb() {
    is_only_written_down(Backend::Mariadb).await;
}

#[tokio::test]
async fn hostile_values_are_only_written_down_on_sqlite() {
    is_only_written_down(Backend::Sqlite).await;
}
