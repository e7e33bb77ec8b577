//! A file that is in stock already and does not belong there.

use domain::declaration::{Product, Zone};
use domain::ids::ProductId;
use serde_json::json;
use store::{declarations, imports};

use super::jobs::state;
use crate::stand::{Stand, id, release, reserve};

const FILE: &str = "serial,pin\ns-1,823144000001\ns-2,823144000002\ns-3,823144000003\n";

async fn refused(stand: &Stand, import: cards::import::ImportId) -> String {
    let error = imports::cancel(&stand.store, import, "test", "wrong product").await;
    error.unwrap_err().to_string()
}

#[tokio::test]
async fn a_file_that_went_into_the_wrong_product_is_taken_back_and_goes_into_the_right_one() {
    let stand = Stand::new().await;
    stand.product("wrong", json!({})).await;
    stand.product("right", json!({})).await;
    stand.import("wrong", "serial,pin\ns-9,823144000009\n").await;
    let wrong = stand.import("wrong", FILE).await;
    assert_eq!(stand.counts("wrong").await, [4, 0, 0, 0, 0]);
    let gone = imports::cancel(&stand.store, wrong.import_id, "test", "wrong product").await;
    assert_eq!(gone.unwrap(), Some(3));
    assert_eq!(
        stand.counts("wrong").await,
        [1, 0, 0, 0, 0],
        "another file's card went with it"
    );
    assert_eq!(stand.sql("SELECT serial FROM card_identity").await, ["s-9"]);
    assert_eq!(stand.sql("SELECT count(*) FROM card_batch").await, ["1"]);
    assert_eq!(state(&stand, wrong.import_id).await, "taken_back");
    let kept = imports::find(&stand.store, wrong.import_id).await.unwrap().unwrap();
    assert_eq!((kept.added, kept.report.is_some()), (3, true));
    let audit = store::audit::of(&stand.store, "card_import", &wrong.import_id.to_string())
        .await
        .unwrap();
    let act = audit.iter().find(|act| act.act == "cards cancel-import").unwrap();
    assert_eq!(act.reason.as_deref(), Some("wrong product"));
    assert!(refused(&stand, wrong.import_id).await.contains("is taken_back"));

    // The same file, and nobody has to say that it is meant.
    let right = stand.import("right", FILE).await;
    assert_eq!((right.entered, right.report.added), (true, 3));
    assert_eq!(stand.one(reserve(id(), "right")).await["card"]["serial"], "s-1");
    stand.end().await;
}

#[tokio::test]
async fn a_currency_of_a_product_can_be_put_right_until_a_file_of_its_cards_came_in() {
    let stand = Stand::new().await;
    let apply = async |currency: &str| {
        let product = json!({"id": "p", "name": "Card", "face_value": 100, "price": 100, "currency": currency});
        let product: Product = serde_json::from_value(product).unwrap();
        let tx = stand.store.begin().await.unwrap();
        match declarations::apply_product(&tx, &product, "test").await {
            Ok(_) => tx.commit().await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    };
    let refused = "product p: the currency cannot change from RUB to USD: a file of its cards came in, or is coming in; declare \
                   another product";
    apply("USD").await.unwrap();
    apply("RUB").await.unwrap();
    let file = stand.submit("p", FILE).await;
    let claimed = imports::claim(&stand.store, Some(file), 60).await.unwrap().unwrap();
    assert_eq!(
        apply("USD").await.unwrap_err(),
        refused,
        "it is read as declared just now"
    );
    imports::give_back(&stand.store, &claimed).await.unwrap();
    apply("USD").await.unwrap();
    apply("RUB").await.unwrap();
    let done = cards::import::work_one(&stand.store, &stand.vault, Some(file)).await;
    assert_eq!(done.unwrap().unwrap().report.added, 3);
    assert_eq!(apply("USD").await.unwrap_err(), refused);
    apply("RUB").await.unwrap();
    imports::cancel(&stand.store, file, "test", "another currency")
        .await
        .unwrap();
    apply("USD").await.unwrap();
    stand.end().await;
}

#[tokio::test]
async fn a_file_of_which_a_card_was_seen_stays() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    let file = stand.import("p", FILE).await;
    let seen = [id(), id()];
    for seen in seen {
        stand.one(reserve(seen, "p")).await;
    }
    assert!(refused(&stand, file.import_id).await.contains("of its cards 2 were"));
    // Back in stock, and seen all the same.
    stand.one(release(seen[0])).await;
    assert!(refused(&stand, file.import_id).await.contains("of its cards 2 were"));
    assert_eq!(stand.counts("p").await, [1, 1, 1, 0, 0]);
    assert_eq!(state(&stand, file.import_id).await, "done");
    assert_eq!(stand.sql("SELECT count(*) FROM card_identity").await, ["3"]);
    stand.end().await;
}

