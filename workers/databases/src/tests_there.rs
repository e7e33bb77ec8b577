//! A number that the payee's data have already: what paying it once more comes to, and taking it back once more.

use couriers::Told;
use domain::declaration::{StepKind, read};
use domain::delivery::{Ending, Verdict};
use serde_json::{Value, json};
use store::deliveries::Due;

use crate::source::{Place, Source};
use crate::tests::{Books, due};
use crate::{pay, settle, trying};

const PAYMENTS: &str =
    "create table payments (number integer, account text, amount integer, cancelled integer default 0);
    create unique index numbers on payments (number);";

const ENTER: &str = "insert into payments (number, account, amount) values (:number, :account, :amount)";
const STATUS: &str = "select account, amount, cancelled from payments where number = :number";

/// A payee whose payments are kept out by a key, or are asked about first.
fn source(books: &Books, by_key: bool, cancel: &Value) -> Source {
    let payee = read(json!({
        "id": "vodokanal", "name": "Водоканал", "gateway": "databases", "currency": "RUB",
        "account": {"pattern": "^.+$"}, "amount": {"min": 1, "max": 100_000_000},
        "databases": {
            "url": books.url(),
            "pay": {"ask_status_first": !by_key, "statement": [{"sql": ENTER, "unique": by_key}]},
            "status": {"statement": [{"sql": STATUS, "when": [
                {"column": "cancelled", "is": ["1"], "then": "cancelled"},
                {"column": "cancelled", "is": ["2"], "then": "retry"}]}]},
            "cancel": {"statement": [cancel]},
        },
    }));
    Source::of_payee(&payee.unwrap()).unwrap()
}

fn taking_back() -> Value {
    json!({"sql": "update payments set cancelled = 1 where number = :number and cancelled = 0"})
}

async fn cancel(source: &Source, due: &Due) -> Told {
    let Place::Database(server) = &source.place else {
        panic!("a database");
    };
    settle::cancel(source, server, due).await.0
}

/// Pays number 1 where this row is.
async fn paid_over(row: &str, by_key: bool) -> Told {
    let books = Books::with(&format!("{PAYMENTS} insert into payments values {row};")).await;
    pay::pay(&source(&books, by_key, &taking_back()), &due(15_000))
        .await
        .told
}

#[tokio::test]
async fn a_number_that_is_there_is_this_payment_or_an_operators_case() {
    for by_key in [true, false] {
        for (row, verdict) in [
            ("(1, '1001', 15000, 0)", Verdict::AlreadyAccepted),
            ("(1, ' 1001 ', 15000, 0)", Verdict::AlreadyAccepted),
            ("(1, null, null, 0)", Verdict::AlreadyAccepted),
            ("(1, '1001', 15001, 0)", Verdict::NumberConflict),
            ("(1, '1002', 15000, 0)", Verdict::NumberConflict),
            // Somebody else's that was taken back is somebody else's all the same.
            ("(1, '1002', 15000, 1)", Verdict::NumberConflict),
            ("(1, '1001', 15001, 1)", Verdict::NumberConflict),
            ("(1, '1001', 15000, 1)", Verdict::Refused),
            ("(1, '1001', 15000, 2)", Verdict::TryLater),
            ("(7, '1001', 15000, 0)", Verdict::Accepted),
        ] {
            let told = paid_over(row, by_key).await;
            assert_eq!(told.ending, Ending::Answered(verdict), "{by_key} {row}: {told:?}");
        }
    }
}

#[tokio::test]
async fn a_field_that_is_called_account_hides_nobody() {
    let books = Books::with(&format!(
        "{PAYMENTS} insert into payments values (1, '1002', 15000, 0);"
    ))
    .await;
    let told = Due {
        fields: json!({"account": "1001"}),
        ..due(15_000)
    };
    let told = pay::pay(&source(&books, true, &taking_back()), &told).await.told;
    assert_eq!(told.ending, Ending::Answered(Verdict::NumberConflict), "{told:?}");
}

#[tokio::test]
async fn what_is_asked_about_first_is_entered_once() {
    let books = Books::with(&PAYMENTS.replace("create unique index numbers on payments (number);", "")).await;
    let source = source(&books, false, &taking_back());
    let first = pay::pay(&source, &due(15_000)).await;
    assert_eq!(
        first.told.ending,
        Ending::Answered(Verdict::Accepted),
        "{:?}",
        first.told
    );
    let again = pay::pay(&source, &due(15_000)).await;
    assert_eq!(
        again.told.ending,
        Ending::Answered(Verdict::AlreadyAccepted),
        "{:?}",
        again.told
    );
    assert!(
        again.trace.iter().all(|line| line.starts_with("databases.status")),
        "nothing is entered once more: {:?}",
        again.trace
    );
    books.script("create unique index once on payments (number)").await;
}

