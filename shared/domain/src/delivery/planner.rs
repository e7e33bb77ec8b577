//! The rule itself, one function per act. It is written as a table of endings: the order of the arms is the order in which a
//! person would ask. What follows from `status` and `cancel` is in `asking`.

mod asking;

use std::time::Duration;

use super::{CallEnd, Ending, Flag, History, PaymentEvent, Plan, Profile, Verdict};
use crate::limits::RETRY_AFTER_MAX_SECONDS;
use crate::payment::{Act, PaymentState};
use crate::retry::retry_delay;

/// Says what follows from the end of a call.
pub fn plan(history: &History, profile: &Profile<'_>, end: &CallEnd) -> Plan {
    use PaymentState as S;
    let planner = Planner {
        h: history,
        p: profile,
        end,
    };
    match (history.state, history.act) {
        (S::Delivered | S::Refused | S::Failed | S::Stopped | S::Revoked | S::Registered | S::Reported, _) => {
            planner.after_the_end()
        }
        (_, Act::Cancel) => planner.cancel(),
        (_, Act::Status) => planner.status(),
        (S::Revoking, Act::Pay) => planner.pay_while_revoking(),
        (S::Accepted | S::Delivering | S::Waiting | S::Unknown, Act::Pay) => planner.pay(),
    }
}

struct Planner<'a> {
    h: &'a History,
    p: &'a Profile<'a>,
    end: &'a CallEnd,
}

