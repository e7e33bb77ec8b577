//! Lists as people, programs and spreadsheets get them.

use super::*;
use serde_json::json;

struct Thing {
    id: &'static str,
    amount: i64,
    users: Vec<&'static str>,
    error: Option<&'static str>,
}

impl Row for Thing {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("id", |thing| json!(thing.id)),
        Column::new("amount", |thing| json!(thing.amount)),
        Column::new("users", |thing| json!(thing.users)),
        Column::new("last_error", |thing| json!(thing.error)),
    ];
}

fn rendered(format: Format) -> String {
    let rows = [
        Thing {
            id: "isp",
            amount: 15000,
            users: vec!["a", "b"],
            error: None,
        },
        Thing {
            id: "вода",
            amount: -1,
            users: vec![],
            error: Some("=cmd|'/c'!A1, \"quoted\"\x1b[31m"),
        },
    ];
    let mut text = Vec::new();
    render(format, &rows, true, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn json_is_an_object_per_line_with_the_columns_as_keys() {
    let text = rendered(Format::Json);
    let mut lines = text.lines();
    assert_eq!(
        lines.next().unwrap(),
        r#"{"id":"isp","amount":15000,"users":["a","b"],"last_error":null}"#
    );
    let second: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    assert_eq!(second["last_error"], "=cmd|'/c'!A1, \"quoted\"\x1b[31m");
    assert_eq!(lines.next(), None);
}

#[test]
fn csv_keeps_numbers_and_disarms_formulas() {
    assert_eq!(
        rendered(Format::Csv),
        "id,amount,users,last_error\r\nisp,15000,a b,\r\nвода,-1,,\"'=cmd|'/c'!A1, \"\"quoted\"\"\u{fffd}[31m\"\r\n"
    );
}

#[test]
fn a_formula_behind_a_semicolon_is_one_where_that_divides_cells() {
    for (text, cell) in [
        ("1;=cmd|'/c calc'!A0;x", "1;'=cmd|'/c calc'!A0;x"),
        ("a;b", "a;b"),
        ("-5", "'-5"),
    ] {
        assert_eq!(harmless(&json!(text)), cell);
    }
    assert_eq!(harmless(&json!(-5)), "-5");
}

#[test]
fn json_has_nothing_that_a_terminal_obeys_and_says_the_same() {
    let thing = json!({ "body": "\u{9b}31m \u{202e}00.5 Вода\u{7f}" });
    let text = inert(&thing.to_string());
    assert!(text.contains("\\u009b31m \\u202e00.5 Вода\\u007f"), "{text}");
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), thing);
    assert_eq!(printable("\u{202e}00.5"), "\u{fffd}00.5");
}

#[test]
fn a_table_has_no_control_characters() {
    let text = rendered(Format::Table);
    assert_eq!(text.lines().count(), 3);
    assert!(text.starts_with("id"), "{text}");
    assert!(!text.contains('\x1b'));
}

#[test]
fn an_empty_list_has_its_header() {
    let mut text = Vec::new();
    render::<Thing>(Format::Csv, &[], true, &mut text).unwrap();
    assert_eq!(text, b"id,amount,users,last_error\r\n");
}

#[test]
fn things_are_described_in_the_depth() {
    let mut text = String::new();
    describe(
        &json!({"id": 1, "empty": [], "plain": ["a", "b"], "calls": [{"act": "pay"}], "in": {"er": null}}),
        0,
        &mut text,
    );
    assert_eq!(
        text,
        "id: 1\nempty: \nplain: a b\ncalls:\n  -\n    act: pay\nin:\n  er: \n"
    );
}
