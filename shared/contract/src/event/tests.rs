//! The bodies of events, byte for byte, and how they are cut.

use domain::ids::{Number, ParkedId, PayeeId, PaymentId, ProductId, RegisterId, ReservationId, TerminalId};
use domain::money::{Amount, Currency, Fee};
use domain::payment::PaymentState;
use domain::text::Account;
use serde_json::Value;

use super::*;
use crate::schema::sample;

const PAYMENT: &str = "01937f2a-8e77-7b1c-8d40-5a9e3f1c7b02";
const RESERVATION: &str = "01937f2a-4c10-7d3e-9a52-6f0d1c2b3a41";

fn payment() -> PaymentItem {
    PaymentItem {
        payment_id: PaymentId::parse(PAYMENT).unwrap(),
        number: Number::new(1_000_042).unwrap(),
        payee: PayeeId::parse("isp").unwrap(),
        terminal: TerminalId::parse("T-0001").unwrap(),
        account: Account::new("1920679795").unwrap(),
        amount: Amount::new(15000).unwrap(),
        fee: Fee::new(300).unwrap(),
        currency: Currency::parse("RUB").unwrap(),
        state: PaymentState::Unknown,
        error: Some("no answer within 30 s".into()),
    }
}

fn card() -> CardItem {
    CardItem {
        reservation_id: ReservationId::parse(RESERVATION).unwrap(),
        product: ProductId::parse("mts-100").unwrap(),
        serial: "0042-17".into(),
        terminal: TerminalId::parse("T-0001").unwrap(),
        amount: Some(Amount::new(10000).unwrap()),
        currency: Some(Currency::parse("RUB").unwrap()),
        late: Some(true),
        other_reservation_id: Some(ReservationId::parse("01937f2b-0d6e-7c55-b1f3-2e8a94d07c13").unwrap()),
    }
}

fn register() -> RegisterItem {
    RegisterItem {
        register_id: RegisterId::parse("01937f2c-5b21-7e90-a6c4-13d7f0892e5b").unwrap(),
        payee: PayeeId::parse("gorvodokanal").unwrap(),
        kind: RegisterKind::Regular,
        series: "main".into(),
        sequence: 17,
        first_accepted_at: "2026-11-22T21:00:03Z".parse().unwrap(),
        last_accepted_at: "2026-11-23T20:59:58Z".parse().unwrap(),
        count: 1204,
        total: 48_231_550,
        currency: Currency::parse("RUB").unwrap(),
        error: Some("550 no such mailbox".into()),
    }
}

fn parked() -> ParkedItem {
    ParkedItem {
        parked_id: ParkedId::parse("01937f2d-7a0c-7b66-8e15-c09f4d2b6a38").unwrap(),
        routing_key: "payment.accepted".into(),
        reason: "unknown_payee".into(),
        payment_id: Some(PaymentId::parse(PAYMENT).unwrap()),
        reservation_id: Some(ReservationId::parse(RESERVATION).unwrap()),
    }
}

fn events() -> Events {
    Events::new("2026-11-23T07:02:12.25Z".parse().unwrap())
}

fn only<I: EventItem>(kind: I::Kind, item: &I) -> Event {
    let mut events = events();
    events.push(kind, item);
    let [event] = events.finish().try_into().unwrap();
    event
}

fn assert_is_sample(event: &Event) {
    let sample = sample::event(event.kind);
    let sampled: Value = serde_json::from_str(&sample).unwrap();
    let sampled_id = sampled["event_id"].as_str().unwrap();
    assert_eq!(event.body.replace(&event.event_id.to_string(), sampled_id), sample);
}

#[test]
fn every_family_has_its_body() {
    assert_is_sample(&only(PaymentEvent::Unknown, &payment()));
    assert_is_sample(&only(CardEvent::Conflict, &card()));
    assert_is_sample(&only(RegisterEvent::Failed, &register()));
    assert_is_sample(&only(MessageEvent::Parked, &parked()));
    let product = ProductId::parse("mts-100").unwrap();
    let stock = StockItem {
        product,
        available: 49,
        threshold: 50,
    };
    assert_is_sample(&only(StockEvent::Low, &stock));
    let payee = PayeeId::parse("isp").unwrap();
    let down = PayeeItem {
        payee,
        error: Some("connect: refused".into()),
    };
    assert_is_sample(&only(PayeeEvent::Down, &down));
}

