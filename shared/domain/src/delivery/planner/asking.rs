//! What follows from asking the payee: `status`, `cancel`, a number it does not know, and answers that come when the payment
//! has already come to its end.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{GAVE_UP, Planner};
use crate::delivery::{Ending, Flag, Plan, Verdict};
use crate::payment::{Act, PaymentState};

/// How often in a row a payee must not know a number before that is believed.
const NOT_FOUND_BELIEVED: u32 = 2;

impl Planner<'_> {
    pub(super) fn cancel(&self) -> Plan {
        use Verdict as V;
        match self.end.ending {
            Ending::Answered(V::Cancelled) => {
                self.settled_as_not_credited(PaymentState::Revoked, "taken back by the payee")
            }
            Ending::Answered(V::Refused) => {
                let plan = self.enter(PaymentState::Unknown, "the payee does not take it back");
                let next = self.p.offers_status.then_some((Act::Status, Duration::ZERO));
                Plan {
                    next,
                    step: 0,
                    not_found: 0,
                    event: self.event_of_revocation(plan.event),
                    ..plan
                }
            }
            Ending::Answered(V::NotFound) => self.not_found(),
            _ if self.gave_up() => self.revocation_left(),
            _ => self.schedule(
                self.rest("the payee was asked to take it back and did not answer"),
                Act::Cancel,
                self.h.step,
            ),
        }
    }

    pub(super) fn status(&self) -> Plan {
        use Verdict as V;
        let revoking = self.h.state == PaymentState::Revoking;
        let not_credited = if revoking {
            PaymentState::Revoked
        } else {
            PaymentState::Refused
        };
        match self.end.ending {
            Ending::Answered(V::Accepted | V::AlreadyAccepted) => self.credited(),
            Ending::Answered(V::Refused) if self.h.credited_before => {
                self.denied("the payee says that it refused what it had credited")
            }
            Ending::Answered(V::Refused) => {
                self.settled_as_not_credited(not_credited, "the payee says that it refused it")
            }
            Ending::Answered(V::Cancelled) => {
                self.settled_as_not_credited(not_credited, "the payee says that it was taken back")
            }
            Ending::Answered(V::NumberConflict) => self.number_conflict(),
            Ending::Answered(V::NotFound) => self.not_found(),
            Ending::Answered(V::Pending | V::Unfinished) => {
                let plan = self.ask_again(Act::Status, "the payee has not decided yet");
                Plan {
                    not_found: 0,
                    maybes: plan.maybes.max(1),
                    ..plan
                }
            }
            _ => self.ask_again(Act::Status, "the payee was asked what became of it and did not answer"),
        }
    }

    /// The number is not known. That is believed when asked late enough after the last pay, and twice: the request may
    /// still have been on its way.
    fn not_found(&self) -> Plan {
        let settle_at = self.h.last_pay_at.map_or(self.h.asked_at, |began| {
            later_by(began, 2 * i64::from(self.p.timeout_seconds))
        });
        let counts = self.h.asked_at >= settle_at;
        let not_found = self.h.not_found + u32::from(counts);
        if not_found < NOT_FOUND_BELIEVED {
            let plan = self.ask_again(self.h.act, "the payee does not know it (yet)");
            let until_it_counts = Duration::try_from(settle_at.duration_since(self.h.now)).unwrap_or_default();
            let next = plan.next.map(|(act, delay)| (act, delay.max(until_it_counts)));
            return Plan {
                not_found,
                next,
                ..plan
            };
        }
        if self.h.credited_before {
            return self.denied("the payee does not know what it had credited");
        }
        let never_came = "the payee never got it";
        if self.h.state == PaymentState::Revoking {
            return self.settled_as_not_credited(PaymentState::Revoked, never_came);
        }
        let may_be_paid = self.p.idempotent || self.p.asks_first;
        if !may_be_paid || self.gave_up() {
            return self.settled_as_not_credited(PaymentState::Failed, never_came);
        }
        let plan = self.settled_as_not_credited(PaymentState::Waiting, never_came);
        Plan {
            next: Some((Act::Pay, Duration::ZERO)),
            ..plan
        }
    }

    /// A question without an end is asked again. A revocation that came while it was open has the payee take the payment
    /// back from here on, where it can: whoever waits for the end of the question may wait until it is given up.
    fn ask_again(&self, act: Act, reason: &'static str) -> Plan {
        let revoking = self.h.state == PaymentState::Revoking;
        match (self.gave_up(), revoking) {
            (true, true) => self.revocation_left(),
            (true, false) => self.enter(PaymentState::Unknown, GAVE_UP),
            (false, true) if self.p.offers_cancel => self.schedule(self.rest(reason), Act::Cancel, self.h.step),
            (false, _) => self.schedule(self.rest(reason), act, self.h.step),
        }
    }

    /// The payee contradicts itself, and nobody is told that it never had the payment: a person finds out.
    fn denied(&self, reason: &'static str) -> Plan {
        let plan = self.enter(PaymentState::Unknown, reason);
        Plan {
            flag: Some(Flag::PayeeDenies),
            event: self.event_of_revocation(plan.event),
            ..plan
        }
    }

    /// The payment had come to an end before this call did.
    pub(super) fn after_the_end(&self) -> Plan {
        use Verdict as V;
        let state = self.h.state;
        let open_still = matches!(
            self.end.ending,
            Ending::Maybe { .. } | Ending::Answered(V::Pending | V::Unfinished)
        );
        let went_out = self.h.act == Act::Pay && open_still;
        let plan = Plan {
            maybes: self.h.maybes + u32::from(went_out),
            ..self.enter(state, "had come to its end before")
        };
        match (state, self.end.ending) {
            (PaymentState::Revoked, Ending::Answered(V::Accepted | V::AlreadyAccepted)) => Plan {
                flag: Some(Flag::CreditedAfterRevoke),
                ..plan
            },
            (
                PaymentState::Refused | PaymentState::Failed | PaymentState::Stopped,
                Ending::Answered(V::Accepted | V::AlreadyAccepted),
            ) => self.enter(PaymentState::Delivered, "credited"),
            (PaymentState::Delivered, Ending::Answered(V::Refused | V::Cancelled | V::NotFound))
                if self.h.act == Act::Status =>
            {
                Plan {
                    flag: Some(Flag::PayeeDenies),
                    ..plan
                }
            }
            (_, Ending::Answered(V::NumberConflict)) => Plan {
                flag: Some(Flag::NumberConflict),
                ..plan
            },
            _ => plan,
        }
    }
}

fn later_by(at: Timestamp, seconds: i64) -> Timestamp {
    at.saturating_add(SignedDuration::from_secs(seconds))
        .unwrap_or(Timestamp::MAX)
}
