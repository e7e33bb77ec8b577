//! What is read from messages and what is refused, member by member.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::schema::sample;

const ID: &str = "0199aabb-ccdd-7eef-8001-020304050607";

fn accepted() -> Value {
    json!({
        "payment_id": ID, "terminal": "T-0001", "payee": "gorvodokanal", "account": "1920679795",
        "fields": {"payer": "Иванов И. И.", "meter_cold": "00123"},
        "amount": 15000, "fee": 300, "currency": "RUB", "paid_at": "2026-11-23T10:02:11+03:00",
        "receipt_number": "000124"
    })
}

fn sell() -> Value {
    json!({
        "reservation_id": ID, "terminal": "T-0001", "paid_at": "2026-11-23T10:02:11+03:00",
        "amount": 10000, "currency": "RUB", "receipt_number": "000123", "product": "mts-100",
        "serial": "0042-17"
    })
}

fn read(key: RoutingKey, body: &Value) -> Result<Message, Unreadable> {
    parse(key, body.to_string().as_bytes())
}

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

fn without(mut body: Value, name: &str) -> Value {
    body.as_object_mut().unwrap().shift_remove(name);
    body
}

#[test]
fn the_samples_are_read_and_written_back() {
    for &key in RoutingKey::ALL {
        let sample = sample::message(key);
        let message = parse(key, sample.as_bytes()).unwrap();
        assert_eq!(message.routing_key(), key);
        assert_eq!(message.terminal().as_str(), "T-0001");
        let written = String::from_utf8(message.body()).unwrap();
        // The offset of a time is not kept, the moment is.
        assert_eq!(written, sample.replace("T10:02:11+03:00", "T07:02:11Z"));
        assert_eq!(parse(key, written.as_bytes()).as_ref(), Ok(&message));
    }
}

#[test]
fn routing_keys_are_words_and_name_their_replies() {
    for &key in RoutingKey::ALL {
        assert_eq!(RoutingKey::parse(key.as_str()), Some(key));
        assert_eq!(key.reply_kind(), format!("{key}.reply"));
    }
    assert_eq!(RoutingKey::parse("card.steal"), None);
    let facts: Vec<&str> = RoutingKey::ALL
        .iter()
        .filter(|key| key.is_fact())
        .map(|key| key.as_str())
        .collect();
    assert_eq!(
        facts,
        ["card.sell", "card.release", "payment.accepted", "payment.revoke"]
    );
}

#[test]
fn each_required_member_is_missed_by_name() {
    for (key, required) in [
        (RoutingKey::CardReserve, "reservation_id terminal product"),
        (RoutingKey::CardSell, "reservation_id terminal paid_at amount currency"),
        (RoutingKey::CardRelease, "reservation_id terminal"),
        (RoutingKey::CardReprint, "reservation_id terminal"),
        (RoutingKey::CardAvailability, "terminal products"),
        (RoutingKey::PaymentCheck, "payment_id terminal payee account"),
        (
            RoutingKey::PaymentAccepted,
            "payment_id terminal payee account amount currency paid_at",
        ),
        (RoutingKey::PaymentStatus, "payment_id terminal"),
        (RoutingKey::PaymentRevoke, "payment_id terminal"),
    ] {
        let sample: Value = serde_json::from_str(sample::message(key)).unwrap();
        for name in sample.as_object().unwrap().keys() {
            let is_required = required.split(' ').any(|r| r == name);
            for less in [without(sample.clone(), name), with(sample.clone(), name, Value::Null)] {
                let missing = read(key, &less).err().map(|refused| refused.detail);
                assert_eq!(missing, is_required.then(|| format!("{name}: is missing")), "{key}");
            }
            // No member takes a boolean.
            let wrong = read(key, &with(sample.clone(), name, json!(true))).unwrap_err();
            assert!(wrong.detail.starts_with(&format!("{name}: must be a")), "{wrong}");
        }
    }
}

