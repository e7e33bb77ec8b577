//! The life of cards and reservations, in every order.

mod damaged;
mod faulty;
mod instead;
mod low;
mod moves;
mod reissue;
mod reported;

use serde_json::{Value, json};
use testkit::leak::is_in;

use crate::stand::{Stand, id, release, reprint, reserve, reserve_briefly, sell, with};

/// Outcomes, or the reasons of refusals.
fn outcomes(answers: &[Value]) -> Vec<&str> {
    let of = |answer: &'_ Value| {
        if answer["outcome"] == "refused" {
            "reason"
        } else {
            "outcome"
        }
    };
    answers
        .iter()
        .filter_map(|answer| answer[of(answer)].as_str())
        .collect()
}

#[tokio::test]
async fn a_card_is_held_and_sold_and_every_repeat_says_the_same() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.stock("p", 3).await;
    let a = id();
    let held = stand
        .batch(&[
            reserve(a, "p"),
            reserve(a, "p"),
            with(reserve(a, "p"), "terminal", "T-2"),
        ])
        .await;
    assert_eq!(outcomes(&held), ["reserved", "reserved", "reservation_id_reused"]);
    assert_eq!(held[0], held[1]);
    assert_eq!(held[0]["card"]["serial"], "p-1");
    assert_eq!(held[0]["card"]["fields"]["pin"], "p823144000001");
    assert!(held[0]["receipt"].as_str().unwrap().contains("p823144000001"));
    assert_eq!(stand.one(reserve(a, "p")).await, held[0]);
    let answers = stand
        .batch(&[
            with(sell(a), "amount", 9999),
            with(sell(a), "currency", "USD"),
            with(sell(a), "serial", "p-2"),
            with(sell(a), "terminal", "T-2"),
            sell(id()),
            with(with(sell(a), "serial", "p-1"), "product", "p"),
            with(sell(a), "product", "p"),
            with(sell(a), "amount", 10001),
            release(a),
        ])
        .await;
    assert_eq!(
        outcomes(&answers),
        [
            "amount_too_small",
            "currency_differs",
            "sale_differs",
            "not_your_terminal",
            "unknown_reservation",
            "sold",
            "already_sold",
            "sale_differs",
            "already_sold",
        ]
    );
    assert!(answers[5].get("late").is_none());
    let over = stand.one(reserve(a, "p")).await;
    assert_eq!(
        (over["reason"].as_str(), over["state"].as_str()),
        (Some("reservation_over"), Some("sold"))
    );
    assert!(!is_in(over.to_string().as_bytes()));
    let printed = stand.one(reprint(a)).await;
    assert_eq!(printed["outcome"], "reprinted");
    assert_eq!(printed["card"], held[0]["card"]);
    assert_eq!(
        stand.one(with(reprint(a), "terminal", "T-2")).await["reason"],
        "not_your_terminal"
    );
    assert_eq!(stand.counts("p").await, [2, 0, 0, 0, 1]);
    assert_eq!(stand.events("card.reserved").await.len(), 1);
    let sold = stand.events("card.sold").await;
    assert_eq!(
        (sold.len(), &sold[0]["serial"], &sold[0]["amount"]),
        (1, &json!("p-1"), &json!(10000))
    );
    stand.end().await;
}

#[tokio::test]
async fn releases_give_the_card_back_to_the_second_pool() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.product("once", json!({"reissue_exposed": false})).await;
    stand.stock("p", 2).await;
    stand.stock("once", 1).await;
    let (a, b, c, d) = (id(), id(), id(), id());
    stand.one(reserve(a, "p")).await;
    assert_eq!(
        outcomes(&stand.batch(&[release(a), release(a)]).await),
        ["released", "already_released"]
    );
    assert_eq!(stand.counts("p").await, [1, 1, 0, 0, 0]);
    // Fresh first, and what came back only then.
    let asked = [reserve(b, "p"), reserve(c, "p"), reserve(d, "p"), reserve(d, "p")];
    let answers = stand.batch(&asked).await;
    assert_eq!(
        outcomes(&answers),
        ["reserved", "reserved", "out_of_stock", "out_of_stock"]
    );
    assert_eq!(answers[0]["card"]["serial"], "p-2");
    assert_eq!(answers[1]["card"]["serial"], "p-1");
    // The product does not allow it: the card stays where it is.
    let e = id();
    stand.one(reserve(e, "once")).await;
    stand.one(release(e)).await;
    assert_eq!(stand.one(reserve(id(), "once")).await["reason"], "out_of_stock");
    assert_eq!(stand.counts("once").await, [0, 1, 0, 0, 0]);
    // A release that came first.
    let f = id();
    assert_eq!(
        outcomes(&stand.batch(&[release(f), release(f), sell(f)]).await),
        ["released", "already_released", "unknown_reservation",]
    );
    let over = stand.one(reserve(f, "p")).await;
    assert_eq!(
        (over["reason"].as_str(), over["state"].as_str()),
        (Some("reservation_over"), Some("released"))
    );
    assert_eq!(stand.events("card.released").await.len(), 2);
    stand.end().await;
}

