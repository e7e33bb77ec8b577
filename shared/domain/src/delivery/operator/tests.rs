//! What an operator may do, state by state.

use super::*;
use crate::delivery::{Flag, Late, Verdict, late_answer};
use PaymentState as S;

const CREDITS_TWICE: Abilities = Abilities {
    idempotent: false,
    offers_status: false,
};

fn case(state: PaymentState) -> Case {
    Case {
        state,
        reached: true,
        doubted: true,
        number_conflict: false,
        said_credited: false,
        is_open: false,
        due: None,
        certain: false,
        payee: Some(CREDITS_TWICE),
    }
}

fn requeued(case: Case) -> Result<Remedy, &'static str> {
    judge(ActKind::Requeue, &case)
}

#[test]
fn what_was_certainly_not_credited_is_paid_again() {
    for state in [S::Failed, S::Refused] {
        assert_eq!(requeued(case(state)), Ok(Remedy::Pay));
    }
}

#[test]
fn an_unknown_one_is_paid_again_only_where_that_is_safe_or_certain() {
    let unknown = case(S::Unknown);
    assert!(requeued(unknown).unwrap_err().contains("--certain"));
    for (idempotent, offers_status, certain, remedy) in [
        (false, true, false, Remedy::Status),
        (false, true, true, Remedy::Pay),
        (true, true, false, Remedy::Pay),
        (true, false, false, Remedy::Pay),
    ] {
        let payee = Some(Abilities {
            idempotent,
            offers_status,
        });
        assert_eq!(
            requeued(Case {
                certain,
                payee,
                ..unknown
            }),
            Ok(remedy)
        );
    }
}

#[test]
fn what_the_payee_said_it_credited_since_is_in_doubt_however_it_was_settled() {
    for state in [S::Failed, S::Refused] {
        let said = Case {
            reached: false,
            said_credited: true,
            ..case(state)
        };
        assert!(requeued(said).unwrap_err().contains("--certain"), "{state}");
        let certain = true;
        assert_eq!(requeued(Case { certain, ..said }), Ok(Remedy::Pay));
        for (idempotent, remedy) in [(false, Remedy::Status), (true, Remedy::Pay)] {
            let payee = Some(Abilities {
                idempotent,
                offers_status: true,
            });
            assert_eq!(requeued(Case { payee, ..said }), Ok(remedy));
        }
    }
}

#[test]
fn nobody_is_asked_about_a_number_that_is_another_payments_there() {
    for idempotent in [false, true] {
        let conflicting = Case {
            number_conflict: true,
            payee: Some(Abilities {
                idempotent,
                offers_status: true,
            }),
            ..case(S::Unknown)
        };
        assert!(requeued(conflicting).unwrap_err().contains("another content"));
        let certain = true;
        assert_eq!(requeued(Case { certain, ..conflicting }), Ok(Remedy::Pay));
    }
}

#[test]
fn a_pending_one_counts_as_perhaps_credited() {
    for state in [S::Waiting, S::Unknown] {
        assert!(requeued(case(state)).is_err(), "{state}");
    }
    assert!(judge(ActKind::Resume, &case(S::Stopped)).is_err());
}

/// It would be sent again by itself.
#[test]
fn what_the_payee_said_it_did_not_take_is_sent_again_also_where_it_would_credit_twice() {
    for (kind, state) in [(ActKind::Requeue, S::Waiting), (ActKind::Resume, S::Stopped)] {
        let put_off = Case {
            doubted: false,
            ..case(state)
        };
        assert_eq!(judge(kind, &put_off), Ok(Remedy::Pay), "{state}");
        let (number_conflict, said_credited) = (true, true);
        for in_doubt in [
            Case {
                number_conflict,
                ..put_off
            },
            Case {
                said_credited,
                ..put_off
            },
        ] {
            assert!(
                judge(kind, &in_doubt).unwrap_err().contains("--certain"),
                "{in_doubt:?}"
            );
            let certain = true;
            assert_eq!(judge(kind, &Case { certain, ..in_doubt }), Ok(Remedy::Pay));
        }
    }
    // Of an unknown one nobody says what became of it.
    let unknown = Case {
        doubted: false,
        ..case(S::Unknown)
    };
    assert!(requeued(unknown).unwrap_err().contains("--certain"));
    let reached = false;
    assert_eq!(requeued(Case { reached, ..unknown }), Ok(Remedy::Pay));
}

