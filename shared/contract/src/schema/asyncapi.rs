//! The AsyncAPI 3.0 document: which messages go where, what answers them, what everybody is told. Names of exchanges are
//! those of the default namespace.

use serde_json::{Map, Value, json};

use super::{answer_schema, event_schema, message_schema, sample};
use crate::event::EventKind;
use crate::message::RoutingKey;
use crate::{VERSION, VERSION_HEADER};

const DESCRIPTION: &str = "What terminal front-ends, payees and other systems see of unigate.\n\n\
Terminals publish facts and questions to the exchange `unigate.terminal`; facts persistent, mandatory and confirmed, and \
again until any answer comes. A request with `reply_to` and `correlation_id` is answered on the default exchange; \
`reply_to` is `amq.rabbitmq.reply-to` or a queue named `unigate.reply.<anything>`. Events are published to \
`unigate.events` at least once, in no promised order. `unigate` is the namespace and can be another one.\n\n\
Bodies are UTF-8 JSON objects of at most 64 KiB, without byte order mark, duplicate members, control characters or \
nesting deeper than 32. `null` is as good as absent; unknown members are ignored. An unknown `reason` means refused; an \
unknown `outcome` means no answer yet.";

/// The whole document.
pub fn asyncapi_document() -> Value {
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "unigate",
            "version": "1.0.0",
            "description": DESCRIPTION,
            "license": { "name": "MIT OR Apache-2.0" }
        },
        "defaultContentType": "application/json",
        "servers": {
            "broker": {
                "host": "127.0.0.1:5672",
                "protocol": "amqp",
                "protocolVersion": "0.9.1",
                "description": "RabbitMQ, one virtual host; `amqps` beyond the own machine."
            }
        },
        "channels": channels(),
        "operations": operations(),
        "components": {
            "messages": messages(),
            "schemas": { "headers": headers(), "properties": properties() }
        }
    })
}

/// Where an event's name would meet a message's, the event's carries this.
fn event_name(kind: EventKind) -> String {
    format!("event.{kind}")
}

fn reference(to: &str) -> Value {
    json!({ "$ref": to })
}

fn message_reference(name: &str) -> Value {
    reference(&format!("#/components/messages/{name}"))
}

fn channels() -> Map<String, Value> {
    let requests = RoutingKey::ALL.iter().map(|&key| {
        let channel = channel(key.as_str(), "unigate.terminal", key.as_str());
        (key.to_string(), channel)
    });
    let replies = RoutingKey::ALL.iter().map(|&key| {
        let messages = json!({ key.reply_kind(): message_reference(key.reply_kind()) });
        let channel = json!({
            "address": null,
            "description": "The default exchange, with the request's `reply_to` as routing key.",
            "messages": messages
        });
        (key.reply_kind().to_owned(), channel)
    });
    let events = EventKind::all().map(|kind| {
        let name = event_name(kind);
        let channel = channel(kind.as_str(), "unigate.events", &name);
        (name, channel)
    });
    requests.chain(replies).chain(events).collect()
}

fn channel(routing_key: &str, exchange: &str, message: &str) -> Value {
    json!({
        "address": routing_key,
        "messages": { message: message_reference(message) },
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {
                    "name": exchange, "type": "topic", "durable": true, "autoDelete": false, "vhost": "/"
                },
                "bindingVersion": "0.3.0"
            }
        }
    })
}

fn operations() -> Map<String, Value> {
    let requests = RoutingKey::ALL.iter().map(|&key| (key.to_string(), request(key)));
    let events = EventKind::all().map(|kind| {
        let name = event_name(kind);
        let operation = json!({
            "action": "send",
            "channel": reference(&format!("#/channels/{name}")),
            "messages": [reference(&format!("#/channels/{name}/messages/{name}"))],
            "bindings": { "amqp": { "deliveryMode": 2, "bindingVersion": "0.3.0" } }
        });
        (name, operation)
    });
    requests.chain(events).collect()
}

