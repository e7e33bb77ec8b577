//! Whether an operator may put a payment back to work, and how. Pure, and deliberately strict: paying again where the
//! payee may have credited already, and may credit again, needs certainty per payment and never follows from a filter.

use domain::payment::PaymentState;
use store::deliveries::Requeue;

/// What the judgement is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    /// The stored state.
    pub(super) state: PaymentState,
    /// Some call to pay has reached the payee, so it may have credited it, or have it pending.
    pub(super) reached: bool,
    /// The payee credits a number once however often it is sent.
    pub(super) idempotent: bool,
    /// The payee can be asked what became of a number.
    pub(super) offers_status: bool,
    /// The operator named this payment and is certain that it was not credited.
    pub(super) certain: bool,
}

/// How the payment may be requeued, or why not.
pub(super) fn judge(case: Case) -> Result<Requeue, &'static str> {
    use PaymentState as S;
    match case.state {
        // The payee's own word, or no byte ever left us: certainly not credited.
        S::Failed | S::Refused => Ok(Requeue::Pay),
        S::Unknown | S::Waiting | S::Stopped if may_be_paid(case) => Ok(Requeue::Pay),
        S::Unknown | S::Waiting | S::Stopped if case.offers_status => Ok(Requeue::Status),
        S::Unknown | S::Waiting | S::Stopped => Err(
            "may have been credited, its payee could credit it twice and cannot be asked: find out, then name it with --certain",
        ),
        S::Delivered => Err("is delivered"),
        S::Revoked | S::Revoking => Err("is revoked, or about to be"),
        S::Accepted => Err("is due already"),
        S::Delivering => Err("is being delivered right now"),
        S::Registered | S::Reported => Err("goes out in a register, not online"),
    }
}

/// Whether sending it again can do no harm. A payee that answered `pending` has it, so having been reached at all is
/// enough to make a payee that credits twice dangerous.
fn may_be_paid(case: Case) -> bool {
    case.idempotent || case.certain || !case.reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(state: PaymentState) -> Case {
        Case {
            state,
            reached: true,
            idempotent: false,
            offers_status: false,
            certain: false,
        }
    }

    #[test]
    fn what_was_certainly_not_credited_is_paid_again() {
        for state in [PaymentState::Failed, PaymentState::Refused] {
            assert_eq!(judge(case(state)), Ok(Requeue::Pay));
        }
    }

    #[test]
    fn an_unknown_one_is_paid_again_only_where_that_is_safe_or_certain() {
        let unknown = case(PaymentState::Unknown);
        assert!(judge(unknown).unwrap_err().contains("--certain"));
        assert_eq!(
            judge(Case {
                offers_status: true,
                ..unknown
            }),
            Ok(Requeue::Status)
        );
        assert_eq!(
            judge(Case {
                offers_status: true,
                certain: true,
                ..unknown
            }),
            Ok(Requeue::Pay)
        );
        assert_eq!(
            judge(Case {
                idempotent: true,
                offers_status: true,
                ..unknown
            }),
            Ok(Requeue::Pay)
        );
    }

    #[test]
    fn a_pending_one_counts_as_perhaps_credited() {
        let pending = case(PaymentState::Waiting);
        assert!(judge(pending).is_err());
        assert_eq!(
            judge(Case {
                reached: false,
                ..pending
            }),
            Ok(Requeue::Pay)
        );
    }

    #[test]
    fn certainty_moves_nothing_that_has_an_end() {
        use PaymentState as S;
        for state in [
            S::Delivered,
            S::Revoked,
            S::Revoking,
            S::Accepted,
            S::Delivering,
            S::Registered,
            S::Reported,
        ] {
            assert!(
                judge(Case {
                    certain: true,
                    idempotent: true,
                    ..case(state)
                })
                .is_err(),
                "{state}"
            );
        }
    }
}
