//! What becomes of a transaction whose client has fallen asleep: nothing of it is kept, and nobody waits for it.

use std::time::Duration;

use secrecy::SecretString;
use sql::{Access, Database, DatabaseError, Limits, Statement, Transaction, Values, Zone};
use url::Url;

/// What is far from what a request may take.
const LONG: Duration = Duration::from_secs(20);

#[expect(
    clippy::disallowed_methods,
    reason = "tests find their services in the environment, as the programs do"
)]
fn address(variable: &str, default: &str) -> Url {
    Url::parse(&std::env::var(variable).unwrap_or_else(|_| default.to_owned())).unwrap()
}

fn open(url: &Url, timeout: Duration) -> Database {
    let limits = Limits {
        pool_size: 1,
        timeout,
        create: false,
        zone: Zone::default(),
        application: "unigate-test",
        keep_plans: false,
        read_only: false,
    };
    Database::open(&SecretString::from(url.as_str()), &limits).unwrap()
}

fn statement(sql: &str) -> Statement {
    Statement {
        place: "test".to_owned(),
        sql: sql.into(),
        parameters: Vec::new(),
        optional: true,
    }
}

async fn entered(database: &Database) -> Transaction {
    let mut tx = database.begin(Access::Write).await.unwrap();
    tx.run(&statement("insert into payments values (1)"), &Values::default())
        .await
        .unwrap();
    tx
}

#[tokio::test]
async fn what_a_client_of_mariadb_keeps_open_for_longer_than_a_request_is_undone() {
    let server = address("UNIGATE_TEST_MARIADB_URL", "mysql://root@127.0.0.1:3306");
    let name = format!("unigate_test_{}", uuid::Uuid::new_v4().simple());
    let admin = open(&server, LONG);
    let run = async |sql: String| admin.ask(&statement(&sql), &Values::default()).await.unwrap();
    run(format!("create database {name}")).await;
    run(format!("create table {name}.payments (number integer primary key)")).await;
    let mut url = server.clone();
    url.set_path(&name);
    let (asleep, other) = (open(&url, Duration::from_secs(1)), open(&url, LONG));
    let sleeping = entered(&asleep).await;
    // Waits for the one that sleeps, until the server has undone it.
    entered(&other).await.rollback().await.unwrap();
    let late = sleeping.commit().await;
    assert!(matches!(late, Err(DatabaseError::Away(_))), "{late:?}");
    entered(&other).await.rollback().await.unwrap();
    run(format!("drop database {name}")).await;
}
