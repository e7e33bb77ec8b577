//! Invariant 1: what terminals were told was accepted, against the rows.

use std::collections::BTreeMap;

use domain::payment::PaymentState;
use store::payments::PaymentRow;
use uuid::Uuid;

use super::{Evidence, Line};
use crate::demo::memory::Taken;

pub(super) fn check(evidence: &Evidence) -> Vec<Line> {
    let rows: BTreeMap<Uuid, &PaymentRow> = evidence
        .payments
        .iter()
        .map(|row| (row.payment_id.as_uuid(), row))
        .collect();
    let accepted: BTreeMap<Uuid, &Taken> = evidence
        .recollection
        .payments
        .iter()
        .filter(|(_, taken)| taken.number.is_some())
        .map(|(id, taken)| (*id, taken))
        .collect();
    let mut amiss = Vec::new();
    for (id, taken) in &accepted {
        match rows.get(id) {
            None => amiss.push(format!("{id} was accepted and is not stored")),
            Some(row) => amiss.extend(differences(taken, row).map(|what| format!("{id}: {what}"))),
        }
    }
    amiss.extend(
        rows.keys()
            .filter(|id| !accepted.contains_key(id))
            .map(|id| format!("{id} is stored, nobody took it")),
    );
    let sum = |amounts: &mut dyn Iterator<Item = i64>| -> i64 { amounts.sum() };
    let told = sum(&mut accepted.values().map(|taken| taken.amount));
    let stored = sum(&mut rows.values().map(|row| row.amount));
    vec![
        Line::unless(
            &amiss,
            format!(
                "{} payments accepted as the terminals remember, {told} minor units; {} rows, {stored}",
                accepted.len(),
                rows.len()
            ),
        ),
        by_state(
            evidence.payments.iter().map(|row| &*row.shown_state),
            &evidence.in_states,
        ),
    ]
}

fn differences<'a>(taken: &'a Taken, row: &'a PaymentRow) -> impl Iterator<Item = String> + 'a {
    let number = row.number.to_string();
    let equal = |what: &str, told: &str, stored: &str| {
        (told != stored).then(|| format!("{what} {told} as told, {stored} as stored"))
    };
    let revoked = row.state == PaymentState::Revoked;
    [
        equal("number", taken.number.as_deref().unwrap_or_default(), &number),
        equal("payee", &taken.payee, &row.payee),
        equal("terminal", &taken.terminal, &row.terminal),
        equal("account", &taken.account, &row.account),
        equal("amount", &taken.amount.to_string(), &row.amount.to_string()),
        equal("fee", &taken.fee.to_string(), &row.fee.to_string()),
        equal("revoked", &taken.revoked.to_string(), &revoked.to_string()),
    ]
    .into_iter()
    .flatten()
}

/// What readers are shown of each payment, beside what the database counts past that.
fn by_state<'a>(shown: impl Iterator<Item = &'a str>, counted: &BTreeMap<String, i64>) -> Line {
    let mut states: BTreeMap<String, i64> = BTreeMap::new();
    for state in shown {
        *states.entry(state.to_owned()).or_default() += 1;
    }
    let mut text = format!("by state, as shown and as counted: {}", told_states(&states));
    if states != *counted {
        text = format!(
            "by state: {} as shown; {} as counted",
            told_states(&states),
            told_states(counted)
        );
    }
    Line::new(states == *counted, text)
}

fn told_states(states: &BTreeMap<String, i64>) -> String {
    states
        .iter()
        .map(|(state, count)| format!("{count} {state}"))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_held_against_what_is_counted() {
        let counted = |states: &[(&str, i64)]| states.iter().map(|(state, n)| ((*state).to_owned(), *n)).collect();
        let shown = ["delivered", "reported", "delivered"];
        assert!(by_state(shown.into_iter(), &counted(&[("delivered", 2), ("reported", 1)])).holds);
        for other in [
            &[("delivered", 3)][..],
            &[("delivered", 2)],
            &[("delivered", 2), ("registered", 1)],
        ] {
            assert!(!by_state(shown.into_iter(), &counted(other)).holds, "{other:?}");
        }
    }
}
