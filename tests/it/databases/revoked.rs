//! Payments taken back at a payee whose word about it was lost, or is no word at all.

use domain::PaymentId;
use serde_json::json;
use store::deliveries;

use super::books::{Backend, Books};
use super::faults::{behind, endings, lose_a_commit, slow_commits};
use super::{WORKERS, pay, utility};
use crate::world::World;

/// Has a payment revoked that the payee may have.
async fn revoke(world: &World, id: &str) {
    world
        .sql("UPDATE payment SET state = 'unknown', next_act = NULL, due_at = NULL, maybes = 1, generation = generation + 1")
        .await;
    let revoke = json!({"payment_id": id, "terminal": "T-0001", "reason": "the payer's mistake"});
    assert_eq!(world.tell("payment.revoke", &revoke).await["outcome"], "revoking");
}

#[tokio::test]
async fn a_cancel_whose_commits_answer_was_lost_is_a_revocation() {
    let books = Books::utility(Backend::Postgres).await;
    slow_commits(&books, "update").await;
    let (world, proxy) = behind(&books, "").await;
    let mut events = world.listen("payment.#").await;
    let id = pay(&world, "vodokanal", "1001").await;
    world.reaches(&id, "delivered").await;
    revoke(&world, &id).await;
    lose_a_commit(&books, &proxy).await;
    world.reaches(&id, "revoked").await;
    events.item("payment.revoked", "payment_id", &id).await;
    assert!(events.all(&world, "payment.revoke_refused").await.is_empty());
    let attempts = deliveries::attempts(world.store(), PaymentId::parse(&id).unwrap()).await;
    let cancel = attempts.unwrap().swap_remove(1);
    let trace = cancel.response.unwrap_or_default();
    assert!(
        trace.contains("databases.cancel: the database cannot be used now"),
        "{trace}"
    );
    assert!(trace.ends_with("-> cancelled"), "{trace}");
    let given_back = "select count(*) from accounts where account = '1001' and debt = 1250.40";
    assert_eq!(books.count(given_back).await, 1, "once");
    world.stop().await;
}

/// An earlier cancel was kept, and its worker is gone.
async fn was_taken_back(backend: Backend) {
    let books = Books::utility(backend).await;
    let world = World::start(&WORKERS).await;
    world.payee(&utility("vodokanal", books.url.as_str(), "")).await;
    let mut events = world.listen("payment.#").await;
    let id = pay(&world, "vodokanal", "1001").await;
    world.reaches(&id, "delivered").await;
    books.script("update payments set cancelled = 1").await;
    revoke(&world, &id).await;
    world.reaches(&id, "revoked").await;
    events.item("payment.revoked", "payment_id", &id).await;
    assert!(events.all(&world, "payment.revoke_refused").await.is_empty());
    assert_eq!(endings(&world, &id).await, ["pay answered", "cancel answered"]);
    world.stop().await;
}

#[tokio::test]
async fn what_an_earlier_cancel_took_back_is_revoked_on_sqlite() {
    was_taken_back(Backend::Sqlite).await;
}

#[tokio::test]
async fn what_an_earlier_cancel_took_back_is_revoked_on_postgres() {
    was_taken_back(Backend::Postgres).await;
}

#[tokio::test]
async fn what_an_earlier_cancel_took_back_is_revoked_on_mariadb() {
    was_taken_back(Backend::Mariadb).await;
}

#[tokio::test]
async fn what_the_payee_keeps_is_told_as_kept() {
    let books = Books::utility(Backend::Postgres).await;
    let world = World::start(&WORKERS).await;
    let keeping = utility("vodokanal", books.url.as_str(), "").replace("and cancelled = 0", "and cancelled > 7");
    world.payee(&keeping).await;
    let mut events = world.listen("payment.#").await;
    let id = pay(&world, "vodokanal", "1001").await;
    world.reaches(&id, "delivered").await;
    revoke(&world, &id).await;
    events.item("payment.revoke_refused", "payment_id", &id).await;
    world.reaches(&id, "delivered").await;
    assert!(events.all(&world, "payment.revoked").await.is_empty());
    world.stop().await;
}
