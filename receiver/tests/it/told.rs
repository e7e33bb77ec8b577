//! What the payee's own tables tell where the configuration asks them: payments still to be posted, and lists.

use axum::Router;
use axum::http::StatusCode;
use contract::unikassa::{ListAnswer, Request};
use domain::money::Amount;
use sqlx::Executor as _;

use crate::stand::{Backend, Probe, Stand, config, list, on, payment, send_to, short, status, wait_for};

/// The payee's job takes payments out of an inbox: until then they are pending.
const INBOX: &str = r#"
[check]
sql = "select name as display from subscribers where account = :account"
[pay]
sql = [
  "select account from subscribers where account = :account",
  "insert into inbox (number, account, amount, payer) values (:number, :account, :amount, 'new')",
  "select 'pending' as result, 'I-1' as provider_reference",
]
[status]
sql = """
select case payer when 'new' then 'pending' when 'bad' then 'refused' when 'gone' then 'cancelled' when 'odd' then 'maybe'
       else 'accepted' end as result,
       case payer when 'bad' then 'account_closed' end as refused_reason, case payer when 'done' then 'P-7' end as provider_reference
  from inbox where number = :number and account = :account"""
"#;

#[tokio::test]
async fn a_payment_is_pending_until_the_payee_has_posted_it() {
    for backend in Backend::ALL {
        on(backend, Some(INBOX), pending).await;
    }
}

async fn pending(stand: Stand) {
    let pay = payment(1, "1001");
    let words = |result: &str, more: &str| (result.to_owned(), more.to_owned());
    let told = async || short(&stand.send(&status(1)).await.1);
    assert_eq!(stand.pay(&pay).await, words("pending", "I-1"));
    assert_eq!(stand.pay(&pay).await, words("pending", "I-1"), "the same again");
    assert_eq!(stand.number("select count(*) from inbox").await, 1);
    assert_eq!(told().await, words("pending", "I-1"));
    for (mark, answer, again) in [
        ("done", words("accepted", "P-7"), words("already_accepted", "P-7")),
        (
            "bad",
            words("refused", "account_closedI-1"),
            words("refused", "account_closed"),
        ),
        ("gone", words("cancelled", "I-1"), words("refused", "cancelled")),
    ] {
        stand.execute(&format!("update inbox set payer = '{mark}'")).await;
        assert_eq!(told().await, answer, "{mark}");
        assert_eq!(stand.pay(&pay).await, again, "{mark}");
    }
    stand.execute("update inbox set payer = 'odd'").await;
    let (code, answer) = stand.send(&status(1)).await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY);
    let error = answer["error"].as_str().unwrap();
    assert!(
        error.starts_with("status.sql[1]: column result is \"maybe\""),
        "{error}"
    );
    // What the payee's tables do not know any more is as it was recorded.
    stand.execute("delete from inbox").await;
    assert_eq!(told().await, words("accepted", "I-1"));
    assert_eq!(short(&stand.send(&status(2)).await.1).0, "not_found");
}

#[tokio::test]
async fn what_the_payee_has_refused_since_is_on_no_list_and_not_taken_back_again() {
    let take_back = "update subscribers set balance = balance - :amount where account = :account";
    let text = format!("{INBOX}[cancel]\nsql = \"{take_back}\"\n");
    for backend in Backend::ALL {
        on(backend, Some(&text), since_refused).await;
    }
}

async fn since_refused(stand: Stand) {
    for number in 1..=110 {
        assert_eq!(stand.pay(&payment(number, "1001")).await.0, "pending");
    }
    stand.execute("update inbox set payer = 'bad'").await;
    for (number, mark) in [(104, "new"), (105, "done"), (106, "gone"), (108, "done")] {
        stand
            .execute(&format!("update inbox set payer = '{mark}' where number = {number}"))
            .await;
    }
    // A page holds a hundred: it is read on until there is something to tell.
    let listed = page(&stand.router, "2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z", None).await;
    let numbers: Vec<i64> = listed.items.iter().map(|item| item.number.get()).collect();
    assert_eq!((numbers, listed.next), (vec![105, 108], None));
    assert_eq!(listed.items[0].provider_reference.as_deref(), Some("P-7"));
    let cancelled = async |number: i64| short(&stand.send(&crate::stand::cancel(number, "x")).await.1).0;
    assert_eq!(cancelled(106).await, "already_cancelled");
    assert_eq!(cancelled(107).await, "cancelled");
    assert_eq!(stand.balance("1001").await, 500, "neither was to be taken back");
    assert_eq!(short(&stand.send(&status(107)).await.1).0, "cancelled");
    assert_eq!(cancelled(108).await, "cancelled");
    assert_eq!(cancelled(104).await, "cancelled");
    assert_eq!(stand.balance("1001").await, 500 - 2 * 15_000);
}

