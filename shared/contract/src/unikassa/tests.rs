//! Requests as they go out to the letter, and answers as other people's programs write them.

use super::*;

const PAYMENT: &str = "0199aabb-ccdd-7eef-8001-020304050607";

fn number(text: &str) -> Number {
    Number::parse(text).unwrap()
}

fn pay() -> Request {
    Request::Pay(Pay {
        number: number("42"),
        payment_id: PaymentId::parse(PAYMENT).unwrap(),
        account: Account::new("1920679795").unwrap(),
        amount: Amount::new(15_000).unwrap(),
        currency: Currency::parse("RUB").unwrap(),
        paid_at: "2026-11-23T10:02:11+03:00".parse().unwrap(),
        fields: serde_json::from_str(r#"{"payer":"Иванов И. И."}"#).unwrap(),
    })
}

#[test]
fn a_payment_is_written_as_the_contract_says() {
    let written = String::from_utf8(pay().to_body()).unwrap();
    let expected = concat!(
        r#"{"request":"pay","number":"42","payment_id":"0199aabb-ccdd-7eef-8001-020304050607","account":"1920679795","#,
        r#""amount":15000,"currency":"RUB","paid_at":"2026-11-23T07:02:11Z","fields":{"payer":"Иванов И. И."}}"#
    );
    assert_eq!(written, expected);
    assert_eq!(Request::read(written.as_bytes()), Ok(pay()));
}

#[test]
fn ids_stay_over_retries() {
    assert_eq!(pay().webhook_id(), "pay-42");
    let check = format!(r#"{{"request":"check","payment_id":"{PAYMENT}","account":"1","fields":{{}}}}"#);
    let check = Request::read(check.as_bytes()).unwrap();
    assert_eq!((check.webhook_id(), check.number()), (format!("check-{PAYMENT}"), None));
    assert!(
        String::from_utf8(check.to_body())
            .unwrap()
            .ends_with(r#""account":"1","fields":{}}"#)
    );
    let list = br#"{"request":"list","from":"2026-11-23T00:00:00.5Z","to":"2026-11-24T00:00:00Z","after":"7"}"#;
    assert!(!Request::read(list).unwrap().webhook_id().contains('.'));
}

#[test]
fn requests_that_are_none_are_refused() {
    let edits: [(&str, &str); 8] = [
        (r#""pay""#, r#""refund""#),
        (r#""42""#, "42"),
        (r#""42""#, r#""-1""#),
        ("15000", "150.00"),
        ("15000", "0"),
        ("RUB", "rub"),
        ("1920679795", "a\\u0000b"),
        ("Z\",\"fields\"", "\",\"fields\""),
    ];
    let whole = String::from_utf8(pay().to_body()).unwrap();
    for (from, to) in edits {
        assert!(whole.contains(from), "{from}");
        let refused = Request::read(whole.replacen(from, to, 1).as_bytes());
        assert!(
            matches!(refused, Err(Unreadable::Shape(_))),
            "{from} -> {to}: {refused:?}"
        );
    }
    assert_eq!(Request::read(b""), Err(Unreadable::Empty));
    assert_eq!(
        Request::read(&vec![b' '; REQUEST_MAX_BYTES + 1]),
        Err(Unreadable::TooLong)
    );
    let unknown_member = whole.replacen('{', r#"{"later":[1],"#, 1);
    assert_eq!(Request::read(unknown_member.as_bytes()), Ok(pay()));
}

#[test]
fn an_answer_must_echo_the_number_and_have_a_known_result() {
    let read = |body: &str| PayAnswer::read(body.as_bytes(), number("42")).map(|answer| answer.result);
    assert_eq!(
        read(r#"{"number":"42","result":"accepted","more":1}"#),
        Ok(PayResult::Accepted)
    );
    assert_eq!(
        read(" {\"number\":42,\"result\":\"already_accepted\"}\r\n"),
        Ok(PayResult::AlreadyAccepted)
    );
    assert_eq!(
        read(r#"{"number":"42","result":"pending","reason":null}"#),
        Ok(PayResult::Pending)
    );
    assert_eq!(read(r#"{"result":"accepted"}"#), Err(Unreadable::NoNumber));
    assert_eq!(
        read(r#"{"number":null,"result":"accepted"}"#),
        Err(Unreadable::NoNumber)
    );
    for other in [r#""43""#, "43", "-42", r#""42 ""#, r#""""#] {
        let body = format!(r#"{{"number":{other},"result":"accepted"}}"#);
        assert_eq!(read(&body), Err(Unreadable::OtherNumber), "{other}");
    }
    for result in ["ok", "Accepted", "", "cancelled"] {
        let body = format!(r#"{{"number":"42","result":"{result}"}}"#);
        assert_eq!(read(&body), Err(Unreadable::UnknownResult), "{result}");
    }
}

#[test]
fn anything_else_is_unreadable() {
    let read = |body: &[u8]| PayAnswer::read(body, number("42")).unwrap_err();
    assert_eq!(read(b""), Unreadable::Empty);
    assert_eq!(read(b" \r\n"), Unreadable::Empty);
    for body in [
        &b"OK"[..],
        b"<html>",
        b"[]",
        b"null",
        br#"{"number":"42"}"#,
        br#"{"number":"42","result":null}"#,
        br#"{"number":"42","result":"accepted"} x"#,
        br#"{"number":"42","result":"accepted","result":"refused"}"#,
        b"\xef\xbb\xbf{\"number\":\"42\",\"result\":\"accepted\"}",
        b"{\"number\":\"42\",\"result\":\"accepted\",\"reason\":\"\xff\"}",
        br#"{"number":[42],"result":"accepted"}"#,
    ] {
        assert!(
            matches!(read(body), Unreadable::Shape(_)),
            "{}",
            String::from_utf8_lossy(body)
        );
    }
    let mut long = br#"{"number":"42","result":"accepted"}"#.to_vec();
    long.resize(ANSWER_MAX_BYTES, b' ');
    assert!(PayAnswer::read(&long, number("42")).is_ok());
    long.push(b' ');
    assert_eq!(read(&long), Unreadable::TooLong);
}

#[test]
fn texts_of_a_payee_are_cleaned_and_cut() {
    let body = format!(
        r#"{{"number":"42","result":"refused","reason":"no\u0000\n\u0085such","provider_reference":77,"x":"{}"}}"#,
        "y".repeat(1000)
    );
    let answer = PayAnswer::read(body.as_bytes(), number("42")).unwrap();
    assert_eq!(answer.reason.as_deref(), Some("no   such"));
    assert_eq!(answer.provider_reference.as_deref(), Some("77"));
    let long = format!(
        r#"{{"number":"42","result":"refused","reason":"{}"}}"#,
        "я".repeat(5000)
    );
    let reason = PayAnswer::read(long.as_bytes(), number("42")).unwrap().reason.unwrap();
    assert_eq!(reason.chars().count(), 500);
}

#[test]
fn checks_are_read_with_all_they_may_hold() {
    let body = r#"{"number":"42","result":"ask","display":"Dear Ivan","amount_due":125040,"currency":"RUB","min_amount":100,
        "max_amount":-5,"ask":[{"name":"meter_cold","label":"Cold\nwater","pattern":"^[0-9]{1,6}$","required":true}],"fields":null}"#;
    let answer = CheckAnswer::read(body.as_bytes(), Some(number("42"))).unwrap();
    assert_eq!(answer.result, CheckResult::Ask);
    assert_eq!(
        (answer.amount_due, answer.min_amount, answer.max_amount),
        (Some(125_040), Some(100), None)
    );
    assert_eq!(
        (answer.ask[0].label.as_str(), answer.ask[0].required),
        ("Cold water", true)
    );
    let bare = CheckAnswer::read(br#"{"result":"payable"}"#, None).unwrap();
    assert_eq!(bare, CheckAnswer::bare(None, CheckResult::Payable));
    assert_eq!(serde_json::to_string(&bare).unwrap(), r#"{"result":"payable"}"#);
    assert_eq!(
        CheckAnswer::read(br#"{"result":"payable"}"#, Some(number("42"))),
        Err(Unreadable::NoNumber)
    );
    let bad_key = br#"{"result":"ask","ask":[{"name":"Meter","label":"x"}]}"#;
    assert!(matches!(CheckAnswer::read(bad_key, None), Err(Unreadable::Shape(why)) if why.contains("ask[0].name")));
}

#[test]
fn status_cancel_and_list_are_read() {
    let status = StatusAnswer::read(br#"{"number":"42","result":"not_found"}"#, number("42")).unwrap();
    assert_eq!(status.result, StatusResult::NotFound);
    let cancel = CancelAnswer::read(br#"{"number":"42","result":"already_cancelled"}"#, number("42")).unwrap();
    assert_eq!(cancel.result, CancelResult::AlreadyCancelled);
    let page = br#"{"items":[{"number":42,"amount":100,"currency":"RUB","credited_at":"2026-11-23T10:02:11+03:00","provider_reference":9}],"next":"42"}"#;
    let page = ListAnswer::read(page).unwrap();
    assert_eq!((page.items[0].number, page.next.as_deref()), (number("42"), Some("42")));
    assert_eq!(page.items[0].provider_reference.as_deref(), Some("9"));
    assert!(ListAnswer::read(br#"{"items":[{"number":"42"}]}"#).is_err());
}