#[tokio::test]
async fn what_was_taken_back_before_is_taken_back() {
    let books = Books::with(PAYMENTS).await;
    let refusing = source(&books, true, &taking_back());
    pay::pay(&refusing, &due(15_000)).await;
    // The answers to this one may be lost: the next finds no row.
    for _ in 0..2 {
        let told = cancel(&refusing, &due(15_000)).await;
        assert_eq!(told.ending, Ending::Answered(Verdict::Cancelled), "{told:?}");
    }
    let mut knowing_nothing = taking_back();
    knowing_nothing["none"] = json!("not_found");
    let told = cancel(&source(&books, true, &knowing_nothing), &due(15_000)).await;
    assert_eq!(told.ending, Ending::Answered(Verdict::Cancelled), "{told:?}");
    // A procedure or a trigger may say it by an error.
    books
        .script(
            "create trigger once before update on payments when old.cancelled = 1
                 begin select raise(abort, 'cancelled before'); end",
        )
        .await;
    let raising = json!({"sql": "update payments set cancelled = 1 where number = :number"});
    let told = cancel(&source(&books, true, &raising), &due(15_000)).await;
    assert_eq!(told.ending, Ending::Answered(Verdict::Cancelled), "{told:?}");
}

#[tokio::test]
async fn what_was_taken_back_is_not_given_back_twice() {
    let accounts = "create table accounts (account text, debt integer); insert into accounts values ('1001', 0);";
    let books = Books::with(&format!(
        "{PAYMENTS} {accounts} create trigger given_back after update on payments
             begin update accounts set debt = debt + old.amount where account = old.account; end;"
    ))
    .await;
    // Nothing but `status` keeps this one from being done again.
    let source = source(
        &books,
        true,
        &json!({"sql": "update payments set cancelled = 1 where number = :number"}),
    );
    pay::pay(&source, &due(15_000)).await;
    // The answer to the first may be lost, or its worker vanish: it is asked for once more.
    for _ in 0..2 {
        let told = cancel(&source, &due(15_000)).await;
        assert_eq!(told.ending, Ending::Answered(Verdict::Cancelled), "{told:?}");
    }
    // Refuses more than one.
    books
        .script("create unique index once on accounts (debt); insert into accounts values ('none', 30000)")
        .await;
}

#[tokio::test]
async fn who_tries_a_cancel_is_told_whether_it_would_be_done_twice() {
    let books = Books::with(PAYMENTS).await;
    let again = json!({"sql": "update payments set cancelled = :amount where number = :number"});
    for (cancel, done_twice) in [(taking_back(), false), (again, true)] {
        let payee = source(&books, true, &cancel).payee;
        let mut lines = Vec::new();
        let tried = trying::try_payment(&payee, StepKind::Cancel, &due(15_000), false, &mut lines).await;
        match tried {
            Err(why) => assert!(done_twice && why.contains("the same once more was done too"), "{why}"),
            Ok(_) => {
                let last = lines.last().unwrap();
                assert!(!done_twice && last.starts_with("cancel once more is not run"), "{last}");
            }
        }
    }
}

#[tokio::test]
async fn somebody_elses_payment_is_not_taken_back() {
    for row in ["(1, '1002', 15000, 0)", "(1, '1001', 15001, 0)"] {
        let books = Books::with(&format!("{PAYMENTS} insert into payments values {row};")).await;
        let told = cancel(&source(&books, true, &taking_back()), &due(15_000)).await;
        let word = told.result.as_deref();
        assert_eq!(
            (told.ending, word),
            (Ending::Answered(Verdict::Refused), Some("number_conflict"))
        );
        books
            .script("create unique index kept on payments (cancelled); insert into payments values (9, '', 0, 1)")
            .await;
    }
}

#[tokio::test]
async fn a_cancel_that_takes_nothing_back_counts_for_what_status_says() {
    let never =
        |none: &str| json!({"sql": "update payments set cancelled = 1 where number = :number and 1 = 0", "none": none});
    for (row, none, verdict) in [
        ("(1, '1001', 15000, 0)", "refused: closed", Verdict::Refused),
        // Not believed: a payment that is there would be told as never entered.
        ("(1, '1001', 15000, 0)", "not_found", Verdict::TryLater),
        ("(1, '1001', 15000, 2)", "not_found", Verdict::TryLater),
        ("(1, '1001', 15000, 2)", "refused: closed", Verdict::TryLater),
        ("(7, '1001', 15000, 0)", "not_found", Verdict::NotFound),
        ("(7, '1001', 15000, 0)", "refused: closed", Verdict::NotFound),
        ("(1, '1001', 15000, 0)", "retry", Verdict::TryLater),
    ] {
        let books = Books::with(&format!("{PAYMENTS} insert into payments values {row};")).await;
        let told = cancel(&source(&books, true, &never(none)), &due(15_000)).await;
        assert_eq!(told.ending, Ending::Answered(verdict), "{row} {none}: {told:?}");
    }
}

#[tokio::test]
async fn a_refusal_that_status_could_not_be_asked_about_is_no_end() {
    let books = Books::with(&format!(
        "{PAYMENTS} insert into payments values (1, '1001', 15000, 1);"
    ))
    .await;
    let source = source(&books, true, &taking_back());
    books.script("alter table payments drop column account").await;
    let told = cancel(&source, &due(15_000)).await;
    assert_eq!(told.ending, Ending::Answered(Verdict::Concerning), "{told:?}");
}
