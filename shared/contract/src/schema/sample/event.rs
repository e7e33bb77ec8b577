//! An event of every family as it is published, with every optional member of its item.

use crate::event::EventKind;

/// The id of the sample.
const EVENT_ID: &str = "01937f2e-1f4d-7a2b-9c3e-8d7b6a5f4e3d";
/// When the sample happened.
const OCCURRED_AT: &str = "2026-11-23T07:02:12.25Z";

/// The body of an event of that kind.
pub(crate) fn event(kind: EventKind) -> String {
    let item = match kind {
        EventKind::Payment(_) => {
            r#"{"payment_id":"01937f2a-8e77-7b1c-8d40-5a9e3f1c7b02","number":"1000042","payee":"isp","terminal":"T-0001","account":"1920679795","amount":15000,"fee":300,"currency":"RUB","state":"unknown","error":"no answer within 30 s"}"#
        }
        EventKind::Card(_) => {
            r#"{"reservation_id":"01937f2a-4c10-7d3e-9a52-6f0d1c2b3a41","product":"mts-100","serial":"0042-17","terminal":"T-0001","amount":10000,"currency":"RUB","late":true,"other_reservation_id":"01937f2b-0d6e-7c55-b1f3-2e8a94d07c13"}"#
        }
        EventKind::Stock(_) => r#"{"product":"mts-100","available":49,"threshold":50}"#,
        EventKind::Payee(_) => r#"{"payee":"isp","error":"connect: refused"}"#,
        EventKind::Register(_) => {
            r#"{"register_id":"01937f2c-5b21-7e90-a6c4-13d7f0892e5b","payee":"gorvodokanal","kind":"regular","series":"main","sequence":17,"first_accepted_at":"2026-11-22T21:00:03Z","last_accepted_at":"2026-11-23T20:59:58Z","count":1204,"total":48231550,"currency":"RUB","error":"550 no such mailbox"}"#
        }
        EventKind::Message(_) => {
            r#"{"parked_id":"01937f2d-7a0c-7b66-8e15-c09f4d2b6a38","routing_key":"payment.accepted","reason":"unknown_payee","payment_id":"01937f2a-8e77-7b1c-8d40-5a9e3f1c7b02","reservation_id":"01937f2a-4c10-7d3e-9a52-6f0d1c2b3a41"}"#
        }
    };
    format!(r#"{{"event_id":"{EVENT_ID}","occurred_at":"{OCCURRED_AT}","items":[{item}]}}"#)
}
