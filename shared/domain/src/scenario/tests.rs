//! What rows mean, what is asked, and what a scenario may not say.

use serde_json::json;

use super::*;
use crate::declaration::{Payee, read};

fn known(pairs: &[(&str, Option<&str>)]) -> Known {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned)))
        .collect()
}

fn statement(given: serde_json::Value) -> Statement {
    serde_json::from_value(given).unwrap()
}

fn judged(kind: StepKind, given: serde_json::Value, count: u64, row: &[(&str, Option<&str>)]) -> String {
    let first = known(row);
    judge(kind, &statement(given), Rows { count, first: &first }).to_string()
}

#[test]
fn rows_none_one_and_several_mean_what_is_said_or_what_is_safe() {
    let bare = json!({"sql": "select 1"});
    for (kind, none, several) in [
        (StepKind::Check, "refused: account_not_found", "refused: several_found"),
        (StepKind::Pay, "refused: account_not_found", "refused: several_found"),
        (StepKind::Status, "not_found", "retry"),
        (StepKind::Cancel, "refused: not_cancellable", "refused: several_found"),
    ] {
        assert_eq!(judged(kind, bare.clone(), 0, &[]), none);
        assert_eq!(judged(kind, bare.clone(), 1, &[]), "go_on");
        assert_eq!(judged(kind, bare.clone(), 2, &[]), several);
    }
    let said = json!({"sql": "select 1", "none": "go_on", "several": "go_on",
                      "when": [{"column": "state", "is": ["closed"], "then": "refused: account_inactive"}]});
    assert_eq!(judged(StepKind::Check, said.clone(), 0, &[]), "go_on");
    assert_eq!(
        judged(StepKind::Check, said, 3, &[("state", Some("closed"))]),
        "refused: account_inactive",
        "values of the first are looked at where several are allowed"
    );
}

#[test]
fn values_are_mapped_in_their_order_and_null_is_no_value() {
    let said = json!({"sql": "select 1", "when": [
        {"column": "processed", "is": ["1", "true"], "then": "accepted"},
        {"column": "error", "is_not": ["", "0"], "then": "refused: by_the_provider"},
        {"column": "processed", "is_null": true, "then": "retry"},
        {"column": "processed", "is": ["0"], "then": "pending"}]});
    let status = |row: &[(&str, Option<&str>)]| judged(StepKind::Status, said.clone(), 1, row);
    assert_eq!(status(&[("processed", Some("1")), ("error", Some("x"))]), "accepted");
    assert_eq!(
        status(&[("processed", Some("0")), ("error", Some("x"))]),
        "refused: by_the_provider"
    );
    assert_eq!(status(&[("processed", Some("0")), ("error", None)]), "pending");
    assert_eq!(status(&[("processed", None), ("error", None)]), "retry");
    assert_eq!(status(&[]), "retry", "a column that is not there is nothing");
    assert_eq!(status(&[("processed", Some("2"))]), "go_on");
}

fn asks() -> Vec<AskRule> {
    serde_json::from_value(json!([
        {"name": "cold", "label": "Cold, was {{ last_cold }}", "pattern": "^[0-9]{1,6}$", "required": true,
         "at_least": "last_cold", "at_most": "most_cold"},
        {"name": "note", "label": "Note"}]))
    .unwrap()
}

fn entered(pairs: &[(&str, &str)]) -> Fields {
    Fields::new(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()).unwrap()
}

#[test]
fn a_reading_is_held_against_the_one_before() {
    let before = known(&[("last_cold", Some("120.5")), ("most_cold", Some("500"))]);
    let names = |fields: &[(&str, &str)]| {
        let asks = asks();
        let missing = missing(&asks, &entered(fields), &before);
        missing
            .map(|missing| missing.iter().map(|ask| ask.name.clone()).collect::<Vec<_>>())
            .map_err(|wrong| wrong.to_string())
    };
    assert_eq!(names(&[]).unwrap(), ["cold", "note"]);
    assert_eq!(names(&[("cold", "121")]).unwrap(), ["note"]);
    assert_eq!(names(&[("cold", "121"), ("note", "")]).unwrap(), Vec::<String>::new());
    assert_eq!(
        names(&[("cold", "")]).unwrap(),
        ["cold", "note"],
        "what is required is not skipped"
    );
    assert_eq!(names(&[("cold", "120")]).unwrap_err(), "fields.cold: is below 120.5");
    assert_eq!(names(&[("cold", "501")]).unwrap_err(), "fields.cold: is above 500");
    assert!(names(&[("cold", "1 or 1=1")]).unwrap_err().contains("does not match"));
}

#[test]
fn decimals_are_compared_exactly() {
    assert!(decimal("10") > decimal("9.999999") && decimal("0.1") == decimal("0,10"));
    assert!(decimal("-1") < decimal("0") && decimal("99999999999999999999") > decimal("9999999999999999999"));
    for none in [
        "",
        "x",
        "1.2.3",
        "1e5",
        "0.1234567",
        " ",
        "--1",
        "100000000000000000000",
    ] {
        assert_eq!(decimal(none), None, "{none}");
    }
}