#[tokio::test]
async fn a_hold_that_is_over_is_over_before_any_sweep_and_paid_still_counts() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.stock("p", 3).await;
    let (a, b) = (id(), id());
    stand.batch(&[reserve_briefly(a, "p"), reserve_briefly(b, "p")]).await;
    assert_eq!(stand.one(reserve_briefly(a, "p")).await["state"], "expired");
    assert_eq!(stand.one(release(a)).await["outcome"], "already_expired");
    assert_eq!(stand.sweep().await, (2, 0));
    assert_eq!(stand.events("card.expired").await.len(), 2);
    assert_eq!(stand.counts("p").await, [1, 0, 0, 2, 0]);
    let sold = stand.one(with(sell(a), "amount", 10500)).await;
    assert_eq!(
        (&sold["outcome"], &sold["late"], &sold["surplus"]),
        (&json!("sold"), &json!(true), &json!(500))
    );
    assert_eq!(stand.counts("p").await, [1, 0, 0, 1, 1]);
    assert_eq!(cards::expiry::expire(&stand.store, &[]).await.unwrap(), 0);
    stand.end().await;
}

#[tokio::test]
async fn the_first_payment_wins_and_the_second_is_a_case_with_another_card() {
    let stand = Stand::new().await;
    stand
        .product("p", json!({"grace_seconds": 0, "replace_on_conflict": true}))
        .await;
    stand.stock("p", 1).await;
    let (a, b, c) = (id(), id(), id());
    stand.one(reserve_briefly(a, "p")).await;
    assert_eq!(stand.sweep().await, (1, 1));
    assert_eq!(stand.one(reserve(b, "p")).await["card"]["serial"], "p-1");
    // The card lapsed under a, b holds it, a pays: b is superseded.
    let late = stand.one(sell(a)).await;
    assert_eq!((&late["outcome"], &late["late"]), (&json!("sold"), &json!(true)));
    assert_eq!(stand.one(reserve(b, "p")).await["state"], "superseded");
    let superseded = stand.events("card.superseded").await;
    assert_eq!(superseded[0]["other_reservation_id"], json!(a));
    // b paid as well; no stock, then stock.
    let conflict = stand.one(sell(b)).await;
    assert_eq!(conflict["outcome"], "conflict");
    assert!(conflict.get("replacement").is_none());
    assert_eq!(stand.one(sell(b)).await, conflict);
    assert_eq!(stand.events("card.conflict").await[0]["other_reservation_id"], json!(a));
    stand
        .import("p", "serial,pin\nq-1,p823144777777\nq-2,p823144888888\n")
        .await;
    stand.one(reserve_briefly(c, "p")).await;
    stand.sweep().await;
    let d = id();
    // Both pay for one card in one batch, each under its own reservation.
    stand.one(reserve(d, "p")).await;
    let (e, answers) = (id(), stand.batch(&[sell(c), sell(d)]).await);
    assert_eq!(outcomes(&answers), ["sold", "sold"]);
    stand
        .import("p", "serial,pin\nr-1,p823144999991\nr-2,p823144999992\n")
        .await;
    stand.one(reserve_briefly(e, "p")).await;
    stand.sweep().await;
    let f = id();
    let taken = stand.batch(&[reserve(f, "p"), reserve(id(), "p")]).await;
    assert_eq!(
        taken[1]["card"]["serial"], "r-1",
        "the card that came back is given last"
    );
    let other = taken[1]["reservation_id"].clone();
    let answers = stand.batch(&[with(sell(e), "reservation_id", other), sell(e)]).await;
    assert_eq!(outcomes(&answers), ["sold", "conflict"]);
    stand.end().await;
}

