//! What an operator may do about a delivery, and how. Deliberately strict: paying again where the payee may have credited
//! already, and may credit again, needs certainty per payment and never follows from a filter.

use crate::invalid::Invalid;
use crate::payment::{Act, PaymentState};

/// What is done about many payments at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActKind {
    /// Make it due now, its schedule begun anew.
    Requeue,
    /// Send nothing until it is resumed.
    Stop,
    /// Make what was stopped due now.
    Resume,
}

impl ActKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Requeue, Self::Stop, Self::Resume];

    /// The word of the database and of the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requeue => "requeue",
            Self::Stop => "stop",
            Self::Resume => "resume",
        }
    }

    /// Reads the word of the database.
    pub fn parse(word: &str) -> Result<Self, Invalid> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == word)
            .ok_or_else(|| Invalid::new("kind", "is not a kind of act"))
    }
}

/// What the judgement is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// The stored state.
    pub state: PaymentState,
    /// Some call to pay has reached the payee, so it may have credited it, or have it pending.
    pub reached: bool,
    /// A call about it is open.
    pub is_open: bool,
    /// What is due already, at this moment.
    pub due: Option<Act>,
    /// The operator named this payment and is certain that it was not credited.
    pub certain: bool,
    /// What its payee can do; `None` = it is not delivered online.
    pub payee: Option<Abilities>,
}

/// What matters about the payee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// A number is credited once however often it is sent.
    pub idempotent: bool,
    /// It can be asked what became of a number.
    pub offers_status: bool,
}

/// What is done with one payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// It is certain that it was not credited, or the payee credits a number once: pay.
    Pay,
    /// It may have been credited and the payee can be asked: ask.
    Status,
    /// Nothing is sent any more.
    Stop,
}

impl Remedy {
    /// The word of the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pay => "pay",
            Self::Status => "status",
            Self::Stop => "stop",
        }
    }
}

/// What is to be done with the payment, or why nothing may be.
pub fn judge(kind: ActKind, case: &Case) -> Result<Remedy, &'static str> {
    let Some(payee) = case.payee else {
        return Err("is not delivered online");
    };
    if case.state == PaymentState::Delivering || case.is_open {
        return Err("is being delivered or asked about right now");
    }
    match kind {
        ActKind::Requeue => requeue(case, payee),
        ActKind::Stop => stop(case.state),
        ActKind::Resume if case.state == PaymentState::Stopped => requeue(case, payee),
        ActKind::Resume => Err("is not stopped"),
    }
}

fn requeue(case: &Case, payee: Abilities) -> Result<Remedy, &'static str> {
    use PaymentState as S;
    let remedy = match case.state {
        // The payee's own word, or no byte ever left us: certainly not credited.
        S::Failed | S::Refused => Remedy::Pay,
        S::Unknown | S::Waiting | S::Stopped if may_be_paid(case, payee) => Remedy::Pay,
        S::Unknown | S::Waiting | S::Stopped if payee.offers_status => Remedy::Status,
        S::Unknown | S::Waiting | S::Stopped => {
            return Err(
                "may have been credited, its payee could credit it twice and cannot be asked: find out, then name it with --certain",
            );
        }
        other => return Err(not_stuck(other)),
    };
    match (case.due, remedy) {
        (Some(Act::Pay), Remedy::Pay) | (Some(Act::Status), Remedy::Status) => Err("is due already"),
        _ => Ok(remedy),
    }
}

/// Whether sending it again can do no harm. A payee that answered `pending` has it, so having been reached at all is
/// enough to make a payee that credits twice dangerous.
fn may_be_paid(case: &Case, payee: Abilities) -> bool {
    payee.idempotent || case.certain || !case.reached
}

fn stop(state: PaymentState) -> Result<Remedy, &'static str> {
    use PaymentState as S;
    match state {
        S::Accepted | S::Waiting => Ok(Remedy::Stop),
        S::Unknown => Err("may have been credited: the payee's word ends that, or an operator's (settle)"),
        S::Failed | S::Refused => Err("is not sent any more"),
        S::Stopped => Err("is stopped already"),
        other => Err(not_stuck(other)),
    }
}

/// Why there is nothing to be done about a payment in one of the other states.
fn not_stuck(state: PaymentState) -> &'static str {
    use PaymentState as S;
    match state {
        S::Delivered => "is delivered",
        S::Revoked | S::Revoking => "is revoked, or about to be",
        S::Accepted => "is due already",
        S::Registered | S::Reported => "goes out in a register, not online",
        S::Delivering | S::Waiting | S::Refused | S::Unknown | S::Failed | S::Stopped => "is on its way",
    }
}

/// How an operator says that a payment has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// The payee has it.
    Delivered,
    /// The payee does not have it and never will.
    Refused,
}

impl Settlement {
    /// The state it leads to.
    pub fn state(self) -> PaymentState {
        match self {
            Self::Delivered => PaymentState::Delivered,
            Self::Refused => PaymentState::Refused,
        }
    }
}

/// Whether an operator may settle the payment by hand, or why not. A payment that has not gone out is stopped first, so that
/// nobody sends it at this moment.
pub fn judge_settlement(state: PaymentState, is_open: bool, to: Settlement) -> Result<(), &'static str> {
    use PaymentState as S;
    match (state, to) {
        (S::Delivering, _) => Err("is being delivered right now"),
        _ if is_open => Err("is being asked about right now"),
        (S::Refused, Settlement::Refused) => Err("is refused already"),
        (S::Waiting | S::Unknown | S::Failed | S::Stopped | S::Refused, _) => Ok(()),
        (S::Accepted, _) => Err("is about to be sent: stop it first"),
        (other, _) => Err(not_stuck(other)),
    }
}

#[cfg(test)]
mod tests {
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
    fn a_pending_one_counts_as_perhaps_credited() {
        let pending = case(S::Waiting);
        assert!(requeued(pending).is_err());
        let reached = false;
        assert_eq!(requeued(Case { reached, ..pending }), Ok(Remedy::Pay));
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
                reached: false,
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
                reached: false,
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
                assert!(settled.is_err() || state.may_become(to.state()), "{state}");
                assert!(judge_settlement(state, true, to).is_err(), "{state}");
            }
            assert!(judge_settlement(S::Unknown, false, to).is_ok());
            assert!(judge_settlement(S::Accepted, false, to).is_err());
            assert!(judge_settlement(S::Delivered, false, to).is_err());
        }
        assert!(judge_settlement(S::Refused, false, Settlement::Refused).is_err());
    }

    #[test]
    fn a_late_answer_overturns_no_settlement_and_is_not_lost() {
        let flagged = |flag| Some(Late::Flagged(flag));
        for (state, verdict, late) in [
            (S::Refused, Verdict::Accepted, flagged(Flag::CreditedAfterSettlement)),
            (S::Refused, Verdict::Refused, None),
            (S::Delivered, Verdict::Refused, flagged(Flag::PayeeDenies)),
            (S::Delivered, Verdict::AlreadyAccepted, None),
        ] {
            assert_eq!(late_answer(state, true, verdict), late, "{state} {verdict:?}");
        }
        assert_eq!(late_answer(S::Refused, false, Verdict::Accepted), Some(Late::Delivered));
        assert_eq!(late_answer(S::Delivered, false, Verdict::Refused), None);
    }

    #[test]
    fn kinds_are_those_of_the_schema() {
        let schema = include_str!("../../../../migrations/V11__acts.sql");
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
}
