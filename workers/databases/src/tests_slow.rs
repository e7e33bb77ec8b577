//! Statements of SQLite that take too long: they are ended, whoever waits for them is told as with any other database, and what
//! comes after them finds the file free.

use std::time::{Duration, Instant};

use contract::message::PaymentCheck;
use domain::PaymentId;
use domain::declaration::{Payee, read};
use domain::delivery::{Ending, Verdict};
use domain::ids::TerminalId;
use domain::text::Account;
use serde_json::{Value, json};

use crate::check::{self, Unanswered};
use crate::source::{Place, Server, Source};
use crate::tests::{Books, due};
use crate::{pay, settle};

/// Goes on for as long as there is a row in `slow`.
const ENDLESS: &str =
    "with recursive n(x) as (select 1 union all select x + 1 from n where exists (select 1 from slow))";
const TABLES: &str = "create table slow (x integer); insert into slow values (1);
    create table payments (number integer primary key, account text not null, amount integer not null);";
/// What a statement may take, also one that is to succeed on a machine that does many things at once, and what is far from it.
const TIMEOUT: Duration = Duration::from_secs(3);
const SOON: Duration = Duration::from_secs(15);

fn source(books: &Books) -> Source {
    let one = |sql: String| -> Value { json!({"statement": [{"sql": sql}]}) };
    let slowly =
        format!("{ENDLESS} update payments set amount = amount + 0 * (select count(*) from n) where number = :number");
    let payee: Payee = read(json!({
        "id": "vodokanal", "name": "Водоканал", "gateway": "databases", "currency": "RUB",
        "account": {"pattern": "^.+$"}, "amount": {"min": 1, "max": 100_000_000},
        "databases": {
            "url": books.url(), "timeout_seconds": TIMEOUT.as_secs(), "concurrency": 1, "check_connections": 1,
            "check": one(format!("{ENDLESS} select count(*) as counted from n")),
            "pay": {"statement": [
                {"sql": "insert into payments values (:number, :account, :amount)", "unique": true},
                {"sql": slowly},
            ]},
            "status": one(format!("{ENDLESS} select amount from payments where number = :number and (select count(*) from n) > 0")),
            "cancel": one(format!("{ENDLESS} delete from payments where number = :number and (select count(*) from n) > 0")),
        },
    }))
    .unwrap();
    Source::of_payee(&payee).unwrap()
}

fn server(source: &Source) -> &Server {
    match &source.place {
        Place::Database(server) => server,
        Place::File(_) => panic!("a database"),
    }
}

/// Another program of the payee's gets the file for itself.
async fn is_free(books: &Books, script: &str) {
    let since = Instant::now();
    books.script(script).await;
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
}

#[tokio::test]
async fn a_slow_payment_was_not_sent_and_the_next_finds_the_file_free() {
    let books = Books::with(TABLES).await;
    let source = source(&books);
    let late = pay::pay(&source, &due(100)).await.told;
    assert_eq!((late.ending, late.lost), (Ending::NotSent, true), "{late:?}");
    is_free(&books, "delete from slow").await;
    // On the connection that was broken off in the middle, if it is used again.
    for ending in [Verdict::Accepted, Verdict::AlreadyAccepted] {
        let told = pay::pay(&source, &due(100)).await.told;
        assert_eq!(told.ending, Ending::Answered(ending), "{told:?}");
    }
}

#[tokio::test]
async fn a_slow_cancel_is_a_maybe_and_has_taken_nothing_back() {
    let books = Books::with(TABLES).await;
    let source = source(&books);
    books.script("insert into payments values (1, '1001', 100)").await;
    let (late, _) = settle::cancel(&source, server(&source), &due(100)).await;
    assert_eq!((late.ending, late.lost), (Ending::Maybe { retry_safe: false }, true));
    is_free(&books, "delete from slow").await;
    let (asked, _) = settle::ask(&source, server(&source), &due(100)).await.unwrap();
    assert_eq!(asked.ending, Ending::Answered(Verdict::Accepted));
    let (told, _) = settle::cancel(&source, server(&source), &due(100)).await;
    assert_eq!(told.ending, Ending::Answered(Verdict::Cancelled));
}

#[tokio::test]
async fn a_slow_question_ends_by_itself() {
    let books = Books::with(TABLES).await;
    let source = source(&books);
    books.script("insert into payments values (1, '1001', 100)").await;
    let asked = tokio::time::timeout(SOON, settle::ask(&source, server(&source), &due(100))).await;
    let trouble = asked.expect("nobody has to break it off").unwrap_err();
    assert!(trouble.is_away(), "{trouble}");
    is_free(&books, "delete from slow").await;
}

#[tokio::test]
async fn a_slow_check_keeps_no_connection() {
    let books = Books::with(TABLES).await;
    let source = source(&books);
    let asked = PaymentCheck {
        payment_id: PaymentId::random(),
        terminal: TerminalId::parse("T-1").unwrap(),
        payee: source.payee.id.clone(),
        account: Account::new("1001").unwrap(),
        amount: None,
        currency: None,
        fields: Default::default(),
    };
    let late = check::check(&source, &asked).await;
    assert!(matches!(late, Err(Unanswered::Timeout | Unanswered::Trouble(_))));
    books.script("delete from slow").await;
    // There is one connection for checks.
    let answered = check::check(&source, &asked).await;
    assert!(answered.is_ok(), "the one before it goes on");
}
