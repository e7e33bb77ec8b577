//! The states against the schema, the holds, and the verdicts one by one.

use proptest::prelude::*;

use super::*;
use crate::money::{Amount, Currency};

fn schema_words(column: &str) -> Vec<String> {
    let schema = include_str!("../../../../migrations/V3__cards.sql");
    let table = schema.split(&format!("create table {column} (")).nth(1).unwrap();
    let check = table
        .split("check (state in (")
        .nth(1)
        .and_then(|rest| rest.split("))").next())
        .unwrap();
    let mut words: Vec<_> = check
        .split(',')
        .map(|word| word.trim().trim_matches('\'').to_owned())
        .collect();
    words.sort_unstable();
    words
}

#[test]
fn states_are_those_of_the_schema() {
    let mut cards: Vec<_> = CardState::ALL.map(CardState::as_str).into();
    let mut reservations: Vec<_> = ReservationState::ALL.map(ReservationState::as_str).into();
    cards.sort_unstable();
    reservations.sort_unstable();
    assert_eq!(cards, schema_words("card"));
    assert_eq!(reservations, schema_words("reservation"));
    for state in CardState::ALL {
        assert_eq!(CardState::parse(state.as_str()).unwrap(), state);
        assert!(!state.may_become(state) && !CardState::Sold.may_become(state));
    }
    for state in ReservationState::ALL {
        assert_eq!(ReservationState::parse(state.as_str()).unwrap(), state);
        assert!(!state.may_become(state) && !ReservationState::Sold.may_become(state));
    }
    for kind in CaseKind::ALL {
        assert_eq!(CaseKind::parse(kind.as_str()).unwrap(), kind);
    }
}

#[test]
fn holds_are_shortened_to_what_is_offered() {
    let offered = [60, 300, 600];
    assert_eq!(shorten_hold(None, &offered), 60);
    assert_eq!(shorten_hold(Some(300), &offered), 300);
    assert_eq!(shorten_hold(Some(599), &offered), 300);
    assert_eq!(shorten_hold(Some(u32::MAX), &offered), 600);
    assert_eq!(shorten_hold(Some(1), &offered), 60);
    assert_eq!(shorten_hold(Some(100), &[600, 60]), 60);
}

#[test]
fn the_clock_decides_before_any_sweep() {
    let at = |second| Timestamp::from_second(second).unwrap();
    let as_of = |now| ReservationState::Held.as_of(at(10), at(20), at(now));
    assert_eq!([9, 10, 19, 20].map(as_of), {
        use ReservationState as S;
        [S::Held, S::Lapsed, S::Lapsed, S::Expired]
    });
    assert_eq!(
        ReservationState::Lapsed.as_of(at(10), at(20), at(20)),
        ReservationState::Expired
    );
    assert_eq!(
        ReservationState::Sold.as_of(at(10), at(20), at(99)),
        ReservationState::Sold
    );
}

pub(super) fn rub(minor: i64) -> (Amount, Currency) {
    (Amount::new(minor).unwrap(), Currency::parse("RUB").unwrap())
}

fn sale(reservation: ReservationState, card: CardState, holder: Holder) -> SaleInput {
    let (price, currency) = rub(10_000);
    SaleInput {
        reservation: Some(reservation),
        same_sale: false,
        names_agree: true,
        card: Some(card),
        holder,
        amount: price,
        currency,
        price,
        price_currency: currency,
    }
}

fn sold(late: bool, supersedes: bool, case: Option<CaseKind>) -> SaleVerdict {
    SaleVerdict::Sold(Sale {
        late,
        surplus: 0,
        supersedes,
        case,
    })
}