#[test]
fn what_is_not_known_is_not_there() {
    let card = CardItem {
        amount: None,
        currency: None,
        late: None,
        other_reservation_id: None,
        ..card()
    };
    let event = only(CardEvent::Reserved, &card);
    let body: Value = serde_json::from_str(&event.body).unwrap();
    let members: Vec<&String> = body["items"][0].as_object().unwrap().keys().collect();
    assert_eq!(members, ["reservation_id", "product", "serial", "terminal"]);
}

#[test]
fn kinds_are_the_contracts() {
    let kinds: Vec<&str> = EventKind::all().map(EventKind::as_str).collect();
    assert_eq!(
        kinds.join(" "),
        "payment.accepted payment.delivered payment.refused payment.unknown payment.failed \
         payment.revoked payment.revoke_refused card.reserved card.sold card.released card.expired \
         card.superseded card.conflict stock.low payee.down payee.up register.built \
         register.mailed register.failed message.parked"
    );
    assert!(EventKind::all().all(|kind| EventKind::parse(kind.as_str()) == Some(kind)));
    assert_eq!(EventKind::parse("payment.lost"), None);
}

#[test]
fn one_event_per_kind_and_256_items() {
    assert!(events().is_empty());
    let mut events = events();
    for _ in 0..600 {
        let item = PaymentItem {
            error: None,
            ..payment()
        };
        events.push(PaymentEvent::Accepted, &item);
        events.push(CardEvent::Sold, &card());
    }
    assert!(!events.is_empty());
    let events = events.finish();
    let mut counts: Vec<(EventKind, usize)> = events
        .iter()
        .map(|event| {
            let body: Value = serde_json::from_str(&event.body).unwrap();
            assert_eq!(body["event_id"], event.event_id.to_string());
            assert!(event.body.len() <= MESSAGE_MAX_BYTES);
            (event.kind, body["items"].as_array().unwrap().len())
        })
        .collect();
    counts.sort_unstable();
    let of = |kind: EventKind| {
        let counts = counts.iter().filter(move |(k, _)| *k == kind);
        counts.map(|(_, count)| *count).collect::<Vec<_>>()
    };
    assert_eq!(of(PaymentEvent::Accepted.into()).iter().sum::<usize>(), 600);
    assert_eq!(of(CardEvent::Sold.into()), [88, 256, 256]);
}

#[test]
fn an_event_has_one_trace() {
    let (one, other) = (
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-11111111111111111111111111111111-2222222222222222-01",
    );
    let mut events = events();
    for trace in [None, Some(one), Some(other), None, Some(one)] {
        events.push_traced(CardEvent::Sold, &card(), trace);
        events.push_traced(CardEvent::Released, &card(), trace);
    }
    let told = |event: Event| {
        let body: Value = serde_json::from_str(&event.body).unwrap();
        (event.kind, event.traceparent, body["items"].as_array().unwrap().len())
    };
    let mut told: Vec<_> = events.finish().into_iter().map(told).collect();
    told.sort_unstable();
    let of = |kind: CardEvent| {
        let kind = EventKind::from(kind);
        [(None, 2), (Some(other), 1), (Some(one), 2)].map(|(trace, count)| (kind, trace.map(str::to_owned), count))
    };
    assert_eq!(told, [of(CardEvent::Sold), of(CardEvent::Released)].concat());
}

#[test]
fn an_event_is_no_larger_than_a_message_and_its_texts_are_clean() {
    let mut events = events();
    for _ in 0..100 {
        let item = PaymentItem {
            error: Some("\0я".repeat(5000)),
            ..payment()
        };
        events.push(PaymentEvent::Failed, &item);
    }
    let events = events.finish();
    assert!(events.len() > 1);
    for event in events {
        assert!(event.body.len() <= MESSAGE_MAX_BYTES);
        assert!(!event.body.contains("\\u0000"));
    }
}
