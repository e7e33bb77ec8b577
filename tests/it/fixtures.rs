//! Declarations and messages that are in order; tests change what they are about.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::payee::Behaviour;

/// What the payees' requests are signed with.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A utility with registers and two fields, one of them required.
pub(crate) const UTILITY: &str = r#"
    id = "gorvodokanal"
    name = "Горводоканал"
    gateway = "registers"
    currency = "RUB"
    account = { pattern = "^[0-9]{10}$" }
    amount = { min = 100, max = 1500000 }
    [[field]]
    name = "payer"
    label = "Name"
    required = true
    [[field]]
    name = "meter_cold"
    label = "Cold water meter"
    pattern = "^[0-9]{1,6}$"
    [register]
    schedule = "0 0 * * *"
    time_zone = "Europe/Moscow"
    format = "csv"
    zip = true
    mail_to = ["buh@example.org"]
"#;

/// A product with short holds and long grace.
pub(crate) const MTS: &str = r#"
    id = "mts-100"
    name = "MTS 100"
    face_value = 10000
    price = 10000
    currency = "RUB"
    holds_seconds = [300, 60, 15]
    grace_seconds = 1800
    reissue_exposed = true
"#;

/// A payee's answer that comes after the timeout of [`timeout_for`] it.
pub(crate) const LATE: Behaviour = Behaviour::Delay(Duration::from_millis(4500));

/// The `timeout_seconds` of a payee that does this: one that is to answer, if only in the end, gets the time that it takes
/// on a machine that does many things at once; one that lets us wait gets less, as that is how long the test takes.
pub(crate) fn timeout_for(behaviour: &Behaviour) -> u32 {
    match behaviour {
        Behaviour::Hang | Behaviour::HangAfterCredit | Behaviour::Delay(_) => 3,
        _ => 5,
    }
}

/// An online payee at `url`, with lines of its own in the profile.
pub(crate) fn internet_provider(url: &str, more: &str) -> String {
    online_payee("isp", url, more)
}

/// The same under another id.
pub(crate) fn online_payee(id: &str, url: &str, more: &str) -> String {
    let mut profile = String::new();
    let defaults = [
        ("timeout_seconds", "2"),
        ("retry_seconds", "[1]"),
        ("probe_seconds", "1"),
    ];
    for (name, value) in defaults.into_iter().filter(|(name, _)| !more.contains(name)) {
        profile.push_str(&format!("{name} = {value}\n"));
    }
    format!(
        r#"
        id = "{id}"
        name = "Internet provider"
        gateway = "unikassa"
        currency = "RUB"
        account = {{ pattern = "^.{{1,40}}$" }}
        amount = {{ min = 100, max = 10000000 }}
        [unikassa]
        url = "{url}"
        dialect = "unikassa"
        secret = "{SECRET}"
        allow_private = true
        {profile}
        {more}
    "#
    )
}

/// A payment to the utility that is in order.
pub(crate) fn utility_payment(payment_id: &str) -> Value {
    json!({
        "payment_id": payment_id, "terminal": "T-0001", "payee": "gorvodokanal", "account": "1920679795",
        "fields": {"payer": "Иванов И. И.", "meter_cold": "00123"}, "amount": 15000, "fee": 300, "currency": "RUB",
        "paid_at": now(), "receipt_number": "000124"
    })
}

/// A payment to the internet provider that is in order.
pub(crate) fn online_payment(payment_id: &str) -> Value {
    json!({
        "payment_id": payment_id, "terminal": "T-0001", "payee": "isp", "account": "user-17", "amount": 50000,
        "currency": "RUB", "paid_at": now()
    })
}

/// A reservation of a card.
pub(crate) fn reservation(reservation_id: &str) -> Value {
    json!({"reservation_id": reservation_id, "terminal": "T-0001", "product": "mts-100"})
}

/// Its sale.
pub(crate) fn sale(reservation_id: &str) -> Value {
    json!({
        "reservation_id": reservation_id, "terminal": "T-0001", "paid_at": now(), "amount": 10000, "currency": "RUB",
        "receipt_number": "000123"
    })
}

/// What names a reservation or payment and its terminal, and nothing else.
pub(crate) fn about(member: &str, id: &str) -> Value {
    json!({member: id, "terminal": "T-0001"})
}

/// A new id, as a terminal chooses it.
pub(crate) fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// So many new ids.
pub(crate) fn new_ids(count: usize) -> Vec<String> {
    (0..count).map(|_| new_id()).collect()
}

/// Now, as a terminal writes it.
pub(crate) fn now() -> String {
    domain::clock::now().to_string()
}
