//! A batch in which a reservation moves twice, or lets go of a card that another one buys.

use serde_json::{Value, json};
use uuid::Uuid;

use super::outcomes;
use crate::stand::{Stand, id, release, reserve, reserve_briefly, sell};

/// The only card came back from the first and is held by the second.
async fn one_after_the_other() -> (Stand, Uuid, Uuid) {
    let stand = Stand::new().await;
    stand.product("p", json!({"grace_seconds": 0})).await;
    stand.stock("p", 1).await;
    let (first, second) = (id(), id());
    stand.one(reserve_briefly(first, "p")).await;
    assert_eq!(stand.sweep().await, (1, 1));
    assert_eq!(stand.one(reserve(second, "p")).await["card"]["serial"], "p-1");
    (stand, first, second)
}

/// One batch, in one go: the stand ends a test where a batch cannot be written.
async fn comes_to(stand: Stand, batch: &[Value], answers: &[&str], states: [&str; 2]) {
    assert_eq!(outcomes(&stand.batch(batch).await), answers);
    let ended = "SELECT state || ' ' || ended_by || ' ' || (sale_fingerprint IS NOT NULL) FROM reservation
                 ORDER BY reservation_id";
    assert_eq!(stand.sql(ended).await, states);
    assert_eq!(stand.counts("p").await, [0, 0, 0, 0, 1]);
    stand.holds().await;
    stand.end().await;
}

#[tokio::test]
async fn both_pay_for_one_card_in_one_batch() {
    let (stand, first, second) = one_after_the_other().await;
    let batch = [sell(first), sell(second)];
    let states = ["sold sale true", "conflict sale true"];
    comes_to(stand, &batch, &["sold", "conflict"], states).await;
}

#[tokio::test]
async fn the_holder_walks_away_and_who_had_it_before_pays_in_one_batch() {
    let (stand, first, second) = one_after_the_other().await;
    let batch = [release(second), sell(first)];
    let states = ["sold sale true", "released release false"];
    comes_to(stand, &batch, &["released", "sold"], states).await;
}

#[tokio::test]
async fn the_holder_walks_away_and_pays_after_who_had_it_before_in_one_batch() {
    let (stand, first, second) = one_after_the_other().await;
    let batch = [release(second), sell(first), sell(second), release(second)];
    let states = ["sold sale true", "conflict sale true"];
    let answers = ["released", "sold", "conflict", "already_sold"];
    comes_to(stand, &batch, &answers, states).await;
}

#[tokio::test]
async fn the_holder_walks_away_and_pays_all_the_same_in_one_batch() {
    let (stand, _, second) = one_after_the_other().await;
    let batch = [release(second), sell(second)];
    let states = ["expired grace false", "sold sale true"];
    comes_to(stand, &batch, &["released", "sold"], states).await;
}
