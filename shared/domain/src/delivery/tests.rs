//! The rule case by case, as DESIGN and contract tell it.

mod late;
mod revocation;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::payment::{Act, PaymentState as S};

const SCHEDULE: [u32; 4] = [10, 30, 600, 3600];

fn at(second: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_000_000 + second)
}

fn profile(idempotent: bool) -> Profile<'static> {
    Profile {
        idempotent,
        asks_first: false,
        offers_status: true,
        offers_cancel: true,
        timeout_seconds: 30,
        retry_seconds: &SCHEDULE,
    }
}

fn history(state: S, act: Act) -> History {
    History {
        state,
        act,
        went_out_before: false,
        credited_before: false,
        maybes: 0,
        not_found: 0,
        step: 0,
        last_pay_at: Some(at(0)),
        asked_at: at(0),
        now: at(1),
        give_up_at: at(100_000),
    }
}

fn end(ending: Ending) -> CallEnd {
    CallEnd {
        ending,
        retry_after_seconds: None,
        jitter: 0.0,
    }
}

fn answered(verdict: Verdict) -> CallEnd {
    end(Ending::Answered(verdict))
}

fn maybe(retry_safe: bool) -> CallEnd {
    end(Ending::Maybe { retry_safe })
}

fn after(act: Act, seconds: u64) -> Option<(Act, Duration)> {
    Some((act, Duration::from_secs(seconds)))
}

#[test]
fn a_first_pay() {
    let first = history(S::Delivering, Act::Pay);
    for (idempotent, end, state, next, maybes) in [
        (true, answered(Verdict::Accepted), S::Delivered, None, 0),
        (true, answered(Verdict::Pending), S::Waiting, after(Act::Status, 10), 1),
        (true, answered(Verdict::Refused), S::Refused, None, 0),
        (true, answered(Verdict::NumberConflict), S::Unknown, None, 0),
        (true, answered(Verdict::Concerning), S::Waiting, after(Act::Pay, 600), 0),
        (true, end(Ending::NotSent), S::Waiting, after(Act::Pay, 10), 0),
        (true, maybe(false), S::Waiting, after(Act::Pay, 10), 1),
        (true, maybe(true), S::Waiting, after(Act::Pay, 10), 1),
        (false, answered(Verdict::Pending), S::Waiting, after(Act::Status, 10), 1),
        (false, end(Ending::NotSent), S::Waiting, after(Act::Pay, 10), 0),
        (false, maybe(true), S::Waiting, after(Act::Pay, 10), 1),
        (true, answered(Verdict::TryLater), S::Waiting, after(Act::Pay, 10), 0),
        (false, answered(Verdict::TryLater), S::Waiting, after(Act::Pay, 10), 0),
        (false, answered(Verdict::Unfinished), S::Waiting, after(Act::Pay, 10), 1),
        (false, maybe(false), S::Unknown, after(Act::Status, 10), 1),
        // A payee that answers a pay as if it had been a cancel cannot be understood.
        (
            false,
            answered(Verdict::Cancelled),
            S::Unknown,
            after(Act::Status, 10),
            1,
        ),
    ] {
        let plan = plan(&first, &profile(idempotent), &end);
        assert_eq!(
            (plan.state, plan.next, plan.maybes),
            (state, next, maybes),
            "{idempotent} {end:?}"
        );
        assert_eq!(plan.event, PaymentEvent::of_entering(state), "{end:?}");
    }
}

#[test]
fn credited_before_is_success_and_on_a_first_attempt_suspicious() {
    let first = history(S::Delivering, Act::Pay);
    let suspicious = plan(&first, &profile(true), &answered(Verdict::AlreadyAccepted));
    assert_eq!(
        (suspicious.state, suspicious.flag),
        (S::Delivered, Some(Flag::AlreadyOnFirstAttempt))
    );
    let later = History {
        went_out_before: true,
        maybes: 1,
        ..first
    };
    let usual = plan(&later, &profile(true), &answered(Verdict::AlreadyAccepted));
    assert_eq!((usual.state, usual.flag), (S::Delivered, None));
}

#[test]
fn a_refusal_after_a_maybe_is_unknown_until_the_payee_says_so() {
    let after_maybe = History {
        went_out_before: true,
        maybes: 1,
        step: 1,
        ..history(S::Delivering, Act::Pay)
    };
    let unknown = plan(&after_maybe, &profile(true), &answered(Verdict::Refused));
    assert_eq!((unknown.state, unknown.next), (S::Unknown, after(Act::Status, 30)));
    let asked = History {
        maybes: 1,
        ..history(S::Unknown, Act::Status)
    };
    let refused = plan(&asked, &profile(true), &answered(Verdict::Refused));
    assert_eq!(
        (refused.state, refused.maybes, refused.event),
        (S::Refused, 0, Some(PaymentEvent::Refused))
    );
    let cannot_ask = Profile {
        offers_status: false,
        ..profile(true)
    };
    assert_eq!(plan(&after_maybe, &cannot_ask, &answered(Verdict::Refused)).next, None);
}