#[tokio::test]
async fn a_page_goes_on_after_the_last_number_that_was_read() {
    on(Backend::Sqlite, Some(INBOX), |stand| async move {
        for number in 1..=102 {
            stand.pay(&payment(number, "1001")).await;
        }
        stand.execute("update inbox set payer = 'bad'").await;
        stand
            .execute("update inbox set payer = 'done' where number in (3, 101)")
            .await;
        let (from, to) = ("2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z");
        let first = page(&stand.router, from, to, None).await;
        assert_eq!((first.items.len(), first.next.as_deref()), (1, Some("100")));
        let second = page(&stand.router, from, to, first.next).await;
        assert_eq!(
            (second.items[0].number.get(), second.items.len(), second.next),
            (101, 1, None)
        );
    })
    .await;
}

/// The inbox with another `[status]`.
fn inbox_with(status: &str) -> String {
    let (pay, _) = INBOX.split_once("[status]").unwrap();
    format!("{pay}[status]\nsql = \"{status} where number = :number and account = :account\"\n")
}

#[tokio::test]
async fn a_list_that_takes_longer_than_a_request_may_is_told_in_parts() {
    on(Backend::Postgres, Some(INBOX), |stand| async move {
        for number in 1..=60 {
            stand.pay(&payment(number, "1001")).await;
        }
        stand.execute("update inbox set payer = 'bad' where number < 60").await;
        let text = inbox_with(
            "select case payer when 'bad' then 'refused' else 'accepted' end as result from inbox cross join pg_sleep(0.05)",
        );
        let (second, router) = stand.second(|changed| {
            *changed = config(&stand.url, Some(&text));
            changed.timeout_seconds = 2;
        });
        let (mut after, mut numbers, mut empty) = (None, Vec::new(), 0);
        loop {
            let listed = page(&router, "2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z", after).await;
            numbers.extend(listed.items.iter().map(|item| item.number.get()));
            after = listed.next;
            if after.is_none() {
                break;
            }
            empty += usize::from(listed.items.is_empty());
        }
        assert_eq!(numbers, [60]);
        assert!(empty > 0, "it was told in one part");
        second.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_list_keeps_nothing_locked_of_what_it_has_read() {
    on(Backend::Postgres, Some(INBOX), |stand| async move {
        for number in 1..=101 {
            stand.pay(&payment(number, "1001")).await;
        }
        stand.execute("update inbox set payer = 'bad' where number < 101").await;
        let status = "select case payer when 'bad' then 'refused' else 'accepted' end as result from inbox";
        let text = inbox_with(status).replace(":account\"", ":account for update\"");
        let (second, router) = stand.second(|changed| *changed = config(&stand.url, Some(&text)));
        let Probe::Postgres(pool, _) = &stand.probe else {
            unreachable!()
        };
        let mut other = pool.begin().await.unwrap();
        other
            .execute("select 1 from inbox where number = 101 for update")
            .await
            .unwrap();
        let asked = tokio::spawn({
            let router = router.clone();
            async move { page(&router, "2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z", None).await }
        });
        let waits =
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        wait_for("the list waits for the last one", || async {
            stand.number(waits).await == 1
        })
        .await;
        let free = "select count(*) from (select 1 from inbox where number = 1 for update skip locked) one";
        assert_eq!(stand.number(free).await, 1, "what was read before is locked still");
        other.rollback().await.unwrap();
        let listed = asked.await.unwrap();
        let numbers: Vec<i64> = listed.items.iter().map(|item| item.number.get()).collect();
        assert_eq!((numbers, listed.next), (vec![101], None));
        second.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_list_is_what_the_payees_own_tables_say() {
    for (backend, column) in [
        (Backend::Sqlite, "text"),
        (Backend::Postgres, "timestamptz"),
        (Backend::Postgres, "timestamp"),
        (Backend::Mariadb, "datetime"),
        (Backend::Mariadb, "timestamp(6) null"),
    ] {
        on(backend, None, move |stand| lists(stand, column)).await;
    }
}

async fn lists(stand: Stand, column: &str) {
    stand
        .execute(&format!(
            "create table credits (n bigint, sum numeric(12, 2), at {column}, ref varchar(20))"
        ))
        .await;
    let (local, zone) = if column == "timestamptz" {
        ("+05:00", "UTC")
    } else {
        ("", "+05:00")
    };
    let insert = async |number: i64, at: &str| {
        let sql = format!("insert into credits values ({number}, {number}.50, '2026-11-23 {at}{local}', 'C-{number}')");
        stand.execute(&sql).await;
    };
    // The session of the look past the receiver is in UTC, and TIMESTAMP is the one type that minds.
    if column.starts_with("timestamp(") {
        stand
            .execute("create trigger shift before insert on credits for each row set new.at = new.at - interval 5 hour")
            .await;
    }
    insert(1, "04:59:59").await;
    for number in (2..=120).rev() {
        insert(number, "05:00:00").await;
    }
    insert(121, "23:59:59").await;
    insert(122, "05:00:00").await;
    let (from, to) = match column {
        "text" => ("datetime(:from, '+5 hours')", "datetime(:to, '+5 hours')"),
        _ => (":from", ":to"),
    };
    let text = format!(
        r#"
        [check]
        sql = "select 1 as one"
        [pay]
        sql = "select 1 as one"
        [list]
        sql = "select n as number, sum as amount, at as credited_at, ref as provider_reference from credits where at >= {from} and at < {to} and n > :after order by n limit :limit"
        "#
    );
    let (second, router) = stand.second(|changed| {
        *changed = config(&stand.url, Some(&text));
        changed.amount_as = receiver::config::AmountAs::Decimal;
        changed.database.time_zone = receiver::Zone::parse(zone).unwrap();
    });
    let first = page(&router, "2026-11-23T00:00:00Z", "2026-11-23T18:59:59Z", None).await;
    let numbers = |page: &ListAnswer| page.items.iter().map(|item| item.number.get()).collect::<Vec<_>>();
    assert_eq!(numbers(&first), (2..=101).collect::<Vec<_>>(), "{column}");
    let item = &first.items[0];
    assert_eq!(item.amount, Amount::new(250).unwrap());
    assert_eq!(
        (item.currency.code(), item.provider_reference.as_deref()),
        ("RUB", Some("C-2"))
    );
    assert_eq!(item.credited_at.to_string(), "2026-11-23T00:00:00Z", "{column}");
    let rest = page(&router, "2026-11-23T00:00:00Z", "2026-11-23T18:59:59Z", first.next).await;
    assert_eq!(
        (numbers(&rest).last(), rest.next),
        (Some(&122), None),
        "the end is not of the period"
    );
    assert_eq!(rest.items.len(), 20);
    second.close().await;
}

async fn page(router: &Router, from: &str, to: &str, after: Option<String>) -> ListAnswer {
    let (code, page) = send_to(router, &list(from, to, after)).await;
    assert_eq!(code, StatusCode::OK, "{page}");
    ListAnswer::read(page.to_string().as_bytes()).unwrap()
}

#[tokio::test]
async fn a_list_that_would_lose_payments_is_refused() {
    on(Backend::Sqlite, None, |stand| async move {
        for (columns, why) in [
            (
                "8 as number, 1 as amount, 'yesterday' as credited_at",
                "no date and time",
            ),
            ("8 as number, 1 as amount", "no column credited_at"),
            (
                "8 as number, 'x' as amount, '2026-11-23 10:00:00' as credited_at",
                "amount is no amount",
            ),
            (
                "'' as number, 1 as amount, '2026-11-23 10:00:00' as credited_at",
                "no column number",
            ),
            (
                "1 as number, 1 as amount, '2026-11-23 10:00:00' as credited_at where :after >= 0",
                "after the one before",
            ),
        ] {
            let (second, router) = stand.second(|changed| {
                let text = format!(
                    "[check]\nsql = \"select 1\"\n[pay]\nsql = \"select 1\"\n[list]\nsql = \"select {columns}\""
                );
                *changed = config(&stand.url, Some(&text));
            });
            let after = Some("7".to_owned());
            let (code, answer) = send_to(&router, &list("2026-11-23T00:00:00Z", "2026-11-24T00:00:00Z", after)).await;
            assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY, "{columns}: {answer}");
            assert!(answer["error"].as_str().unwrap().contains(why), "{columns}: {answer}");
            second.close().await;
        }
    })
    .await;
}

/// A payee that does not say how payments are taken back refuses for good, in the protocol's words; status and list are
/// always answered, by the receiver's own table if by nothing else.
#[tokio::test]
async fn what_is_not_configured_is_answered_all_the_same() {
    const LEAST: &str = "[check]\nsql = \"select name from subscribers where account = :account\"\n[pay]\nsql = \"update subscribers set balance = balance + :amount where account = :account\"";
    for backend in Backend::ALL {
        on(backend, Some(LEAST), |stand| async move {
            assert_eq!(stand.pay(&payment(1, "1001")).await.0, "accepted");
            let refused = short(&stand.send(&crate::stand::cancel(1, "x")).await.1);
            assert_eq!(refused, ("refused".to_owned(), "cancel_not_offered".to_owned()));
            assert_eq!(short(&stand.send(&status(1)).await.1).0, "accepted");
            let listed = page(&stand.router, "2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z", None).await;
            assert_eq!((listed.items.len(), listed.next), (1, None));
            assert_eq!(stand.balance("1001").await, 15_500);
            let odd = Request::Cancel(contract::unikassa::Cancel {
                number: payment(9, "1").number,
                reason: String::new(),
            });
            assert_eq!(short(&stand.send(&odd).await.1).0, "not_found");
        })
        .await;
    }
}
