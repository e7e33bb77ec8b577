//! A payee on SQLite, without anything of ours around it: what a step comes to, and who is told what of it.

use std::path::PathBuf;
use std::time::Duration;

use couriers::Told;
use domain::PaymentId;
use domain::declaration::{Payee, Statement, ValueType, read};
use domain::delivery::{Ending, Flag, Verdict};
use domain::ids::Number;
use domain::payment::PaymentState;
use secrecy::SecretString;
use serde_json::json;
use sql::{Access, Database, Limits, Zone};
use store::deliveries::Due;

use crate::source::{Place, Source};
use crate::{first, pay, settle};

/// A SQLite file of one test, gone with it.
pub(crate) struct Books(PathBuf);

impl Books {
    pub(crate) async fn with(script: &str) -> Self {
        let path = std::env::temp_dir().join(format!("unigate-test-{}.sqlite", uuid::Uuid::new_v4().simple()));
        let books = Self(path);
        books.script(script).await;
        books
    }

    /// Runs statements as they stand.
    pub(crate) async fn script(&self, script: &str) {
        let limits = Limits {
            pool_size: 1,
            timeout: Duration::from_secs(10),
            create: true,
            zone: Zone::default(),
            application: "",
            keep_plans: false,
            read_only: false,
        };
        let database = Database::open(&SecretString::from(self.url()), &limits).unwrap();
        let mut tx = database.begin(Access::Write).await.unwrap();
        tx.script(script).await.unwrap();
        tx.commit().await.unwrap();
        database.close().await;
    }

    /// Has it keep a journal that is written ahead, by what the head of a file says of that: no transaction could.
    pub(crate) fn log_ahead(&self) {
        let mut bytes = std::fs::read(&self.0).unwrap();
        bytes[18..20].fill(2);
        std::fs::write(&self.0, bytes).unwrap();
    }

    /// Another takes its place.
    pub(crate) fn replace(&self, by: Self) {
        std::fs::rename(&by.0, &self.0).unwrap();
        for journal in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{journal}", self.0.display()));
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("sqlite:{}", self.0.display())
    }

    fn payee(&self, enter: &str) -> Payee {
        read(json!({
            "id": "vodokanal", "name": "Водоканал", "gateway": "databases", "currency": "RUB",
            "account": {"pattern": "^.+$"}, "amount": {"min": 1, "max": 100_000_000},
            "databases": {
                "url": self.url(),
                "pay": {"statement": [{"sql": enter, "unique": true}]},
                "status": {"statement": [{"sql": "select amount from payments where number = :number"}]},
                "cancel": {"statement": [{"sql": "delete from payments where number = :number"}]},
            },
        }))
        .unwrap()
    }

    pub(crate) fn source(&self) -> Source {
        let enter = "insert into payments (number, account, amount) values (:number, :account, :amount)";
        Source::of_payee(&self.payee(enter)).unwrap()
    }
}

impl Drop for Books {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

pub(crate) const PAYMENTS: &str = "create table payments (number integer primary key, account text not null,
    amount integer not null check (amount < 20000));";

pub(crate) fn due(amount: i64) -> Due {
    Due {
        payment_id: PaymentId::random(),
        number: Number::new(1).unwrap(),
        payee: "vodokanal".to_owned(),
        terminal: "T-1".to_owned(),
        account: "1001".to_owned(),
        amount,
        fee: 0,
        currency: "RUB".to_owned(),
        fields: json!({}),
        paid_at: domain::clock::now(),
        state: PaymentState::Accepted,
        step: 0,
        attempts: 0,
        maybes: 0,
        not_found: 0,
        give_up_at: None,
        last_call_at: None,
        traceparent: None,
        revoke_reason: None,
        settled: false,
        provider_reference: None,
    }
}

pub(crate) async fn status(source: &Source, due: &Due) -> Told {
    let Place::Database(server) = &source.place else {
        panic!("a database");
    };
    settle::ask(source, server, due).await.unwrap().0
}