#[test]
fn a_display_is_of_what_is_known_and_of_nothing_else() {
    let rub = Currency::parse("RUB").unwrap();
    let found = known(&[
        ("name", Some("Иванов И. {{ debt }}")),
        ("room", None),
        ("debt", Some("7")),
    ]);
    let due = BTreeMap::from([("amount_due".to_owned(), 125_040)]);
    let text = |template: &str| fill(template, &found, &due, rub);
    assert_eq!(
        text("Уважаемый {{ name }}! К оплате {{ amount_due | money(\",\") }}{% if room is defined %}, {{ room }}{% endif %}")
            .unwrap(),
        "Уважаемый Иванов И. {{ debt }}! К оплате 1 250,40",
        "what is put in is never looked at again"
    );
    assert!(text("{{ nobody }}").is_err());
    for bad in [
        "{{ name.__class__ }}{{ name() }}",
        "{% set x = 1 %}",
        "{{ name",
        "a\u{7}",
    ] {
        assert!(check_template("display", bad).is_err(), "{bad}");
    }
}

fn payee(databases: serde_json::Value) -> Result<Payee, Vec<String>> {
    let given = json!({"id": "vodokanal", "name": "Водоканал", "gateway": "databases", "currency": "RUB",
        "account": {"pattern": "^[0-9]{6}$"}, "amount": {"min": 100, "max": 100_000}, "databases": databases});
    read::<Payee, _>(given).map_err(|wrong| wrong.iter().map(ToString::to_string).collect())
}

#[test]
fn a_scenario_that_could_enter_a_payment_twice_is_refused() {
    let status = json!({"statement": [{"sql": "select"}]});
    let with_pay = |pay: serde_json::Value| payee(json!({"url": "env:DB", "pay": pay}));
    let wrong = with_pay(json!({"statement": [{"sql": "insert"}]})).unwrap_err();
    assert!(
        wrong[0].contains("databases.pay.statement: nothing keeps a payment from being entered twice"),
        "{wrong:?}"
    );
    let unique = json!({"statement": [{"sql": "insert", "unique": true}]});
    let wrong = with_pay(unique.clone()).unwrap_err();
    assert!(wrong[0].contains("unique = true needs [databases.status]"), "{wrong:?}");
    let unique = payee(json!({"url": "env:DB", "status": status, "pay": unique})).unwrap();
    assert!(unique.online().unwrap().idempotent);
    let wrong = payee(
        json!({"url": "env:DB", "pay": {"statement": [{"sql": "insert", "unique": true}]},
        "cancel": {"statement": [{"sql": "update"}]}}),
    )
    .unwrap_err();
    assert!(
        wrong
            .iter()
            .any(|wrong| wrong.contains("databases.cancel: needs [databases.status]")),
        "{wrong:?}"
    );
    let wrong = with_pay(json!({"ask_status_first": true, "statement": [{"sql": "insert"}]})).unwrap_err();
    assert!(wrong[0].contains("needs [databases.status]"), "{wrong:?}");
    let asked = payee(json!({"url": "env:DB", "status": status,
        "pay": {"ask_status_first": true, "statement": [{"sql": "insert"}]}}))
    .unwrap();
    let online = asked.online().unwrap();
    assert!(
        !online.idempotent && online.asks_first && online.offers_status,
        "it is asked again, not paid again"
    );
}

#[test]
fn what_makes_no_sense_is_named_by_its_place() {
    let refused = |databases: serde_json::Value, expected: &str| {
        let wrong = payee(databases).unwrap_err();
        assert!(
            wrong.iter().any(|wrong| wrong.contains(expected)),
            "{expected}: {wrong:?}"
        );
    };
    let pay = json!({"statement": [{"sql": "insert", "unique": true}]});
    refused(json!({"pay": pay}), "databases.url: say either url or file");
    refused(json!({"url": "env:DB"}), "databases.pay: is missing");
    refused(
        json!({"url": "env:DB", "pay": pay, "concurrency": 0}),
        "databases.concurrency",
    );
    refused(
        json!({"url": "env:DB", "pay": pay, "check": {"statement": [{"sql": "s", "none": "accepted"}]}}),
        "databases.check.statement[0].none: is no end of this step",
    );
    refused(
        json!({"url": "env:DB", "pay": pay, "check": {"statement": [{"sql": "s",
            "when": [{"column": "c", "is": ["1"], "is_null": true, "then": "go_on"}]}]}}),
        "databases.check.statement[0].when[0]: says one of",
    );
    refused(
        json!({"url": "env:DB", "pay": pay, "check": {"statement": [{"sql": "s", "then": 1}]}}),
        "unknown field `then`",
    );
    refused(
        json!({"file": {"path": "/srv/fines.xlsx", "format": "xlsx", "columns": {"Номер": "number"}}}),
        "databases.file: needs a [register]",
    );
    refused(
        json!({"url": "env:DB", "pay": pay, "list": {"statement": [{"sql": "s", "none": "retry"}]}}),
        "databases.list.statement[0].none: is no end of this step",
    );
    refused(
        json!({"url": "env:DB", "pay": pay, "list": {"statement": [{"sql": "s"}, {"sql": "s"}]}}),
        "databases.list.statement: is one for a list",
    );
    refused(
        json!({"url": "env:DB", "pay": pay, "types": {"Cold": "integer"}}),
        "databases.types.Cold",
    );
}

#[test]
fn an_address_with_a_password_is_not_shown() {
    use crate::declaration::Declaration as _;
    let pay = json!({"statement": [{"sql": "insert", "unique": true}]});
    let status = json!({"statement": [{"sql": "select"}]});
    let payee = payee(json!({"url": "postgres://gate:hunter2@db/bill", "pay": pay, "status": status})).unwrap();
    let shown = payee.to_public_json().to_string() + &format!("{payee:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
}
