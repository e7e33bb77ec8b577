//! Answers on the wire, byte for byte: the samples of the documents are what the types write.

use std::collections::BTreeMap;

use domain::ids::{Number, PaymentId, ProductId, ReservationId};
use domain::money::{Amount, Currency};
use domain::payment::PaymentState;
use secrecy::SecretString;

use super::*;
use crate::schema::sample;

const PIN: &str = "8231 4410 7741";

fn assert_are_samples<A: Answer>(answers: &[A]) {
    let written: Vec<String> = answers
        .iter()
        .map(|answer| String::from_utf8(answer.body()).unwrap())
        .collect();
    assert_eq!(written, sample::answers(A::TO));
}

fn reservation() -> ReservationId {
    ReservationId::parse("01937f2a-4c10-7d3e-9a52-6f0d1c2b3a41").unwrap()
}

fn payment() -> PaymentId {
    PaymentId::parse("01937f2a-8e77-7b1c-8d40-5a9e3f1c7b02").unwrap()
}

fn amount(minor: i64) -> Amount {
    Amount::new(minor).unwrap()
}

fn rub() -> Currency {
    Currency::parse("RUB").unwrap()
}

fn offer() -> Offer {
    Offer {
        product: ProductId::parse("mts-100").unwrap(),
        face_value: amount(10000),
        price: amount(10000),
        currency: rub(),
    }
}

fn details() -> CardDetails {
    CardDetails {
        serial: "0042-17".into(),
        fields: SecretFields::new(vec![
            ("pin".into(), PIN.into()),
            ("activation".into(), "*111*pin#".into()),
        ]),
    }
}

fn receipt() -> SecretString {
    format!("MTS 100, pin {PIN}").into()
}

fn open() -> CardInHand {
    CardInHand::open(offer(), details(), Some(receipt()))
}

fn reserved(card: CardInHand) -> Box<ReservedCard> {
    Box::new(ReservedCard {
        reservation_id: reservation(),
        card,
        held_until: "2026-11-23T10:05:00+03:00".parse().unwrap(),
        replaces: None,
    })
}

fn refused<A: Answer>(reason: Reason, detail: &str) -> A {
    Refusal::new(reason, detail).into()
}

#[test]
fn cards_are_reserved_and_reprinted() {
    let armoured =
        "-----BEGIN AGE ENCRYPTED FILE-----\nYWdlLWVuY3J5cHRpb24ub3JnL3YxCg==\n-----END AGE ENCRYPTED FILE-----\n";
    assert_are_samples(&[
        CardReserveAnswer::Reserved(reserved(open())),
        CardReserveAnswer::Reserved(reserved(CardInHand::sealed(offer(), armoured.into()))),
        refused(Reason::OutOfStock, "product: no card of mts-100 is left"),
        Refusal::reservation_over(ReservationOver::Expired).into(),
    ]);
    assert_are_samples(&[
        CardReprintAnswer::Reprinted(reserved(open())),
        CardReprintAnswer::Reprinted(Box::new(ReservedCard {
            replaces: Some("0042-03".into()),
            ..*reserved(open())
        })),
        refused(Reason::NotSold, "reservation_id: the card is not sold"),
    ]);
}

#[test]
fn cards_are_sold_and_released() {
    let reservation_id = reservation();
    let in_time = Sale {
        reservation_id,
        late: false,
        surplus: None,
    };
    let late = Sale {
        reservation_id,
        late: true,
        surplus: Some(amount(500)),
    };
    let other = ReservationId::parse("01937f2b-0d6e-7c55-b1f3-2e8a94d07c13").unwrap();
    let replacement = Replacement {
        reservation_id: other,
        card: open(),
    };
    assert_are_samples(&[
        CardSellAnswer::Sold(in_time.clone()),
        CardSellAnswer::Sold(late),
        CardSellAnswer::AlreadySold(in_time),
        CardSellAnswer::Conflict {
            reservation_id,
            replacement: None,
        },
        CardSellAnswer::Conflict {
            reservation_id,
            replacement: Some(Box::new(replacement)),
        },
        refused(Reason::AmountTooSmall, "amount: 9000 is less than the price, 10000"),
    ]);
    let resolved = Resolved { reservation_id };
    assert_are_samples(&[
        CardReleaseAnswer::Released(resolved.clone()),
        CardReleaseAnswer::AlreadyReleased(resolved.clone()),
        CardReleaseAnswer::AlreadyExpired(resolved.clone()),
        CardReleaseAnswer::AlreadySold(resolved),
        refused(
            Reason::NotYourTerminal,
            "terminal: the reservation is of another terminal",
        ),
    ]);
    assert_are_samples(&[
        CardAvailabilityAnswer::Ok {
            products: vec![Availability {
                product: offer().product,
                available: 1841,
                price: amount(10000),
                currency: rub(),
                suspended: false,
            }],
        },
        refused(Reason::UnknownTerminal, "terminal: no such terminal is declared"),
    ]);
}

