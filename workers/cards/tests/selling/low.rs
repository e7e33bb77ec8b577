//! Stock that runs low: told once per crossing, and by what can be sold.

use domain::ids::ProductId;
use serde_json::json;

use crate::stand::{Stand, id, release, reserve};

async fn told(stand: &Stand) -> usize {
    let declared = stand.declared().await;
    cards::upkeep::tell_low_stock(&stand.store, &declared).await.unwrap()
}

#[tokio::test]
async fn a_card_that_may_not_be_sold_again_is_no_stock() {
    let stand = Stand::new().await;
    stand.product("p", json!({"low_stock": 1})).await;
    stand.stock("p", 1).await;
    assert_eq!(told(&stand).await, 0);
    let seen = id();
    stand.one(reserve(seen, "p")).await;
    stand.one(release(seen)).await;
    assert_eq!(stand.counts("p").await, [0, 1, 0, 0, 0]);
    assert_eq!(told(&stand).await, 0);
    // It came back while that was allowed, and now it is not.
    let never = json!({"low_stock": 1, "reissue_exposed": false});
    stand.product("p", never).await;
    assert_eq!(told(&stand).await, 1);
    assert_eq!(stand.events("stock.low").await[0]["available"], 0);
    stand.end().await;
}

#[tokio::test]
async fn a_count_from_before_anothers_crossing_does_not_undo_it() {
    let stand = Stand::new().await;
    stand.product("p", json!({"low_stock": 2})).await;
    stand.stock("p", 2).await;
    stand.one(reserve(id(), "p")).await;
    assert_eq!(told(&stand).await, 1);
    stand.import("p", "serial,pin\nq-1,823144777777\n").await;
    // Enough for a moment, in which one begins to look; another one that is at it lets it wait, and then a card is gone.
    let other = stand.store.begin().await.unwrap();
    store::cards::lock_stock(&other, &[ProductId::parse("p").unwrap()])
        .await
        .unwrap();
    store::declarations::load_in(&other).await.unwrap();
    let meanwhile = async {
        stand
            .until(
                "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND pid IN (
                        SELECT pid FROM pg_stat_activity WHERE datname = current_database())",
            )
            .await;
        stand.one(reserve(id(), "p")).await;
        other.commit().await.unwrap();
    };
    let (first, ()) = tokio::join!(told(&stand), meanwhile);
    assert_eq!((first, told(&stand).await), (0, 0), "it was low before, and is");
    stand.end().await;
}
