//! A payee's database that is away, slow, cut off in mid-payment, or in each other's way.

use std::cell::Cell;
use std::time::Duration;

use serde_json::{Value, json};
use store::deliveries;
use testkit::proxy::FaultProxy;
use testkit::wait_for;

use super::books::{Backend, Books};
use super::{WORKERS, check, pay, utility};
use crate::world::{PATIENCE, World};

/// A world whose payee's database is reached by way of a proxy.
pub(super) async fn behind(books: &Books, more: &str) -> (World, FaultProxy) {
    let proxy = FaultProxy::start(books.server()).await.unwrap();
    let world = World::start(&WORKERS).await;
    let url = books.by_way_of(&proxy.addr);
    world.payee(&utility("vodokanal", url.as_str(), more)).await;
    (world, proxy)
}

pub(super) async fn endings(world: &World, id: &str) -> Vec<String> {
    let attempts = deliveries::attempts(world.store(), domain::PaymentId::parse(id).unwrap())
        .await
        .unwrap();
    attempts
        .into_iter()
        .map(|attempt| format!("{} {}", attempt.act.as_str(), attempt.ending))
        .collect()
}

/// What is committed after this takes its time, so that the commit's answer can be lost.
pub(super) async fn slow_commits(books: &Books, after: &str) {
    let slow = format!(
        "create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(1.5); return null; end $$;
         create constraint trigger slow after {after} on payments deferrable initially deferred
             for each row execute function slow();"
    );
    books.script(&slow).await;
}

/// Waits for a commit of PostgreSQL, and loses its answer.
pub(super) async fn lose_a_commit(books: &Books, proxy: &FaultProxy) {
    let committing = "select count(*) from pg_stat_activity
        where datname = current_database() and lower(query) like 'commit%' and state = 'active'";
    wait_for("the commit is on its way", PATIENCE, async || {
        (books.count(committing).await == 1).then_some(())
    })
    .await;
    proxy.reset_answers_after(0);
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_a_maybe_and_is_entered_once() {
    let books = Books::utility(Backend::Postgres).await;
    slow_commits(&books, "insert").await;
    let (world, proxy) = behind(&books, "").await;
    let id = pay(&world, "vodokanal", "1001").await;
    lose_a_commit(&books, &proxy).await;
    world.reaches(&id, "delivered").await;
    let endings = endings(&world, &id).await;
    assert_eq!(endings[0], "pay maybe", "{endings:?}");
    assert_eq!(endings.last().unwrap(), "pay answered", "{endings:?}");
    assert_eq!(books.count("select count(*) from payments").await, 1);
    assert_eq!(
        books
            .count("select count(*) from accounts where account = '1001' and debt = 1100.40")
            .await,
        1
    );
    world.stop().await;
}

/// The answer to a statement in the middle is lost, on a connection that was used before.
async fn cut_off_before_the_commit(backend: Backend, [pause, pausing]: [&str; 2]) {
    let books = Books::utility(backend).await;
    let (world, proxy) = (
        World::start(&WORKERS).await,
        FaultProxy::start(books.server()).await.unwrap(),
    );
    let pause = format!("[[databases.pay.statement]]\nsql = \"{pause}\"\n[[databases.status.statement]]");
    let scenario = utility("vodokanal", books.by_way_of(&proxy.addr).as_str(), "");
    world
        .payee(&scenario.replace("[[databases.status.statement]]", &pause))
        .await;
    let first = pay(&world, "vodokanal", "1001").await;
    world.reaches(&first, "delivered").await;
    let id = pay(&world, "vodokanal", "1001").await;
    wait_for("its statements are on their way", PATIENCE, async || {
        (books.count(pausing).await == 1).then_some(())
    })
    .await;
    proxy.reset_answers_after(0);
    world.reaches(&id, "delivered").await;
    let endings = endings(&world, &id).await;
    assert_eq!(endings[0], "pay not_sent", "{endings:?}");
    assert_eq!(endings.last().unwrap(), "pay answered", "{endings:?}");
    assert_eq!(books.count("select count(*) from payments").await, 2);
    let debt = "select count(*) from accounts where account = '1001' and debt = 950.40";
    assert_eq!(books.count(debt).await, 1);
    world.stop().await;
}

#[tokio::test]
async fn what_breaks_before_the_commit_was_never_done_on_postgres() {
    let pausing = "select count(*) from pg_stat_activity where datname = current_database()
        and query like '%pg_sleep%' and state = 'active' and pid <> pg_backend_pid()";
    cut_off_before_the_commit(Backend::Postgres, ["select 1 as waited from pg_sleep(1.5)", pausing]).await;
}

#[tokio::test]
async fn what_breaks_before_the_commit_was_never_done_on_mariadb() {
    let pausing = "select count(*) from information_schema.processlist where db = database()
        and info like '%sleep(1.5)%' and id <> connection_id()";
    cut_off_before_the_commit(Backend::Mariadb, ["select sleep(1.5) as waited", pausing]).await;
}

#[tokio::test]
async fn a_database_that_is_down_is_spared_and_served_when_it_is_back() {
    let books = Books::utility(Backend::Postgres).await;
    let (world, proxy) = behind(&books, "").await;
    let mut events = world.listen("payee.#").await;
    proxy.cut().await;
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(pay(&world, "vodokanal", "1001").await);
    }
    events.item("payee.down", "payee", "vodokanal").await;
    let asked = world
        .ask("payment.check", &check("vodokanal", "1001", &json!({})))
        .await;
    assert_eq!(asked["outcome"], "unavailable", "{asked}");
    proxy.mend();
    for id in &ids {
        world.reaches(id, "delivered").await;
    }
    events.item("payee.up", "payee", "vodokanal").await;
    assert_eq!(books.count("select count(*) from payments").await, 6);
    let asked = wait_for("checks are asked again", PATIENCE, async || {
        let asked = world
            .ask("payment.check", &check("vodokanal", "1001", &json!({})))
            .await;
        (asked["outcome"] == "ask").then_some(asked)
    });
    assert_eq!(asked.await["ask"][0]["name"], "meter_cold");
    world.stop().await;
}

