//! Numbers that the payee's data have already, where a key keeps a second payment out and where `status` is asked first.

use serde_json::json;
use testkit::wait_for;

use super::books::{Backend, Books};
use super::faults::{behind, endings, lose_a_commit, slow_commits};
use super::{WORKERS, pay, payment, utility};
use crate::fixtures::new_id;
use crate::world::{PATIENCE, World};

const FIRST: &str = "ask_status_first = true";

/// A scenario without a key.
fn asking_first(scenario: &str) -> String {
    let pay = "[[databases.pay.statement]]";
    let keyless = scenario.replace("unique = true", "");
    keyless.replacen(pay, &format!("[databases.pay]\n{FIRST}\n{pay}"), 1)
}

/// Tables whose payments have no key.
async fn keyless(backend: Backend) -> Books {
    let books = Books::utility(backend).await;
    books
        .script(
            "create table entered (number bigint, account varchar(200), amount decimal(12,2), paid_at varchar(40), cold integer,
                 note varchar(600), cancelled integer not null default 0);
             drop table payments;
             alter table entered rename to payments",
        )
        .await;
    books
}

async fn is_entered_once_without_a_key(backend: Backend) {
    let books = keyless(backend).await;
    let scenario = asking_first(&utility("vodokanal", books.url.as_str(), ""));
    let world = World::start(&WORKERS).await;
    world.payee(&scenario.replace(":paid_at,", "'today',")).await;
    let id = pay(&world, "vodokanal", "1001").await;
    let row = world.reaches(&id, "delivered").await;
    assert!(row.flags.is_empty(), "{row:?}");
    // Sent once more, as by an operator who is certain that it never came.
    world
        .sql("UPDATE payment SET state = 'waiting', next_act = 'pay', due_at = now(), generation = generation + 1")
        .await;
    world.context.nudge(runtime::Nudge::Entries);
    world.reaches(&id, "delivered").await;
    assert_eq!(endings(&world, &id).await, ["pay answered", "pay answered"]);
    assert_eq!(books.count("select count(*) from payments").await, 1);
    let debt = "select count(*) from accounts where account = '1001' and debt = 1100.40";
    assert_eq!(books.count(debt).await, 1);
    world.stop().await;
}

#[tokio::test]
async fn what_status_knows_is_not_entered_again_on_sqlite() {
    is_entered_once_without_a_key(Backend::Sqlite).await;
}

#[tokio::test]
async fn what_status_knows_is_not_entered_again_on_postgres() {
    is_entered_once_without_a_key(Backend::Postgres).await;
}

#[tokio::test]
async fn what_status_knows_is_not_entered_again_on_mariadb() {
    is_entered_once_without_a_key(Backend::Mariadb).await;
}

#[tokio::test]
async fn a_lost_commit_without_a_key_is_asked_about_and_not_paid_again() {
    let books = keyless(Backend::Postgres).await;
    slow_commits(&books, "insert").await;
    let (world, proxy) = behind(&books, "").await;
    let url = books.by_way_of(&proxy.addr);
    let scenario = asking_first(&utility("vodokanal", url.as_str(), "")).replace(":paid_at,", "'today',");
    world.payee(&scenario).await;
    let id = pay(&world, "vodokanal", "1001").await;
    lose_a_commit(&books, &proxy).await;
    wait_for("status knows it", PATIENCE, async || {
        world.hurry().await;
        (world.payment(&id).await.state == domain::payment::PaymentState::Delivered).then_some(())
    })
    .await;
    let endings = endings(&world, &id).await;
    assert_eq!(endings[0], "pay maybe", "{endings:?}");
    assert!(endings[1..].iter().all(|one| one == "status answered"), "{endings:?}");
    assert_eq!(books.count("select count(*) from payments").await, 1);
    world.stop().await;
}

/// The row that is there before the first attempt, and what becomes of the payment.
const THERE: [(&str, &str, &[&str]); 4] = [
    ("'1001', 150.00, 0", "delivered", &["already_on_first_attempt"]),
    ("'1001', 151.00, 0", "unknown", &["number_conflict"]),
    ("'1002', 150.00, 0", "unknown", &["number_conflict"]),
    ("'1001', 150.00, 1", "refused", &[]),
];

