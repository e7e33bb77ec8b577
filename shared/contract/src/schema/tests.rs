//! The schemas say what the parser and the answers do, and the document points at nothing that is not there.

use serde_json::json;

use super::*;

fn pointer<'v>(document: &'v Value, reference: &str) -> Option<&'v Value> {
    document.pointer(reference.strip_prefix('#')?)
}

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str() {
                    Some(text) if name == "$ref" => found.push(text.to_owned()),
                    _ => references(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    let document = asyncapi_document();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 100);
    for reference in found {
        assert!(pointer(&document, &reference).is_some(), "{reference}");
    }
}

#[test]
fn every_message_of_the_document_has_examples() {
    let document = asyncapi_document();
    let messages = document["components"]["messages"].as_object().unwrap();
    assert_eq!(messages.len(), 9 + 9 + 20);
    for (name, message) in messages {
        let examples = message["examples"].as_array().unwrap();
        assert!(!examples.is_empty(), "{name}");
        assert!(examples.iter().all(|example| example["payload"].is_object()), "{name}");
    }
}

#[test]
fn every_schema_is_whole_in_itself() {
    let schemas = schemas();
    assert_eq!(schemas.len(), 9 + 9 + 1 + 20);
    for (name, schema) in schemas {
        let mut found = Vec::new();
        references(&schema, &mut found);
        assert_eq!(found, Vec::<String>::new(), "{name}");
        assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#", "{name}");
    }
}

#[test]
fn required_members_are_those_of_the_contract() {
    for (key, required) in [
        (
            RoutingKey::CardReserve,
            json!(["reservation_id", "terminal", "product"]),
        ),
        (
            RoutingKey::CardSell,
            json!(["reservation_id", "terminal", "paid_at", "amount", "currency"]),
        ),
        (RoutingKey::CardAvailability, json!(["terminal", "products"])),
        (
            RoutingKey::PaymentCheck,
            json!(["payment_id", "terminal", "payee", "account"]),
        ),
        (
            RoutingKey::PaymentAccepted,
            json!([
                "payment_id",
                "terminal",
                "payee",
                "account",
                "amount",
                "currency",
                "paid_at"
            ]),
        ),
        (RoutingKey::PaymentRevoke, json!(["payment_id", "terminal"])),
    ] {
        assert_eq!(message_schema(key)["required"], required, "{key}");
    }
}

#[test]
fn limits_are_stated() {
    let schema = message_schema(RoutingKey::PaymentAccepted);
    let of = |name: &str| &schema["properties"][name];
    assert_eq!(of("amount")["maximum"], 9_007_199_254_740_991_i64);
    assert_eq!(of("fee")["minimum"], 0);
    assert_eq!(of("fee")["type"], json!(["integer", "null"]));
    assert_eq!(of("account")["maxLength"], 200);
    assert_eq!(of("fields")["maxProperties"], 32);
    assert_eq!(of("fields")["additionalProperties"]["maxLength"], 500);
    assert_eq!(of("receipt_number")["maxLength"], 64);
    assert_eq!(of("payee")["pattern"], "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$");
    let items = &event_schema(EventKind::parse("stock.low").unwrap())["properties"]["items"];
    assert_eq!((&items["minItems"], &items["maxItems"]), (&json!(1), &json!(256)));
}
