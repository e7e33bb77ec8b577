//! Every number of either side is found once, for what it is; and a payee that credits twice is paid again only when it is certain.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn ours(state: PaymentState) -> Ours {
    Ours {
        payment_id: PaymentId::from_uuid(uuid::Uuid::nil()),
        of_payee: true,
        state,
        generation: 0,
        amount: 100,
        currency: "RUB".to_owned(),
        first_call_at: Some(at(0)),
        last_call_at: Some(at(0)),
        reached: true,
        settled: false,
        number_conflict: false,
    }
}

fn theirs(amount: i64) -> Theirs {
    Theirs {
        amount,
        currency: "RUB".to_owned(),
        credited_at: None,
        provider_reference: None,
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// What may be true of a number, and what has to be found then.
#[derive(Debug, Clone, Copy)]
enum Truth {
    Both,
    OnlyOurs(PaymentState),
    OnlyTheirs,
    OfAnother,
    Undelivered(PaymentState),
    OtherAmount,
    OtherCurrency,
    ListedTwice,
    CreditedTwice,
    CreditedTwiceWithoutNames,
}

type Sides = (Option<Ours>, Vec<Theirs>);

fn sides(truth: Truth) -> (Sides, Option<Finding>) {
    use PaymentState as S;
    let delivered = Some(ours(S::Delivered));
    match truth {
        Truth::Both => ((delivered, vec![theirs(100)]), Some(Finding::Matched)),
        Truth::OnlyOurs(state) => (
            (Some(ours(state)), vec![]),
            matches!(state, S::Delivered | S::Unknown).then_some(Finding::MissingThere),
        ),
        Truth::OnlyTheirs => ((None, vec![theirs(7)]), Some(Finding::MissingHere)),
        Truth::OfAnother => {
            let another = Ours {
                of_payee: false,
                ..ours(S::Delivered)
            };
            ((Some(another), vec![theirs(100)]), Some(Finding::MissingHere))
        }
        Truth::Undelivered(state) => (
            (Some(ours(state)), vec![theirs(100)]),
            Some(if state == S::Delivered {
                Finding::Matched
            } else {
                Finding::NotDelivered
            }),
        ),
        Truth::OtherAmount => ((delivered, vec![theirs(101)]), Some(Finding::AmountDiffers)),
        Truth::OtherCurrency => {
            let dollars = Theirs {
                currency: "USD".to_owned(),
                ..theirs(100)
            };
            ((delivered, vec![dollars]), Some(Finding::CurrencyDiffers))
        }
        Truth::ListedTwice => {
            let named = Theirs {
                provider_reference: Some("a".to_owned()),
                ..theirs(100)
            };
            ((delivered, vec![named.clone(), named]), Some(Finding::Matched))
        }
        Truth::CreditedTwiceWithoutNames => ((delivered, vec![theirs(100), theirs(100)]), Some(Finding::DoubleThere)),
        Truth::CreditedTwice => {
            let again = Theirs {
                provider_reference: Some("b".to_owned()),
                ..theirs(100)
            };
            ((delivered, vec![theirs(100), again]), Some(Finding::DoubleThere))
        }
    }
}

fn truth() -> impl Strategy<Value = Truth> {
    let state = || prop::sample::select(&PaymentState::ALL[..]);
    prop_oneof![
        Just(Truth::Both),
        state().prop_map(Truth::OnlyOurs),
        Just(Truth::OnlyTheirs),
        Just(Truth::OfAnother),
        state().prop_map(Truth::Undelivered),
        Just(Truth::OtherAmount),
        Just(Truth::OtherCurrency),
        Just(Truth::ListedTwice),
        Just(Truth::CreditedTwice),
        Just(Truth::CreditedTwiceWithoutNames),
    ]
}

proptest! {
    #[test]
    fn every_number_of_either_side_is_found_once_and_for_what_it_is(truths in prop::collection::btree_map(1_i64..10_000, truth(), 0..60)) {
        let mut comparison = Comparison::default();
        let mut found = Vec::new();
        for (number, truth) in &truths {
            let ((ours, theirs), _) = sides(*truth);
            let number = Number::new(*number).unwrap();
            let rows: Vec<Option<Theirs>> = if theirs.is_empty() { vec![None] } else { theirs.into_iter().map(Some).collect() };
            for theirs in rows {
                found.extend(comparison.push(number, ours.clone(), theirs));
            }
        }
        found.extend(comparison.finish());
        let found: BTreeMap<i64, Option<Finding>> = found.iter().map(|one| (one.number.get(), one.finding())).collect();
        let expected: BTreeMap<i64, Option<Finding>> = truths.iter().map(|(number, truth)| (*number, sides(*truth).1)).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn a_payee_that_credits_twice_is_paid_again_only_after_two_late_lists(
        state in prop::sample::select(&PaymentState::ALL[..]), first in -300_i64..=0, asked in prop::collection::vec((0_i64..400, 0_i64..60, -400_i64..100, 0_i64..500), 0..4)
    ) {
        let timeout = Duration::from_secs(30);
        let lists: Vec<Lacking> = asked.iter().map(|&(asked, took, from, to)| Lacking {
            asked_at: at(asked), complete_at: at(asked + took), from: at(from), to: at(to),
        }).collect();
        let terms = Terms { idempotent: false, offers_status: false, timeout };
        let ours = Ours { first_call_at: Some(at(first)), ..ours(state) };
        let remedy = remedy(Finding::MissingThere, Some(&ours), terms, &lists);
        // A minute before the first call; two timeouts and a minute after the last one, at 0.
        let good: Vec<_> = asked.iter().filter(|(asked, _, from, to)| *asked >= 120 && *from <= first - 60 && *to >= 120).collect();
        let twice = (0..good.len()).any(|n| (0..good.len()).any(|m| n != m && good[m].0 >= good[n].0 + good[n].1));
        if remedy == Remedy::Pay {
            prop_assert!(state == PaymentState::Unknown && twice);
        }
    }
}

#[test]
fn what_the_payee_has_is_delivered_unless_it_is_being_revoked() {
    use PaymentState as S;
    let terms = Terms {
        idempotent: false,
        offers_status: true,
        timeout: Duration::from_secs(30),
    };
    let of = |state| remedy(Finding::NotDelivered, Some(&ours(state)), terms, &[]);
    for state in [S::Unknown, S::Failed, S::Refused, S::Stopped, S::Waiting] {
        assert_eq!(of(state), Remedy::Deliver, "{state}");
    }
    for state in [S::Revoked, S::Revoking, S::Delivering, S::Accepted] {
        assert!(matches!(of(state), Remedy::Look(_)), "{state}");
    }
}

#[test]
fn what_somebody_has_looked_at_is_not_undone() {
    use PaymentState as S;
    let settled = |state| Ours {
        settled: true,
        reached: false,
        ..ours(state)
    };
    let conflicting = |state| Ours {
        number_conflict: true,
        ..ours(state)
    };
    for idempotent in [false, true] {
        let terms = Terms {
            idempotent,
            offers_status: true,
            timeout: Duration::from_secs(30),
        };
        for (found, ours) in [
            (Finding::MissingThere, settled(S::Delivered)),
            (Finding::NotDelivered, settled(S::Refused)),
            (Finding::MissingThere, conflicting(S::Unknown)),
            (Finding::NotDelivered, conflicting(S::Unknown)),
        ] {
            let remedy = remedy(found, Some(&ours), terms, &[]);
            assert!(matches!(remedy, Remedy::Look(_)), "{found:?} {ours:?} {remedy:?}");
        }
    }
}

#[test]
fn what_is_missing_is_paid_again_where_that_is_safe_and_else_asked_about() {
    let terms = |idempotent, offers_status| Terms {
        idempotent,
        offers_status,
        timeout: Duration::from_secs(30),
    };
    let of = |state, terms| remedy(Finding::MissingThere, Some(&ours(state)), terms, &[]);
    assert_eq!(of(PaymentState::Delivered, terms(true, false)), Remedy::Pay);
    assert_eq!(of(PaymentState::Unknown, terms(true, false)), Remedy::Pay);
    assert_eq!(of(PaymentState::Unknown, terms(false, true)), Remedy::Ask);
    assert!(matches!(
        of(PaymentState::Unknown, terms(false, false)),
        Remedy::Look(_)
    ));
    assert!(matches!(
        of(PaymentState::Delivered, terms(false, true)),
        Remedy::Look(_)
    ));
    let list = |asked| Lacking {
        asked_at: at(asked),
        complete_at: at(asked + 1),
        from: at(-86_400),
        to: at(86_400),
    };
    let unknown = ours(PaymentState::Unknown);
    let twice = [list(200), list(300)];
    assert_eq!(
        remedy(Finding::MissingThere, Some(&unknown), terms(false, true), &twice),
        Remedy::Pay
    );
    let early = [list(100), list(300)];
    assert_eq!(
        remedy(Finding::MissingThere, Some(&unknown), terms(false, true), &early),
        Remedy::Ask
    );
}