#[test]
fn paid_beats_held_and_the_first_payment_wins() {
    use {CardState as C, Holder as H, ReservationState as R};
    for (reservation, card, holder, verdict) in [
        (R::Held, C::Reserved, H::Me, sold(false, false, None)),
        (R::Lapsed, C::Lapsed, H::Me, sold(true, false, None)),
        (R::Expired, C::Available, H::Nobody, sold(true, false, None)),
        (R::Released, C::Available, H::Nobody, sold(true, false, None)),
        (R::Released, C::Reserved, H::Other, sold(true, true, None)),
        (R::Expired, C::Lapsed, H::Other, sold(true, true, None)),
        (R::Held, C::Faulty, H::Me, sold(false, false, Some(CaseKind::Faulty))),
        (
            R::Expired,
            C::Withdrawn,
            H::Other,
            sold(true, true, Some(CaseKind::Withdrawn)),
        ),
        (R::Expired, C::Sold, H::Other, SaleVerdict::Conflict),
        (R::Superseded, C::Sold, H::Other, SaleVerdict::Conflict),
    ] {
        assert_eq!(
            resolve_sale(&sale(reservation, card, holder)),
            verdict,
            "{reservation:?} {card:?} {holder:?}"
        );
    }
}

#[test]
fn the_same_sale_is_answered_and_another_one_refused() {
    use SaleRefusal::*;
    let held = sale(ReservationState::Held, CardState::Reserved, Holder::Me);
    let of_sold = sale(ReservationState::Sold, CardState::Sold, Holder::Me);
    let of_conflict = sale(ReservationState::Conflict, CardState::Sold, Holder::Other);
    let refused = SaleVerdict::Refused;
    for (input, verdict) in [
        (
            SaleInput {
                same_sale: true,
                ..of_sold
            },
            SaleVerdict::AlreadySold,
        ),
        (
            SaleInput {
                same_sale: true,
                ..of_conflict
            },
            SaleVerdict::AlreadyConflict,
        ),
        (of_sold, refused(SaleDiffers)),
        (of_conflict, refused(SaleDiffers)),
        (
            SaleInput {
                reservation: None,
                ..held
            },
            refused(UnknownReservation),
        ),
        (SaleInput { card: None, ..held }, refused(UnknownReservation)),
        (
            SaleInput {
                names_agree: false,
                ..held
            },
            refused(SaleDiffers),
        ),
        (
            SaleInput {
                amount: rub(9_999).0,
                ..held
            },
            refused(AmountTooSmall),
        ),
        (
            SaleInput {
                currency: Currency::parse("KZT").unwrap(),
                ..held
            },
            refused(CurrencyDiffers),
        ),
    ] {
        assert_eq!(resolve_sale(&input), verdict, "{input:?}");
    }
    let SaleVerdict::Sold(surplus) = resolve_sale(&SaleInput {
        amount: rub(10_500).0,
        ..held
    }) else {
        panic!()
    };
    assert_eq!(
        (surplus.surplus, surplus.cases().collect::<Vec<_>>()),
        (500, vec![CaseKind::Surplus])
    );
}

#[test]
fn reserves_and_releases_get_named_answers() {
    use ReservationState as R;
    assert_eq!(resolve_reserve(None, false), ReserveVerdict::New);
    assert_eq!(resolve_reserve(Some(R::Held), true), ReserveVerdict::SameCard);
    assert_eq!(resolve_reserve(Some(R::Held), false), ReserveVerdict::IdReused);
    assert_eq!(resolve_reserve(Some(R::Lapsed), true), ReserveVerdict::Over("expired"));
    assert_eq!(resolve_reserve(Some(R::Conflict), true), ReserveVerdict::Over("sold"));
    let outcomes = [
        None,
        Some(R::Held),
        Some(R::Released),
        Some(R::Lapsed),
        Some(R::Superseded),
        Some(R::Sold),
    ]
    .map(|existing| resolve_release(existing).outcome());
    let expected = [
        "released",
        "released",
        "already_released",
        "already_expired",
        "already_expired",
        "already_sold",
    ];
    assert_eq!(outcomes, expected);
}

proptest! {
    #[test]
    fn a_hold_is_one_the_product_offers(
        wanted in proptest::option::of(any::<u32>()), offered in proptest::sample::subsequence(HOLD_LADDER.to_vec(), 1..=8),
    ) {
        let hold = shorten_hold(wanted, &offered);
        prop_assert!(offered.contains(&hold));
        if let Some(wanted) = wanted.filter(|wanted| *wanted >= offered[0]) {
            prop_assert!(hold <= wanted);
        }
    }
}
