//! Invariant 7: the provider was away, and came back.

use super::{Evidence, Line};

pub(super) fn check(evidence: &Evidence) -> Vec<Line> {
    let outage = evidence.played.outage;
    let heard = |kind: &str| {
        evidence
            .heard
            .payees
            .iter()
            .any(|(told, payee)| told == kind && payee == "isp")
    };
    let stuck = evidence.payments.iter().filter(|row| {
        ["accepted", "delivering", "waiting", "unknown", "failed", "revoking"].contains(&row.shown_state.as_str())
    });
    let stuck = stuck.count();
    let left = evidence.quiet.left;
    vec![
        Line::new(
            outage.noticed && outage.told_to_terminals && heard("payee.down"),
            "the provider was away: told as payee.down, and its checks as unavailable",
        ),
        Line::new(
            heard("payee.up") && left.breakers == 0,
            "it was asked until it was back: told as payee.up",
        ),
        Line::new(
            stuck == 0 && outage.waiting > 0,
            format!(
                "{} payments waited for it then, {stuck} have no end now",
                outage.waiting
            ),
        ),
        Line::new(
            evidence.quiet.is_quiet(),
            if evidence.quiet.is_quiet() {
                format!(
                    "everything was quiet {:.1} s after the day was closed",
                    evidence.quiet.after.as_secs_f64()
                )
            } else {
                format!("still under way: {left:?}")
            },
        ),
    ]
}