#[tokio::test]
async fn what_triggers_change_besides_is_not_counted() {
    let counting = "create table journal (n integer);
        create trigger noted after insert on payments begin
            insert into journal values (new.number), (new.number); end;
        create view entries as select number, account, amount from payments;
        create trigger entered instead of insert on entries begin
            insert into payments values (new.number, new.account, new.amount); end;";
    let books = Books::with(&format!("{PAYMENTS}{counting}")).await;
    let entered = pay::pay(&books.source(), &due(15_000)).await;
    assert_eq!(
        entered.told.ending,
        Ending::Answered(Verdict::Accepted),
        "{:?}",
        entered.told
    );
    // What is entered by way of a view is a row too, and nothing is none.
    let by_view = books.payee("insert into entries (number, account, amount) values (:number + 1, :account, :amount)");
    let entered = pay::pay(&Source::of_payee(&by_view).unwrap(), &due(15_000)).await;
    assert_eq!(
        entered.told.ending,
        Ending::Answered(Verdict::Accepted),
        "{:?}",
        entered.told
    );
    let nobody = books.payee("update payments set amount = :amount where number = :number + 7");
    let entered = pay::pay(&Source::of_payee(&nobody).unwrap(), &due(15_000)).await;
    assert_eq!(
        entered.told.ending,
        Ending::Answered(Verdict::Refused),
        "{:?}",
        entered.told
    );
}

#[tokio::test]
async fn an_amount_that_the_payee_has_otherwise_is_flagged() {
    let books = Books::with(PAYMENTS).await;
    let source = books.source();
    assert_eq!(pay::pay(&source, &due(15_000)).await.told.flag, None);
    let same = status(&source, &due(15_000)).await;
    assert_eq!((same.ending, same.flag), (Ending::Answered(Verdict::Accepted), None));
    let other = status(&source, &due(15_001)).await;
    assert_eq!(other.flag, Some(Flag::EchoedAmountDiffers));
    // The key says that something was entered, and status that it was something else.
    let again = pay::pay(&source, &due(15_001)).await.told;
    assert_eq!(again.ending, Ending::Answered(Verdict::NumberConflict));
}

#[tokio::test]
async fn a_terminal_has_no_say_in_what_the_payee_tells() {
    let books = Books::with(&format!(
        "{PAYMENTS} create table clients (account text, discount integer);"
    ))
    .await;
    let mut payee = books.payee("insert into payments values (:number, :account, :amount - coalesce(:discount, 0))");
    let profile = payee.databases.as_mut().unwrap();
    profile.types.insert("discount".to_owned(), ValueType::Integer);
    let looked_up: Statement = serde_json::from_value(json!({
        "sql": "select discount from clients where account = :account", "none": "go_on"}))
    .unwrap();
    profile.pay.as_mut().unwrap().statement.insert(0, looked_up);
    let source = Source::of_payee(&payee).unwrap();
    let told = Due {
        fields: json!({"provider_reference": "another's", "account": "1001", "discount": "14999"}),
        ..due(15_000)
    };
    let entered = pay::pay(&source, &told).await.told;
    assert_eq!(
        (entered.ending, entered.provider_reference),
        (Ending::Answered(Verdict::Accepted), None)
    );
    let asked = status(&source, &told).await;
    assert_eq!(
        (asked.flag, asked.provider_reference),
        (None, None),
        "the whole amount was entered"
    );
    // What pay told is known to what is asked afterwards, and is not told anew.
    let named = Due {
        provider_reference: Some("17".to_owned()),
        ..told
    };
    assert_eq!(status(&source, &named).await.provider_reference, None);
}

#[tokio::test]
async fn what_a_database_says_is_for_the_operator_only() {
    let books = Books::with(PAYMENTS).await;
    let entered = pay::pay(&books.source(), &due(20_001)).await;
    assert_eq!(entered.told.ending, Ending::Answered(Verdict::Concerning));
    let error = entered.told.error.unwrap();
    assert_eq!(error, "databases.pay.statement[0]: the statement was refused (275)");
    let trace = entered.trace.join("\n");
    assert!(trace.contains("CHECK constraint failed: amount < 20000"), "{trace}");
}

#[tokio::test]
async fn a_name_that_nobody_gives_is_no_parameter() {
    let books = Books::with(PAYMENTS).await;
    let wrong = books.payee("insert into payments values (:number, :provider_reference, :amount)");
    let wrong = Source::of_payee(&wrong).map(drop).unwrap_err();
    assert!(
        wrong.contains("does not know the parameter :provider_reference"),
        "{wrong}"
    );
}

#[tokio::test]
async fn a_schema_of_more_columns_than_a_page_is_seen_whole() {
    let columns: Vec<String> = (0..450).map(|n| format!("c{n} integer")).collect();
    let wide = format!("{PAYMENTS}create table wide ({});", columns.join(", "));
    let books = Books::with(&wide).await;
    let tables = first::schema(&serde_json::from_value(json!(books.url())).unwrap())
        .await
        .unwrap()
        .tables;
    let counted: Vec<_> = tables.iter().map(|table| (&*table.name, table.columns.len())).collect();
    assert_eq!(counted, [("payments", 3), ("wide", 450)]);
    assert_eq!(tables[1].columns[449].name, "c449");
}