#[tokio::test]
async fn a_file_that_ran_out_of_date_on_the_shelf_is_taken_back_and_comes_in_again() {
    let stand = Stand::new().await;
    let margin = async |days: u32| stand.product("p", json!({"withdraw_days_before_expiry": days})).await;
    margin(0).await;
    let today = store::imports::today(&stand.store, &Zone::utc()).await.unwrap();
    let file = format!("serial,pin,expires_on\ns-1,823144000001,{today}\ns-2,823144000002,2999-12-31\n");
    // What would be withdrawn at once does not come in, and is named.
    margin(7).await;
    let told = stand.import("p", &file).await.report;
    assert_eq!((told.added, told.expired.total), (1, 1));
    assert!(
        told.expired.lines[0].why.contains("withdraw_days_before_expiry"),
        "{told:?}"
    );
    let taken_back = async |import| imports::cancel(&stand.store, import, "test", "a wrong day").await;
    let first = stand.sql("SELECT import_id FROM card_import").await.remove(0);
    assert_eq!(taken_back(first.parse().unwrap()).await.unwrap(), Some(1));

    // It came in, and the product was declared otherwise.
    margin(0).await;
    let entered = stand.import("p", &file).await;
    assert_eq!(entered.report.added, 2);
    margin(7).await;
    let declared = stand.declared().await;
    assert_eq!(
        cards::upkeep::withdraw_expiring(&stand.store, &declared).await.unwrap(),
        1
    );
    // Withdrawn by somebody, or reported: it is not as it came.
    let product = ProductId::parse("p").unwrap();
    let tx = stand.store.begin().await.unwrap();
    store::cards::report_faulty(&tx, &product, "s-1", "tester", "a test")
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert!(refused(&stand, entered.import_id).await.contains("of its cards 1 were"));
    stand.sql("DELETE FROM card_fault").await;
    assert_eq!(taken_back(entered.import_id).await.unwrap(), Some(2));
    assert_eq!(stand.sql("SELECT count(*) FROM card_identity").await, ["0"]);
    stand.end().await;
}

#[tokio::test]
async fn who_is_quicker_to_take_a_card_keeps_its_file_in_stock() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    let file = stand.import("p", FILE).await;
    // Reserved, and not yet committed: what looks only is told that nobody has it.
    let other = stand.store.begin().await.unwrap();
    stand.handle(&other, &[reserve(id(), "p")]).await;
    let meanwhile = async {
        stand
            .until(
                "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND pid IN (
                        SELECT pid FROM pg_stat_activity WHERE datname = current_database())",
            )
            .await;
        other.commit().await.unwrap();
    };
    let (why, ()) = tokio::join!(refused(&stand, file.import_id), meanwhile);
    assert!(why.contains("of its cards 1 were"), "{why}");
    assert_eq!(stand.counts("p").await, [2, 0, 1, 0, 0]);
    assert_eq!(stand.sql("SELECT count(*) FROM card_identity").await, ["3"]);
    stand.end().await;
}

#[tokio::test]
async fn of_a_file_taken_back_and_a_card_of_it_sold_at_once_one_is() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    for round in 0..20 {
        let file = stand.import("p", FILE).await;
        assert!(file.entered, "round {round}");
        let (taking, reserving) = (
            imports::cancel(&stand.store, file.import_id, "test", "wrong product"),
            stand.one(reserve(id(), "p")),
        );
        // Now the one is begun first, now the other.
        let (taken_back, reserved) = if round % 2 == 0 {
            tokio::join!(taking, reserving)
        } else {
            let (reserved, taken_back) = tokio::join!(reserving, taking);
            (taken_back, reserved)
        };
        let cards = stand.sql("SELECT count(*) FROM card").await;
        match taken_back {
            Ok(gone) => {
                assert_eq!((gone, cards), (Some(3), vec!["0".to_owned()]));
                assert_eq!(reserved["reason"], "out_of_stock", "{reserved}");
            }
            Err(_) => {
                assert_eq!(cards, ["3"]);
                assert_eq!(reserved["outcome"], "reserved", "{reserved}");
                break;
            }
        }
    }
    stand.end().await;
}
