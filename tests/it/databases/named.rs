//! A first scenario of a payee whose tables and columns have names that have to be quoted.

use super::books::{Backend, Books};
use super::commands::found;
use crate::cli::{Files, done};
use crate::faults::bare;

/// A reserved word, capital letters, letters of another alphabet, spaces, signs, and quotes.
const SCHEMA: &str = r#"
    create table "user" ("Account" varchar(40) primary key, "ФИО name" varchar(200), "due: `руб`, ""all""" decimal(12,2));
    create table "Payment Inbox" ("№ number" bigint primary key, "account" varchar(40) not null,
        "сумма amount" decimal(12,2) not null, "Paid At" varchar(40));
    insert into "user" values ('1001', 'Иванов И. И.', 1250.40);"#;

async fn is_begun(backend: Backend) {
    let books = Books::empty(backend).await;
    match backend {
        Backend::Mariadb => books.script(&format!("set sql_mode = ansi_quotes; {SCHEMA}")).await,
        _ => books.script(SCHEMA).await,
    }
    let (world, files) = (bare().await, Files::new());
    let path = files.path().join("first.toml").display().to_string();
    let url = format!("file:{}", files.write("url", books.url.as_str()));
    done(
        &world,
        &["databases", "init", "vodokanal", "--url", &url, "--out", &path, "--yes"],
    )
    .await;
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(found(&world, &path, "error").await, Vec::<String>::new(), "{text}");
    let of = ["--file", &path, "--account", "1001"];
    for (step, says) in [
        ("check", "display: Иванов И. И.: 1250.40"),
        ("pay", "kept out by the unique key"),
        ("status", "status ends with: accepted"),
    ] {
        let tried = done(&world, &[&["databases", "try", "vodokanal", step], &of[..]].concat()).await;
        let said = tried.stdout.replace("1250.4\n", "1250.40\n");
        assert!(said.contains(says), "{step}: {tried:?}");
    }
}

#[tokio::test]
async fn a_first_scenario_quotes_names_on_sqlite() {
    is_begun(Backend::Sqlite).await;
}

#[tokio::test]
async fn a_first_scenario_quotes_names_on_postgres() {
    is_begun(Backend::Postgres).await;
}

#[tokio::test]
async fn a_first_scenario_quotes_names_on_mariadb() {
    is_begun(Backend::Mariadb).await;
}
