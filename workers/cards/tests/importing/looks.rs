//! A look at a file before it is handed in says what becomes of it.

use cards::import::{self, Options};
use domain::declaration::Product;
use serde_json::json;
use store::imports::today;
use testkit::leak::digits;

use super::files::import_as;
use crate::stand::Stand;

/// A row that is good, one that is past its day, one that cannot be read, and two with the serial or the details of the good one.
const ROWS: [&str; 5] = [
    "p-{n},{pin},",
    "e-{n},{other},2020-01-01",
    ",{another},",
    "p-{n},{last},",
    "q-{n},{pin in groups},",
];

/// A file with those rows of which the bit is set, with cards that no other `n` has.
fn file(which: usize, n: usize) -> String {
    let mut text = String::from("serial,pin,expires_on\n");
    for (_, row) in ROWS.iter().enumerate().filter(|(at, _)| which & (1 << at) != 0) {
        let pin = digits(10 * n);
        let grouped = format!("{} {}-{}", &pin[..4], &pin[4..8], &pin[8..]);
        let row = row
            .replace("{n}", &n.to_string())
            .replace("{pin in groups}", &grouped)
            .replace("{pin}", &pin)
            .replace("{other}", &digits(10 * n + 1))
            .replace("{another}", &digits(10 * n + 2))
            .replace("{last}", &digits(10 * n + 3));
        text.push_str(&format!("{row}\n"));
    }
    text
}

#[tokio::test]
async fn a_look_says_of_every_file_what_its_import_does() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    let product = json!({"id": "p", "name": "p", "face_value": 1, "price": 1, "currency": "RUB"});
    let product: Product = serde_json::from_value(product).unwrap();
    let today = today(&stand.store, &product.time_zone).await.unwrap();
    let strict = Options {
        strict: true,
        ..Options::default()
    };
    let good_rows = Options {
        good_rows: true,
        ..Options::default()
    };
    for (kind, options) in [Options::default(), strict, good_rows].into_iter().enumerate() {
        for which in 0..1 << ROWS.len() {
            let text = file(which, 100 * kind + which);
            let mut bytes = std::io::Cursor::new(&text);
            let looked = import::preview(&mut bytes, &product, None, today, 10).unwrap().report;
            let entered = import_as(&stand, &text, options).await;
            assert_eq!(
                looked.is_taken(options),
                entered.entered,
                "{options:?}\n{text}{looked:?}"
            );
            if entered.entered {
                let added = looked.rows - looked.refused.total - looked.expired.total - looked.duplicates.total;
                assert_eq!(added, entered.report.added, "{text}");
                assert_eq!(looked.duplicates, entered.report.duplicates, "{text}");
            }
        }
    }
    stand.end().await;
}
