//! Reports of many cards: they are read to their end, and have the time for it.

use serde_json::json;
use store::cards::{SaleFilter, Section, serials};

use crate::stand::Stand;

#[tokio::test]
async fn what_was_taken_out_is_listed_once_however_many_pages_it_is() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.stock("p", 5_002).await;
    stand
        .sql("UPDATE card SET state = 'withdrawn', updated_at = clock_timestamp() WHERE serial <> 'p-1'")
        .await;
    let tx = stand.store.begin_report().await.unwrap();
    assert_eq!(
        store::scratch::setting(&tx, "statement_timeout").await.unwrap(),
        "10min",
        "a period may be a year"
    );
    let ever = ["1970-01-01T00:00:00Z", "2999-01-01T00:00:00Z"].map(|time| time.parse().unwrap());
    let listed = serials(&tx, &SaleFilter::period(ever[0], ever[1]), Section::TakenOut)
        .await
        .unwrap();
    let (mut pages, mut found) = (Vec::new(), Vec::new());
    loop {
        let page = listed.page().await.unwrap();
        if page.is_empty() {
            break;
        }
        pages.push(page.len());
        found.extend(page);
    }
    tx.commit().await.unwrap();
    assert_eq!(pages, [5_000, 1]);
    assert!(found.is_sorted_by_key(|card| card.at));
    let mut serials: Vec<_> = found.into_iter().map(|card| card.serial).collect();
    serials.sort();
    serials.dedup();
    assert_eq!(serials.len(), 5_001);
    stand.end().await;
}