#[test]
fn wrong_values_are_refused_by_name() {
    let long = |n: usize| json!("я".repeat(n));
    for (name, value) in [
        ("payment_id", json!("0199")),
        ("payment_id", json!("00000000-0000-0000-0000-000000000000")),
        ("payment_id", json!(7)),
        ("terminal", json!("T 1")),
        ("terminal", json!("")),
        ("payee", json!("я")),
        ("account", json!("")),
        ("account", json!(1920679795)),
        ("account", long(201)),
        ("amount", json!(0)),
        ("amount", json!(-1)),
        ("amount", json!(1.0)),
        ("amount", json!("1")),
        ("amount", json!(9007199254740992_i64)),
        ("amount", json!(18446744073709551615_u64)),
        ("fee", json!(-1)),
        ("fee", json!(0.0)),
        ("fee", json!(9007199254740992_i64)),
        ("currency", json!("rub")),
        ("currency", json!("XXX")),
        ("currency", json!(643)),
        ("paid_at", json!("2026-11-23T10:02:11")),
        ("paid_at", json!("2026-11-23")),
        ("paid_at", json!(1796022131)),
        ("receipt_number", json!(123)),
        ("receipt_number", long(65)),
        ("fields", json!("")),
        ("fields", json!([])),
        ("fields", json!({"Meter": "1"})),
        ("fields", json!({"": "1"})),
        ("fields", json!({"Meter": 1})),
    ] {
        let refused = read(RoutingKey::PaymentAccepted, &with(accepted(), name, value)).unwrap_err();
        assert!(refused.detail.starts_with(&format!("{name}: ")), "{refused}");
    }
}

#[test]
fn integers_have_neither_fraction_nor_exponent() {
    for (amount, good) in [
        ("15000", true),
        ("9007199254740991", true),
        ("15000.0", false),
        ("15e3", false),
        ("15E3", false),
        ("1e0", false),
        ("-0", false),
        ("99999999999999999999999999", false),
    ] {
        let body = accepted().to_string().replace("15000", amount);
        let read = parse(RoutingKey::PaymentAccepted, body.as_bytes());
        assert_eq!(read.is_ok(), good, "{amount}: {read:?}");
        assert!(good || read.unwrap_err().detail.starts_with("amount: "));
    }
}

#[test]
fn fields_at_fault_are_named_by_path() {
    let many: serde_json::Map<String, Value> = (0..33).map(|n| (format!("f{n}"), json!(""))).collect();
    for (fields, detail) in [
        (json!({"meter_cold": 123}), "fields.meter_cold: must be a string"),
        (json!({"meter_cold": {}}), "fields.meter_cold: must be a string"),
        (
            json!({"payer": "a".repeat(501)}),
            "fields.payer: is longer than 500 characters",
        ),
        (json!({"payer": "a\u{0}"}), "fields.payer: holds a control character"),
        (json!(many), "fields: has more than 32 entries"),
    ] {
        let body = with(accepted(), "fields", fields);
        let refused = read(RoutingKey::PaymentAccepted, &body).unwrap_err();
        assert!(refused.detail.starts_with(detail), "{refused}");
    }
    let body = with(accepted(), "fields", json!({"payer": null, "meter_cold": "1"}));
    let Ok(Message::PaymentAccepted(payment)) = read(RoutingKey::PaymentAccepted, &body) else {
        panic!("{body}");
    };
    assert_eq!(payment.fields.iter().collect::<Vec<_>>(), [("meter_cold", "1")]);
}

