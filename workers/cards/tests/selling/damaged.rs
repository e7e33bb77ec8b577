//! Cards that are somebody's and whose details do not open any more: a matter of one message, not of its batch.

use serde_json::json;

use super::outcomes;
use crate::stand::{Stand, id, release, reprint, reserve, sell};

impl Stand {
    async fn damage(&self, serial: &str) {
        let flip = "UPDATE card SET sealed = set_byte(sealed, 30, get_byte(sealed, 30) # 1) WHERE serial = ";
        self.sql(&format!("{flip}'{serial}'")).await;
    }

    async fn faults(&self) -> Vec<String> {
        self.sql(
            "SELECT serial || ' ' || state || ' ' || reported_by || ': ' || reason FROM card_fault JOIN card USING (card_id)
             ORDER BY serial",
        )
        .await
    }
}

#[tokio::test]
async fn a_held_card_that_does_not_open_is_refused_alone_and_never_in_stock_again() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.stock("p", 4).await;
    let (walks, pays, sound) = (id(), id(), id());
    for id in [walks, pays, sound] {
        stand.one(reserve(id, "p")).await;
    }
    for serial in ["p-1", "p-2"] {
        stand.damage(serial).await;
    }
    let batch = [
        reserve(walks, "p"),
        reserve(pays, "p"),
        reserve(sound, "p"),
        reserve(id(), "p"),
    ];
    let expected = ["out_of_stock", "out_of_stock", "reserved", "reserved"];
    assert_eq!(outcomes(&stand.batch(&batch).await), expected);
    assert_eq!(
        outcomes(&stand.batch(&batch).await),
        expected,
        "every repeat says the same"
    );
    let noted = ["p-1", "p-2"].map(|serial| format!("{serial} faulty the cards worker: its details do not open"));
    assert_eq!(stand.faults().await, noted);
    // Its payer may have seen it before: paid counts.
    assert_eq!(
        outcomes(&stand.batch(&[release(walks), sell(pays)]).await),
        ["released", "sold"]
    );
    assert_eq!(stand.counts("p").await, [0, 0, 2, 0, 1]);
    let cases = "SELECT kind || ' ' || serial FROM card_case JOIN card USING (card_id)";
    assert_eq!(stand.sql(cases).await, ["faulty p-2"]);
    stand.holds().await;
    stand.end().await;
}

#[tokio::test]
async fn a_sold_card_that_does_not_open_is_refused_alone_and_is_a_case() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.stock("p", 2).await;
    let (damaged, sound) = (id(), id());
    for id in [damaged, sound] {
        stand.one(reserve(id, "p")).await;
        stand.one(sell(id)).await;
    }
    stand.damage("p-1").await;
    let batch = [reprint(damaged), reprint(sound), reprint(damaged)];
    for _ in 0..2 {
        let answers = stand.batch(&batch).await;
        assert_eq!(outcomes(&answers), ["reprint_over", "reprinted", "reprint_over"]);
    }
    assert_eq!(
        stand.faults().await,
        ["p-1 sold the cards worker: its details do not open"]
    );
    let cases = "SELECT kind || ' ' || opened_by FROM card_case";
    assert_eq!(stand.sql(cases).await, ["faulty the cards worker"]);
    stand.holds().await;
    stand.end().await;
}

/// Who asks may have other cards locked, for which somebody waits who has this one.
#[tokio::test]
async fn a_card_that_does_not_open_and_is_locked_is_waited_for_by_nobody() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.stock("p", 1).await;
    let held = id();
    stand.one(reserve(held, "p")).await;
    stand.damage("p-1").await;
    let other = stand.store.begin().await.unwrap();
    stand.handle(&other, &[release(held)]).await;
    assert_eq!(stand.one(reserve(held, "p")).await["reason"], "out_of_stock");
    assert!(stand.faults().await.is_empty());
    other.rollback().await.unwrap();
    assert_eq!(stand.one(reserve(held, "p")).await["reason"], "out_of_stock");
    assert_eq!(stand.faults().await.len(), 1);
    stand.end().await;
}
