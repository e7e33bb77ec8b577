//! Payments that have troubles of their own: the payee is well, and the others' go on.

use domain::PaymentId;
use store::deliveries::{self, AttemptRow};
use store::lanes;
use testkit::wait_for;

use super::books::{Backend, Books};
use super::{WORKERS, pay, utility};
use crate::world::{PATIENCE, World};

/// More than a breaker bears in a row.
const TROUBLED: usize = 6;

async fn is_down(world: &World) -> bool {
    let doors = lanes::doors(world.store()).await.unwrap();
    doors.iter().any(|(_, down, _)| *down)
}

async fn attempts(world: &World, id: &str) -> Vec<AttemptRow> {
    let attempts = deliveries::attempts(world.store(), PaymentId::parse(id).unwrap()).await;
    attempts
        .unwrap()
        .into_iter()
        .filter(|attempt| attempt.ended_at.is_some())
        .collect()
}

/// Waits until each of these was tried twice, and returns what came of that.
async fn tried_twice(world: &World, ids: &[String]) -> Vec<AttemptRow> {
    let mut tried = Vec::new();
    for id in ids {
        tried.extend(
            wait_for("it is tried twice", PATIENCE, async || {
                let tried = attempts(world, id).await;
                (tried.len() >= 2).then_some(tried)
            })
            .await,
        );
    }
    tried
}

/// Payments for account 1002, which the payee's own programs do not bear.
async fn are_borne(script: &str, enter: &str, code: &str, said: &str) {
    let books = Books::utility(Backend::Postgres).await;
    books.script(script).await;
    let world = World::start(&WORKERS).await;
    let calling = format!("{enter}\n[[databases.status.statement]]");
    let scenario = utility("vodokanal", books.url.as_str(), "");
    world
        .payee(&scenario.replacen("[[databases.status.statement]]", &calling, 1))
        .await;
    let mut troubled = Vec::new();
    for _ in 0..TROUBLED {
        troubled.push(pay(&world, "vodokanal", "1002").await);
    }
    let tried = tried_twice(&world, &troubled).await;
    for attempt in &tried {
        assert_eq!(attempt.ending, "answered", "{attempt:?}");
        // What was said stays in the attempt, for operators.
        let error = attempt.error.as_deref().unwrap_or_default();
        assert!(error.contains(code) && !error.contains(said), "{attempt:?}");
        assert!(
            attempt.response.as_deref().unwrap_or_default().contains(said),
            "{attempt:?}"
        );
    }
    assert!(!is_down(&world).await, "one account is no outage");
    let id = pay(&world, "vodokanal", "1001").await;
    world.reaches(&id, "delivered").await;
    assert_eq!(books.count("select count(*) from payments").await, 1);
    world.stop().await;
}

#[tokio::test]
async fn an_error_of_a_triggers_own_making_takes_no_payee_down() {
    let trigger = "create function watched() returns trigger language plpgsql as $$ begin
             if new.account = '1002' then
                 raise exception 'blocked: %', new.account || ' O''Hara' using errcode = 'UT001';
             end if;
             return new;
         end $$;
         create trigger watched before insert on payments for each row execute function watched();";
    are_borne(trigger, "", "UT001", "blocked: 1002 O'Hara").await;
}

#[tokio::test]
async fn a_procedure_that_commits_takes_no_payee_down() {
    let procedure = "create procedure posted(whose text) language plpgsql as $$ begin
             if whose = '1002' then commit; end if;
         end $$;";
    let call = "[[databases.pay.statement]]\nsql = \"call posted(:account)\"\nnone = \"go_on\"";
    are_borne(procedure, call, "2D000", "invalid transaction termination").await;
}

/// A row of the payee's that one of its own programs keeps locked.
async fn is_waited_for(backend: Backend) {
    let books = Books::utility(backend).await;
    let world = World::start(&WORKERS).await;
    world.payee(&utility("vodokanal", books.url.as_str(), "")).await;
    let held = books
        .hold("update accounts set last_cold = last_cold where account = '1001'")
        .await;
    let mut waiting = Vec::new();
    for _ in 0..TROUBLED {
        waiting.push(pay(&world, "vodokanal", "1001").await);
    }
    let other = pay(&world, "vodokanal", "1002").await;
    for attempt in tried_twice(&world, &waiting).await {
        let result = attempt.result.as_deref();
        assert_eq!(
            (attempt.ending.as_str(), result),
            ("answered", Some("retry")),
            "{attempt:?}"
        );
    }
    assert!(!is_down(&world).await, "a lock is no outage");
    world.reaches(&other, "delivered").await;
    drop(held);
    for id in &waiting {
        world.reaches(id, "delivered").await;
    }
    assert_eq!(books.count("select count(*) from payments").await, 1 + TROUBLED as i64);
    world.stop().await;
}

#[tokio::test]
async fn a_locked_row_is_waited_for_and_takes_no_payee_down_on_postgres() {
    is_waited_for(Backend::Postgres).await;
}

#[tokio::test]
async fn a_locked_row_is_waited_for_and_takes_no_payee_down_on_mariadb() {
    is_waited_for(Backend::Mariadb).await;
}