#[test]
fn holds_are_at_least_a_second() {
    let reserve = |hold: Value| {
        let body = json!({"reservation_id": ID, "terminal": "t", "product": "p", "hold_seconds": hold});
        match read(RoutingKey::CardReserve, &body) {
            Ok(Message::CardReserve(reserve)) => Ok(reserve.hold_seconds),
            Ok(other) => panic!("{other:?}"),
            Err(refused) => Err(refused.detail),
        }
    };
    assert_eq!(reserve(Value::Null), Ok(None));
    assert_eq!(reserve(json!(1)), Ok(Some(1)));
    assert_eq!(reserve(json!(1_i64 << 40)), Ok(Some(u32::MAX)));
    for bad in [json!(0), json!(-300), json!(1.5), json!("300")] {
        assert!(reserve(bad).unwrap_err().starts_with("hold_seconds: "));
    }
}

#[test]
fn products_are_a_set() {
    let ask = |products: Value| match read(
        RoutingKey::CardAvailability,
        &json!({"terminal": "t", "products": products}),
    ) {
        Ok(Message::CardAvailability(ask)) => Ok(ask.products.len()),
        Ok(other) => panic!("{other:?}"),
        Err(refused) => Err(refused.detail),
    };
    assert_eq!(ask(json!([])), Ok(0));
    assert_eq!(ask(json!(["b", "a", "b"])), Ok(2));
    assert_eq!(ask(json!(["b", null])), Err("products[1]: must be a string".into()));
    assert!(ask(json!(["a b"])).unwrap_err().starts_with("products[0]: must match"));
    assert!(ask(json!("b")).unwrap_err().starts_with("products: must be a list"));
}

#[test]
fn unknown_members_and_offsets_do_not_matter() {
    let plain = read(RoutingKey::PaymentAccepted, &accepted()).unwrap();
    let more = with(accepted(), "colour", json!({"a": [1.5, null, {"b": "я"}]}));
    let more = with(more, "paid_at", json!("2026-11-23T07:02:11Z"));
    assert_eq!(read(RoutingKey::PaymentAccepted, &more).unwrap(), plain);
}

#[test]
fn the_same_content_has_the_same_fingerprint() {
    let of = |key, body: &Value| read(key, body).unwrap().fingerprint().unwrap();
    let payment = of(RoutingKey::PaymentAccepted, &accepted());
    for (name, value) in [
        ("payment_id", json!("0199aabb-ccdd-7eef-8001-020304050608")),
        ("paid_at", json!("2026-01-01T00:00:00Z")),
        ("colour", json!("red")),
    ] {
        let same = with(accepted(), name, value);
        assert_eq!(of(RoutingKey::PaymentAccepted, &same), payment, "{name}");
    }
    for (name, value) in [
        ("terminal", json!("T-0002")),
        ("payee", json!("isp")),
        ("account", json!("1")),
        ("amount", json!(15001)),
        ("fee", json!(301)),
        ("fee", Value::Null),
        ("currency", json!("KZT")),
        ("fields", json!({"payer": "Иванов И. И."})),
        ("fields", json!({"payer": "Иванов И. И.meter_cold", "x": "00123"})),
        ("receipt_number", Value::Null),
        ("receipt_number", json!("")),
    ] {
        let other = with(accepted(), name, value);
        assert_ne!(of(RoutingKey::PaymentAccepted, &other), payment, "{name}");
    }
    let no_fee = with(accepted(), "fee", json!(0));
    assert_eq!(
        of(RoutingKey::PaymentAccepted, &no_fee),
        of(RoutingKey::PaymentAccepted, &without(accepted(), "fee"))
    );
}

