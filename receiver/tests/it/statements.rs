//! The administrator's statements: hostile values stay values, failing statements enter nothing, decimals are exact.

use std::io;
use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use contract::unikassa::{Check, Request};
use domain::money::Amount;
use tracing::instrument::WithSubscriber as _;

use crate::stand::{Backend, Stand, check, config, on, payment, send_to, short};

const HOSTILE: [&str; 8] = [
    "1001'; drop table subscribers; --",
    "1001' or '1'='1",
    "'; update subscribers set balance = 9; --",
    "\\'; drop table inbox; --",
    ":amount",
    "$1",
    "?1 -- /* $$",
    "%_\"`[1001]",
];

#[tokio::test]
async fn hostile_values_stay_values() {
    for backend in Backend::ALL {
        on(backend, None, hostile).await;
    }
}

async fn hostile(stand: Stand) {
    for (index, text) in HOSTILE.iter().enumerate() {
        let number = index as i64 + 1;
        let mut pay = payment(number, text);
        pay.fields = serde_json::from_value(serde_json::json!({ "payer": text })).unwrap();
        assert_eq!(
            short(&stand.send(&Request::Check(check(text))).await.1).1,
            "account_not_found",
            "{text}"
        );
        assert_eq!(stand.pay(&pay).await.1, "account_not_found", "{text}");
        let quoted = stand.probe.quoted(text);
        stand
            .execute(&format!(
                "insert into subscribers (account, name, balance) values ({quoted}, 'x', 0)"
            ))
            .await;
        let mut again = payment(100 + number, text);
        again.fields = pay.fields.clone();
        assert_eq!(stand.pay(&again).await.0, "accepted", "{text}");
        assert_eq!(stand.balance(text).await, 15_000);
        assert_eq!(
            stand
                .text(&format!("select payer from inbox where number = {}", 100 + number))
                .await,
            *text
        );
    }
    assert_eq!(stand.balance("1001").await, 500);
}

#[tokio::test]
async fn a_statement_that_fails_enters_nothing_and_is_not_a_maybe() {
    for backend in Backend::ALL {
        on(backend, None, failing).await;
    }
}

async fn failing(stand: Stand) {
    let insert = "insert into inbox (number) values (:number)";
    let failing = [
        "insert into nowhere values (:number)",
        "insert into subscribers (account, name, balance) values (:account, 'x', 0)",
    ];
    for (number, statement) in (1..).zip(failing) {
        let (second, router) = stand.second(|config| {
            config.pay.sql.0 = [insert, statement].map(|sql| statement_config(sql, false)).to_vec();
        });
        let pay = Request::Pay(payment(number, "1001"));
        let (code, answer) = send_to(&router, &pay).await;
        assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
        assert!(
            answer["error"].as_str().unwrap().starts_with("pay.sql[2]: "),
            "{answer}"
        );
        assert_eq!(stand.number("select count(*) from inbox").await, 0);
        assert_eq!(stand.number("select count(*) from unigate_payment").await, 0);
        second.close().await;
    }
    assert_eq!(
        stand.pay(&payment(1, "1001")).await.0,
        "accepted",
        "after the administrator put it right"
    );
}

/// What is logged, in the place of a file.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_a_database_quotes_of_a_payment_is_told_to_who_looks_closer_only() {
    const NUMBERS: &str = r#"
[check]
sql = "select 1 as one"
[pay]
sql = "insert into numbered (account) values (%)"
"#;
    for (backend, account, code) in [
        (Backend::Postgres, "cast(:account as integer)", "22P02"),
        (Backend::Mariadb, ":account", "22007"),
    ] {
        let statements = NUMBERS.replace('%', account);
        on(backend, Some(&statements), async move |stand: Stand| {
            stand.execute("create table numbered (account integer)").await;
            for (filter, is_quoted) in [("info,sqlx=warn", false), ("info,receiver=debug,sqlx=warn", true)] {
                let lines = Lines::default();
                let written = lines.clone();
                let subscriber = tracing_subscriber::fmt().with_env_filter(filter);
                let subscriber = subscriber.with_writer(move || written.clone()).finish();
                let asked = Request::Pay(payment(1, "Ivanova-17"));
                let (status, answer) = stand.send(&asked).with_subscriber(subscriber).await;
                assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
                let told = format!("pay.sql[1]: the statement was refused ({code})");
                assert_eq!(answer["error"], told);
                let log = lines.text();
                assert!(log.contains(&told), "{log}");
                assert_eq!(log.contains("Ivanova"), is_quoted, "{log}");
            }
        })
        .await;
    }
}

fn statement_config(sql: &str, optional: bool) -> receiver::config::StatementConfig {
    receiver::config::StatementConfig {
        sql: sql.to_owned(),
        optional,
    }
}

