//! A payee's server killed in mid-payment and started again. The servers are private ones: others' tests use the shared ones.

use futures::future::join_all;
use testkit::wait_for;

use super::books::{Backend, Books};
use super::{WORKERS, pay, utility};
use crate::restarts::{Private, Service};
use crate::world::{PATIENCE, World};

const PAYMENTS: i64 = 40;

/// Whatever the server was doing when it died, each payment is entered once, and nobody has to do anything about it.
async fn is_killed(backend: Backend, service: Service, pause: &str) {
    let private = Private::start(service).await;
    let books = Books::utility_on(backend, private.url()).await;
    // Payments take their time, so that some of them are on their way.
    let scenario = utility("vodokanal", books.url.as_str(), "concurrency = 8").replace(
        "[[databases.status.statement]]",
        &format!("[[databases.pay.statement]]\nsql = \"{pause}\"\n[[databases.status.statement]]"),
    );
    let world = World::start(&WORKERS).await;
    let mut events = world.listen("payee.#").await;
    world.payee(&scenario).await;
    // Looked up before there is work: it would be over by the time that is done.
    let pid = private.pid().await;
    // As soon as some are entered, also if others are still being accepted: later, all may be.
    let killing = async {
        wait_for("some are entered", PATIENCE, async || {
            (books.count("select count(*) from payments").await >= 5).then_some(())
        })
        .await;
        private.kill(&pid).await;
    };
    let paying = join_all((0..PAYMENTS).map(|_| pay(&world, "vodokanal", "1001")));
    let (ids, ()) = tokio::join!(paying, killing);
    events.item("payee.down", "payee", "vodokanal").await;
    let waiting = "SELECT count(*) FROM payment WHERE state <> 'delivered'";
    assert_ne!(world.value(waiting).await, "0", "killed too late to show anything");
    private.up_again().await;
    for id in &ids {
        world.reaches(id, "delivered").await;
    }
    assert_eq!(books.count("select count(*) from payments").await, PAYMENTS);
    let debt = format!("select count(*) from accounts where account = '1001' and debt = 1250.40 - 150 * {PAYMENTS}");
    assert_eq!(books.count(&debt).await, 1, "the rest of each transaction went with it");
    world.stop().await;
}

#[tokio::test]
async fn a_payees_postgres_that_is_killed_enters_each_payment_once() {
    is_killed(
        Backend::Postgres,
        Service::PostgreSql,
        "select 1 as waited from pg_sleep(0.3)",
    )
    .await;
}

#[tokio::test]
async fn a_payees_mariadb_that_is_killed_enters_each_payment_once() {
    is_killed(Backend::Mariadb, Service::MariaDb, "select sleep(0.3) as waited").await;
}
