//! Reading of AMQP headers, whose types every client chooses as it likes.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Map, Number, Value};

use super::Death;

pub(crate) const VERSION: &str = "unigate-version";
pub(crate) const TRACEPARENT: &str = "traceparent";
/// On forwarded questions only.
pub(crate) const ROUTING_KEY: &str = "unigate-routing-key";
/// On forwarded questions only: who sent the question, as the broker verified it for the first reader.
pub(crate) const USER_ID: &str = "unigate-user-id";
/// On forwarded questions only: the generation of the declarations that its first reader went by.
pub(crate) const DECLARED: &str = "unigate-declared";

fn get<'a>(table: &'a FieldTable, name: &str) -> Option<&'a AMQPValue> {
    table.inner().get(name)
}

pub(super) fn delivery_count(table: &FieldTable) -> Option<u32> {
    let count = integer(get(table, "x-delivery-count")?)?;
    Some(u32::try_from(count.max(0)).unwrap_or(u32::MAX))
}

pub(super) fn version(table: &FieldTable) -> Option<i64> {
    version_in(&value_json(get(table, VERSION)?))
}

/// The version that the headers of a kept message say, as they are when they come. -1: there is one, and it says nothing.
pub fn version_of(headers: &Value) -> Option<i64> {
    version_in(&headers[VERSION])
}

fn version_in(said: &Value) -> Option<i64> {
    match said {
        Value::Null => None,
        said => Some(said.as_i64().or_else(|| said.as_str()?.parse().ok()).unwrap_or(-1)),
    }
}

pub(super) fn traceparent(table: &FieldTable) -> Option<String> {
    text(table, TRACEPARENT).filter(|value| is_traceparent(value))
}

/// Whether it has the shape of a W3C trace context: `00-<32 hex>-<16 hex>-<2 hex>`. Only such a one is carried on.
pub fn is_traceparent(value: &str) -> bool {
    let hex = |part: &str, length| part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parts: Vec<_> = value.split('-').collect();
    parts.len() == 4
        && [2, 32, 16, 2]
            .iter()
            .zip(&parts)
            .all(|(&length, part)| hex(part, length))
}

/// The broker lists the latest death first.
pub(super) fn death(table: &FieldTable) -> Option<Death> {
    let AMQPValue::FieldArray(deaths) = get(table, "x-death")? else {
        return None;
    };
    let AMQPValue::FieldTable(latest) = deaths.as_slice().first()? else {
        return None;
    };
    let part = |name| text(latest, name).unwrap_or_default();
    let routing_key = match get(latest, "routing-keys") {
        Some(AMQPValue::FieldArray(keys)) => keys.as_slice().first().and_then(string).unwrap_or_default(),
        _ => String::new(),
    };
    Some(Death {
        queue: part("queue"),
        exchange: part("exchange"),
        routing_key,
        reason: part("reason"),
    })
}

pub(super) fn text(table: &FieldTable, name: &str) -> Option<String> {
    string(get(table, name)?)
}

pub(super) fn number(table: &FieldTable, name: &str) -> Option<i64> {
    integer(get(table, name)?)
}

fn string(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => String::from_utf8(text.as_bytes().to_vec()).ok(),
        AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
        _ => None,
    }
}

fn integer(value: &AMQPValue) -> Option<i64> {
    match *value {
        AMQPValue::ShortShortInt(number) => Some(number.into()),
        AMQPValue::ShortShortUInt(number) => Some(number.into()),
        AMQPValue::ShortInt(number) => Some(number.into()),
        AMQPValue::ShortUInt(number) => Some(number.into()),
        AMQPValue::LongInt(number) => Some(number.into()),
        AMQPValue::LongUInt(number) => Some(number.into()),
        AMQPValue::LongLongInt(number) => Some(number),
        AMQPValue::Timestamp(number) => i64::try_from(number).ok(),
        _ => None,
    }
}

/// Everything that can be printed.
pub(super) fn json(properties: &BasicProperties) -> Value {
    let mut map = Map::new();
    let strings = [
        ("content_type", properties.content_type()),
        ("content_encoding", properties.content_encoding()),
        ("correlation_id", properties.correlation_id()),
        ("reply_to", properties.reply_to()),
        ("expiration", properties.expiration()),
        ("message_id", properties.message_id()),
        ("type", properties.kind()),
        ("user_id", properties.user_id()),
        ("app_id", properties.app_id()),
    ];
    for (name, value) in strings {
        if let Some(value) = value {
            map.insert(name.to_owned(), printable(value.as_str()));
        }
    }
    if let Some(mode) = properties.delivery_mode() {
        map.insert("delivery_mode".to_owned(), (*mode).into());
    }
    if let Some(timestamp) = properties.timestamp() {
        map.insert("timestamp".to_owned(), (*timestamp).into());
    }
    if let Some(table) = properties.headers() {
        map.insert("headers".to_owned(), table_json(table));
    }
    Value::Object(map)
}

fn table_json(table: &FieldTable) -> Value {
    let entries = table.inner().iter();
    Value::Object(
        entries
            .map(|(name, value)| (without_nul(name.as_str()), value_json(value)))
            .collect(),
    )
}

fn value_json(value: &AMQPValue) -> Value {
    if let Some(number) = integer(value) {
        return number.into();
    }
    match value {
        AMQPValue::Boolean(flag) => (*flag).into(),
        AMQPValue::Float(number) => float(f64::from(*number)),
        AMQPValue::Double(number) => float(*number),
        AMQPValue::DecimalValue(number) => format!("{}e-{}", number.value, number.scale).into(),
        AMQPValue::ShortString(text) => printable(text.as_str()),
        AMQPValue::LongString(text) => printable(&String::from_utf8_lossy(text.as_bytes())),
        AMQPValue::ByteArray(bytes) => format!("{} bytes", bytes.len()).into(),
        AMQPValue::FieldArray(values) => values.as_slice().iter().map(value_json).collect(),
        AMQPValue::FieldTable(table) => table_json(table),
        _ => Value::Null,
    }
}

fn float(number: f64) -> Value {
    Number::from_f64(number).map_or_else(|| number.to_string().into(), Value::Number)
}

fn printable(text: &str) -> Value {
    Value::String(without_nul(text))
}

/// PostgreSQL has no way to store U+0000.
fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