#[tokio::test]
async fn a_conflict_gets_another_card_once() {
    let stand = Stand::new().await;
    stand
        .product("p", json!({"grace_seconds": 0, "replace_on_conflict": true}))
        .await;
    stand.stock("p", 1).await;
    let (a, b) = (id(), id());
    stand.one(reserve_briefly(a, "p")).await;
    stand.sweep().await;
    stand.one(reserve(b, "p")).await;
    stand.one(sell(b)).await;
    stand.import("p", "serial,pin\nq-1,p823144777777\n").await;
    let conflict = stand.batch(&[sell(a), sell(a)]).await;
    assert_eq!(conflict[0]["replacement"]["card"]["serial"], "q-1");
    assert_eq!(conflict[0], conflict[1]);
    assert_eq!(stand.one(sell(a)).await, conflict[0]);
    let again: uuid::Uuid = conflict[0]["replacement"]["reservation_id"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(
        stand.one(reprint(again)).await["card"],
        conflict[0]["replacement"]["card"]
    );
    assert_eq!(stand.counts("p").await, [0, 0, 0, 0, 2]);
    assert_eq!(stand.events("card.sold").await.len(), 2);
    stand.end().await;
}

#[tokio::test]
async fn who_may_not_buy_is_told_why() {
    let stand = Stand::new().await;
    stand.product("p", json!({"groups": ["center"], "low_stock": 2})).await;
    stand.product("s", json!({"suspended": true})).await;
    stand.stock("p", 3).await;
    let age = age_identity();
    stand
        .terminal(json!({"id": "T-1", "group": "center", "age_recipient": age.to_public().to_string()}))
        .await;
    let ask = |product: &str| reserve(id(), product);
    let answers = stand
        .batch(&[ask("s"), ask("nope"), with(ask("p"), "terminal", "T-9"), ask("p")])
        .await;
    assert_eq!(
        outcomes(&answers),
        ["product_suspended", "unknown_product", "not_allowed_here", "reserved"]
    );
    // Sealed for this terminal: no byte of the answer shows a secret, and only its key opens it.
    assert!(answers[3]["card"].is_null() && answers[3]["receipt"].is_null());
    assert!(!is_in(answers[3].to_string().as_bytes()));
    let sealed = answers[3]["sealed_card"].as_str().unwrap();
    let opened: Value = serde_json::from_slice(&age::decrypt(&age, sealed.as_bytes()).unwrap()).unwrap();
    assert_eq!(
        (&opened["serial"], &opened["fields"]["pin"]),
        (&json!("p-1"), &json!("p823144000001"))
    );
    assert!(opened["receipt"].as_str().unwrap().contains("p823144000001"));
    let all = stand
        .one(json!({"key": "card.availability", "terminal": "T-1", "products": []}))
        .await;
    assert_eq!(
        all["products"],
        json!([
            {"product": "p", "available": 2, "price": 10000, "currency": "RUB", "suspended": false},
            {"product": "s", "available": 0, "price": 10000, "currency": "RUB", "suspended": true},
        ])
    );
    let declared = stand.declared().await;
    let low = async || cards::upkeep::tell_low_stock(&stand.store, &declared).await.unwrap();
    assert_eq!(low().await, 0);
    stand.one(ask("p")).await;
    assert_eq!((low().await, low().await), (1, 0));
    assert_eq!(stand.events("stock.low").await[0]["available"], 1);
    stand.end().await;
}

fn age_identity() -> age::x25519::Identity {
    age::x25519::Identity::generate()
}

#[tokio::test]
async fn secrets_are_shredded_after_the_reprint_window() {
    let stand = Stand::new().await;
    stand.product("p", json!({"reprint_days": 0})).await;
    stand.stock("p", 1).await;
    let a = id();
    stand.one(reserve(a, "p")).await;
    assert_eq!(stand.one(reprint(a)).await["reason"], "not_sold");
    stand.one(sell(a)).await;
    assert_eq!(stand.one(reprint(a)).await["reason"], "reprint_over");
    assert_eq!(
        cards::upkeep::shred(&stand.store, &stand.declared().await)
            .await
            .unwrap(),
        1
    );
    // The blind index stays: the card is recognised still.
    let again = stand.import("p", "serial,pin\nother,p823144000001\n").await;
    assert_eq!((again.report.added, again.report.duplicates.total), (0, 1));
    stand.end().await;
}

#[tokio::test]
async fn a_faulty_card_that_was_paid_is_sold_and_a_case() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.stock("p", 1).await;
    let (a, product) = (id(), domain::ids::ProductId::parse("p").unwrap());
    stand.one(reserve(a, "p")).await;
    let faulty = domain::card::CardState::Faulty;
    store::cards::set_aside(&stand.store, &product, "p-1", faulty, "test", "does not work")
        .await
        .unwrap();
    assert_eq!(stand.one(sell(a)).await["outcome"], "sold");
    assert_eq!(stand.counts("p").await, [0, 0, 0, 0, 1]);
    let faulty_again = store::cards::set_aside(&stand.store, &product, "p-1", faulty, "test", "again").await;
    assert!(faulty_again.is_err());
    let report = stand.sales().await;
    assert_eq!(
        (report.len(), report[0].serial.as_str(), report[0].amount),
        (1, "p-1", 10000)
    );
    stand.end().await;
}