#[test]
fn payments_are_checked() {
    let ask = Ask {
        name: "meter_cold".into(),
        label: "Cold water meter".into(),
        pattern: Some("^[0-9]{1,6}$".into()),
        required: true,
    };
    let terms = Terms {
        display: None,
        amount_due: None,
        currency: rub(),
        min_amount: amount(100),
        max_amount: amount(1_500_000),
        ask: vec![ask],
        fields: BTreeMap::new(),
    };
    let complete = Terms {
        display: Some("Dear Ivan Ivanov, amount due: 1 250.40 RUB".into()),
        amount_due: Some(125_040),
        ask: vec![],
        fields: [("meter_cold".to_owned(), "00123".to_owned())].into(),
        ..terms.clone()
    };
    assert_are_samples(&[
        PaymentCheckAnswer::Payable(complete),
        PaymentCheckAnswer::Ask(terms),
        PaymentCheckAnswer::Unavailable {
            detail: "the payee does not answer at present".into(),
        },
        refused(Reason::AccountNotFound, "account: the payee knows no such account"),
    ]);
}

#[test]
fn payments_are_accepted_followed_and_revoked() {
    let payment_id = payment();
    let number = Number::new(1_000_042).unwrap();
    let numbered = PaymentNumber { payment_id, number };
    let unreadable = Unreadable::new("fields.meter_cold: must be a string");
    assert_are_samples(&[
        PaymentAcceptedAnswer::Accepted(numbered.clone()),
        PaymentAcceptedAnswer::AlreadyAccepted(numbered),
        Refusal::from(unreadable).into(),
    ]);
    assert_are_samples(&[
        PaymentStatusAnswer::Ok(PaymentStatusNow {
            payment_id,
            number: Some(number),
            state: PaymentState::Waiting,
            attempts: 3,
            last_error: Some("connect: timed\nout".into()),
            updated_at: "2026-11-23T07:02:12Z".parse().unwrap(),
        }),
        refused(Reason::UnknownPayment, "payment_id: no such payment"),
    ]);
    let revocation = Revocation { payment_id };
    assert_are_samples(&[
        PaymentRevokeAnswer::Revoked(revocation.clone()),
        PaymentRevokeAnswer::AlreadyRevoked(revocation.clone()),
        PaymentRevokeAnswer::Revoking(revocation),
        refused(Reason::AlreadyDelivered, "payment_id: the payee has credited it"),
    ]);
}

#[test]
fn a_refusal_answers_anything() {
    let refusal = Refusal::new(Reason::InvalidRequest, "the routing\0key is unknown");
    assert_eq!(
        String::from_utf8(refusal.body()).unwrap(),
        r#"{"outcome":"refused","reason":"invalid_request","detail":"the routing�key is unknown"}"#
    );
    assert_eq!(PaymentStatusAnswer::from(refusal.clone()).body(), refusal.body());
}

#[test]
fn reasons_are_words() {
    for &reason in Reason::ALL {
        assert_eq!(Reason::parse(reason.as_str()), Some(reason));
    }
    assert_eq!(Reason::parse("because"), None);
}

#[test]
fn no_secret_is_printed() {
    let answer = CardReserveAnswer::Reserved(reserved(open()));
    let printed = format!("{answer:?} {:#?} {:?}", open(), details());
    assert!(printed.contains("0042-17"));
    assert!(!printed.contains("8231") && !printed.contains("*111*"), "{printed}");
}

#[test]
fn a_sealed_answer_shows_no_secret_and_its_contents_are_complete() {
    let sealed = CardReserveAnswer::Reserved(reserved(CardInHand::sealed(offer(), "age".into())));
    let body = String::from_utf8(sealed.body()).unwrap();
    assert!(body.contains(r#""card":null,"sealed_card":"age""#));
    assert!(body.contains(r#""receipt":null"#));
    assert!(!body.contains("0042-17"));
    assert_eq!(
        String::from_utf8(details().to_be_sealed(Some(&receipt())).to_vec()).unwrap(),
        r#"{"serial":"0042-17","fields":{"pin":"8231 4410 7741","activation":"*111*pin#"},"receipt":"MTS 100, pin 8231 4410 7741"}"#
    );
}
