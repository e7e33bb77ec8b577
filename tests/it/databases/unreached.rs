//! Servers of payees that take no connection: what is wrong is said at once, and no secret with it.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::process::Done;
use url::Url;

use super::books::{Backend, Books};
use super::{WORKERS, check, utility};
use crate::cli::{Files, failed, unigate};
use crate::faults::bare;
use crate::world::World;

/// A secret of an address.
const PASSWORD: &str = "hunter2hunter2";

/// A port that nobody listens on.
fn nobodys() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// What is said of a payee at this address; within the time of a step, which is four seconds.
async fn tried(world: &World, url: &Url) -> Done {
    let files = Files::new();
    let file = files.write("vodokanal.toml", &utility("vodokanal", url.as_str(), ""));
    let arguments = [
        "databases",
        "try",
        "vodokanal",
        "check",
        "--account",
        "1001",
        "--file",
        &file,
    ];
    let tried = unigate(world, &arguments).await;
    assert!(!tried.stderr.contains(PASSWORD), "{tried:?}");
    tried
}

#[tokio::test]
async fn who_asks_a_server_that_takes_no_connection_is_told_why() {
    let world = bare().await;
    for scheme in ["postgres", "mysql"] {
        let port = nobodys();
        let url = Url::parse(&format!("{scheme}://gate:{PASSWORD}@127.0.0.1:{port}/isp")).unwrap();
        let refused = format!("no connection to 127.0.0.1:{port} is to be had: Connection refused");
        failed(&tried(&world, &url).await, 1, &refused);
    }
    let mariadb = Books::empty(Backend::Mariadb).await;
    let mut url = mariadb.url.clone();
    url.set_password(Some(PASSWORD)).unwrap();
    failed(&tried(&world, &url).await, 1, "Access denied for user");
    let postgres = Books::empty(Backend::Postgres).await;
    let mut url = postgres.url.clone();
    url.set_path("nobodys_database");
    failed(
        &tried(&world, &url).await,
        1,
        "\"nobodys_database\" does not exist (3D000)",
    );
    let mut url = postgres.url.clone();
    url.set_username("nobodys_role").unwrap();
    failed(&tried(&world, &url).await, 1, "nobodys_role");
    // What a server says when it is full is what a pool goes on trying for.
    let (database, role) = (postgres.url.path().trim_start_matches('/'), "unigate_test_not_let_in");
    let full =
        format!("drop role if exists {role}; create role {role} login; alter database {database} connection limit 0");
    postgres.script(&full).await;
    let mut url = postgres.url.clone();
    url.set_username(role).unwrap();
    let told = tried(&world, &url).await;
    postgres.script(&format!("drop role {role}")).await;
    failed(&told, 1, "too many connections for database");
}

#[tokio::test]
async fn a_check_at_a_server_that_refuses_connections_is_answered_before_a_payer_goes_away() {
    let world = World::start(&WORKERS).await;
    let url = format!("postgres://gate:{PASSWORD}@127.0.0.1:{}/isp", nobodys());
    let declared = utility("vodokanal", &url, "").replace("timeout_seconds = 4", "timeout_seconds = 20");
    world.payee(&declared).await;
    let since = Instant::now();
    let answer = world
        .ask("payment.check", &check("vodokanal", "1001", &json!({})))
        .await;
    assert_eq!(answer["outcome"], "unavailable", "{answer}");
    assert!(since.elapsed() < Duration::from_secs(8), "{:?}", since.elapsed());
    let why = world
        .value("SELECT coalesce(last_error, '') FROM lane WHERE lane_id = 'vodokanal'")
        .await;
    assert!(
        why.contains("connection refused") && !why.contains("127.0.0.1") && !why.contains(PASSWORD),
        "{why}"
    );
    world.stop().await;
}
