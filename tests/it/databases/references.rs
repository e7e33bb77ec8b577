//! Payees whose `pay` gives a payment a name of its own, by which it is asked about and taken back.

use serde_json::json;

use super::books::{Backend, Books};
use super::commands::found;
use super::faults::endings;
use super::{WORKERS, pay, utility};
use crate::cli::{Files, done};
use crate::faults::bare;
use crate::world::World;

/// Payments of this payee are receipts, whose numbers it deals itself.
fn with_receipts(scenario: &str) -> String {
    scenario
        .replace("types = {", "types = { provider_reference = \"integer\",")
        .replacen(
            "[[databases.status.statement]]",
            "[[databases.pay.statement]]
            sql = \"insert into receipts (account) values (:account) returning id as provider_reference\"
            [[databases.status.statement]]",
            1,
        )
        .replace(
            "from payments where number = :number\"",
            "from payments where number = :number and (:provider_reference is null or exists (select 1 from receipts where id = :provider_reference))\"",
        )
        .replacen(
            "[[databases.cancel.statement]]",
            "[[databases.cancel.statement]]
            sql = \"update receipts set cancelled = 1 where id = :provider_reference and account = :account\"
            [[databases.cancel.statement]]",
            1,
        )
}

async fn books(backend: Backend) -> Books {
    let books = Books::utility(backend).await;
    let id = match backend {
        Backend::Postgres => "bigserial primary key",
        Backend::Mariadb => "bigint auto_increment primary key",
        Backend::Sqlite => "integer primary key",
    };
    books
        .script(&format!(
            "create table receipts (id {id}, account varchar(200), cancelled integer not null default 0);
             insert into receipts (account) values ('another'), ('another');"
        ))
        .await;
    books
}

async fn is_taken_back_by_its_name(backend: Backend) {
    let books = books(backend).await;
    let scenario = with_receipts(&utility("vodokanal", books.url.as_str(), ""));
    let (world, files) = (World::start(&WORKERS).await, Files::new());
    let file = files.write("vodokanal.toml", &scenario);
    assert_eq!(found(&world, &file, "error").await, Vec::<String>::new());
    world.payee(&scenario).await;
    let id = pay(&world, "vodokanal", "1001").await;
    world.reaches(&id, "delivered").await;
    world
        .sql("UPDATE payment SET state = 'unknown', next_act = 'status', due_at = now(), maybes = 1, generation = generation + 1")
        .await;
    world.context.nudge(runtime::Nudge::Entries);
    let row = world.reaches(&id, "delivered").await;
    assert_eq!(row.provider_reference.as_deref(), Some("3"));
    world
        .sql("UPDATE payment SET state = 'unknown', next_act = NULL, due_at = NULL, maybes = 1, generation = generation + 1")
        .await;
    let revoke = json!({"payment_id": id, "terminal": "T-0001", "reason": "the payer's mistake"});
    assert_eq!(world.tell("payment.revoke", &revoke).await["outcome"], "revoking");
    world.reaches(&id, "revoked").await;
    assert_eq!(
        endings(&world, &id).await,
        ["pay answered", "status answered", "cancel answered"]
    );
    let taken_back = "select count(*) from receipts where cancelled = 1 and id = 3";
    assert_eq!(books.count(taken_back).await, 1);
    world.stop().await;
}

#[tokio::test]
async fn a_payment_is_taken_back_by_the_payees_name_for_it_on_sqlite() {
    is_taken_back_by_its_name(Backend::Sqlite).await;
}

#[tokio::test]
async fn a_payment_is_taken_back_by_the_payees_name_for_it_on_postgres() {
    is_taken_back_by_its_name(Backend::Postgres).await;
}

#[tokio::test]
async fn a_payment_is_taken_back_by_the_payees_name_for_it_on_mariadb() {
    is_taken_back_by_its_name(Backend::Mariadb).await;
}

#[tokio::test]
async fn a_name_that_pay_does_not_give_is_found_before_it_is_needed() {
    let books = books(Backend::Postgres).await;
    let (world, files) = (bare().await, Files::new());
    let scenario = with_receipts(&utility("vodokanal", books.url.as_str(), ""));
    let path = files.write("vodokanal.toml", &scenario);
    let arguments = ["--file", &path, "--account", "1001", "--amount", "15000"];
    for (step, ends) in [("status", "accepted"), ("cancel", "cancelled")] {
        let tried = done(
            &world,
            &[&["databases", "try", "vodokanal", step], &arguments[..]].concat(),
        )
        .await;
        assert!(tried.stdout.contains(&format!("{step} ends with: {ends}")), "{tried:?}");
    }
    assert_eq!(books.count("select count(*) from receipts").await, 2);
    let nameless = files.write(
        "nameless.toml",
        &scenario.replace(" returning id as provider_reference", ""),
    );
    let warnings = found(&world, &nameless, "warning").await;
    let expected = "no statement of pay returns a column provider_reference";
    for place in ["databases.status: ", "databases.cancel: "] {
        let told = |line: &String| line.starts_with(place) && line.contains(expected);
        assert!(warnings.iter().any(told), "{place}: {warnings:?}");
    }
    // After a lost answer it has no name: status would know nothing of a payment that is there.
    let alone = scenario.replace(
        "from payments where number = :number and (:provider_reference is null or exists (select 1 from receipts where id = :provider_reference))",
        "from payments where exists (select 1 from receipts where id = :provider_reference)",
    );
    assert_ne!(alone, scenario);
    let errors = found(&world, &files.write("alone.toml", &alone), "error").await;
    assert!(errors[0].contains("asks by :provider_reference alone"), "{errors:?}");
}
