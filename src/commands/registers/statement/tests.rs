//! Days of the payee's zone, rows per register, totals, and what disagrees.

use domain::RegisterId;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn register(sequence: i32, count: i64, total: i64, first: &str, last: &str) -> StatedRegister {
    StatedRegister {
        register_id: RegisterId::random(),
        series: "main".to_owned(),
        sequence,
        state: "mailed".to_owned(),
        count,
        total,
        currency: "RUB".to_owned(),
        first: at(first),
        last: at(last),
    }
}

fn sum(quarter: &str, register: Option<&StatedRegister>, payments: i64) -> StatedSum {
    StatedSum {
        quarter: at(quarter),
        series: Some("main".to_owned()),
        register: register.map(|register| register.register_id),
        currency: "RUB".to_owned(),
        payments,
        amount: payments * 1000,
        fee: payments * 10,
    }
}

fn lines(statement: &Statement) -> Vec<String> {
    let text = |cell: &Cell| match cell {
        Cell::Empty => "-".to_owned(),
        Cell::Text(text) => text.clone(),
        Cell::Count(count) => count.to_string(),
        Cell::Money { minor, .. } => minor.to_string(),
        Cell::Day(day) => day.to_string(),
        other => format!("{other:?}"),
    };
    let shown = |row: Vec<Cell>| {
        assert_eq!(row.len(), COLUMNS.len());
        [0, 2, 4, 5, 6, 7].map(|at| text(&row[at])).join(" ")
    };
    statement.rows().chain(statement.totals().unwrap()).map(shown).collect()
}

#[test]
fn days_are_the_payees_and_what_disagrees_is_named() {
    let zone = TimeZone::get("Europe/Moscow").unwrap();
    let period = StatementPeriod {
        payee: PayeeId::parse("gvk").unwrap(),
        from: at("2026-11-22T21:00:00Z"),
        to: at("2026-11-24T21:00:00Z"),
    };
    let first = register(7, 5, 5000, "2026-11-22T20:50:00Z", "2026-11-23T20:50:00Z");
    let second = register(8, 3, 3000, "2026-11-23T21:05:00Z", "2026-11-24T05:00:00Z");
    let empty = register(9, 0, 0, "2026-11-24T09:00:00Z", "2026-11-24T21:00:00Z");
    let sums = [
        sum("2026-11-24T18:00:00Z", None, 4),
        sum("2026-11-22T21:00:00Z", Some(&first), 1),
        sum("2026-11-23T20:45:00Z", Some(&first), 2),
        sum("2026-11-23T21:00:00Z", Some(&second), 1),
        sum("2026-11-24T04:45:00Z", Some(&second), 2),
    ];
    let registers = vec![first.clone(), second.clone(), empty];
    let statement = Statement::of(registers.clone(), &sums, &period, &zone).unwrap();
    assert_eq!(
        lines(&statement),
        [
            "2026-11-23 7 mailed 3 3000 30",
            "2026-11-24 8 mailed 3 3000 30",
            "2026-11-24 9 mailed 0 0 0",
            "2026-11-24 - open 4 4000 40",
            "- - - 10 10000 100"
        ]
    );
    // Half of the first was accepted before the period, so there is nothing to compare.
    assert_eq!(statement.differing(&period), Vec::<String>::new());
    let short = Statement::of(registers, &sums[..4], &period, &zone).unwrap();
    let differing = short.differing(&period);
    assert!(
        differing.len() == 1 && differing[0].starts_with(&second.register_id.to_string()),
        "{differing:?}"
    );
}

#[test]
fn nothing_paid_is_a_total_of_nothing() {
    let period = StatementPeriod {
        payee: PayeeId::parse("gvk").unwrap(),
        from: at("2026-11-22T21:00:00Z"),
        to: at("2026-11-24T21:00:00Z"),
    };
    let statement = Statement::of(Vec::new(), &[], &period, &TimeZone::UTC).unwrap();
    assert_eq!(lines(&statement), ["- - - 0 0 0"]);
}
