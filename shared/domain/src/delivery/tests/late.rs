//! What becomes of a payment whose payee's good news came late.

use super::*;

#[test]
fn what_an_earlier_call_has_credited_is_delivered_however_the_open_one_ends() {
    for verdict in [Verdict::Accepted, Verdict::AlreadyAccepted] {
        assert_eq!(late_answer(S::Delivering, false, verdict), Some(Late::Delivered));
    }
    let open = History {
        went_out_before: true,
        credited_before: true,
        maybes: 1,
        ..history(S::Delivered, Act::Pay)
    };
    for end in [
        answered(Verdict::Refused),
        answered(Verdict::AlreadyAccepted),
        answered(Verdict::Pending),
        answered(Verdict::TryLater),
        maybe(false),
        end(Ending::NotSent),
    ] {
        for idempotent in [true, false] {
            let plan = plan(&open, &profile(idempotent), &end);
            assert_eq!(
                (plan.state, plan.next, plan.event),
                (S::Delivered, None, None),
                "{end:?}"
            );
        }
    }
}
