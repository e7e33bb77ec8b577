//! Invariant 6: the operator's acts.

use uuid::Uuid;

use super::{Evidence, Line};

pub(super) fn check(evidence: &Evidence) -> Vec<Line> {
    vec![put_back(evidence), discarded(evidence)]
}

fn put_back(evidence: &Evidence) -> Line {
    let acts = &evidence.played.acts;
    let Some((parked_id, payment_id)) = acts.put_back else {
        return Line::new(false, "nothing was put back");
    };
    let (allowed, denied) = noted(evidence, parked_id, "parked put-back");
    let resolved = evidence
        .parked
        .iter()
        .any(|row| row.parked_id == parked_id && row.state == "resolved");
    let stored = evidence
        .payments
        .iter()
        .filter(|row| row.payment_id.as_uuid() == payment_id)
        .count();
    let holds = acts.clicks_that_counted == 1 && allowed == 1 && denied == 1 && resolved && stored == 1;
    Line::new(
        holds,
        format!(
            "a misspelt payee was set right and put back with two clicks at once: {} counted, {allowed} allowed and \
             {denied} denied in the audit log, {stored} payment stored under its id",
            acts.clicks_that_counted
        ),
    )
}

fn discarded(evidence: &Evidence) -> Line {
    let Some(parked_id) = evidence.played.acts.discarded else {
        return Line::new(false, "nothing was settled by hand");
    };
    let (allowed, _) = noted(evidence, parked_id, "parked discard");
    let state = evidence
        .parked
        .iter()
        .find(|row| row.parked_id == parked_id)
        .map_or("gone", |row| row.state.as_str());
    Line::new(
        allowed == 1 && state == "discarded",
        format!("another was settled by hand: it is {state}, {allowed} entry in the audit log"),
    )
}

/// How often an act on a parked fact is noted as allowed, and as denied.
fn noted(evidence: &Evidence, parked_id: Uuid, act: &str) -> (usize, usize) {
    let entries = evidence.audit.get(&parked_id).map(Vec::as_slice).unwrap_or_default();
    let count = |allowed| {
        entries
            .iter()
            .filter(|entry| entry.act == act && entry.allowed == allowed)
            .count()
    };
    (count(true), count(false))
}
