//! Exactly once: many at a time, requests that break off in the middle, refusals that are tried again, late ones.

use axum::http::StatusCode;
use contract::unikassa::Request;
use futures::future::join_all;

use crate::stand::{
    Backend, OTHER_SECRET, SECRET, Stand, cancel, on, payment, secret, send_signed, send_to, short, status,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_at_a_time_credit_once_on_sqlite() {
    on(Backend::Sqlite, None, sixty_four).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_at_a_time_credit_once_on_postgres() {
    on(Backend::Postgres, None, sixty_four).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_at_a_time_credit_once_on_mariadb() {
    on(Backend::Mariadb, None, sixty_four).await;
}

async fn sixty_four(stand: Stand) {
    // Two receivers on one database, as when one is replaced by another while both still run.
    let (second, router) = stand.second(|_| {});
    let pay = Request::Pay(payment(1, "1001"));
    let sends = (0..64).map(|i| {
        let (router, pay) = (
            if i % 2 == 0 {
                stand.router.clone()
            } else {
                router.clone()
            },
            pay.clone(),
        );
        tokio::spawn(async move { send_to(&router, &pay).await })
    });
    let mut results: Vec<(StatusCode, (String, String))> = Vec::new();
    for sent in join_all(sends).await {
        let (code, answer) = sent.unwrap();
        results.push((code, short(&answer)));
    }
    let of = |result: &str| {
        results
            .iter()
            .filter(|(code, short)| *code == StatusCode::OK && *short == (result.to_owned(), "R-1".to_owned()))
            .count()
    };
    assert_eq!((of("accepted"), of("already_accepted")), (1, 63), "{results:?}");
    assert_eq!(stand.balance("1001").await, 15_500);
    assert_eq!(stand.number("select count(*) from inbox").await, 1);
    second.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_that_break_off_credit_once_on_sqlite() {
    on(Backend::Sqlite, None, broken_off).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_that_break_off_credit_once_on_postgres() {
    on(Backend::Postgres, None, broken_off).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_that_break_off_credit_once_on_mariadb() {
    on(Backend::Mariadb, None, broken_off).await;
}

/// Requests are dropped at whatever point they have reached, as when the gateway hangs up or the process dies.
async fn broken_off(stand: Stand) {
    for number in 1..=20 {
        let pay = payment(number, "1002");
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let (router, pay) = (stand.router.clone(), Request::Pay(pay.clone()));
                tokio::spawn(async move { send_to(&router, &pay).await })
            })
            .collect();
        for _ in 0..number * 7 {
            tokio::task::yield_now().await;
        }
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
        join_all(tasks).await;
        let (result, reference) = stand.pay(&pay).await;
        assert!(["accepted", "already_accepted"].contains(&&*result), "{result}");
        assert_eq!(reference, format!("R-{number}"));
        assert_eq!(stand.balance("1002").await, 15_000 * number);
    }
    assert_eq!(stand.number("select count(*) from inbox").await, 20);
}

#[tokio::test]
async fn a_refusal_is_kept_until_asked_anew_on_sqlite() {
    on(Backend::Sqlite, None, refused_then_asked_anew).await;
}

#[tokio::test]
async fn a_refusal_is_kept_until_asked_anew_on_postgres() {
    on(Backend::Postgres, None, refused_then_asked_anew).await;
}

#[tokio::test]
async fn a_refusal_is_kept_until_asked_anew_on_mariadb() {
    on(Backend::Mariadb, None, refused_then_asked_anew).await;
}

/// An operator may put a refused payment right and send it again; a request from before the refusal must not enter it.
async fn refused_then_asked_anew(stand: Stand) {
    let now = domain::clock::now().as_second();
    let pay = Request::Pay(payment(1, "1001"));
    let send = |request: &Request, at: i64| {
        let (router, request) = (stand.router.clone(), request.clone());
        async move {
            let path = format!("/unikassa/{}", request.act());
            let answer = send_signed(&router, &path, &request.webhook_id(), at, SECRET, request.to_body()).await;
            assert_eq!(answer.0, StatusCode::OK, "{}", answer.1);
            short(&answer.1)
        }
    };
    let inactive = ("refused".to_owned(), "account_inactive".to_owned());
    stand
        .execute("update subscribers set closed = 1 where account = '1001'")
        .await;
    assert_eq!(send(&pay, now - 100).await, inactive);
    stand
        .execute("update subscribers set closed = 0 where account = '1001'")
        .await;
    assert_eq!(send(&pay, now - 100).await, inactive, "the same request again");
    assert_eq!(
        send(&pay, now - 200).await,
        inactive,
        "an older request that comes late"
    );
    assert_eq!(send(&status(1), now - 50).await.0, "refused");
    assert_eq!(
        send(&pay, now - 60).await,
        inactive,
        "signed before the status was told"
    );
    assert_eq!(stand.balance("1001").await, 500);
    assert_eq!(send(&pay, now).await, ("accepted".to_owned(), "R-1".to_owned()));
    assert_eq!(send(&pay, now - 60).await.0, "already_accepted");
    assert_eq!(stand.balance("1001").await, 15_500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pay_and_cancel_at_a_time_leave_all_or_nothing() {
    for backend in Backend::ALL {
        on(backend, None, pays_and_cancels).await;
    }
}

async fn pays_and_cancels(stand: Stand) {
    for number in 1..=10 {
        let pay = Request::Pay(payment(number, "1002"));
        assert_eq!(short(&stand.send(&pay).await.1).0, "accepted");
        let cancels = (0..8).map(|_| {
            let (router, cancel) = (stand.router.clone(), cancel(number, "x"));
            tokio::spawn(async move { short(&send_to(&router, &cancel).await.1).0 })
        });
        let ended = join_all(cancels).await;
        let cancelled = ended
            .into_iter()
            .filter(|result| result.as_ref().unwrap() == "cancelled")
            .count();
        assert_eq!(cancelled, 1);
        assert_eq!(
            short(&stand.send(&pay).await.1),
            ("refused".to_owned(), "cancelled".to_owned())
        );
        assert_eq!(stand.balance("1002").await, 0);
    }
}

#[tokio::test]
async fn without_cancel_in_the_configuration_nothing_is_taken_back() {
    on(Backend::Sqlite, None, |stand| async move {
        let (second, router) = stand.second(|config| {
            config.cancel = None;
            config.secret = secret(&format!("{SECRET} {OTHER_SECRET}"));
        });
        assert_eq!(stand.pay(&payment(1, "1001")).await.0, "accepted");
        let refused = short(&send_to(&router, &cancel(1, "x")).await.1);
        assert_eq!(refused, ("refused".to_owned(), "cancel_not_offered".to_owned()));
        assert_eq!(stand.balance("1001").await, 15_500);
        second.close().await;
    })
    .await;
}
