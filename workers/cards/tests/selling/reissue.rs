//! Cards that came back: whether and when they are offered again is what their product says now.

use serde_json::{Value, json};

use crate::stand::{Stand, id, release, reserve, reserve_briefly};

/// A product with this rule, and two cards of it that came back: one was released, one ran out its hold and its grace.
async fn came_back(stand: &Stand, product: &str, rule: Value) {
    stand
        .product(product, json!({"reissue_exposed": rule, "grace_seconds": 0}))
        .await;
    stand.stock(product, 2).await;
    let (released, expired) = (id(), id());
    stand.one(reserve(released, product)).await;
    stand.one(reserve_briefly(expired, product)).await;
    stand.one(release(released)).await;
    stand.sweep().await;
    stand.sweep().await;
    assert_eq!(stand.counts(product).await, [0, 2, 0, 0, 0]);
}

async fn now_says(stand: &Stand, product: &str, rule: Value) {
    stand.product(product, json!({"reissue_exposed": rule})).await;
}

/// How many of the product can be had, as terminals are told; and, then, how many they get.
async fn offered(stand: &Stand, product: &str) -> usize {
    let asked = json!({"key": "card.availability", "terminal": "T-1", "products": [product]});
    let told = stand.one(asked).await["products"][0]["available"].as_u64().unwrap();
    let tx = stand.store.begin().await.unwrap();
    let answers = stand
        .handle(&tx, &[reserve(id(), product), reserve(id(), product)])
        .await;
    tx.rollback().await.unwrap();
    let got = answers.iter().filter(|answer| answer["outcome"] == "reserved").count();
    assert_eq!(told, got as u64, "{answers:?}");
    got
}

#[tokio::test]
async fn cards_that_came_back_follow_the_rule_of_their_product() {
    let stand = Stand::new().await;
    came_back(&stand, "never", json!(false)).await;
    came_back(&stand, "later", json!(30)).await;
    came_back(&stand, "always", json!(true)).await;
    let counted = async || {
        [
            offered(&stand, "never").await,
            offered(&stand, "later").await,
            offered(&stand, "always").await,
        ]
    };
    assert_eq!(counted().await, [0, 0, 2]);
    for (product, rule) in [("never", json!(true)), ("later", json!(true)), ("always", json!(false))] {
        now_says(&stand, product, rule).await;
    }
    assert_eq!(counted().await, [2, 2, 0]);
    for (product, rule) in [("never", json!(false)), ("later", json!(30)), ("always", json!(true))] {
        now_says(&stand, product, rule).await;
    }
    assert_eq!(counted().await, [0, 0, 2], "and back");
    now_says(&stand, "never", json!(30)).await;
    now_says(&stand, "always", json!(30)).await;
    stand
        .sql("UPDATE card SET came_back_at = came_back_at - interval '31 days'")
        .await;
    assert_eq!(
        counted().await,
        [2; 3],
        "the days count from the day on which they came back"
    );
    stand.end().await;
}

#[tokio::test]
async fn a_card_that_came_back_is_offered_after_so_many_days_and_not_before() {
    let stand = Stand::new().await;
    came_back(&stand, "p", json!(3)).await;
    for (hours, cards) in [(0, 0), (71, 0), (73, 2)] {
        stand
            .sql(&format!(
                "UPDATE card SET came_back_at = updated_at - interval '{hours} hours'"
            ))
            .await;
        assert_eq!(offered(&stand, "p").await, cards, "after {hours} hours");
    }
    // The one that came back first is the first to go; back once more, its days begin anew.
    stand
        .sql("UPDATE card SET came_back_at = came_back_at - interval '1 hour' WHERE serial = 'p-2'")
        .await;
    let again = id();
    assert_eq!(stand.one(reserve(again, "p")).await["card"]["serial"], "p-2");
    assert_eq!(stand.one(release(again)).await["outcome"], "released");
    assert_eq!(offered(&stand, "p").await, 1);
    stand.end().await;
}