/// We receive the request and send the reply.
fn request(key: RoutingKey) -> Value {
    let reply = key.reply_kind();
    let (summary, delivery_mode) = if key.is_fact() {
        (
            "A fact: publish it persistent, mandatory and with confirms; do not set `expiration`.",
            2,
        )
    } else {
        (
            "A question: it may be transient, and may carry `expiration` with `timestamp`.",
            1,
        )
    };
    json!({
        "action": "receive",
        "summary": summary,
        "channel": reference(&format!("#/channels/{key}")),
        "messages": [reference(&format!("#/channels/{key}/messages/{key}"))],
        "bindings": {
            "amqp": {
                "deliveryMode": delivery_mode,
                "mandatory": key.is_fact(),
                "bindingVersion": "0.3.0"
            }
        },
        "reply": {
            "address": {
                "description": "The AMQP property `reply_to` of the request.",
                "location": "$message.header#/reply_to"
            },
            "channel": reference(&format!("#/channels/{reply}")),
            "messages": [reference(&format!("#/channels/{reply}/messages/{reply}"))]
        }
    })
}

fn messages() -> Map<String, Value> {
    let requests = RoutingKey::ALL.iter().map(|&key| {
        let schema = message_schema(key);
        let mut message = message(key.as_str(), schema, &[sample::message(key)]);
        message["headers"] = reference("#/components/schemas/headers");
        message["correlationId"] = correlation();
        (key.to_string(), message)
    });
    let replies = RoutingKey::ALL.iter().map(|&key| {
        let schema = answer_schema(key);
        let mut message = message(key.reply_kind(), schema, sample::answers(key));
        message["headers"] = reference("#/components/schemas/properties");
        message["correlationId"] = correlation();
        (key.reply_kind().to_owned(), message)
    });
    let events = EventKind::all().map(|kind| {
        let message = message(kind.as_str(), event_schema(kind), &[&sample::event(kind)]);
        (event_name(kind), message)
    });
    requests.chain(replies).chain(events).collect()
}

fn message(kind: &str, mut schema: Value, samples: &[&str]) -> Value {
    // The document says once for all which dialect its schemas are of.
    let described = schema.as_object_mut().and_then(|schema| {
        schema.remove("$schema");
        schema.remove("description")
    });
    let examples: Vec<Value> = samples
        .iter()
        .map(|sample| json!({ "payload": serde_json::from_str(sample).unwrap_or(Value::Null) }))
        .collect();
    json!({
        "name": kind,
        "title": kind,
        "summary": described.unwrap_or_default(),
        "contentType": "application/json",
        "payload": schema,
        "examples": examples
    })
}

fn correlation() -> Value {
    json!({ "location": "$message.header#/correlation_id" })
}

/// Header fields and AMQP properties that matter to a request.
fn headers() -> Value {
    json!({
        "type": "object",
        "properties": {
            VERSION_HEADER: {
                "type": "integer", "const": VERSION, "description": "A header; absent is 1."
            },
            "traceparent": {
                "type": "string",
                "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}",
                "description": "A header, W3C Trace Context; carried through everything that follows."
            },
            "reply_to": {
                "type": "string",
                "pattern": "^(amq\\.rabbitmq\\.reply-to|unigate\\.reply\\..*)$",
                "description": "An AMQP property; without it there is no answer."
            },
            "correlation_id": {
                "type": "string", "description": "An AMQP property; the answer carries it."
            },
            "user_id": {
                "type": "string",
                "description": "An AMQP property, verified by the broker; required where the terminal is declared."
            }
        }
    })
}

/// AMQP properties of an answer.
fn properties() -> Value {
    json!({
        "type": "object",
        "properties": {
            "type": {
                "type": "string", "description": "An AMQP property: the request's routing key and `.reply`."
            },
            "correlation_id": {
                "type": "string", "description": "An AMQP property: the request's."
            }
        }
    })
}
