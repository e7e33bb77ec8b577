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
    let by_state: i64 = in_states(evidence).values().sum();
    vec![
        Line::unless(
            &amiss,
            format!(
                "{} payments accepted as the terminals remember, {told} minor units; {} rows, {stored}",
                accepted.len(),
                rows.len()
            ),
        ),
        Line::new(
            usize::try_from(by_state) == Ok(rows.len()),
            format!("by state: {}", told_states(&in_states(evidence))),
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

/// How many payments are in which state, as readers call it.
pub(super) fn in_states(evidence: &Evidence) -> BTreeMap<String, i64> {
    let mut states = BTreeMap::new();
    for row in &evidence.payments {
        *states.entry(row.shown_state.clone()).or_default() += 1;
    }
    states
}

fn told_states(states: &BTreeMap<String, i64>) -> String {
    states
        .iter()
        .map(|(state, count)| format!("{count} {state}"))
        .collect::<Vec<_>>()
        .join(", ")
}
