//! The reader-facing form of the contract, generated from the Rust types so that it cannot fall behind them: a JSON Schema
//! for every message, answer and event, and an AsyncAPI document over all of them. [`write_to`] writes them,
//! [`check_against`] tells where what is written has fallen behind.

mod asyncapi;
mod files;
pub(crate) mod sample;
pub(crate) mod wire;

pub use asyncapi::asyncapi_document;
pub use files::{Difference, check_against, write_to};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use crate::answer::{
    CardAvailabilityAnswer, CardReleaseAnswer, CardReprintAnswer, CardReserveAnswer, CardSellAnswer,
    PaymentAcceptedAnswer, PaymentCheckAnswer, PaymentRevokeAnswer, PaymentStatusAnswer, SealedContents,
};
use crate::event::{CardItem, EventKind, ParkedItem, PayeeItem, PaymentItem, RegisterItem, StockItem};
use crate::message::{
    CardAvailability, CardRelease, CardReprint, CardReserve, CardSell, PaymentAccepted, PaymentCheck, PaymentRevoke,
    PaymentStatus, RoutingKey,
};

/// Every schema under the name of its file.
pub fn schemas() -> Vec<(String, Value)> {
    let messages = RoutingKey::ALL
        .iter()
        .map(|&key| (format!("messages/{key}.json"), message_schema(key)));
    let answers = RoutingKey::ALL
        .iter()
        .map(|&key| (format!("answers/{}.json", key.reply_kind()), answer_schema(key)));
    let events = EventKind::all().map(|kind| (format!("events/{kind}.json"), event_schema(kind)));
    let sealed = (
        "answers/sealed_card.json".to_owned(),
        schema_of::<SealedContents<'_>>("sealed_card", Side::Written),
    );
    messages.chain(answers).chain([sealed]).chain(events).collect()
}

fn message_schema(key: RoutingKey) -> Value {
    let of = match key {
        RoutingKey::CardReserve => schema_of::<CardReserve>,
        RoutingKey::CardSell => schema_of::<CardSell>,
        RoutingKey::CardRelease => schema_of::<CardRelease>,
        RoutingKey::CardReprint => schema_of::<CardReprint>,
        RoutingKey::CardAvailability => schema_of::<CardAvailability>,
        RoutingKey::PaymentCheck => schema_of::<PaymentCheck>,
        RoutingKey::PaymentAccepted => schema_of::<PaymentAccepted>,
        RoutingKey::PaymentStatus => schema_of::<PaymentStatus>,
        RoutingKey::PaymentRevoke => schema_of::<PaymentRevoke>,
    };
    of(key.as_str(), Side::Read)
}

fn answer_schema(key: RoutingKey) -> Value {
    let of = match key {
        RoutingKey::CardReserve => schema_of::<CardReserveAnswer>,
        RoutingKey::CardSell => schema_of::<CardSellAnswer>,
        RoutingKey::CardRelease => schema_of::<CardReleaseAnswer>,
        RoutingKey::CardReprint => schema_of::<CardReprintAnswer>,
        RoutingKey::CardAvailability => schema_of::<CardAvailabilityAnswer>,
        RoutingKey::PaymentCheck => schema_of::<PaymentCheckAnswer>,
        RoutingKey::PaymentAccepted => schema_of::<PaymentAcceptedAnswer>,
        RoutingKey::PaymentStatus => schema_of::<PaymentStatusAnswer>,
        RoutingKey::PaymentRevoke => schema_of::<PaymentRevokeAnswer>,
    };
    of(key.reply_kind(), Side::Written)
}

fn event_schema(kind: EventKind) -> Value {
    let of = match kind {
        EventKind::Payment(_) => schema_of::<Body<PaymentItem>>,
        EventKind::Card(_) => schema_of::<Body<CardItem>>,
        EventKind::Stock(_) => schema_of::<Body<StockItem>>,
        EventKind::Payee(_) => schema_of::<Body<PayeeItem>>,
        EventKind::Register(_) => schema_of::<Body<RegisterItem>>,
        EventKind::Message(_) => schema_of::<Body<ParkedItem>>,
    };
    of(kind.as_str(), Side::Written)
}

/// An event. `type` = routing key, `message_id` = `event_id`. Order is not promised, and it may come twice.
#[derive(JsonSchema)]
#[expect(
    dead_code,
    reason = "only described: bodies are put together item by item in crate::event"
)]
struct Body<I> {
    /// Stable over repeats.
    #[schemars(with = "wire::Id")]
    event_id: String,
    /// When it happened.
    #[schemars(with = "wire::Time")]
    occurred_at: String,
    /// What happened.
    #[schemars(length(min = 1, max = 256))]
    items: Vec<I>,
}

/// Whether we read it, then what may be absent is not required, or write it, then what is always there is.
enum Side {
    Read,
    Written,
}

/// A schema of draft 7, the dialect that AsyncAPI speaks, whole in itself.
fn schema_of<T: JsonSchema>(title: &str, side: Side) -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let settings = match side {
        Side::Read => settings.for_deserialize(),
        Side::Written => settings.for_serialize(),
    };
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.insert("title".to_owned(), title.into());
    // What the schema is comes before what is in it.
    let mut ordered: Map<String, Value> = ["$schema", "title", "description"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), schema.remove(name)?)))
        .collect();
    if let Value::Object(rest) = schema.to_value() {
        ordered.extend(rest);
    }
    Value::Object(ordered)
}

#[cfg(test)]
mod tests;
