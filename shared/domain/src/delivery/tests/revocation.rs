//! What becomes of a payment that is to be taken back.

use super::*;

#[test]
fn a_revocation_is_judged_by_what_may_have_gone_out() {
    let online = Some(profile(true));
    let status_only = Some(Profile {
        offers_cancel: false,
        ..profile(true)
    });
    let neither = Some(Profile {
        offers_status: false,
        offers_cancel: false,
        ..profile(true)
    });
    for (state, maybes, profile, word) in [
        (None, 0, None, Ok("revoked")),
        (Some(S::Accepted), 0, online, Ok("revoked")),
        (Some(S::Accepted), 0, None, Ok("revoked")),
        (Some(S::Registered), 0, None, Err("not_revocable")),
        (Some(S::Waiting), 0, neither, Ok("revoked")),
        (Some(S::Waiting), 1, online, Ok("revoking")),
        (Some(S::Unknown), 1, status_only, Ok("revoking")),
        (Some(S::Unknown), 1, neither, Err("not_revocable")),
        (Some(S::Delivering), 0, neither, Ok("revoking")),
        (Some(S::Revoking), 1, online, Ok("revoking")),
        (Some(S::Revoked), 0, online, Ok("already_revoked")),
        (Some(S::Delivered), 0, online, Err("already_delivered")),
        (Some(S::Failed), 0, online, Ok("revoked")),
    ] {
        assert_eq!(
            resolve_revoke(&Revocation {
                state,
                maybes,
                number_conflict: false,
                said_credited: false,
                profile
            })
            .word(),
            word,
            "{state:?} {maybes}"
        );
    }
}

#[test]
fn what_the_payee_said_it_credited_after_a_settlement_is_not_told_revoked() {
    for state in [S::Refused, S::Failed] {
        let said = Revocation {
            state: Some(state),
            maybes: 0,
            number_conflict: false,
            said_credited: true,
            profile: Some(profile(true)),
        };
        assert_eq!(resolve_revoke(&said), RevokeVerdict::AlreadyDelivered, "{state}");
    }
}

#[test]
fn revoking_while_a_pay_is_open() {
    let open = history(S::Revoking, Act::Pay);
    let no_cancel = Profile {
        offers_cancel: false,
        ..profile(true)
    };
    let nothing = Profile {
        offers_status: false,
        ..no_cancel
    };
    let refused = Some(PaymentEvent::RevokeRefused);
    for (profile, end, state, next, event) in [
        (
            profile(true),
            end(Ending::NotSent),
            S::Revoked,
            None,
            Some(PaymentEvent::Revoked),
        ),
        (
            profile(true),
            answered(Verdict::Refused),
            S::Revoked,
            None,
            Some(PaymentEvent::Revoked),
        ),
        (
            profile(true),
            answered(Verdict::Accepted),
            S::Revoking,
            after(Act::Cancel, 0),
            None,
        ),
        (profile(true), maybe(false), S::Revoking, after(Act::Cancel, 10), None),
        (no_cancel, answered(Verdict::Accepted), S::Delivered, None, refused),
        (no_cancel, maybe(false), S::Revoking, after(Act::Status, 10), None),
        (nothing, maybe(false), S::Unknown, None, refused),
    ] {
        let plan = plan(&open, &profile, &end);
        assert_eq!(
            (plan.state, plan.next, plan.event),
            (state, next, event),
            "{profile:?} {end:?}"
        );
    }
}

/// By an earlier call, whose answer was late; an operator had settled the payment before, so nothing was in doubt any more.
#[test]
fn what_was_credited_is_not_told_revoked_because_the_open_call_came_to_nothing() {
    let open = History {
        credited_before: true,
        ..history(S::Revoking, Act::Pay)
    };
    let no_cancel = Profile {
        offers_cancel: false,
        ..profile(true)
    };
    for end in [
        answered(Verdict::Refused),
        answered(Verdict::TryLater),
        end(Ending::NotSent),
    ] {
        let asked = plan(&open, &profile(true), &end);
        assert_eq!(
            (asked.state, asked.next),
            (S::Revoking, after(Act::Cancel, 0)),
            "{end:?}"
        );
        assert_eq!(asked.maybes, 1);
        let kept = plan(&open, &no_cancel, &end);
        let refused = Some(PaymentEvent::RevokeRefused);
        assert_eq!((kept.state, kept.event), (S::Delivered, refused), "{end:?}");
    }
}

