//! Days and hours of time zones, where clocks jump and where they do not.

use super::*;
use crate::moment;

fn sold(at: &str, amount: i64) -> SaleSum {
    SaleSum {
        quarter: Some(at.parse().unwrap()),
        product: Some("p".to_owned()),
        issuer: None,
        terminal: None,
        group: None,
        currency: "RUB".to_owned(),
        sold: 1,
        late: 0,
        amount,
        price: amount,
        face_value: amount,
        surplus: 0,
    }
}

/// What the rows are about, with the sum of each.
fn told(sums: &[SaleSum], by: &[By], zone: &str) -> Vec<(String, i64)> {
    let zone = moment::zone(zone).unwrap();
    let sums = Sums::of(sums, by, &zone).unwrap();
    let row = |cells: Vec<Cell>| {
        let name = match &cells[0] {
            Cell::Day(day) => day.to_string(),
            Cell::Moment(at) => at.strftime("%FT%H:%M%:z").to_string(),
            other => panic!("{other:?}"),
        };
        let Cell::Money { minor, .. } = cells[by.len() + 3] else {
            panic!("{cells:?}")
        };
        (name, minor)
    };
    sums.rows(&zone).map(row).collect()
}

fn expected(rows: &[(&str, i64)]) -> Vec<(String, i64)> {
    rows.iter().map(|(name, sum)| ((*name).to_owned(), *sum)).collect()
}

#[test]
fn a_day_is_the_zones_own_however_long() {
    // In Berlin 2026-10-25 has twenty-five hours and 2026-03-29 twenty-three.
    let sales = [
        sold("2026-10-24T21:45:00Z", 1),
        sold("2026-10-24T22:00:00Z", 2),
        sold("2026-10-25T22:45:00Z", 4),
        sold("2026-10-25T23:00:00Z", 8),
    ];
    assert_eq!(
        told(&sales, &[By::Day], "Europe/Berlin"),
        expected(&[("2026-10-24", 1), ("2026-10-25", 6), ("2026-10-26", 8)])
    );
    assert_eq!(
        told(&sales, &[By::Day], "Asia/Kathmandu"),
        expected(&[("2026-10-25", 3), ("2026-10-26", 12)])
    );
}

#[test]
fn an_hour_that_comes_twice_is_two() {
    let sales = [
        sold("2026-10-25T00:00:00Z", 1),
        sold("2026-10-25T00:45:00Z", 2),
        sold("2026-10-25T01:15:00Z", 4),
        sold("2026-10-25T02:00:00Z", 8),
    ];
    assert_eq!(
        told(&sales, &[By::Hour], "Europe/Berlin"),
        expected(&[
            ("2026-10-25T02:00+02:00", 3),
            ("2026-10-25T02:00+01:00", 4),
            ("2026-10-25T03:00+01:00", 8),
        ])
    );
    // An hour of which the second half comes twice.
    let sales = [
        sold("2026-04-04T14:45:00Z", 1),
        sold("2026-04-04T15:00:00Z", 2),
        sold("2026-04-04T15:30:00Z", 4),
    ];
    assert_eq!(
        told(&sales, &[By::Hour], "Australia/Lord_Howe"),
        expected(&[
            ("2026-04-05T01:00+11:00", 1),
            ("2026-04-05T01:00+10:30", 2),
            ("2026-04-05T02:00+10:30", 4)
        ])
    );
}

#[test]
fn money_of_two_currencies_is_not_added_up_and_nothing_has_a_total() {
    let tenge = SaleSum {
        currency: "KZT".to_owned(),
        ..sold("2026-10-25T00:00:00Z", 5)
    };
    let sums = Sums::of(&[sold("2026-10-25T00:00:00Z", 1), tenge], &[By::Day], &TimeZone::UTC).unwrap();
    let totals: Vec<_> = sums
        .totals
        .iter()
        .map(|(currency, sum)| (currency, sum.amount))
        .collect();
    assert_eq!(totals, [("KZT", 5), ("RUB", 1)]);
    let nothing = Sums::of(&[], &[By::Day], &TimeZone::UTC).unwrap();
    assert_eq!(nothing.rows(&TimeZone::UTC).count(), 0);
    assert_eq!(nothing.totals.rows(1)[0][2], Cell::Count(0));
}
