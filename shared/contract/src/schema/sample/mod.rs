//! Samples for the reader of the documents: every message as a terminal would send it, every answer by outcome and an
//! event of every family as they are sent. The tests read the messages and compare the rest with what the types write.

mod answer;
mod event;

pub(crate) use answer::answers;
pub(crate) use event::event;

use crate::message::RoutingKey;

/// Every member of the message, the optional ones too.
pub(crate) const fn message(key: RoutingKey) -> &'static str {
    match key {
        RoutingKey::CardReserve => {
            r#"{"reservation_id":"01937f2a-4c10-7d3e-9a52-6f0d1c2b3a41","terminal":"T-0001","product":"mts-100","hold_seconds":300}"#
        }
        RoutingKey::CardSell => {
            r#"{"reservation_id":"01937f2a-4c10-7d3e-9a52-6f0d1c2b3a41","terminal":"T-0001","paid_at":"2026-11-23T10:02:11+03:00","amount":10000,"currency":"RUB","receipt_number":"000123","product":"mts-100","serial":"0042-17"}"#
        }
        RoutingKey::CardRelease | RoutingKey::CardReprint => {
            r#"{"reservation_id":"01937f2a-4c10-7d3e-9a52-6f0d1c2b3a41","terminal":"T-0001"}"#
        }
        RoutingKey::CardAvailability => r#"{"terminal":"T-0001","products":["mts-100"]}"#,
        RoutingKey::PaymentCheck => {
            r#"{"payment_id":"01937f2a-8e77-7b1c-8d40-5a9e3f1c7b02","terminal":"T-0001","payee":"gorvodokanal","account":"1920679795","amount":15000,"currency":"RUB","fields":{"meter_cold":"00123"}}"#
        }
        RoutingKey::PaymentAccepted => {
            r#"{"payment_id":"01937f2a-8e77-7b1c-8d40-5a9e3f1c7b02","terminal":"T-0001","payee":"gorvodokanal","account":"1920679795","fields":{"meter_cold":"00123","payer":"Иванов И. И."},"amount":15000,"fee":300,"currency":"RUB","paid_at":"2026-11-23T10:02:11+03:00","receipt_number":"000124"}"#
        }
        RoutingKey::PaymentStatus => r#"{"payment_id":"01937f2a-8e77-7b1c-8d40-5a9e3f1c7b02","terminal":"T-0001"}"#,
        RoutingKey::PaymentRevoke => {
            r#"{"payment_id":"01937f2a-8e77-7b1c-8d40-5a9e3f1c7b02","terminal":"T-0001","reason":"paid to the wrong account"}"#
        }
    }
}