#[tokio::test]
async fn a_hanging_database_keeps_no_other_payee_waiting() {
    let (hanging, fine) = (
        Books::utility(Backend::Postgres).await,
        Books::utility(Backend::Mariadb).await,
    );
    let (world, proxy) = behind(&hanging, "").await;
    world.payee(&utility("other", fine.url.as_str(), "")).await;
    proxy.stall();
    let hung: Vec<Value> = (0..40).map(|_| check("vodokanal", "1001", &json!({}))).collect();
    let answered = Cell::new(0);
    let hung = futures::future::join_all(hung.iter().map(async |asked| {
        let answer = world.ask("payment.check", asked).await;
        answered.set(answered.get() + 1);
        answer
    }));
    let others = async {
        for nth in 0..20 {
            let asked = check("other", "1001", &json!({"meter_cold": "200"}));
            assert_eq!(world.ask("payment.check", &asked).await["outcome"], "payable");
            assert!(nth > 0 || answered.get() == 0, "it waits for nobody");
        }
        let id = pay(&world, "other", "1001").await;
        world.reaches(&id, "delivered").await;
    };
    let (hung, ()) = futures::future::join(hung, others).await;
    assert!(hung.iter().all(|answer| answer["outcome"] == "unavailable"), "{hung:?}");
    proxy.mend();
    world.stop().await;
}

async fn in_each_others_way(backend: Backend) {
    let books = Books::utility(backend).await;
    // Two rows, updated in the order of the payer's account first: half of the payments one way round, half the other.
    let scenario = utility("vodokanal", books.url.as_str(), "concurrency = 8").replace(
        "sql = \"update accounts set debt = debt - :amount where account = :account\"",
        "sql = \"update accounts set debt = coalesce(debt, 0) - :amount where account = :account\"
        [[databases.pay.statement]]
        sql = \"update accounts set last_cold = coalesce(last_cold, 0) + 1 where account <> :account and account <> '1003'\"",
    );
    let world = World::start(&WORKERS).await;
    world.payee(&scenario).await;
    // A deadlock is looked for after a second, and ends for one of them: more than these would take longer than anybody waits.
    let pays = (0..16).map(|n| pay(&world, "vodokanal", if n % 2 == 0 { "1001" } else { "1002" }));
    for id in futures::future::join_all(pays).await {
        world.reaches(&id, "delivered").await;
    }
    assert_eq!(books.count("select count(*) from payments").await, 16);
    let sums = "select count(*) from accounts where (account = '1001' and debt = 1250.40 - 1200 and last_cold = 131.5)
                or (account = '1002' and debt = -1200 and last_cold = 8)";
    assert_eq!(books.count(sums).await, 2);
    world.stop().await;
}

#[tokio::test]
async fn payments_that_deadlock_are_all_entered_once_on_postgres() {
    in_each_others_way(Backend::Postgres).await;
}

#[tokio::test]
async fn payments_that_deadlock_are_all_entered_once_on_mariadb() {
    in_each_others_way(Backend::Mariadb).await;
}

#[tokio::test]
async fn a_slow_statement_is_ended_and_leaves_nothing_behind() {
    let books = Books::utility(Backend::Postgres).await;
    let slow = utility("vodokanal", books.url.as_str(), "").replace(
        "update accounts set debt = debt - :amount where account = :account",
        "update accounts set debt = debt - :amount from (select pg_sleep(case when exists (select from slow) then 30 else 0 end)) s where account = :account",
    );
    books
        .script("create table slow (x int); insert into slow values (1)")
        .await;
    let world = World::start(&WORKERS).await;
    world.payee(&slow).await;
    let id = pay(&world, "vodokanal", "1001").await;
    world.reaches(&id, "waiting").await;
    assert_eq!(books.count("select count(*) from payments").await, 0);
    books.script("delete from slow").await;
    world.hurry().await;
    world.reaches(&id, "delivered").await;
    assert_eq!(books.count("select count(*) from payments").await, 1);
    world.stop().await;
}

async fn connections_that_died(backend: Backend) {
    let books = Books::utility(backend).await;
    let (world, proxy) = behind(&books, "").await;
    let asked = check("vodokanal", "1001", &json!({"meter_cold": "200"}));
    assert_eq!(world.ask("payment.check", &asked).await["outcome"], "payable");
    let id = pay(&world, "vodokanal", "1001").await;
    world.reaches(&id, "delivered").await;
    // Idle for longer than a connection is trusted unseen, and gone without a word.
    wait_for("they have been idle", PATIENCE, async || {
        (proxy.quiet_for() > Duration::from_millis(1500)).then_some(())
    })
    .await;
    proxy.cut().await;
    proxy.mend();
    wait_for("they are gone", PATIENCE, async || {
        (proxy.connections() == 0).then_some(())
    })
    .await;
    assert_eq!(world.ask("payment.check", &asked).await["outcome"], "payable");
    let id = pay(&world, "vodokanal", "1001").await;
    world.reaches(&id, "delivered").await;
    assert_eq!(endings(&world, &id).await, ["pay answered"]);
    world.stop().await;
}

#[tokio::test]
async fn connections_that_died_cost_nobody_anything_on_postgres() {
    connections_that_died(Backend::Postgres).await;
}

#[tokio::test]
async fn connections_that_died_cost_nobody_anything_on_mariadb() {
    connections_that_died(Backend::Mariadb).await;
}