#[test]
fn certainty_moves_nothing_that_has_an_end() {
    for state in [
        S::Delivered,
        S::Revoked,
        S::Revoking,
        S::Accepted,
        S::Delivering,
        S::Registered,
        S::Reported,
    ] {
        let certain = true;
        assert!(requeued(Case { certain, ..case(state) }).is_err(), "{state}");
    }
}

#[test]
fn nothing_is_done_while_a_call_is_open_or_for_what_is_due_already() {
    for kind in ActKind::ALL {
        let is_open = true;
        assert!(
            judge(
                kind,
                &Case {
                    is_open,
                    ..case(S::Unknown)
                }
            )
            .is_err()
        );
        let payee = None;
        assert!(
            judge(
                kind,
                &Case {
                    payee,
                    ..case(S::Waiting)
                }
            )
            .is_err()
        );
    }
    let due = Some(Act::Pay);
    let again = Case {
        due,
        ..case(S::Waiting)
    };
    assert_eq!(
        requeued(Case {
            doubted: false,
            ..again
        }),
        Err("is due already")
    );
    // Asked about at this moment, and the operator knows better.
    let asked = Case {
        due: Some(Act::Status),
        certain: true,
        ..case(S::Unknown)
    };
    assert_eq!(requeued(asked), Ok(Remedy::Pay));
}

#[test]
fn what_waits_is_stopped_and_what_is_stopped_resumed() {
    for state in S::ALL {
        let stopped = judge(ActKind::Stop, &case(state));
        assert_eq!(stopped.is_ok(), matches!(state, S::Accepted | S::Waiting), "{state}");
        assert!(stopped.is_err() || state.may_become(S::Stopped));
        let fresh = Case {
            doubted: false,
            ..case(state)
        };
        assert_eq!(judge(ActKind::Resume, &fresh).is_ok(), state == S::Stopped, "{state}");
    }
    assert!(
        judge(ActKind::Resume, &case(S::Stopped)).is_err(),
        "it may have been credited"
    );
}

#[test]
fn settled_is_what_no_call_decides() {
    for to in [Settlement::Delivered, Settlement::Refused] {
        for state in S::ALL {
            let settled = judge_settlement(state, false, to);
            assert!(settled.is_err() || state.may_become(to.state_after(state)), "{state}");
            assert!(judge_settlement(state, true, to).is_err(), "{state}");
        }
        assert!(judge_settlement(S::Unknown, false, to).is_ok());
        assert!(
            judge_settlement(S::Revoking, false, to).is_ok(),
            "its payee may be gone"
        );
        assert!(judge_settlement(S::Accepted, false, to).is_err());
        assert!(judge_settlement(S::Delivered, false, to).is_err());
    }
    assert!(judge_settlement(S::Refused, false, Settlement::Refused).is_err());
    assert_eq!(Settlement::Refused.state_after(S::Revoking), S::Revoked);
}

#[test]
fn a_late_answer_overturns_no_settlement_and_is_not_lost() {
    let flagged = |flag| Some(Late::Flagged(flag));
    for (state, verdict, late) in [
        (S::Refused, Verdict::Accepted, flagged(Flag::CreditedAfterSettlement)),
        (S::Refused, Verdict::Refused, None),
        (S::Delivered, Verdict::Refused, flagged(Flag::PayeeDenies)),
        (S::Delivered, Verdict::AlreadyAccepted, None),
        (S::Revoked, Verdict::Accepted, flagged(Flag::CreditedAfterRevoke)),
    ] {
        assert_eq!(late_answer(state, true, verdict), late, "{state} {verdict:?}");
    }
    assert_eq!(late_answer(S::Refused, false, Verdict::Accepted), Some(Late::Delivered));
    assert_eq!(late_answer(S::Delivered, false, Verdict::Refused), None);
}

#[test]
fn kinds_are_those_of_the_schema() {
    let schema = include_str!("../../../../../migrations/V11__acts.sql");
    let check = schema
        .split("check (kind in (")
        .nth(1)
        .and_then(|rest| rest.split("))").next());
    let in_schema: Vec<_> = check.unwrap().split(", ").map(|word| word.trim_matches('\'')).collect();
    assert_eq!(in_schema, ActKind::ALL.map(ActKind::as_str));
    for kind in ActKind::ALL {
        assert_eq!(ActKind::parse(kind.as_str()).unwrap(), kind);
    }
}
