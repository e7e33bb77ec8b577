//! Cards with a last day: sold in the order in which they run out where the product says so, never too near to it, and
//! withdrawn by the system.

pub(crate) mod zones;

use std::collections::BTreeSet;

use domain::declaration::Zone;
use domain::ids::ProductId;
use futures::future::join_all;
use jiff::ToSpan;
use jiff::civil::Date;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::{Value, json};
use store::cards::{ExpiryRule, Stock};
use store::scratch;

use crate::stand::{Stand, id, release, reserve, sell};

/// A card per row, `None` = without a last day; the rest is days from today.
async fn stock(stand: &Stand, product: &str, cards: &[(&str, Option<i32>)]) {
    let today = store::imports::today(&stand.store, &Zone::utc()).await.unwrap();
    let row = |(serial, days): &(&str, Option<i32>)| {
        let last = days.map(|days| day(today, days).to_string()).unwrap_or_default();
        format!("{serial},{last},{product}823144{serial}\n")
    };
    let rows: String = cards.iter().map(row).collect();
    let finished = stand.import(product, &format!("serial,expires_on,pin\n{rows}")).await;
    assert_eq!(finished.report.added, cards.len() as u64);
}

fn day(today: Date, days: i32) -> Date {
    today.checked_add(days.days()).unwrap()
}

async fn serials(stand: &Stand, product: &str, count: usize) -> Vec<String> {
    let asked: Vec<Value> = (0..count).map(|_| reserve(id(), product)).collect();
    let answers = stand.batch(&asked).await;
    let told = |answer: &Value| match answer["card"]["serial"].as_str() {
        Some(serial) => serial.to_owned(),
        None => answer["reason"].as_str().unwrap().to_owned(),
    };
    answers.iter().map(told).collect()
}

async fn sweep(stand: &Stand) -> usize {
    cards::upkeep::withdraw_expiring(&stand.store, &stand.declared().await)
        .await
        .unwrap()
}

async fn counted(stand: &Stand, product: &str) -> Stock {
    let stock = store::cards::stock(&stand.store).await.unwrap();
    stock
        .into_iter()
        .find(|stock| stock.product.as_str() == product)
        .unwrap()
}

#[tokio::test]
async fn what_runs_out_first_is_sold_first() {
    let stand = Stand::new().await;
    let cards = [
        ("a", None),
        ("b", Some(40)),
        ("c", Some(20)),
        ("d", None),
        ("e", Some(40)),
        ("f", Some(30)),
    ];
    stand.product("p", json!({"issue_expiring_first": true})).await;
    stock(&stand, "p", &cards).await;
    // In one batch and over several, and with what came back at the very end.
    assert_eq!(serials(&stand, "p", 3).await, ["c", "f", "b"]);
    let back = id();
    assert_eq!(stand.one(reserve(back, "p")).await["card"]["serial"], "e");
    stand.one(release(back)).await;
    assert_eq!(serials(&stand, "p", 2).await, ["a", "d"]);
    // What comes in later and runs out sooner is found before the product is called empty.
    stock(&stand, "p", &[("g", Some(5)), ("h", None)]).await;
    assert_eq!(serials(&stand, "p", 4).await, ["g", "h", "e", "out_of_stock"]);
    // By position, as ever, where the product does not ask for it.
    stand.product("q", json!({})).await;
    stock(&stand, "q", &cards).await;
    assert_eq!(
        serials(&stand, "q", 7).await,
        ["a", "b", "c", "d", "e", "f", "out_of_stock"]
    );
    stand.end().await;
}

#[tokio::test]
async fn no_card_is_sold_too_near_its_last_day_and_the_system_withdraws_it() {
    let stand = Stand::new().await;
    for (name, first) in [("p", false), ("q", true)] {
        stand.product(name, json!({"issue_expiring_first": first})).await;
        let serial = |at: &'static str| at;
        let cards = [
            (serial("near"), Some(6)),
            ("just", Some(7)),
            ("far", Some(8)),
            ("none", None),
        ];
        stock(&stand, name, &cards).await;
        let product = json!({"issue_expiring_first": first, "withdraw_days_before_expiry": 7});
        stand.product(name, product).await;
    }
    // Before any sweep: what is too near is not sold, and is not counted as if it could be.
    assert_eq!(serials(&stand, "p", 4).await, ["just", "far", "none", "out_of_stock"]);
    assert_eq!(serials(&stand, "q", 4).await, ["just", "far", "none", "out_of_stock"]);
    let before = counted(&stand, "p").await;
    assert_eq!((before.fresh, before.expired, before.withdrawn), (0, 1, 0));
    // Who declares such a rule is told what it will cost him.
    let tx = stand.store.begin().await.unwrap();
    for (days_left, near) in [(6, 0), (7, 1)] {
        let rule = ExpiryRule {
            product: ProductId::parse("p").unwrap(),
            days_left,
            time_zone: Zone::utc(),
        };
        assert_eq!(store::cards::count_expiring(&tx, &rule).await.unwrap(), near);
    }
    tx.rollback().await.unwrap();

    assert_eq!(sweep(&stand).await, 2);
    assert_eq!(sweep(&stand).await, 0);
    let after = counted(&stand, "p").await;
    assert_eq!((after.fresh, after.expired, after.withdrawn), (0, 1, 0));
    let audited = store::audit::of(&stand.store, "product", "p").await.unwrap();
    let act = audited.iter().find(|act| act.act == "cards withdraw-expiring").unwrap();
    assert_eq!((&*act.who, act.allowed), ("system", true));
    assert_eq!(act.after.as_ref().unwrap()["serials"], json!(["near"]));
    stand.end().await;
}

