//! What `databases check-config` says of an account of the payee's server that may too much, or too little.

use super::books::{Backend, Books};
use super::commands::found;
use super::utility;
use crate::cli::Files;
use crate::faults::bare;

/// An account with rights on what the scenario names, one of which no statement uses, and on a table that is none of its business.
async fn is_judged(backend: Backend, [create, grant, revoke, drop]: [&str; 4], denied: &str) {
    let books = Books::utility(backend).await;
    let (world, files) = (bare().await, Files::new());
    let name = format!("unigate_test_{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
    let run = async |sql: &str| {
        for one in sql.split(';') {
            books.script(&one.replace("NAME", &name)).await;
        }
    };
    books.script("create table salaries (n integer)").await;
    run(create).await;
    run(grant).await;
    let mut url = books.url.clone();
    url.set_username(&name).unwrap();
    let own = files.write("own.toml", &utility("vodokanal", url.as_str(), ""));
    let read = format!("read_url = \"{url}\"");
    let both = files.write("both.toml", &utility("vodokanal", books.url.as_str(), &read));
    let (errors, warnings) = (found(&world, &own, "error").await, found(&world, &own, "warning").await);
    let of_read = found(&world, &both, "warning").await;
    run(revoke).await;
    let without = found(&world, &own, "error").await;
    // An account belongs to the server, which others use too: it goes before anything is judged.
    run(drop).await;
    assert_eq!(errors, Vec::<String>::new());
    let beyond = "this account may do what the scenario does not need:";
    assert_eq!(
        warnings,
        [format!("databases.url: {beyond} accounts (insert), salaries (update)")]
    );
    let of_checks = format!(
        "databases.read_url: {beyond} accounts (insert, update), payments (insert, select, update), salaries (update)"
    );
    assert!(of_read.contains(&of_checks), "{of_read:?}");
    assert!(
        without
            .iter()
            .any(|line| line.starts_with("databases.pay.statement[0]: ") && line.contains(denied)),
        "{without:?}"
    );
}

#[tokio::test]
async fn an_account_of_mariadb_that_may_change_a_whole_database_is_found() {
    let books = Books::utility(Backend::Mariadb).await;
    let (world, files) = (bare().await, Files::new());
    let database = books.url.path().trim_start_matches('/').to_owned();
    let name = format!("unigate_test_{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
    books.script(&format!("create user {name}@'%'")).await;
    books.script(&format!("grant all on {database}.* to {name}@'%'")).await;
    let mut url = books.url.clone();
    url.set_username(&name).unwrap();
    let own = files.write("own.toml", &utility("vodokanal", url.as_str(), ""));
    let warnings = found(&world, &own, "warning").await;
    books.script(&format!("drop user {name}@'%'")).await;
    let beyond = format!(
        "databases.url: this account may do what the scenario does not need: {database}.* (alter, delete, drop, insert, select, update)"
    );
    assert_eq!(warnings, [beyond]);
}

#[tokio::test]
async fn an_account_of_postgres_that_is_in_a_role_for_all_tables_is_found() {
    let books = Books::utility(Backend::Postgres).await;
    let (world, files) = (bare().await, Files::new());
    let name = format!("unigate_test_{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
    books
        .script(&format!(
            "create role {name} login in role pg_write_all_data, pg_read_all_data"
        ))
        .await;
    let mut url = books.url.clone();
    url.set_username(&name).unwrap();
    let own = files.write("own.toml", &utility("vodokanal", url.as_str(), ""));
    let warnings = found(&world, &own, "warning").await;
    books.script(&format!("drop role {name}")).await;
    let far = "this account may do far more than the scenario needs (pg_read_all_data, pg_write_all_data)";
    assert_eq!(
        warnings,
        [format!("databases.url: {far}: give it rights on its tables only")]
    );
}

#[tokio::test]
async fn an_account_of_postgres_is_judged_by_its_rights() {
    let steps = [
        "create role NAME login",
        "grant select, insert, update on accounts, payments to NAME; grant update on salaries to NAME",
        "revoke insert on payments from NAME",
        "drop owned by NAME; drop role NAME",
    ];
    is_judged(Backend::Postgres, steps, "42501").await;
}

#[tokio::test]
async fn an_account_of_mariadb_is_judged_by_its_rights() {
    let steps = [
        "create user NAME@'%'",
        "grant select, insert, update on accounts to NAME@'%'; grant select, insert, update on payments to NAME@'%';
         grant update on salaries to NAME@'%'",
        "revoke insert on payments from NAME@'%'",
        "drop user NAME@'%'",
    ];
    is_judged(Backend::Mariadb, steps, "denied").await;
}
