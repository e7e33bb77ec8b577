//! Answers as they are sent, one per outcome at least.

use crate::message::RoutingKey;

/// Answers to the message, by outcome.
pub(crate) const fn answers(to: RoutingKey) -> &'static [&'static str] {
    match to {
        RoutingKey::CardReserve => &[
            r#"{"outcome":"reserved","reservation_id":"01937f2a-4c10-7d3e-9a52-6f0d1c2b3a41","product":"mts-100","card":{"serial":"0042-17","fields":{"pin":"8231 4410 7741","activation":"*111*pin#"}},"sealed_card":null,"face_value":10000,"price":10000,"currency":"RUB","receipt":"MTS 100, pin 8231 4410 7741","held_until":"2026-11-23T07:05:00Z"}"#,
            r#"{"outcome":"reserved","reservation_id":"01937f2a-4c10-7d3e-9a52-6f0d1c2b3a41","product":"mts-100","card":null,"sealed_card":"-----BEGIN AGE ENCRYPTED FILE-----\nYWdlLWVuY3J5cHRpb24ub3JnL3YxCg==\n-----END AGE ENCRYPTED FILE-----\n","face_value":10000,"price":10000,"currency":"RUB","receipt":null,"held_until":"2026-11-23T07:05:00Z"}"#,
            r#"{"outcome":"refused","reason":"out_of_stock","detail":"product: no card of mts-100 is left"}"#,
            r#"{"outcome":"refused","reason":"reservation_over","detail":"reservation_id: this reservation has ended, it is expired","state":"expired"}"#,
        ],
        RoutingKey::CardSell => &[
            r#"{"outcome":"sold","reservation_id":"01937f2a-4c10-7d3e-9a52-6f0d1c2b3a41"}"#,
            r#"{"outcome":"sold","reservation_id":"01937f2a-4c10-7d3e-9a52-6f0d1c2b3a41","late":true,"surplus":500}"#,
            r#"{"outcome":"already_sold","reservation_id":"01937f2a-4c10-7d3e-9a52-6f0d1c2b3a41"}"#,
            r#"{"outcome":"conflict","reservation_id":"01937f2a-4c10-7d3e-9a52-6f0d1c2b3a41"}"#,
            r#"{"outcome":"conflict","reservation_id":"01937f2a-4c10-7d3e-9a52-6f0d1c2b3a41","replacement":{"reservation_id":"01937f2b-0d6e-7c55-b1f3-2e8a94d07c13","product":"mts-100","card":{"serial":"0042-17","fields":{"pin":"8231 4410 7741","activation":"*111*pin#"}},"sealed_card":null,"face_value":10000,"price":10000,"currency":"RUB","receipt":"MTS 100, pin 8231 4410 7741"}}"#,
            r#"{"outcome":"refused","reason":"amount_too_small","detail":"amount: 9000 is less than the price, 10000"}"#,
        ],
        RoutingKey::CardRelease => &[
            r#"{"outcome":"released","reservation_id":"01937f2a-4c10-7d3e-9a52-6f0d1c2b3a41"}"#,
            r#"{"outcome":"already_released","reservation_id":"01937f2a-4c10-7d3e-9a52-6f0d1c2b3a41"}"#,
            r#"{"outcome":"already_expired","reservation_id":"01937f2a-4c10-7d3e-9a52-6f0d1c2b3a41"}"#,
            r#"{"outcome":"already_sold","reservation_id":"01937f2a-4c10-7d3e-9a52-6f0d1c2b3a41"}"#,
            r#"{"outcome":"refused","reason":"not_your_terminal","detail":"terminal: the reservation is of another terminal"}"#,
        ],
        RoutingKey::CardReprint => &[
            r#"{"outcome":"reprinted","reservation_id":"01937f2a-4c10-7d3e-9a52-6f0d1c2b3a41","product":"mts-100","card":{"serial":"0042-17","fields":{"pin":"8231 4410 7741","activation":"*111*pin#"}},"sealed_card":null,"face_value":10000,"price":10000,"currency":"RUB","receipt":"MTS 100, pin 8231 4410 7741","held_until":"2026-11-23T07:05:00Z"}"#,
            r#"{"outcome":"reprinted","reservation_id":"01937f2a-4c10-7d3e-9a52-6f0d1c2b3a41","product":"mts-100","card":{"serial":"0042-17","fields":{"pin":"8231 4410 7741","activation":"*111*pin#"}},"sealed_card":null,"face_value":10000,"price":10000,"currency":"RUB","receipt":"MTS 100, pin 8231 4410 7741","held_until":"2026-11-23T07:05:00Z","replaces":"0042-03"}"#,
            r#"{"outcome":"refused","reason":"not_sold","detail":"reservation_id: the card is not sold"}"#,
        ],
        RoutingKey::CardAvailability => &[
            r#"{"outcome":"ok","products":[{"product":"mts-100","available":1841,"price":10000,"currency":"RUB","suspended":false}]}"#,
            r#"{"outcome":"refused","reason":"unknown_terminal","detail":"terminal: no such terminal is declared"}"#,
        ],
        RoutingKey::PaymentCheck => &[
            r#"{"outcome":"payable","display":"Dear Ivan Ivanov, amount due: 1 250.40 RUB","amount_due":125040,"currency":"RUB","min_amount":100,"max_amount":1500000,"ask":[],"fields":{"meter_cold":"00123"}}"#,
            r#"{"outcome":"ask","display":null,"amount_due":null,"currency":"RUB","min_amount":100,"max_amount":1500000,"ask":[{"name":"meter_cold","label":"Cold water meter","pattern":"^[0-9]{1,6}$","required":true}],"fields":{}}"#,
            r#"{"outcome":"unavailable","detail":"the payee does not answer at present"}"#,
            r#"{"outcome":"refused","reason":"account_not_found","detail":"account: the payee knows no such account"}"#,
        ],
        RoutingKey::PaymentAccepted => &[
            r#"{"outcome":"accepted","payment_id":"01937f2a-8e77-7b1c-8d40-5a9e3f1c7b02","number":"1000042"}"#,
            r#"{"outcome":"already_accepted","payment_id":"01937f2a-8e77-7b1c-8d40-5a9e3f1c7b02","number":"1000042"}"#,
            r#"{"outcome":"refused","reason":"invalid_request","detail":"fields.meter_cold: must be a string"}"#,
        ],
        RoutingKey::PaymentStatus => &[
            r#"{"outcome":"ok","payment_id":"01937f2a-8e77-7b1c-8d40-5a9e3f1c7b02","number":"1000042","state":"waiting","attempts":3,"last_error":"connect: timed out","updated_at":"2026-11-23T07:02:12Z"}"#,
            r#"{"outcome":"refused","reason":"unknown_payment","detail":"payment_id: no such payment"}"#,
        ],
        RoutingKey::PaymentRevoke => &[
            r#"{"outcome":"revoked","payment_id":"01937f2a-8e77-7b1c-8d40-5a9e3f1c7b02"}"#,
            r#"{"outcome":"already_revoked","payment_id":"01937f2a-8e77-7b1c-8d40-5a9e3f1c7b02"}"#,
            r#"{"outcome":"revoking","payment_id":"01937f2a-8e77-7b1c-8d40-5a9e3f1c7b02"}"#,
            r#"{"outcome":"refused","reason":"already_delivered","detail":"payment_id: the payee has credited it"}"#,
        ],
    }
}
