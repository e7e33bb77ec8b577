//! Transactions that get into each other's way are tried again within the request's time: deadlocks, locks not given.

use axum::http::StatusCode;
use contract::unikassa::Request;
use futures::future::join_all;
use receiver::config::StatementConfig;
use sqlx::Executor as _;

use crate::away::is_entered;
use crate::stand::{Backend, Probe, Stand, on, payment, send_to, short, wait_for};

fn statement(sql: &str) -> StatementConfig {
    StatementConfig {
        sql: sql.to_owned(),
        optional: false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn payments_that_deadlock_are_all_entered_once_on_postgres() {
    on(Backend::Postgres, None, |stand| {
        deadlocks(stand, "select pg_sleep(0.02)")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn payments_that_deadlock_are_all_entered_once_on_mariadb() {
    on(Backend::Mariadb, None, |stand| deadlocks(stand, "select sleep(0.02)")).await;
}

/// Each payment takes its own account's row and then the other's: two at a time hold what the other one wants.
async fn deadlocks(stand: Stand, pause: &str) {
    const PAYMENTS: i64 = 20;
    if let Probe::Postgres(_, name) = &stand.probe {
        // It looks for deadlocks only after a second, in which nobody gets on.
        stand
            .execute(&format!("alter database {name} set deadlock_timeout = '20ms'"))
            .await;
    }
    let (second, router) = stand.second(|config| {
        config.pay.sql.0 = vec![
            statement("update subscribers set balance = balance + :amount where account = :account"),
            statement(pause),
            statement("update subscribers set balance = balance - 1 where account in ('1001', '1002') and account <> :account"),
        ];
    });
    let sent = (1..=PAYMENTS).map(|number| {
        let pay = Request::Pay(payment(number, if number % 2 == 0 { "1001" } else { "1002" }));
        let router = router.clone();
        tokio::spawn(async move { send_to(&router, &pay).await })
    });
    for sent in join_all(sent).await {
        let (code, answer) = sent.unwrap();
        assert_eq!((code, &*short(&answer).0), (StatusCode::OK, "accepted"), "{answer}");
    }
    let half = PAYMENTS / 2;
    assert_eq!(stand.balance("1001").await, 500 + half * 15_000 - half);
    assert_eq!(stand.balance("1002").await, half * 15_000 - half);
    assert_eq!(stand.number("select count(*) from unigate_payment").await, PAYMENTS);
    let text = crate::stand::metrics(&router).await;
    assert!(
        text.contains("unigate_receiver_contended_total{act=\"pay\"}"),
        "no deadlock came about: {text}"
    );
    second.close().await;
}

#[tokio::test]
async fn a_lock_that_is_not_given_in_time_is_asked_for_again() {
    on(Backend::Mariadb, None, |stand| async move {
        let Probe::Mariadb(pool, _) = &stand.probe else {
            unreachable!()
        };
        // Half of the time is waited for a lock.
        let (second, router) = stand.second(|config| config.timeout_seconds = 8);
        let mut blocker = pool.acquire().await.unwrap();
        blocker
            .execute("set session innodb_lock_wait_timeout = 60")
            .await
            .unwrap();
        blocker.execute("begin").await.unwrap();
        blocker
            .execute("update subscribers set name = name where account = '1001'")
            .await
            .unwrap();
        let pay = Request::Pay(payment(1, "1001"));
        let sent = tokio::spawn({
            let (router, pay) = (router.clone(), pay.clone());
            async move { send_to(&router, &pay).await }
        });
        wait_for("the lock was asked for again", || async {
            crate::stand::metrics(&router)
                .await
                .contains("unigate_receiver_contended_total")
        })
        .await;
        blocker.execute("rollback").await.unwrap();
        let (code, answer) = sent.await.unwrap();
        assert_eq!((code, &*short(&answer).0), (StatusCode::OK, "accepted"), "{answer}");
        assert_eq!(stand.balance("1001").await, 15_500);
        second.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_lock_that_is_never_given_is_no_answer_and_enters_nothing() {
    on(Backend::Mariadb, None, |stand| async move {
        let Probe::Mariadb(pool, _) = &stand.probe else {
            unreachable!()
        };
        let (second, router) = stand.second(|config| config.timeout_seconds = 2);
        let mut blocker = pool.acquire().await.unwrap();
        blocker.execute("begin").await.unwrap();
        blocker
            .execute("update subscribers set name = name where account = '1001'")
            .await
            .unwrap();
        let pay = Request::Pay(payment(1, "1001"));
        assert_eq!(send_to(&router, &pay).await.0, StatusCode::SERVICE_UNAVAILABLE);
        blocker.execute("rollback").await.unwrap();
        assert_eq!(stand.balance("1001").await, 500);
        is_entered(&router, &pay).await;
        assert_eq!(stand.balance("1001").await, 15_500);
        second.close().await;
    })
    .await;
}
