//! What parts are measured to have, beside what they have when they are written.

use serde_json::json;

use super::*;
use crate::file::Rows;
use crate::pack::tests::{Payments, spec_of};

/// The whole register that is divided.
const COUNT: i64 = 12_345;
const AMOUNT: i64 = 15_000;
/// What a file may have less than it was measured to have: its own numbers are shorter than the whole register's.
const SLACK: u64 = 100;

#[test]
fn no_part_is_larger_than_it_was_measured() {
    let sums = "{{ count }} {{ total }} {{ total_fee }} {{ total_paid }}\n";
    for register in [
        json!({ "format": "qiwi" }),
        json!({ "format": "sberbank" }),
        json!({ "format": "1c" }),
        json!({ "format": "xml" }),
        json!({ "format": "jsonl" }),
        json!({ "format": "dbf" }),
        json!({ "layout": { "header": "{{ count }} of {{ total }} in {{ part }} of {{ parts }}\n", "trailer": sums } }),
    ] {
        let mut whole = spec_of(register.clone());
        let parts = PARTS_MAX.unsigned_abs();
        (whole.head.count, whole.head.total, whole.head.part) = (COUNT, COUNT * AMOUNT, (parts, parts));
        let mut scale = Scale::of(&whole).unwrap();
        for rows in [1, 99, 1000] {
            let mut part = spec_of(register.clone());
            (part.head.count, part.head.total, part.head.part) = (rows, rows * AMOUNT, (2, 13));
            let mut measured = scale.own;
            let mut writer = part.layout.begin(&part.head, Vec::new()).unwrap();
            let mut take = |row: &Row<'_>| {
                measured += scale.width(row)?;
                Ok(writer.row(row)?)
            };
            Payments((1..=rows).collect()).each(&mut take).unwrap();
            let written = writer.finish().unwrap().0.len() as u64;
            assert!(
                (written..written + SLACK).contains(&measured),
                "{register}: {measured} for {written} bytes of {rows} rows"
            );
        }
    }
}
