//! An honest payee behind a bad network: whatever is lost, late or doubled on the way, and whenever a revocation comes,
//! nothing is credited twice, no end contradicts the payee's books, and every payment comes to an end.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::payment::{Act, PaymentState as S};

const TIMEOUT: i64 = 30;
const GIVE_UP: i64 = 20_000;
const SCHEDULE: [u32; 6] = [1, 2, 5, 60, 600, 1800];

/// What the payee makes of a pay that reaches it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mind {
    Credits,
    Refuses,
    Ponders { asks: u32, then_credits: bool },
}

/// What the payee's books say about the number.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Entry {
    None,
    Pending { asks_left: u32, then_credits: bool },
    Credited,
    Refused,
    Cancelled,
}

#[derive(Debug, Clone)]
struct Payee {
    idempotent: bool,
    /// It answers a repeated pay with a refusal, although the first one was credited.
    denies_repeats: bool,
    gives_back: bool,
    mind: Mind,
    entry: Entry,
    credits: u32,
    /// When requests that we gave up on will arrive.
    under_way: Vec<i64>,
}

impl Payee {
    fn pay(&mut self) -> Verdict {
        match self.entry {
            Entry::None => match self.mind {
                Mind::Credits => self.credit(),
                Mind::Refuses => {
                    self.entry = Entry::Refused;
                    Verdict::Refused
                }
                Mind::Ponders { asks, then_credits } => {
                    self.entry = Entry::Pending {
                        asks_left: asks,
                        then_credits,
                    };
                    Verdict::Pending
                }
            },
            Entry::Credited if self.idempotent && self.denies_repeats => Verdict::Refused,
            Entry::Credited if self.idempotent => Verdict::AlreadyAccepted,
            Entry::Credited => self.credit(),
            Entry::Pending { .. } => Verdict::Pending,
            Entry::Refused | Entry::Cancelled => Verdict::Refused,
        }
    }

    fn credit(&mut self) -> Verdict {
        self.entry = Entry::Credited;
        self.credits += 1;
        Verdict::Accepted
    }

    fn status(&mut self) -> Verdict {
        if let Entry::Pending {
            asks_left,
            then_credits,
        } = self.entry
        {
            match (asks_left, then_credits) {
                (0, true) => {
                    self.credit();
                }
                (0, false) => self.entry = Entry::Refused,
                _ => {
                    self.entry = Entry::Pending {
                        asks_left: asks_left - 1,
                        then_credits,
                    }
                }
            }
        }
        match self.entry {
            Entry::None => Verdict::NotFound,
            Entry::Pending { .. } => Verdict::Pending,
            Entry::Credited => Verdict::Accepted,
            Entry::Refused => Verdict::Refused,
            Entry::Cancelled => Verdict::Cancelled,
        }
    }

    fn cancel(&mut self) -> Verdict {
        match self.entry {
            Entry::None => Verdict::NotFound,
            Entry::Cancelled => Verdict::Cancelled,
            Entry::Credited if !self.gives_back => Verdict::Refused,
            Entry::Credited | Entry::Pending { .. } | Entry::Refused => {
                self.credits = 0;
                self.entry = Entry::Cancelled;
                Verdict::Cancelled
            }
        }
    }

    fn receive_until(&mut self, now: i64) {
        let arrived = self.under_way.iter().filter(|arrival| **arrival <= now).count();
        self.under_way.retain(|arrival| *arrival > now);
        (0..arrived).for_each(|_| {
            self.pay();
        });
    }
}

/// What becomes of one call on its way.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Arrives,
    NotSent,
    /// The request arrives so much later, or never; no answer comes.
    NoAnswer(Option<i64>),
    TurnedAway,
    NotUnderstood,
    /// The payee did nothing and wants it again, or says that it has begun.
    Again {
        begun: bool,
    },
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        3 => Just(Fate::Arrives),
        2 => Just(Fate::NotSent),
        3 => proptest::option::of(0..2 * TIMEOUT).prop_map(Fate::NoAnswer),
        1 => Just(Fate::TurnedAway),
        1 => Just(Fate::NotUnderstood),
        1 => any::<bool>().prop_map(|begun| Fate::Again { begun }),
    ]
}

fn mind() -> impl Strategy<Value = Mind> {
    prop_oneof![
        Just(Mind::Credits),
        Just(Mind::Refuses),
        (0..4_u32, any::<bool>()).prop_map(|(asks, then_credits)| Mind::Ponders { asks, then_credits }),
    ]
}

/// The payment as the store keeps it.
#[derive(Debug)]
struct Payment {
    state: S,
    next: Option<(Act, i64)>,
    went_out: bool,
    maybes: u32,
    not_found: u32,
    step: u32,
    last_pay_at: Option<i64>,
    /// A pay may have reached a payee that is not idempotent, and that has not denied it since where it is asked first.
    must_not_pay: bool,
    give_up_at: i64,
}

fn stamp(second: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second)
}

impl Payment {
    fn call(&mut self, act: Act, payee: &mut Payee, fate: Fate, now: &mut i64) -> Ending {
        payee.receive_until(*now);
        if act == Act::Pay {
            self.last_pay_at = Some(*now);
            self.state = S::Delivering;
        }
        match fate {
            Fate::Arrives => Ending::Answered(match act {
                Act::Pay => payee.pay(),
                Act::Status => payee.status(),
                Act::Cancel => payee.cancel(),
            }),
            Fate::NotSent => Ending::NotSent,
            Fate::TurnedAway => Ending::Maybe { retry_safe: true },
            Fate::NotUnderstood => Ending::Answered(Verdict::Concerning),
            Fate::Again { begun: true } => Ending::Answered(Verdict::Unfinished),
            Fate::Again { begun: false } => Ending::Answered(Verdict::TryLater),
            Fate::NoAnswer(arrival) => {
                if let (Act::Pay, Some(delay)) = (act, arrival) {
                    payee.under_way.push(*now + delay);
                }
                *now += TIMEOUT;
                payee.receive_until(*now);
                Ending::Maybe { retry_safe: false }
            }
        }
    }

