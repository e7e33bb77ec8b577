//! Messages that cannot be right. Each is refused for its reason and, since it could carry money, parked; none may delay
//! its neighbours.

use serde_json::{Value, json};

use super::memory::in_short;
use super::payments::PaymentDesk;
use super::scenario::{Payment, Spoilt};

/// What the operator will find under this payee's name is a payment for `gorvodokanal`.
pub(super) const MISSPELT_PAYEE: &str = "gorvodocanal";
/// Why the fact with a fraction will be settled by hand.
pub(super) const FRACTION_KEY: &str = "amount";

/// Sends one.
pub(super) async fn send(desk: &PaymentDesk<'_>, spoilt: Spoilt, payment: &Payment) {
    let mut body = desk.body(payment);
    match spoilt {
        Spoilt::NotJson => {
            let text = body.to_string();
            refused(desk, "payment.accepted", text.trim_end_matches('}').as_bytes().to_vec()).await;
        }
        Spoilt::NotText => {
            let bytes = [&b"\xff\xfe\x00"[..], body.to_string().as_bytes()].concat();
            refused(desk, "payment.accepted", bytes).await;
        }
        Spoilt::WrongKey => refused(desk, "payment.accept", body.to_string().into_bytes()).await,
        Spoilt::Fraction => {
            body[FRACTION_KEY] = json!(150.5);
            refused(desk, "payment.accepted", body.to_string().into_bytes()).await;
        }
        Spoilt::TooLarge => {
            body["fields"] = json!({"payer": "Ы".repeat(64 * 1024)});
            refused(desk, "payment.accepted", body.to_string().into_bytes()).await;
        }
        Spoilt::UnknownPayee => {
            // Remembered as what it was meant to be: an operator will see to it.
            let meant = Payment {
                payee: "gorvodokanal",
                account: "1920679795".to_owned(),
                ..payment.clone()
            };
            let mut body = desk.body(&meant);
            body["payee"] = Value::from(MISSPELT_PAYEE);
            desk.refused(&meant, body, "refused unknown_payee").await;
        }
        Spoilt::WrongAccount => {
            body["account"] = Value::from("nobody");
            desk.refused(payment, body, "refused invalid_field").await;
        }
        Spoilt::TooMuch => {
            body["amount"] = Value::from(9_000_000_000_i64);
            desk.refused(payment, body, "refused amount_out_of_range").await;
        }
    }
}

async fn refused(desk: &PaymentDesk<'_>, key: &str, body: Vec<u8>) {
    let players = desk.players;
    if let Some(answer) = players.till.tell_bytes(desk.terminal, key, body).await
        && in_short(&answer) != "refused invalid_request"
    {
        players.memory.surprise(format!(
            "{key}: `{}` instead of `refused invalid_request`",
            in_short(&answer)
        ));
    }
}
