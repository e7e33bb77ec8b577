//! Properties and headers as they come off the wire, well-formed or not.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldArray, FieldTable, LongString, ShortString};

use super::{Delivery, version_of};

fn long(text: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(text.as_bytes()))
}

fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert(ShortString::from(*name), value.clone());
    }
    table
}

fn mock(exchange: &str, redelivered: bool, properties: BasicProperties) -> lapin::message::Delivery {
    let mut wire = lapin::message::Delivery::mock(7, exchange.into(), "key".into(), redelivered, b"body".to_vec());
    wire.properties = properties;
    wire
}

fn read_from(exchange: &str, properties: BasicProperties) -> Delivery {
    Delivery::read(mock(exchange, false, properties), false)
}

fn with(entries: &[(&str, AMQPValue)]) -> Delivery {
    read_from("x", BasicProperties::default().with_headers(table(entries)))
}

#[test]
fn a_bare_message_has_nothing() {
    let delivery = read_from("x", BasicProperties::default());
    assert_eq!(delivery.body, b"body");
    assert_eq!((delivery.tag, delivery.routing_key.as_str()), (7, "key"));
    assert_eq!(
        (delivery.version, delivery.delivery_count, delivery.death),
        (None, 0, None)
    );
    assert_eq!(delivery.envelope.json(), serde_json::json!({}));
}

#[test]
fn a_version_may_be_any_integer_and_is_the_same_when_it_was_kept() {
    let version = |value: &AMQPValue| {
        let delivery = with(&[("unigate-version", value.clone())]);
        assert_eq!(
            version_of(&delivery.envelope.json()["headers"]),
            delivery.version,
            "{value:?}"
        );
        delivery.version
    };
    for value in [
        AMQPValue::ShortShortInt(1),
        AMQPValue::ShortShortUInt(1),
        AMQPValue::ShortInt(1),
        AMQPValue::ShortUInt(1),
        AMQPValue::LongInt(1),
        AMQPValue::LongUInt(1),
        AMQPValue::LongLongInt(1),
        long("1"),
    ] {
        assert_eq!(version(&value), Some(1), "{value:?}");
    }
    assert_eq!(version(&AMQPValue::LongInt(2)), Some(2));
    assert_eq!(version(&AMQPValue::Void), None);
    for value in [
        long("one"),
        AMQPValue::Boolean(true),
        AMQPValue::Double(1.0),
        AMQPValue::FieldTable(table(&[])),
    ] {
        assert_eq!(version(&value), Some(-1), "{value:?}");
    }
}

#[test]
fn deliveries_are_counted_by_quorum_queues_only() {
    let again = |count: &[(&str, AMQPValue)]| {
        let properties = BasicProperties::default().with_headers(table(count));
        Delivery::read(mock("x", true, properties), false).delivery_count
    };
    let count = |count| [("x-delivery-count", AMQPValue::LongLongInt(count))];
    assert_eq!((again(&count(3)), again(&count(-3)), again(&[])), (3, 0, 1));
    assert_eq!(with(&count(3)).delivery_count, 0, "whoever sent it says so");
}

#[test]
fn only_a_trace_context_is_carried_on() {
    let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    assert_eq!(with(&[("traceparent", long(good))]).traceparent.as_deref(), Some(good));
    for bad in [
        "",
        "00-x-y-01",
        &good[1..],
        &format!("{good}-more"),
        &good.replace('4', "г"),
    ] {
        assert_eq!(with(&[("traceparent", long(bad))]).traceparent, None, "{bad}");
    }
}

#[test]
fn the_latest_death_is_told() {
    let death = table(&[
        ("queue", long("n.intake.facts")),
        ("exchange", long("n.terminal")),
        ("reason", long("expired")),
        (
            "routing-keys",
            AMQPValue::FieldArray(FieldArray::from(vec![long("payment.accepted")])),
        ),
    ]);
    let deaths = FieldArray::from(vec![AMQPValue::FieldTable(death), AMQPValue::FieldTable(table(&[]))]);
    let headers = BasicProperties::default().with_headers(table(&[("x-death", AMQPValue::FieldArray(deaths))]));
    assert_eq!(
        read_from("n.terminal", headers.clone()).death,
        None,
        "whoever sent it says so"
    );
    let death = read_from("n.dead", headers).death.unwrap();
    assert_eq!(
        (death.queue.as_str(), death.reason.as_str()),
        ("n.intake.facts", "expired")
    );
    assert_eq!(
        (death.exchange.as_str(), death.routing_key.as_str()),
        ("n.terminal", "payment.accepted")
    );
}

#[test]
fn a_timestamp_in_milliseconds_is_recognised() {
    let at = |timestamp| read_from("x", BasicProperties::default().with_timestamp(timestamp)).timestamp;
    assert_eq!(at(1_795_000_000), Some(1_795_000_000));
    assert_eq!(at(1_795_000_000_123), Some(1_795_000_000));
}

#[test]
fn headers_of_ours_count_only_where_questions_are_forwarded_to() {
    let headers = table(&[
        ("unigate-routing-key", long("payment.check")),
        ("unigate-user-id", long("frontend1")),
        ("unigate-declared", AMQPValue::LongLongInt(7)),
    ]);
    let properties = BasicProperties::default().with_headers(headers);
    let forwarded = Delivery::read(mock("", false, properties.clone()), true);
    assert_eq!(forwarded.routing_key, "payment.check");
    assert_eq!(forwarded.user_id.as_deref(), Some("frontend1"));
    assert_eq!(forwarded.declared, Some(7));
    let by_a_terminal = Delivery::read(mock("n.terminal", false, properties.clone()), true);
    for forged in [by_a_terminal, read_from("", properties)] {
        assert_eq!((forged.routing_key.as_str(), forged.user_id), ("key", None));
        assert_eq!(forged.declared, None, "what others say of it counts for nothing");
    }
}

#[test]
fn everything_printable_is_kept_for_operators() {
    let headers = table(&[
        ("a\0b", long("c\0d")),
        ("bytes", AMQPValue::LongString(LongString::from(vec![0xff]))),
        ("nested", AMQPValue::FieldTable(table(&[("n", AMQPValue::LongInt(5))]))),
        ("nan", AMQPValue::Double(f64::NAN)),
    ]);
    let properties = BasicProperties::default()
        .with_headers(headers)
        .with_user_id("frontend1".into())
        .with_expiration("5000".into())
        .with_delivery_mode(2);
    let delivery = read_from("x", properties);
    assert_eq!(delivery.expiration_ms, Some(5000));
    assert_eq!(
        delivery.envelope.json(),
        serde_json::json!({
            "expiration": "5000",
            "user_id": "frontend1",
            "delivery_mode": 2,
            "headers": {"a\u{fffd}b": "c\u{fffd}d", "bytes": "\u{fffd}", "nan": "NaN", "nested": {"n": 5}},
        })
    );
}