async fn is_held_against_what_is_there(backend: Backend, first: bool) {
    let books = Books::utility(backend).await;
    let world = World::start(&WORKERS).await;
    let by_key = utility("vodokanal", books.url.as_str(), "")
        .replace("select amount, cancelled", "select account, amount, cancelled");
    let scenario = if first { asking_first(&by_key) } else { by_key };
    // They wait until the payee's data have their numbers.
    world
        .payee(&scenario.replacen("gateway =", "suspended = true\ngateway =", 1))
        .await;
    let mut ids = Vec::new();
    for (row, ..) in THERE {
        let id = new_id();
        let told = payment(&id, "vodokanal", "1001", &json!({"meter_cold": "130", "tariff": "T-1"}));
        let answer = world.tell("payment.accepted", &told).await;
        let number = answer["number"].as_str().unwrap();
        let (account_and_amount, cancelled) = row.rsplit_once(", ").unwrap();
        books
            .script(&format!(
                "insert into payments (number, account, amount, cancelled, paid_at)
                 values ({number}, {account_and_amount}, {cancelled}, '2026-11-23 10:00:00')"
            ))
            .await;
        ids.push(id);
    }
    world.payee(&scenario).await;
    for (id, (row, state, flags)) in ids.iter().zip(THERE) {
        let reached = world.reaches(id, state).await;
        assert_eq!(reached.flags, flags, "{row}: {reached:?}");
        assert_eq!(endings(&world, id).await, ["pay answered"], "{row}");
    }
    let untouched = "select count(*) from accounts where account = '1001' and debt = 1250.40";
    assert_eq!(books.count(untouched).await, 1);
    world.stop().await;
}

#[tokio::test]
async fn a_number_that_is_somebody_elses_is_an_operators_case_on_sqlite() {
    is_held_against_what_is_there(Backend::Sqlite, false).await;
}

#[tokio::test]
async fn a_number_that_is_somebody_elses_is_an_operators_case_on_postgres() {
    is_held_against_what_is_there(Backend::Postgres, false).await;
}

#[tokio::test]
async fn a_number_that_is_somebody_elses_is_an_operators_case_on_mariadb() {
    is_held_against_what_is_there(Backend::Mariadb, false).await;
}

#[tokio::test]
async fn a_number_that_is_somebody_elses_is_seen_by_asking_first_on_sqlite() {
    is_held_against_what_is_there(Backend::Sqlite, true).await;
}

#[tokio::test]
async fn a_number_that_is_somebody_elses_is_seen_by_asking_first_on_postgres() {
    is_held_against_what_is_there(Backend::Postgres, true).await;
}

/// Enters a payment as its caller's transaction wants it, slowly as long as there is a row in `slow`.
const POST: &str =
    "create procedure post_payment(in p_number bigint, in p_account varchar(200), in p_amount decimal(12,2))
    begin
        if exists (select 1 from slow) then
            do sleep(20);
        end if;
        insert into payments (number, account, amount, paid_at) values (p_number, p_account, p_amount, now(6));
        update accounts set debt = debt - p_amount where account = p_account;
    end";

#[tokio::test]
async fn a_call_that_was_cut_off_is_made_again_once_status_denies_it_on_mariadb() {
    let books = keyless(Backend::Mariadb).await;
    books.script("create table slow (x integer)").await;
    books.script("insert into slow values (1)").await;
    books.script(POST).await;
    let scenario = asking_first(&utility("vodokanal", books.url.as_str(), ""));
    let begin = scenario.find("[[databases.pay.statement]]").unwrap();
    let end = scenario.find("[[databases.status.statement]]").unwrap();
    let call =
        "[[databases.pay.statement]]\nsql = \"call post_payment(:number, :account, :amount)\"\nseveral = \"go_on\"\n";
    let calling = format!("{}{call}{}", &scenario[..begin], &scenario[end..]);
    let world = World::start(&WORKERS).await;
    world
        .payee(&calling.replace("timeout_seconds = 4", "timeout_seconds = 3"))
        .await;
    let id = pay(&world, "vodokanal", "1001").await;
    // It may have kept what it did, as far as anybody knows.
    world.reaches(&id, "unknown").await;
    assert_eq!(endings(&world, &id).await[0], "pay maybe");
    books.script("delete from slow").await;
    world.reaches(&id, "delivered").await;
    let endings = endings(&world, &id).await;
    assert_eq!(
        endings.iter().filter(|ending| *ending == "pay answered").count(),
        1,
        "{endings:?}"
    );
    let asked = endings.iter().filter(|ending| *ending == "status answered").count();
    assert!(asked >= 2, "{endings:?}");
    assert_eq!(books.count("select count(*) from payments").await, 1);
    let debt = "select count(*) from accounts where account = '1001' and debt = 1100.40";
    assert_eq!(books.count(debt).await, 1);
    world.stop().await;
}