#[tokio::test]
async fn a_statement_that_touches_nothing_refuses_unless_it_may() {
    for backend in Backend::ALL {
        on(backend, None, |stand| async move {
            for (number, optional, result) in [(1, false, "refused"), (2, true, "accepted")] {
                let (second, router) = stand.second(|config| {
                    let nothing = "update subscribers set balance = 0 where account = 'nobody'";
                    let update = "update subscribers set balance = balance + :amount where account = :account";
                    config.pay.sql.0 = vec![statement_config(update, false), statement_config(nothing, optional)];
                });
                let answer = send_to(&router, &Request::Pay(payment(number, "1001"))).await.1;
                assert_eq!(short(&answer).0, result);
                second.close().await;
            }
            assert_eq!(stand.balance("1001").await, 15_500);
        })
        .await;
    }
}

#[tokio::test]
async fn columns_nobody_asked_for_do_no_harm() {
    for backend in Backend::ALL {
        on(backend, None, |stand| async move {
            stand
                .execute("create table dated (number bigint, at timestamp default current_timestamp)")
                .await;
            let (second, router) = stand.second(|config| {
                config.pay.sql.0 = vec![statement_config(
                    "insert into dated (number) values (:number) returning *",
                    false,
                )];
            });
            assert_eq!(
                short(&send_to(&router, &Request::Pay(payment(1, "1001"))).await.1).0,
                "accepted"
            );
            second.close().await;
        })
        .await;
    }
}

#[tokio::test]
async fn tables_may_change_while_it_runs() {
    const ALL: &str = r#"
        [check]
        sql = "select * from subscribers where account = :account"
        [pay]
        sql = ["insert into inbox (number, account) values (:number, :account)", "select * from inbox where number = :number"]
    "#;
    for backend in Backend::ALL {
        on(backend, Some(ALL), |stand| async move {
            for (number, change) in [
                (1, "alter table inbox add column display varchar(20) default 'new'"),
                (2, "alter table inbox drop column display"),
                (
                    3,
                    "alter table subscribers add column display varchar(20) default 'Guest'",
                ),
            ] {
                assert_eq!(stand.pay(&payment(number, "1001")).await.0, "accepted");
                assert_eq!(stand.send(&Request::Check(check("1001"))).await.1["result"], "payable");
                stand.execute(change).await;
            }
            assert_eq!(stand.pay(&payment(4, "1001")).await.0, "accepted");
            assert_eq!(stand.send(&Request::Check(check("1001"))).await.1["display"], "Guest");
        })
        .await;
    }
}

#[tokio::test]
async fn amounts_as_decimals() {
    let schema = r#"
        [check]
        sql = "select 12.5 as amount_due, '1.00' as min_amount, 100000 as max_amount, 7 as field_tariff, 'Cash' as display, cast(:amount as varchar(20)) as field_asked from subscribers where account = :account"
        ask = [{ name = "meter_cold", label = "Cold water", pattern = "^[0-9]{1,6}$", required = true }, { name = "note", label = "Note" }]
        [pay]
        sql = "insert into inbox (number, amount) select :number, cast(:amount * 2 as varchar(20)) where :amount > 100 and :currency = 'RUB'"
    "#;
    for backend in Backend::ALL {
        on(backend, Some(schema), |stand| async move {
            let (second, router) = stand.second(|changed| {
                *changed = config(&stand.url, Some(schema));
                changed.amount_as = receiver::config::AmountAs::Decimal;
            });
            let asked = Check {
                amount: Some(Amount::new(15_000).unwrap()),
                ..check("1001")
            };
            let (_, answer) = send_to(&router, &Request::Check(asked)).await;
            assert_eq!(
                (answer["amount_due"].as_i64(), answer["min_amount"].as_i64()),
                (Some(1250), Some(100)),
                "{answer}"
            );
            assert_eq!(
                (answer["max_amount"].as_i64(), answer["result"].as_str()),
                (Some(10_000_000), Some("ask"))
            );
            assert_eq!(answer["ask"].as_array().map(Vec::len), Some(2));
            assert_eq!(answer["fields"]["tariff"], "7");
            let filled = Check {
                fields: serde_json::from_str(r#"{"meter_cold":"1"}"#).unwrap(),
                ..check("1001")
            };
            let (_, answer) = send_to(&router, &Request::Check(filled)).await;
            assert_eq!(
                (answer["result"].as_str(), answer["ask"].as_array().map(Vec::len)),
                (Some("payable"), Some(1))
            );
            assert_eq!(
                short(&send_to(&router, &Request::Pay(payment(1, "1001"))).await.1).0,
                "accepted"
            );
            let doubled = stand.text("select amount from inbox where number = 1").await;
            assert!(["300.00", "300.0", "300"].contains(&doubled.as_str()), "{doubled}");
            let mut small = payment(2, "1001");
            small.amount = Amount::new(10_000).unwrap();
            assert_eq!(short(&send_to(&router, &Request::Pay(small)).await.1).0, "refused");
            second.close().await;
        })
        .await;
    }
}