#[test]
fn giving_up_is_failed_only_when_nothing_can_have_been_credited() {
    let late = History {
        now: at(100_000),
        ..history(S::Delivering, Act::Pay)
    };
    let after_maybe = History { maybes: 1, ..late };
    for (end, certain, uncertain) in [
        (end(Ending::NotSent), S::Failed, S::Unknown),
        (answered(Verdict::Concerning), S::Failed, S::Unknown),
        (maybe(true), S::Unknown, S::Unknown),
        (maybe(false), S::Unknown, S::Unknown),
        (answered(Verdict::Pending), S::Unknown, S::Unknown),
    ] {
        for (history, state) in [(late, certain), (after_maybe, uncertain)] {
            let plan = plan(&history, &profile(true), &end);
            assert_eq!((plan.state, plan.next), (state, None), "{end:?}");
        }
    }
    let asked = History {
        maybes: 1,
        now: at(100_000),
        ..history(S::Unknown, Act::Status)
    };
    let left = plan(&asked, &profile(false), &end(Ending::NotSent));
    assert_eq!((left.state, left.next, left.event), (S::Unknown, None, None));
}

#[test]
fn not_found_is_believed_when_asked_late_enough_and_twice() {
    let too_early = History {
        maybes: 1,
        asked_at: at(40),
        now: at(41),
        ..history(S::Unknown, Act::Status)
    };
    let early = plan(&too_early, &profile(false), &answered(Verdict::NotFound));
    assert_eq!(
        (early.state, early.not_found, early.next),
        (S::Unknown, 0, after(Act::Status, 19))
    );
    let in_time = History {
        asked_at: at(60),
        now: at(61),
        ..too_early
    };
    let once = plan(&in_time, &profile(false), &answered(Verdict::NotFound));
    assert_eq!(
        (once.state, once.not_found, once.next),
        (S::Unknown, 1, after(Act::Status, 10))
    );
    let again = History {
        not_found: 1,
        ..in_time
    };
    let failed = plan(&again, &profile(false), &answered(Verdict::NotFound));
    assert_eq!((failed.state, failed.next, failed.maybes), (S::Failed, None, 0));
    let paid_again = plan(&again, &profile(true), &answered(Verdict::NotFound));
    assert_eq!((paid_again.state, paid_again.next), (S::Waiting, after(Act::Pay, 0)));
    let revoked = plan(
        &History {
            state: S::Revoking,
            ..again
        },
        &profile(true),
        &answered(Verdict::NotFound),
    );
    assert_eq!(
        (revoked.state, revoked.event),
        (S::Revoked, Some(PaymentEvent::Revoked))
    );
}

#[test]
fn what_may_have_been_credited_is_not_sent_to_a_payee_that_now_credits_twice() {
    let again = History {
        maybes: 1,
        ..history(S::Delivering, Act::Pay)
    };
    for (offers_status, next) in [(true, after(Act::Status, 10)), (false, None)] {
        for end in [end(Ending::NotSent), answered(Verdict::TryLater), maybe(true)] {
            let planned = doubted(plan(&again, &profile(true), &end), again.state, offers_status);
            assert_eq!((planned.state, planned.next), (S::Unknown, next), "{end:?}");
            assert_eq!(planned.event, Some(PaymentEvent::Unknown));
        }
    }
    let never_sent = plan(&history(S::Delivering, Act::Pay), &profile(true), &end(Ending::NotSent));
    assert_eq!(doubted(never_sent, S::Delivering, true), never_sent);
}

#[test]
fn waits_are_jittered_lengthened_on_request_and_cut_at_the_end() {
    let first = history(S::Delivering, Act::Pay);
    let wait = |history: &History, retry_after_seconds, jitter| {
        let end = CallEnd {
            ending: Ending::Maybe { retry_safe: true },
            retry_after_seconds,
            jitter,
        };
        plan(history, &profile(true), &end).next.unwrap().1.as_secs()
    };
    assert_eq!(wait(&first, None, 0.2), 12);
    assert_eq!(wait(&first, Some(5), 0.0), 10);
    assert_eq!(wait(&first, Some(120), 0.0), 120);
    assert_eq!(wait(&first, Some(86_400), 0.0), 3600);
    assert_eq!(wait(&History { step: 9, ..first }, None, 0.0), 3600);
    assert_eq!(
        wait(
            &History {
                step: 9,
                give_up_at: at(101),
                ..first
            },
            None,
            0.0
        ),
        100
    );
}

