//! A payee whose receiver calls a procedure that ends the transaction: what we make of numbers in doubt.

use receiver::{Config, SecretRef};
use testkit::wait_for;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::databases::books::{Backend, Books};
use crate::fixtures::{SECRET, internet_provider, new_ids, online_payment};
use crate::unikassa::ONLINE;
use crate::world::{PATIENCE, World};

const CONFIG: &str = r#"
    secret = "unset"
    currency = "RUB"
    base_path = "/unikassa"
    database = { url = "mysql://unset/unset" }
    [check]
    sql = "select 'somebody' as display"
    [pay]
    sql = "call enter(:number)"
"#;

/// What it has entered it keeps, whatever becomes of the rest.
const SCHEMA: &str = "create table inbox (number bigint);
    create procedure enter(in p_number bigint) begin insert into inbox values (p_number); commit; end";

const PAID: &str = "SELECT count(*) FROM attempt WHERE act = 'pay'";

#[tokio::test]
async fn a_receiver_that_leaves_every_number_in_doubt_is_sent_no_more() {
    let books = Books::empty(Backend::Mariadb).await;
    books.script(SCHEMA).await;
    let mut config = Config::from_toml(CONFIG).unwrap();
    config.secret = SecretRef::new(SECRET);
    config.database.url = SecretRef::new(books.url.as_str());
    receiver::init_db(&config, None).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/unikassa", listener.local_addr().unwrap());
    let shutdown = CancellationToken::new();
    let served = tokio::spawn(receiver::serve(config, listener, shutdown.clone()));

    let world = World::start(&ONLINE).await;
    let mut events = world.listen("payee.*").await;
    let more = "timeout_seconds = 20\nconcurrency = 1\nretry_seconds = [600]\nprobe_seconds = 600";
    world.payee(&internet_provider(&url, more)).await;
    for id in new_ids(25) {
        world.tell("payment.accepted", &online_payment(&id)).await;
    }
    events.item("payee.down", "payee", "isp").await;
    wait_for("open calls to end", PATIENCE, async || {
        let open = world.value("SELECT count(*) FROM attempt WHERE ending = 'open'").await;
        (open == "0").then_some(())
    })
    .await;
    let entered = books.count("select count(*) from inbox").await;
    let in_doubt = "select count(*) from unigate_payment where state = 'in_doubt'";
    assert!((5..10).contains(&entered), "{entered}");
    assert_eq!(books.count(in_doubt).await, entered);

    // Asked about one of them it answers that nobody has decided, and that is a sign of life; paid once more, none is an answer.
    wait_for("three of them to be tried", PATIENCE, async || {
        world
            .sql("UPDATE lane SET probe_at = clock_timestamp() WHERE breaker = 'open'")
            .await;
        world.context.nudge(runtime::Nudge::Probes);
        let paid: i64 = world.value(PAID).await.parse().unwrap();
        (paid >= entered + 3).then_some(())
    })
    .await;
    assert!(events.all(&world, "payee.up").await.is_empty(), "it is back");
    assert_eq!(books.count("select count(*) from inbox").await, entered);
    shutdown.cancel();
    served.await.unwrap().unwrap();
}
