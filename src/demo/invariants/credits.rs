//! Invariant 3: what the provider's own tables hold, against what was delivered.

use domain::payment::PaymentState;

use super::{Evidence, Line};

pub(super) fn check(evidence: &Evidence) -> Vec<Line> {
    let mut delivered: Vec<(i64, i64)> = evidence
        .payments
        .iter()
        .filter(|row| row.gateway == "unikassa" && row.state == PaymentState::Delivered)
        .map(|row| (row.number.get(), row.amount))
        .collect();
    delivered.sort_unstable();
    let total: i64 = delivered.iter().map(|(_, amount)| amount).sum();
    let held = &evidence.holdings;
    let same = if held.each == delivered {
        "number by number the same"
    } else {
        "number by number they differ"
    };
    let maybes: i32 = evidence.payments.iter().map(|row| row.maybes).sum();
    vec![
        Line::new(
            held.rows == held.numbers,
            format!(
                "the provider's database holds {} payments under {} numbers",
                held.rows, held.numbers
            ),
        ),
        Line::new(
            held.each == delivered,
            format!(
                "it holds {} payments, {} minor units; delivered: {}, {total}; {same}",
                held.rows,
                held.total,
                delivered.len()
            ),
        ),
        Line::new(
            held.credited == total,
            format!("its subscribers' balances grew by {}", held.credited),
        ),
        Line::new(
            maybes > 0,
            format!("calls that may have been credited and were made again under the same number: {maybes}"),
        ),
    ]
}
