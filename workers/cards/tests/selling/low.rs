//! Stock that runs low: told once per crossing, and by what can be sold.

use domain::ids::ProductId;
use serde_json::json;
use store::notices::NewNotice;

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

#[tokio::test]
async fn a_first_file_that_comes_in_while_it_is_counted_is_no_stock_that_ran_low() {
    let stand = Stand::new().await;
    stand.product("a", json!({"low_stock": 2})).await;
    stand.product("b", json!({"low_stock": 2})).await;
    stand.stock("a", 1).await;
    // Positions are dealt, and the file is in no stock yet: as when its worker died.
    stand
        .sql("INSERT INTO product_stock (product_id, last_pos) VALUES ('b', 5000) RETURNING product_id")
        .await;
    // Both have been counted by the time that is told of the first, which is kept from it until the file of the other is in.
    let other = stand.store.begin().await.unwrap();
    let of_first = NewNotice {
        kind: "stock.low",
        subject: "a",
        title: String::new(),
        lines: Vec::new(),
        mail_to: &[],
    };
    store::notices::add(&other, &of_first).await.unwrap();
    let meanwhile = async {
        stand
            .until(
                "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND pid IN (
                        SELECT pid FROM pg_stat_activity WHERE datname = current_database())",
            )
            .await;
        // As an import's last transaction does it, which holds nothing of what is kept of the stock.
        stand
            .sql(
                "BEGIN;
                 INSERT INTO card_batch (product_id, import_id, vault_version, wrapped_key)
                     SELECT 'b', import_id, vault_version, wrapped_key FROM card_batch;
                 INSERT INTO card (product_id, batch_id, pos, serial)
                     SELECT 'b', max(batch_id), n, 'b-' || n FROM card_batch, generate_series(1, 3) n GROUP BY n;
                 COMMIT",
            )
            .await;
        other.commit().await.unwrap();
    };
    let (first, ()) = tokio::join!(told(&stand), meanwhile);
    let products: Vec<_> = stand.events("stock.low").await;
    assert_eq!((first, products.len()), (1, 1), "{products:?}");
    assert_eq!((&products[0]["product"], told(&stand).await), (&json!("a"), 0));
    stand.end().await;
}
