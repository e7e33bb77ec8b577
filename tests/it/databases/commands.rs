//! Setting a payee up by hand: a first scenario, what is wrong with one, and what a terminal would see.

use std::path::Path;

use serde_json::{Value, json};
use testkit::process::run;
use url::Url;

use super::books::{Backend, Books};
use super::utility;
use crate::cli::{Files, done, failed, unigate};
use crate::faults::{bare, environment};
use crate::world::World;

/// What `check-config` finds of this kind, as `place: text`.
pub(super) async fn found(world: &World, file: &str, severity: &str) -> Vec<String> {
    let arguments = [
        "databases",
        "check-config",
        "vodokanal",
        "--file",
        file,
        "--format",
        "json",
    ];
    let rows = unigate(world, &arguments).await.rows();
    let is = |row: &&Value| row["severity"] == severity;
    let line = |row: &Value| format!("{}: {}", row["place"].as_str().unwrap(), row["found"].as_str().unwrap());
    rows.iter().filter(is).map(line).collect()
}

async fn is_set_up(backend: Backend) {
    let books = Books::utility(backend).await;
    let (world, files) = (bare().await, Files::new());
    let scenario = utility("vodokanal", books.url.as_str(), "");
    let file = files.write("vodokanal.toml", &scenario);
    assert_eq!(found(&world, &file, "error").await, Vec::<String>::new());
    if backend != Backend::Sqlite {
        // The tests' servers know us as their administrators.
        let warnings = found(&world, &file, "warning").await;
        assert!(
            warnings
                .iter()
                .any(|line| line.contains("far more than the scenario needs")),
            "{warnings:?}"
        );
    }
    for (from, to, expected) in [
        ("select name,", "select nam,", "databases.check.statement[0]: "),
        (
            "{{ name }}",
            "{{ nobody }}",
            "databases.check.display: speaks of nobody",
        ),
        (
            "column = \"state\"",
            "column = \"stat\"",
            "databases.check.statement[0].when[0]: looks at column stat",
        ),
        (
            "where number = :number\"\n        when",
            "where number = :numer\"\n        when",
            "does not know the parameter :numer",
        ),
        (
            ":tariff)",
            ":tariff) /* ; */; delete from accounts",
            "holds more than one statement",
        ),
        (
            "limit :limit",
            "limit 10",
            "databases.list.statement[0]: does not ask page by page (:limit is missing)",
        ),
    ] {
        let broken = scenario.replace(from, to);
        assert_ne!(broken, scenario, "{from}");
        let file = files.write("broken.toml", &broken);
        let errors = found(&world, &file, "error").await;
        assert!(
            errors.iter().any(|line| line.contains(expected)),
            "{expected}: {errors:?}"
        );
    }
    let attempt = async |step: &str, more: &[&str]| {
        let arguments = [
            &[
                "databases",
                "try",
                "vodokanal",
                step,
                "--file",
                &file,
                "--account",
                "1001",
            ],
            more,
        ]
        .concat();
        unigate(&world, &arguments).await
    };
    let asked = attempt("check", &[]).await;
    assert_eq!(asked.code, Some(0), "{asked:?}");
    assert!(asked.stdout.contains("the terminal sees: ask"), "{asked:?}");
    assert!(asked.stdout.contains("Уважаемый Иванов И. И.!"), "{asked:?}");
    let entered = ["--amount", "15000", "--field", "meter_cold=130"];
    for (step, ends) in [
        ("pay", "pay ends with: accepted"),
        ("status", "status ends with: accepted"),
        ("cancel", "cancel ends with: cancelled"),
    ] {
        let tried = attempt(step, &entered).await;
        assert!(tried.code == Some(0) && tried.stdout.contains(ends), "{tried:?}");
    }
    assert!(
        attempt("pay", &entered)
            .await
            .stdout
            .contains("kept out by the unique key")
    );
    assert_eq!(
        books.count("select count(*) from payments").await,
        0,
        "nothing of it is kept"
    );
    let noted = "SELECT string_agg((after->>'step') || ' ' || (after->>'anyway'), ', ' ORDER BY audit_id) FROM audit
                 WHERE act = 'databases try' AND subject = 'vodokanal' AND allowed";
    assert_eq!(
        world.value(noted).await,
        "check false, pay false, status false, cancel false, pay false",
        "each before it began"
    );
    books
        .script("create table twice as select * from payments where 1 = 0")
        .await;
    let without_key = files.write("twice.toml", &scenario.replace("into payments", "into twice"));
    let tried = [
        "databases",
        "try",
        "vodokanal",
        "pay",
        "--file",
        &without_key,
        "--account",
        "1001",
        "--field",
        "meter_cold=1",
    ];
    failed(
        &unigate(&world, &tried).await,
        1,
        "no unique key keeps a payment from being entered twice",
    );
    books.script("drop table twice").await;
    begins_with_init(&world, &files, &books).await;
}