    fn record(&mut self, act: Act, asked_at: i64, now: i64, ending: Ending, profile: &Profile<'_>) {
        let history = History {
            state: self.state,
            act,
            went_out_before: self.went_out,
            credited_before: false,
            maybes: self.maybes,
            not_found: self.not_found,
            step: self.step,
            last_pay_at: self.last_pay_at.map(stamp),
            asked_at: stamp(asked_at),
            now: stamp(now),
            give_up_at: stamp(self.give_up_at),
        };
        let plan = plan(
            &history,
            profile,
            &CallEnd {
                ending,
                retry_after_seconds: None,
                jitter: 0.0,
            },
        );
        assert!(
            plan.state == self.state || self.state.may_become(plan.state),
            "{} -> {}",
            self.state,
            plan.state
        );
        assert!(
            plan.next.is_none() || matches!(plan.state, S::Waiting | S::Unknown | S::Revoking),
            "{plan:?}"
        );
        assert!(
            plan.next.is_some() || !matches!(plan.state, S::Waiting | S::Revoking | S::Delivering),
            "{plan:?}"
        );
        let may_have_arrived = matches!(
            ending,
            Ending::Maybe { retry_safe: false } | Ending::Answered(Verdict::Pending)
        );
        self.went_out |= act == Act::Pay && ending != Ending::NotSent;
        self.must_not_pay |= act == Act::Pay && !profile.idempotent && may_have_arrived;
        let denied = matches!(ending, Ending::Answered(Verdict::NotFound)) && self.not_found > 0;
        self.must_not_pay &= !(profile.asks_first && act != Act::Pay && denied);
        let pays_next = plan.next.is_some_and(|(act, _)| act == Act::Pay);
        assert!(!(self.must_not_pay && pays_next), "{history:?} {ending:?} {plan:?}");
        Plan {
            state: self.state,
            maybes: self.maybes,
            not_found: self.not_found,
            step: self.step,
            ..
        } = plan;
        self.next = plan
            .next
            .map(|(act, delay)| (act, now + i64::try_from(delay.as_secs()).unwrap()));
    }

    fn revoke(&mut self, now: i64, profile: &Profile<'_>) {
        let verdict = resolve_revoke(&Revocation {
            state: Some(self.state),
            maybes: self.maybes,
            number_conflict: false,
            said_credited: false,
            profile: Some(*profile),
        });
        match verdict {
            RevokeVerdict::Revoke => {
                assert!(self.state.may_become(S::Revoked));
                (self.state, self.next) = (S::Revoked, None);
            }
            RevokeVerdict::Revoking(next) => {
                assert!(self.state.may_become(S::Revoking));
                self.state = S::Revoking;
                (self.step, self.not_found, self.give_up_at) = (0, 0, self.give_up_at.max(now + GIVE_UP));
                self.next = next.map(|(act, _)| (act, now));
            }
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn no_end_contradicts_the_payees_books(
        idempotent in any::<bool>(), offers_status in any::<bool>(), offers_cancel in any::<bool>(), asks_first in any::<bool>(),
        denies_repeats in any::<bool>(), gives_back in any::<bool>(), mind in mind(), fates in proptest::collection::vec(fate(), 0..12),
        then_arrives in any::<bool>(), revoke_before in proptest::option::of(0..6_usize),
        revoke_during in proptest::option::of(0..6_usize),
    ) {
        let asks_first = asks_first && offers_status;
        let profile = Profile { idempotent, asks_first, offers_status, offers_cancel, timeout_seconds: 30, retry_seconds: &SCHEDULE };
        let mut payee = Payee { idempotent, denies_repeats, gives_back, mind, entry: Entry::None, credits: 0, under_way: vec![] };
        let mut payment = Payment {
            state: S::Accepted, next: Some((Act::Pay, 0)), went_out: false, maybes: 0, not_found: 0, step: 0,
            last_pay_at: None, must_not_pay: false, give_up_at: GIVE_UP,
        };
        let mut calls = 0;
        let mut now = 0;
        loop {
            if revoke_before == Some(calls) {
                payment.revoke(now, &profile);
            }
            let Some((act, due)) = payment.next.take() else { break };
            now = now.max(due);
            let asked_at = now;
            let after_the_script = if then_arrives { Fate::Arrives } else { Fate::NotSent };
            let fate = fates.get(calls).copied().unwrap_or(after_the_script);
            let ending = payment.call(act, &mut payee, fate, &mut now);
            if revoke_during == Some(calls) {
                payment.revoke(now, &profile);
            }
            payment.record(act, asked_at, now, ending, &profile);
            prop_assert!(payee.credits <= 1, "credited twice");
            calls += 1;
            prop_assert!(calls < 200, "never ends: {payment:?}");
        }
        payee.receive_until(i64::MAX);
        if let Entry::Pending { then_credits: true, .. } = payee.entry {
            payee.credit();
        }
        prop_assert!(payee.credits <= 1, "credited twice");
        match payment.state {
            S::Delivered => prop_assert_eq!(payee.credits, 1),
            S::Refused | S::Failed | S::Revoked => prop_assert_eq!(payee.credits, 0, "{:?}", payment),
            state => prop_assert_eq!(state, S::Unknown),
        }
        let silent_for_ever = !then_arrives || !offers_status || now >= payment.give_up_at;
        prop_assert!(payment.state != S::Unknown || silent_for_ever, "{payment:?}");
    }
}
