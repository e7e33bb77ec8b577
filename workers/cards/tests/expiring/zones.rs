//! A last day is over when it is over where the product is sold. Of the two outermost zones one has another day than UTC at
//! any moment, so whatever is judged by UTC is seen here whenever this runs.

use std::io::Cursor;

use cards::import;
use domain::declaration::Product;
use domain::ids::ProductId;
use jiff::ToSpan;
use jiff::civil::Date;
use serde_json::{Value, json};
use testkit::leak::digits;
use uuid::Uuid;

use crate::stand::{Stand, id, release, reserve};

const ZONES: [&str; 5] = [
    "Etc/GMT+12",
    "America/New_York",
    "UTC",
    "Europe/Moscow",
    "Pacific/Kiritimati",
];

/// Which day it is there, by this machine's clock, which is the database's.
pub(crate) fn today_in(zone: &str) -> Date {
    domain::clock::now().in_tz(zone).unwrap().date()
}

/// A product, and what becomes of its cards.
struct Shop<'a> {
    stand: &'a Stand,
    product: &'a str,
    /// The last day that is just far enough.
    just: Date,
    held: Vec<Uuid>,
}

impl Shop<'_> {
    async fn ends(&self, serial: &str, days: i32) {
        let (product, day) = (self.product, self.just.checked_add(days.days()).unwrap());
        let sql =
            format!("UPDATE card SET expires_on = '{day}' WHERE product_id = '{product}' AND serial = '{serial}'");
        self.stand.sql(&sql).await;
    }

    /// The serials that are given, and why there are no more.
    async fn reserved(&mut self) -> Vec<String> {
        self.held = (0..5).map(|_| id()).collect();
        let asked: Vec<Value> = self.held.iter().map(|id| reserve(*id, self.product)).collect();
        let answers = self.stand.batch(&asked).await;
        let mut told: Vec<String> = answers
            .iter()
            .map(|answer| {
                answer["card"]["serial"]
                    .as_str()
                    .or(answer["reason"].as_str())
                    .unwrap()
                    .to_owned()
            })
            .collect();
        told.sort_unstable();
        told.dedup();
        told
    }

    /// What can be sold as a terminal is told, and as operators see it: fresh, returned, out of date.
    async fn counted(&self) -> Value {
        let asked = json!({"key": "card.availability", "terminal": "T-1", "products": [self.product]});
        let told = self.stand.one(asked).await["products"][0]["available"].clone();
        let stock = store::cards::stock(&self.stand.store).await.unwrap();
        let own = stock
            .iter()
            .find(|stock| stock.product.as_str() == self.product)
            .unwrap();
        json!([told, own.fresh, own.returned, own.expired])
    }
}

/// Everything that judges a last day, for one product whose cards end just before, on and after the day that matters.
async fn judged(stand: &Stand, product: &str, zone: &str, first: bool, margin: u32) -> Value {
    let rules = json!({"time_zone": zone, "issue_expiring_first": first, "withdraw_days_before_expiry": margin});
    stand.product(product, rules).await;
    let just = today_in(zone).checked_add(i64::from(margin).days()).unwrap();
    let far = just.checked_add(100.days()).unwrap();
    let rows = [
        ("past", just.yesterday().unwrap().to_string()),
        ("last", just.to_string()),
        ("near", far.to_string()),
        ("just", far.to_string()),
        ("none", String::new()),
    ];
    let row = |(at, (serial, day)): (usize, &(&str, String))| {
        let pin: String = product.bytes().map(|byte| byte.to_string()).collect();
        format!("{serial},{day},{pin}{}\n", digits(at))
    };
    let rows: String = rows.iter().enumerate().map(row).collect();
    let text = format!("serial,expires_on,pin\n{rows}");
    let declared = stand.declared().await.products[&ProductId::parse(product).unwrap()]
        .value
        .clone();
    let day = store::imports::today(&stand.store, &declared.time_zone).await.unwrap();
    let looked = import::preview(&mut Cursor::new(&text), &declared, None, day, 10).unwrap();
    let imported = stand.import(product, &text).await.report;
    let mut shop = Shop {
        stand,
        product,
        just,
        held: Vec::new(),
    };
    for (serial, days) in [("near", -1), ("just", 0), ("last", 1)] {
        shop.ends(serial, days).await;
    }
    let fresh = shop.counted().await;
    let given = shop.reserved().await;
    let back: Vec<Value> = shop.held.iter().map(|id| release(*id)).collect();
    stand.batch(&back).await;
    shop.ends("just", -1).await;
    let returned = shop.counted().await;
    let given_again = shop.reserved().await;
    cards::upkeep::withdraw_expiring(&stand.store, &stand.declared().await)
        .await
        .unwrap();
    let withdrawn =
        format!("SELECT serial FROM card WHERE product_id = '{product}' AND state = 'withdrawn' ORDER BY serial");
    json!({
        "looked": [looked.report.expired.total, looked.rows.iter().filter(|row| row.expired).count()],
        "imported": [imported.added, imported.expired.total],
        "fresh": fresh,
        "given": given,
        "returned": returned,
        "given_again": given_again,
        "withdrawn": stand.sql(&withdrawn).await,
    })
}

#[tokio::test]
async fn a_zone_that_the_database_does_not_know_is_refused_when_it_is_declared() {
    let stand = Stand::new().await;
    // The program knows it, and the database does not.
    let product = json!({
        "id": "p", "name": "p", "face_value": 1, "price": 1, "currency": "RUB", "time_zone": "Etc/Unknown",
    });
    let product: Product = serde_json::from_value(product).unwrap();
    let tx = stand.store.begin().await.unwrap();
    let refused = store::declarations::apply_product(&tx, &product, "test")
        .await
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        "product p: time_zone: the database does not know `Etc/Unknown`"
    );
    tx.rollback().await.unwrap();
    assert!(stand.declared().await.products.is_empty());
    stand.end().await;
}

#[tokio::test]
async fn a_last_day_is_over_when_it_is_over_where_the_product_is_sold() {
    let stand = Stand::new().await;
    let expected = json!({
        "looked": [1, 1],
        "imported": [4, 1],
        "fresh": [3, 3, 0, 1],
        "given": ["just", "last", "none", "out_of_stock"],
        "returned": [2, 0, 2, 2],
        "given_again": ["last", "none", "out_of_stock"],
        "withdrawn": ["just", "near"],
    });
    let (mut all, mut names) = (Vec::new(), Vec::new());
    for (at, zone) in ZONES.into_iter().enumerate() {
        for (first, margin) in [(false, 0), (true, 0), (false, 3), (true, 3)] {
            let product = format!("p{at}{}{margin}", u8::from(first));
            all.push(judged(&stand, &product, zone, first, margin).await);
            names.push(format!("{zone}, {first}, {margin}"));
        }
    }
    let wrong: Vec<_> = names
        .iter()
        .zip(&all)
        .filter(|(_, judged)| **judged != expected)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}\nexpected {expected:#}");
    stand.end().await;
}