async fn begins_with_init(world: &World, files: &Files, books: &Books) {
    let path = files.path().join("first.toml").display().to_string();
    let url = format!("file:{}", files.write("url", books.url.as_str()));
    done(
        world,
        &["databases", "init", "vodokanal", "--url", &url, "--out", &path, "--yes"],
    )
    .await;
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(
        text.contains("select name as name, debt as amount_due from accounts where account = :account"),
        "{text}"
    );
    assert!(
        text.contains("insert into payments (number, account, amount, paid_at)"),
        "{text}"
    );
    assert_eq!(found(world, &path, "error").await, Vec::<String>::new(), "{text}");
    let tried = done(
        world,
        &[
            "databases",
            "try",
            "vodokanal",
            "pay",
            "--file",
            &path,
            "--account",
            "1001",
        ],
    )
    .await;
    assert!(tried.stdout.contains("kept out by the unique key"), "{tried:?}");
    let again = unigate(
        world,
        &["databases", "init", "vodokanal", "--url", &url, "--out", &path, "--yes"],
    )
    .await;
    failed(&again, 1, "first.toml");
}

#[tokio::test]
async fn a_payee_is_set_up_on_sqlite() {
    is_set_up(Backend::Sqlite).await;
}

#[tokio::test]
async fn a_payee_is_set_up_on_postgres() {
    is_set_up(Backend::Postgres).await;
}

#[tokio::test]
async fn a_payee_is_set_up_on_mariadb() {
    is_set_up(Backend::Mariadb).await;
}

#[tokio::test]
async fn a_declared_payee_is_tried_without_its_file() {
    let books = Books::utility(Backend::Postgres).await;
    let world = bare().await;
    world.payee(&utility("vodokanal", books.url.as_str(), "")).await;
    let tried = done(&world, &["databases", "try", "vodokanal", "check", "--account", "1003"]).await;
    assert!(tried.stdout.contains("reason: account_inactive"), "{tried:?}");
    let nobody = unigate(&world, &["databases", "check-config", "nobody"]).await;
    failed(&nobody, 1, "no payee nobody is declared");
    let answer = world.sql("SELECT count(*)::text FROM payment").await;
    assert_eq!(json!(answer), json!([["0"]]));
}

#[tokio::test]
async fn a_payees_data_lie_where_declarations_may_name_them() {
    let books = Books::utility(Backend::Sqlite).await;
    let (world, files) = (bare().await, Files::new());
    let scenario = files.write("vodokanal.toml", &utility("vodokanal", books.url.as_str(), ""));
    let arguments = [
        "databases",
        "try",
        "vodokanal",
        "check",
        "--file",
        &scenario,
        "--account",
        "1001",
    ];
    let tried = async |place: &Path| {
        let confined = environment(&world, &[("UNIGATE_DECLARED_PLACES", place.to_str().unwrap())]);
        run(&confined, &arguments).await
    };
    let data = Url::parse(books.url.as_str()).unwrap().path().to_owned();
    let beside = Path::new(&scenario).with_extension("places");
    std::fs::create_dir(&beside).unwrap();
    failed(
        &tried(&beside).await,
        1,
        &format!("databases.url: {data}: is in none of the places"),
    );
    let there = tried(Path::new(&data).parent().unwrap()).await;
    assert_eq!(there.code, Some(0), "{there:?}");
}
