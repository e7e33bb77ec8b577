//! The database goes away and comes back: the receiver says 503, enters nothing twice, and needs no restart.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request as HttpRequest, StatusCode};
use contract::unikassa::Request;
use receiver::Receiver;
use sqlx::{Connection as _, Executor as _, PgConnection, SqliteConnection};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use crate::stand::{Backend, Probe, Stand, config, on, payment, secret, send_raw, send_to, short, wait_for};

const TERMINATE: &str = "select count(pg_terminate_backend(pid)) from pg_stat_activity
    where datname = current_database() and application_name = 'unigate-receiver'";
const WAITING: &str = "select count(*) from pg_stat_activity where datname = current_database()
    and application_name = 'unigate-receiver' and wait_event_type = 'Lock'";

#[tokio::test]
async fn connections_that_were_cut_are_replaced() {
    on(Backend::Postgres, None, |stand| async move {
        for number in 1..=5 {
            assert_eq!(stand.pay(&payment(number, "1001")).await.0, "accepted");
            assert!(stand.number(TERMINATE).await > 0);
        }
        assert_eq!(stand.balance("1001").await, 500 + 5 * 15_000);
    })
    .await;
}

#[tokio::test]
async fn a_connection_cut_inside_the_transaction_enters_nothing() {
    on(Backend::Postgres, None, |stand| async move {
        let mut blocker = PgConnection::connect(&stand.url).await.unwrap();
        blocker.execute("begin").await.unwrap();
        blocker.execute("lock table inbox").await.unwrap();
        let pay = Request::Pay(payment(1, "1001"));
        let sent = tokio::spawn({
            let (router, pay) = (stand.router.clone(), pay.clone());
            async move { send_to(&router, &pay).await }
        });
        wait_for("the payment waits for the lock", || async {
            stand.number(WAITING).await == 1
        })
        .await;
        assert_eq!(stand.number(TERMINATE).await, 1);
        let (code, answer) = sent.await.unwrap();
        assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
        blocker.execute("rollback").await.unwrap();
        assert_eq!(stand.balance("1001").await, 500);
        assert_eq!(short(&stand.send(&pay).await.1).0, "accepted");
        assert_eq!(stand.balance("1001").await, 15_500);
    })
    .await;
}

/// Lets connections to a port through to PostgreSQL, from now on.
async fn forward(listener: TcpListener, server: Url) {
    let server = (server.host_str().unwrap().to_owned(), server.port().unwrap_or(5432));
    while let Ok((mut from, _)) = listener.accept().await {
        let mut to = TcpStream::connect(server.clone()).await.unwrap();
        tokio::spawn(async move { tokio::io::copy_bidirectional(&mut from, &mut to).await });
    }
}

#[tokio::test]
async fn a_server_that_is_started_later_is_found() {
    on(Backend::Postgres, None, |stand| async move {
        // Nobody listens on this port until the forwarder does.
        let port = TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let server = Url::parse(&stand.url).unwrap();
        let mut later = server.clone();
        later.set_ip_host([127, 0, 0, 1].into()).unwrap();
        later.set_port(Some(port)).unwrap();
        let mut changed = config(later.as_str(), None);
        changed.timeout_seconds = 1;
        let receiver = Arc::new(Receiver::open(&changed).unwrap());
        let router = receiver.router();
        let health = || HttpRequest::get("/healthz").body(Body::empty()).unwrap();
        let pay = Request::Pay(payment(1, "1001"));
        assert_eq!(send_to(&router, &pay).await.0, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(send_raw(&router, health()).await.0, StatusCode::SERVICE_UNAVAILABLE);
        let forwarder = tokio::spawn(forward(TcpListener::bind(("127.0.0.1", port)).await.unwrap(), server));
        assert_eq!(
            short(&send_to(&router, &pay).await.1),
            ("accepted".to_owned(), "R-1".to_owned())
        );
        assert_eq!(send_raw(&router, health()).await.0, StatusCode::OK);
        receiver.close().await;
        forwarder.abort();
    })
    .await;
}

#[tokio::test]
async fn a_locked_sqlite_file_is_waited_for_and_then_503() {
    on(Backend::Sqlite, None, |stand| async move {
        let Probe::Sqlite(_, path) = &stand.probe else {
            unreachable!()
        };
        let (second, router) = stand.second(|config| config.timeout_seconds = 1);
        let mut blocker = SqliteConnection::connect(&format!("sqlite://{}", path.display()))
            .await
            .unwrap();
        blocker.execute("begin exclusive").await.unwrap();
        let pay = Request::Pay(payment(1, "1001"));
        assert_eq!(send_to(&router, &pay).await.0, StatusCode::SERVICE_UNAVAILABLE);
        blocker.execute("rollback").await.unwrap();
        assert_eq!(short(&send_to(&router, &pay).await.1).0, "accepted");
        assert_eq!(stand.balance("1001").await, 15_500);
        second.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_sqlite_file_that_is_not_there_is_not_made_by_a_payment() {
    on(Backend::Sqlite, None, |stand: Stand| async move {
        let path = format!("{}.elsewhere", stand.url);
        let (second, router) = stand.second(|config| config.database.url = secret(&path));
        let pay = Request::Pay(payment(1, "1001"));
        assert_eq!(send_to(&router, &pay).await.0, StatusCode::SERVICE_UNAVAILABLE);
        assert!(!std::fs::exists(path.trim_start_matches("sqlite://")).unwrap());
        second.close().await;
    })
    .await;
}
