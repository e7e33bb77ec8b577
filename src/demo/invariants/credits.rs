//! Invariant 3: what payees' own tables hold, against what was delivered.

use domain::payment::PaymentState;

use super::{Evidence, Line};
use crate::demo::holdings::Holdings;
use crate::demo::scenario::{FINES, HOUSING};

pub(super) fn check(evidence: &Evidence) -> Vec<Line> {
    let mut lines: Vec<Line> = evidence
        .holdings
        .iter()
        .flat_map(|(payee, held)| compared(evidence, payee, held))
        .collect();
    let maybes: i32 = evidence.payments.iter().map(|row| row.maybes).sum();
    lines.push(Line::new(
        maybes > 0,
        format!("calls that may have been credited and were made again under the same number: {maybes}"),
    ));
    lines.push(for_files(evidence));
    lines
}

fn compared(evidence: &Evidence, payee: &str, held: &Holdings) -> [Line; 3] {
    let mut delivered: Vec<(i64, i64)> = evidence
        .payments
        .iter()
        .filter(|row| row.payee.as_str() == payee && row.state == PaymentState::Delivered)
        .map(|row| (row.number.get(), row.amount))
        .collect();
    delivered.sort_unstable();
    let total: i64 = delivered.iter().map(|(_, amount)| amount).sum();
    let same = if held.each == delivered {
        "number by number the same"
    } else {
        "number by number they differ"
    };
    [
        Line::new(
            held.rows == held.numbers,
            format!(
                "{payee}: its database holds {} payments under {} numbers",
                held.rows, held.numbers
            ),
        ),
        Line::new(
            held.each == delivered && !delivered.is_empty(),
            format!(
                "{payee}: it holds {} payments, {} minor units; delivered: {}, {total}; {same}",
                held.rows,
                held.total,
                delivered.len()
            ),
        ),
        Line::new(
            held.credited == total,
            format!("{payee}: its payers' balances changed by {}", held.credited),
        ),
    ]
}

/// Payees with files have nothing that could be asked: what was looked up there waits for a register.
fn for_files(evidence: &Evidence) -> Line {
    let paid = evidence
        .payments
        .iter()
        .filter(|row| [FINES, HOUSING].contains(&row.payee.as_str()));
    let (mut count, mut amiss) = (0, Vec::new());
    for row in paid {
        count += 1;
        if row.state != PaymentState::Delivered {
            amiss.push(format!("{} is {}", row.payment_id, row.shown_state));
        }
    }
    Line::unless(
        &amiss,
        format!("{count} payments for a workbook and a table, to go back in their registers"),
    )
}
