//! A card reported faulty while terminals tell of its sale.

use domain::ids::ProductId;
use serde_json::json;
use store::cards::{Reported, report_faulty};

use crate::stand::{Stand, id, reserve, sell};

/// Who reports a card has that and opens a case about its sale; who tells of the sale once more has the sale and wants the card.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_and_a_repeated_sale_of_one_card_do_not_wait_for_each_other() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.stock("p", 2).await;
    let (sold, other) = (id(), id());
    for id in [sold, other] {
        stand.one(reserve(id, "p")).await;
        assert_eq!(stand.one(sell(id)).await["outcome"], "sold");
    }
    // The repeat has the first sale locked, and waits for the second one.
    let in_the_way = stand.store.begin().await.unwrap();
    stand.handle(&in_the_way, &[sell(other)]).await;
    let repeated = [sell(sold), sell(other)];
    let repeat = async {
        let tx = stand.store.begin().await.unwrap();
        let answers = stand.handle(&tx, &repeated).await;
        tx.commit().await.unwrap();
        answers
    };
    let report = async {
        stand
            .until(
                "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND pid IN (
                     SELECT pid FROM pg_stat_activity WHERE datname = current_database())",
            )
            .await;
        let (tx, product) = (stand.store.begin().await.unwrap(), ProductId::parse("p").unwrap());
        let reported = report_faulty(&tx, &product, "p-1", "tester", "does not work").await;
        tx.commit().await.unwrap();
        in_the_way.commit().await.unwrap();
        reported.unwrap()
    };
    let (answers, reported) = tokio::join!(repeat, report);
    assert!(matches!(reported, Reported::Sold { .. }), "{reported:?}");
    assert!(
        answers.iter().all(|answer| answer["outcome"] == "already_sold"),
        "{answers:?}"
    );
    assert_eq!(stand.sql("SELECT kind FROM card_case").await, ["faulty"]);
    stand.end().await;
}