#[test]
fn what_comes_after_the_end_changes_little() {
    let late = |state, act, verdict| plan(&history(state, act), &profile(true), &answered(verdict));
    assert_eq!(late(S::Failed, Act::Pay, Verdict::Accepted).state, S::Delivered);
    assert_eq!(
        late(S::Revoked, Act::Pay, Verdict::Accepted).flag,
        Some(Flag::CreditedAfterRevoke)
    );
    assert_eq!(late(S::Revoked, Act::Pay, Verdict::Accepted).state, S::Revoked);
    let denied = late(S::Delivered, Act::Status, Verdict::NotFound);
    assert_eq!(
        (denied.state, denied.flag, denied.next),
        (S::Delivered, Some(Flag::PayeeDenies), None)
    );
    assert_eq!(late_answer(S::Unknown, false, Verdict::Accepted), Some(Late::Delivered));
    assert_eq!(late_answer(S::Unknown, false, Verdict::Refused), None);
    assert_eq!(late_answer(S::Delivering, false, Verdict::Refused), None);
    assert_eq!(late_answer(S::Revoking, false, Verdict::Accepted), None);
}

#[test]
fn what_the_payee_has_pending_counts_as_perhaps_credited_until_the_payee_settles_it() {
    use Verdict as V;
    let pending = plan(
        &history(S::Delivering, Act::Pay),
        &profile(false),
        &answered(V::Pending),
    );
    let asked = History {
        state: pending.state,
        maybes: pending.maybes,
        ..history(S::Waiting, Act::Status)
    };
    let unsettled = [
        V::Pending,
        V::Unfinished,
        V::TryLater,
        V::Concerning,
        V::NumberConflict,
        V::NotFound,
    ];
    for end in unsettled
        .map(answered)
        .into_iter()
        .chain([maybe(false), end(Ending::NotSent)])
    {
        for now in [asked.now, asked.give_up_at] {
            let planned = plan(&History { now, ..asked }, &profile(false), &end);
            assert_eq!(planned.maybes, 1, "{end:?}");
        }
    }
    let paid_again = History {
        act: Act::Pay,
        state: S::Delivering,
        ..asked
    };
    for end in [answered(V::TryLater), answered(V::Concerning), end(Ending::NotSent)] {
        assert_eq!(plan(&paid_again, &profile(true), &end).maybes, 1, "{end:?}");
    }
}

/// A receiver's number in doubt is answered so for as long as nobody has looked.
#[test]
fn a_payee_that_never_decides_ends_at_an_operator() {
    for (idempotent, offers_status) in [(true, true), (false, true), (true, false), (false, false)] {
        let payee = Profile {
            offers_status,
            ..profile(idempotent)
        };
        let mut history = history(S::Delivering, Act::Pay);
        let mut told = Vec::new();
        let last = loop {
            let plan = plan(&history, &payee, &answered(Verdict::Pending));
            told.extend(plan.event);
            let Some((act, delay)) = plan.next else { break plan };
            assert!(act == Act::Status || idempotent, "it may be credited twice");
            let now = history.now + SignedDuration::try_from(delay).unwrap();
            history = History {
                state: if act == Act::Pay { S::Delivering } else { plan.state },
                act,
                maybes: plan.maybes,
                step: plan.step,
                asked_at: now,
                now,
                ..history
            };
        };
        assert_eq!((last.state, told), (S::Unknown, vec![PaymentEvent::Unknown]));
        let asked_to_the_end = history.now == history.give_up_at;
        assert_eq!(asked_to_the_end, idempotent || offers_status);
    }
}

#[test]
fn a_payee_that_credits_twice_is_seen_to_have_done_so_by_its_word_about_two_calls() {
    let accepted = Ending::Answered(Verdict::Accepted);
    assert!(has_credited_twice(Act::Pay, accepted, true, false));
    for (act, ending, credited_before, idempotent) in [
        (Act::Pay, accepted, false, false),
        (Act::Pay, accepted, true, true),
        (Act::Status, accepted, true, false),
        (Act::Pay, Ending::Answered(Verdict::AlreadyAccepted), true, false),
        (Act::Pay, Ending::Maybe { retry_safe: false }, true, false),
    ] {
        let twice = has_credited_twice(act, ending, credited_before, idempotent);
        assert!(!twice, "{act:?} {ending:?} {credited_before} {idempotent}");
    }
}