impl Planner<'_> {
    fn pay(&self) -> Plan {
        use Verdict as V;
        match self.end.ending {
            Ending::Answered(V::Accepted) => self.enter(PaymentState::Delivered, "credited"),
            Ending::Answered(V::AlreadyAccepted) => self.already_accepted(),
            Ending::Answered(V::Pending) => self.pending(),
            Ending::Answered(V::Refused) if self.h.maybes == 0 => {
                self.enter(PaymentState::Refused, "refused by the payee")
            }
            Ending::Answered(V::Refused) => {
                self.ask_or_leave("refused by the payee, but an earlier attempt may have been credited")
            }
            Ending::Answered(V::NumberConflict) => self.number_conflict(),
            Ending::Answered(V::Concerning) => {
                let middle = u32::try_from(self.p.retry_seconds.len() / 2).unwrap_or(u32::MAX);
                self.pay_again(self.h.step.max(middle), "the payee does not understand the request")
            }
            Ending::Answered(V::TryLater) => self.pay_again(self.h.step, "the payee wants it again later"),
            // The payee's own word makes a repetition safe, and yet it may be credited meanwhile.
            Ending::Answered(V::Unfinished) => Plan {
                reason: "begun, and not finished yet",
                ..self.maybe(true)
            },
            Ending::NotSent => self.pay_again(self.h.step, "not sent"),
            Ending::Maybe { retry_safe } => self.maybe(retry_safe),
            // The protocol has no such answer to a pay: a payee that says so cannot be understood.
            Ending::Answered(V::NotFound | V::Cancelled) => self.maybe(false),
        }
    }

    fn already_accepted(&self) -> Plan {
        let suspicious = self.h.maybes == 0 && !self.h.went_out_before;
        let flag = suspicious.then_some(Flag::AlreadyOnFirstAttempt);
        Plan {
            flag,
            ..self.enter(PaymentState::Delivered, "credited before")
        }
    }

    /// Taken and not decided: from here on it may be credited at any time.
    fn pending(&self) -> Plan {
        let plan = Plan {
            maybes: self.h.maybes + 1,
            ..self.enter(PaymentState::Waiting, "the payee has not decided yet")
        };
        match (self.p.offers_status, self.p.idempotent) {
            _ if self.gave_up() => Plan {
                maybes: plan.maybes,
                ..self.enter(PaymentState::Unknown, "the payee never decided")
            },
            (true, _) => self.schedule(plan, Act::Status, self.h.step),
            (false, true) => self.schedule(plan, Act::Pay, self.h.step),
            (false, false) => Plan {
                maybes: plan.maybes,
                ..self.enter(PaymentState::Unknown, "taken, and cannot be asked about")
            },
        }
    }

    fn maybe(&self, retry_safe: bool) -> Plan {
        let maybes = self.h.maybes + 1;
        if self.p.idempotent || retry_safe {
            if self.gave_up() {
                return Plan {
                    maybes,
                    ..self.enter(PaymentState::Unknown, GAVE_UP)
                };
            }
            let plan = Plan {
                maybes,
                ..self.enter(PaymentState::Waiting, "no answer; it may have been credited")
            };
            return self.schedule(plan, Act::Pay, self.h.step);
        }
        Plan {
            maybes,
            ..self.ask_or_leave("no answer; it may have been credited and must not be sent again")
        }
    }

    fn pay_again(&self, step: u32, reason: &'static str) -> Plan {
        match self.gave_up() {
            true if self.h.maybes == 0 => self.enter(PaymentState::Failed, GAVE_UP),
            true => self.enter(PaymentState::Unknown, GAVE_UP),
            false => self.schedule(self.enter(PaymentState::Waiting, reason), Act::Pay, step),
        }
    }

    /// Unknown: the payee is asked where it can be, else a person decides.
    fn ask_or_leave(&self, reason: &'static str) -> Plan {
        let plan = self.enter(PaymentState::Unknown, reason);
        if self.p.offers_status && !self.gave_up() {
            self.schedule(plan, Act::Status, self.h.step)
        } else {
            plan
        }
    }

    /// Nothing is asked any more: the payee would answer about somebody else's payment.
    fn number_conflict(&self) -> Plan {
        let plan = self.enter(PaymentState::Unknown, "the payee knows the number with another content");
        Plan {
            flag: Some(Flag::NumberConflict),
            event: self.event_of_revocation(plan.event),
            ..plan
        }
    }

    fn pay_while_revoking(&self) -> Plan {
        use Verdict as V;
        let certainly_not = self.h.maybes == 0;
        match self.end.ending {
            Ending::Answered(V::Accepted | V::AlreadyAccepted) => self.credited(),
            Ending::Answered(V::NumberConflict) => self.number_conflict(),
            // Where it may have been credited since, the payee is asked, whatever it said of an earlier call.
            Ending::Answered(V::Refused | V::Concerning | V::TryLater) | Ending::NotSent if certainly_not => {
                if self.h.credited_before {
                    self.credited()
                } else {
                    self.enter(PaymentState::Revoked, "revoked; the attempt was not credited")
                }
            }
            Ending::Answered(V::Refused | V::Concerning | V::TryLater) | Ending::NotSent => {
                self.ask_back(self.h.maybes)
            }
            Ending::Answered(_) | Ending::Maybe { .. } => self.ask_back(self.h.maybes + 1),
        }
    }

    /// A revocation of what may have been credited: the payee takes it back, or says what became of it, or nobody knows.
    fn ask_back(&self, maybes: u32) -> Plan {
        let plan = Plan {
            maybes,
            ..self.enter(PaymentState::Revoking, "being revoked; it may have been credited")
        };
        match (self.p.offers_cancel, self.p.offers_status) {
            _ if self.gave_up() => Plan {
                maybes,
                ..self.revocation_left()
            },
            (true, _) => self.schedule(plan, Act::Cancel, self.h.step),
            (false, true) => self.schedule(plan, Act::Status, self.h.step),
            (false, false) => Plan {
                maybes,
                ..self.revocation_left()
            },
        }
    }

    fn revocation_left(&self) -> Plan {
        let plan = self.enter(PaymentState::Unknown, "could not be revoked; it may have been credited");
        Plan {
            event: self.event_of_revocation(plan.event),
            ..plan
        }
    }

    fn credited(&self) -> Plan {
        if self.h.state != PaymentState::Revoking {
            return self.enter(PaymentState::Delivered, "credited");
        }
        if self.p.offers_cancel && !self.gave_up() {
            let plan = self.enter(
                PaymentState::Revoking,
                "credited while being revoked; the payee is asked to take it back",
            );
            // Credited for certain: whatever comes now, nobody may believe that it was not.
            return Plan {
                next: Some((Act::Cancel, Duration::ZERO)),
                maybes: self.h.maybes.max(1),
                not_found: 0,
                ..plan
            };
        }
        let plan = self.enter(PaymentState::Delivered, "credited before it could be revoked");
        Plan {
            event: Some(PaymentEvent::RevokeRefused),
            ..plan
        }
    }

    /// The payee's own word about this number settles every earlier *maybe*.
    fn settled_as_not_credited(&self, state: PaymentState, reason: &'static str) -> Plan {
        Plan {
            maybes: 0,
            not_found: 0,
            ..self.enter(state, reason)
        }
    }

    /// A plan that enters a state and does nothing more.
    fn enter(&self, state: PaymentState, reason: &'static str) -> Plan {
        let event = (state != self.h.state)
            .then(|| PaymentEvent::of_entering(state))
            .flatten();
        let History {
            step,
            maybes,
            not_found,
            ..
        } = *self.h;
        Plan {
            state,
            next: None,
            step,
            maybes,
            not_found,
            event,
            flag: None,
            reason,
        }
    }

    /// A plan that keeps the state, or the one it has once no call is open.
    fn rest(&self, reason: &'static str) -> Plan {
        let resting = match self.h.state {
            PaymentState::Accepted | PaymentState::Delivering if self.h.maybes == 0 || self.p.idempotent => {
                PaymentState::Waiting
            }
            PaymentState::Accepted | PaymentState::Delivering => PaymentState::Unknown,
            other => other,
        };
        self.enter(resting, reason)
    }

    /// While a revocation is under way, its end is what the world is told.
    fn event_of_revocation(&self, otherwise: Option<PaymentEvent>) -> Option<PaymentEvent> {
        if self.h.state == PaymentState::Revoking {
            Some(PaymentEvent::RevokeRefused)
        } else {
            otherwise
        }
    }

    fn schedule(&self, plan: Plan, act: Act, step: u32) -> Plan {
        Plan {
            next: Some((act, self.delay(step))),
            step: step.saturating_add(1),
            ..plan
        }
    }

    /// The schedule's wait; `Retry-After` may lengthen it up to an hour, and giving up shortens it, so that the last
    /// attempt is made at that time and none later.
    fn delay(&self, step: u32) -> Duration {
        let scheduled = retry_delay(self.p.retry_seconds, step, self.end.jitter);
        let asked_for = self.end.retry_after_seconds.unwrap_or(0).min(RETRY_AFTER_MAX_SECONDS);
        let left = Duration::try_from(self.h.give_up_at.duration_since(self.h.now)).unwrap_or_default();
        scheduled.max(Duration::from_secs(u64::from(asked_for))).min(left)
    }

    fn gave_up(&self) -> bool {
        self.h.now >= self.h.give_up_at
    }
}

const GAVE_UP: &str = "the retries ran out";