#[test]
fn a_revocation_that_came_while_the_payee_was_asked_takes_the_payment_back() {
    let open = History {
        maybes: 1,
        ..history(S::Revoking, Act::Status)
    };
    let no_cancel = Profile {
        offers_cancel: false,
        ..profile(false)
    };
    for (profile, act) in [(profile(false), Act::Cancel), (no_cancel, Act::Status)] {
        for end in [maybe(false), end(Ending::NotSent), answered(Verdict::Pending)] {
            let plan = plan(&open, &profile, &end);
            assert_eq!((plan.state, plan.next), (S::Revoking, after(act, 10)), "{end:?}");
        }
    }
}

#[test]
fn the_end_of_a_revocation_is_told() {
    let cancel = History {
        maybes: 1,
        ..history(S::Revoking, Act::Cancel)
    };
    let taken_back = plan(&cancel, &profile(true), &answered(Verdict::Cancelled));
    assert_eq!(
        (taken_back.state, taken_back.event),
        (S::Revoked, Some(PaymentEvent::Revoked))
    );
    let kept = plan(&cancel, &profile(true), &answered(Verdict::Refused));
    assert_eq!((kept.state, kept.next), (S::Unknown, after(Act::Status, 0)));
    assert_eq!(kept.event, Some(PaymentEvent::RevokeRefused));
    let silent = plan(&cancel, &profile(true), &maybe(false));
    assert_eq!(
        (silent.state, silent.next, silent.maybes),
        (S::Revoking, after(Act::Cancel, 10), 1)
    );
    let for_ever = plan(
        &History {
            now: at(100_000),
            ..cancel
        },
        &profile(true),
        &maybe(false),
    );
    assert_eq!(
        (for_ever.state, for_ever.event),
        (S::Unknown, Some(PaymentEvent::RevokeRefused))
    );
    let status = History {
        act: Act::Status,
        ..cancel
    };
    let no_cancel = Profile {
        offers_cancel: false,
        ..profile(true)
    };
    let credited = plan(&status, &no_cancel, &answered(Verdict::Accepted));
    assert_eq!(
        (credited.state, credited.event),
        (S::Delivered, Some(PaymentEvent::RevokeRefused))
    );
}

/// It said "credited" of an earlier call: what it says now contradicts that, and the payer may have nothing back because of it.
#[test]
fn who_denies_what_was_credited_is_not_believed() {
    for (act, end) in [
        (Act::Cancel, answered(Verdict::NotFound)),
        (Act::Status, answered(Verdict::NotFound)),
        (Act::Status, answered(Verdict::Refused)),
    ] {
        for (state, event) in [(S::Revoking, Some(PaymentEvent::RevokeRefused)), (S::Unknown, None)] {
            let asked = History {
                credited_before: true,
                maybes: 1,
                not_found: 1,
                asked_at: at(100),
                now: at(101),
                ..history(state, act)
            };
            for idempotent in [true, false] {
                let plan = plan(&asked, &profile(idempotent), &end);
                assert_eq!(
                    (plan.state, plan.next, plan.event),
                    (S::Unknown, None, event),
                    "{asked:?}"
                );
                assert_eq!((plan.flag, plan.maybes), (Some(Flag::PayeeDenies), 1));
            }
            let never = History {
                credited_before: false,
                ..asked
            };
            assert_ne!(plan(&never, &profile(false), &end).state, S::Unknown, "{never:?}");
        }
    }
}

#[test]
fn what_a_payee_has_said_is_read_from_the_flags_in_their_order() {
    let (settled, after, sum, twice) = (
        Flag::SettledByOperator.as_str(),
        Flag::CreditedAfterSettlement.as_str(),
        Flag::EchoedAmountDiffers.as_str(),
        Flag::CreditedTwice.as_str(),
    );
    for (flags, said) in [
        (&[][..], false),
        (&[settled], false),
        (&[after], false),
        (&[settled, after], true),
        (&[after, settled], true),
        (&[sum], true),
        (&[twice], true),
        // Somebody has found out what that was.
        (&[sum, settled], false),
        (&[twice, settled], false),
        (&[settled, sum], true),
        (&["number_conflict"], false),
    ] {
        assert_eq!(has_said_credited(flags), said, "{flags:?}");
    }
}