#[tokio::test]
async fn a_card_in_somebodys_hand_is_withdrawn_when_it_comes_back_and_paid_beats_it() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stock(&stand, "p", &[("a", Some(1)), ("b", Some(1))]).await;
    let (a, b) = (id(), id());
    stand.batch(&[reserve(a, "p"), reserve(b, "p")]).await;
    scratch::sql(&stand.store, "UPDATE card SET expires_on = current_date - 1")
        .await
        .unwrap();
    assert_eq!(sweep(&stand).await, 0, "both are held");
    stand.batch(&[release(a), release(b)]).await;
    assert_eq!(
        serials(&stand, "p", 1).await,
        ["out_of_stock"],
        "past, though it may be offered again"
    );
    assert_eq!(sweep(&stand).await, 2);
    let stock = counted(&stand, "p").await;
    assert_eq!((stock.returned, stock.expired, stock.withdrawn), (0, 2, 0));
    // The terminal had shown it, and its payer paid: sold, and an operator's case.
    assert_eq!(stand.one(sell(a)).await["outcome"], "sold");
    let kinds = scratch::sql(&stand.store, "SELECT kind FROM card_case").await.unwrap();
    assert_eq!(kinds, [[Some("withdrawn".to_owned())]]);
    let stock = counted(&stand, "p").await;
    assert_eq!((stock.sold, stock.expired), (1, 1));
    stand.end().await;
}

/// Many at once, while days pass and sweeps run: every card goes to one, none that is past its day goes to anybody, and
/// none is forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn taking_in_order_of_days_is_exact_however_many_take() {
    let stand = Stand::new().await;
    stand.product("p", json!({"issue_expiring_first": true})).await;
    let mut days: Vec<Option<i32>> = (0..120).map(|at| (at % 3 > 0).then_some(at % 12)).collect();
    days.shuffle(&mut StdRng::seed_from_u64(11));
    let names: Vec<String> = (0..days.len()).map(|at| format!("c{at:03}")).collect();
    let cards: Vec<(&str, Option<i32>)> = names.iter().map(String::as_str).zip(days.iter().copied()).collect();
    stock(&stand, "p", &cards).await;
    stand
        .product(
            "p",
            json!({"issue_expiring_first": true, "withdraw_days_before_expiry": 3}),
        )
        .await;
    let mut sold: Vec<String> = Vec::new();
    while sold.len() < days.len() {
        let (taken, _) = tokio::join!(join_all((0..4).map(|_| serials(&stand, "p", 5))), sweep(&stand));
        let taken: Vec<String> = taken
            .into_iter()
            .flatten()
            .filter(|one| one != "out_of_stock")
            .collect();
        if taken.is_empty() {
            break;
        }
        sold.extend(taken);
    }
    let good = |serial: &str| {
        let (_, days) = cards.iter().find(|(name, _)| *name == serial).unwrap();
        days.is_none_or(|days| days >= 3)
    };
    let distinct: BTreeSet<&String> = sold.iter().collect();
    assert_eq!(distinct.len(), sold.len(), "a card was given twice");
    assert!(sold.iter().all(|serial| good(serial)));
    let expected = names.iter().filter(|serial| good(serial)).count();
    assert_eq!(sold.len(), expected, "a card was forgotten");
    // Four workers may be in each other's way by a few cards, never by more than are in their hands.
    let last_dated = sold
        .iter()
        .rposition(|serial| cards.iter().any(|(name, days)| name == serial && days.is_some()));
    let first_undated = sold
        .iter()
        .position(|serial| cards.iter().any(|(name, days)| name == serial && days.is_none()));
    assert!(last_dated.unwrap() < first_undated.unwrap() + 20, "{sold:?}");
    let stock = counted(&stand, "p").await;
    assert_eq!(
        (stock.fresh, stock.held, stock.expired),
        (0, expected as i64, 120 - expected as i64)
    );
    stand.end().await;
}
