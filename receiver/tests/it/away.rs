//! The database goes away and comes back: the receiver says 503, enters nothing twice, and needs no restart.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request as HttpRequest, StatusCode};
use contract::unikassa::Request;
use receiver::Receiver;
use sqlx::{Connection as _, Executor as _, SqliteConnection};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use url::Url;

use crate::stand::{Backend, Probe, Stand, config, metrics, on, payment, secret, send_raw, send_to, short, wait_for};

#[tokio::test]
async fn connections_that_were_cut_are_replaced() {
    for backend in Backend::SERVERS {
        on(backend, None, |stand| async move {
            for number in 1..=5 {
                assert_eq!(stand.pay(&payment(number, "1001")).await.0, "accepted");
                assert!(stand.probe.cut_all().await > 0);
            }
            assert_eq!(stand.balance("1001").await, 500 + 5 * 15_000);
        })
        .await;
    }
}

#[tokio::test]
async fn a_connection_cut_inside_the_transaction_enters_nothing() {
    for backend in Backend::SERVERS {
        on(backend, None, |stand| async move {
            let locked = lock_inbox(&stand).await;
            let pay = Request::Pay(payment(1, "1001"));
            let sent = tokio::spawn({
                let (router, pay) = (stand.router.clone(), pay.clone());
                async move { send_to(&router, &pay).await }
            });
            wait_for("the payment waits for the lock and is cut", || async {
                stand.probe.cut_waiting().await == 1
            })
            .await;
            let (code, answer) = sent.await.unwrap();
            assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
            drop(locked);
            assert_eq!(stand.balance("1001").await, 500);
            assert_eq!(short(&stand.send(&pay).await.1).0, "accepted");
            assert_eq!(stand.balance("1001").await, 15_500);
        })
        .await;
    }
}

/// A lock on the whole table, held by a session that ends with what is returned.
async fn lock_inbox(stand: &Stand) -> Box<dyn std::any::Any + Send> {
    match &stand.probe {
        Probe::Sqlite(..) => unreachable!("a file is locked as a whole"),
        Probe::Postgres(pool, _) => {
            let mut session = pool.acquire().await.unwrap().detach();
            session.execute("begin").await.unwrap();
            session.execute("lock table inbox").await.unwrap();
            Box::new(session)
        }
        Probe::Mariadb(pool, _) => {
            let mut session = pool.acquire().await.unwrap().detach();
            session.execute("lock table inbox write").await.unwrap();
            Box::new(session)
        }
    }
}

/// Lets connections to a port through to a server, from now on.
async fn forward(listener: TcpListener, server: Url, port: u16) {
    let server = (server.host_str().unwrap().to_owned(), server.port().unwrap_or(port));
    while let Ok((mut from, _)) = listener.accept().await {
        let mut to = TcpStream::connect(server.clone()).await.unwrap();
        tokio::spawn(async move { tokio::io::copy_bidirectional(&mut from, &mut to).await });
    }
}

/// Pays as the gateway does, again after a 503: on a machine that does many things at once the second that is enough to see
/// that nobody is there can be too short for a payment.
pub(crate) async fn is_entered(router: &Router, pay: &Request) {
    wait_for("the payment is entered", || async {
        let (code, answer) = send_to(router, pay).await;
        let (result, reference) = short(&answer);
        match code {
            StatusCode::SERVICE_UNAVAILABLE => false,
            _ => {
                assert!(["accepted", "already_accepted"].contains(&&*result), "{answer}");
                assert_eq!(reference, "R-1");
                true
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_started_later_is_found() {
    for (backend, standard) in [(Backend::Postgres, 5432), (Backend::Mariadb, 3306)] {
        on(backend, None, move |stand| started_later(stand, standard)).await;
    }
}

async fn started_later(stand: Stand, standard: u16) {
    // Nobody listens on this port until the forwarder does, and nobody else can have it meanwhile.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let server = Url::parse(&stand.url).unwrap();
    let mut later = server.clone();
    later.set_host(Some("127.0.0.1")).unwrap();
    later.set_port(Some(port)).unwrap();
    let mut changed = config(later.as_str(), None);
    changed.timeout_seconds = 1;
    let receiver = Arc::new(Receiver::open(&changed).unwrap());
    let router = receiver.router();
    let get = |path: &str| HttpRequest::get(path).body(Body::empty()).unwrap();
    let pay = Request::Pay(payment(1, "1001"));
    assert_eq!(send_to(&router, &pay).await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        send_raw(&router, get("/readyz")).await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(
        send_raw(&router, get("/healthz")).await.0,
        StatusCode::OK,
        "the process runs"
    );
    assert!(metrics(&router).await.contains("unigate_receiver_ready 0"));
    let forwarder = tokio::spawn(forward(socket.listen(64).unwrap(), server, standard));
    is_entered(&router, &pay).await;
    wait_for("it is ready", || async {
        send_raw(&router, get("/readyz")).await.0 == StatusCode::OK
    })
    .await;
    assert!(metrics(&router).await.contains("unigate_receiver_ready 1"));
    receiver.close().await;
    forwarder.abort();
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
        is_entered(&router, &pay).await;
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