#[test]
fn sales_and_reservations_have_their_own_contents() {
    let of = |key, body: &Value| read(key, body).unwrap().fingerprint().unwrap();
    let sale = of(RoutingKey::CardSell, &sell());
    for (name, value, same) in [
        ("paid_at", json!("2026-01-01T00:00:00Z"), true),
        ("serial", json!("1"), true),
        ("terminal", json!("T-0002"), false),
        ("amount", json!(1), false),
        ("currency", json!("KZT"), false),
        ("receipt_number", json!("1"), false),
        ("product", json!("mts-200"), false),
    ] {
        let other = of(RoutingKey::CardSell, &with(sell(), name, value));
        assert_eq!(other == sale, same, "{name}");
    }
    let reserve = json!({"reservation_id": ID, "terminal": "t", "product": "p"});
    let longer = with(reserve.clone(), "hold_seconds", json!(60));
    let other = with(reserve.clone(), "product", json!("q"));
    let key = RoutingKey::CardReserve;
    assert_eq!(of(key, &reserve), of(key, &longer));
    assert_ne!(of(key, &reserve), of(key, &other));

    let revoke = json!({"payment_id": ID, "terminal": "t", "reason": "r"});
    let key = RoutingKey::PaymentRevoke;
    assert_eq!(of(key, &revoke), of(key, &without(revoke.clone(), "reason")));
    let long = with(revoke, "reason", json!("я".repeat(501)));
    assert!(read(key, &long).unwrap_err().detail.starts_with("reason: "));
}

/// What is stored is compared for as long as the replay window: the hash itself may not change unnoticed.
#[test]
fn fingerprints_are_pinned() {
    let hex = |key, body: &Value| format!("{:?}", read(key, body).unwrap().fingerprint().unwrap());
    assert_eq!(
        hex(RoutingKey::PaymentAccepted, &accepted()),
        "05ddd302509db719bf10dee36d01ea15de77710d48633b2f4b0d1fa30342506f"
    );
    assert_eq!(
        hex(RoutingKey::CardSell, &sell()),
        "785a564eb162da96d41628b1aeea09f9200929f4a0c2cf8a6176bd99a68b7f4a"
    );
}

fn payments() -> impl Strategy<Value = PaymentAccepted> {
    use domain::ids::PayeeId;
    use domain::money::{Amount, Currency, Fee};
    use domain::text::{Account, Fields, ReceiptNumber};

    let text = "[^\u{0}-\u{1f}\u{7f}-\u{9f}]{1,40}";
    let name = "[A-Za-z0-9][A-Za-z0-9._-]{0,62}";
    let fields = prop::collection::btree_map("[a-z][a-z0-9_]{0,31}", text, 0..5);
    (
        (
            any::<u128>().prop_filter("nil", |id| *id != 0),
            name,
            name,
            text,
            fields,
        ),
        (1..=9_007_199_254_740_991_i64, 0..=9_007_199_254_740_991_i64),
        (-60_000_000_000_i64..=253_000_000_000, 0..1_000_000_000_i32),
        (prop::sample::select(vec!["RUB", "JPY", "KWD"]), prop::option::of(text)),
    )
        .prop_map(
            |((id, terminal, payee, account, fields), (amount, fee), (second, nano), (currency, receipt))| {
                PaymentAccepted {
                    payment_id: PaymentId::from_uuid(uuid::Uuid::from_u128(id)),
                    terminal: TerminalId::parse(&terminal).unwrap(),
                    payee: PayeeId::parse(&payee).unwrap(),
                    account: Account::new(account).unwrap(),
                    fields: Fields::new(fields).unwrap(),
                    amount: Amount::new(amount).unwrap(),
                    fee: Fee::new(fee).unwrap(),
                    currency: Currency::parse(currency).unwrap(),
                    paid_at: jiff::Timestamp::new(second, nano).unwrap(),
                    receipt_number: receipt.map(|number| ReceiptNumber::new(number).unwrap()),
                }
            },
        )
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same(payment in payments()) {
        let message = Message::PaymentAccepted(payment);
        prop_assert_eq!(parse(RoutingKey::PaymentAccepted, &message.body()), Ok(message));
    }

    #[test]
    fn nothing_makes_the_reader_panic(
        key in prop::sample::select(RoutingKey::ALL.to_vec()),
        at in any::<prop::sample::Index>(),
        put in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let mut body = sample::message(key).as_bytes().to_vec();
        let at = at.index(body.len());
        body.splice(at..(at + put.len()).min(body.len()), put);
        let _ = parse(key, &body);
        let _ = ids_of(&body);
    }
}
