//! Invariant 5: answers and events, against the rows.

use std::time::Duration;

use super::{Evidence, Line};
use crate::demo::till::QUESTION_PATIENCE;

pub(super) fn check(evidence: &Evidence) -> Vec<Line> {
    vec![
        answers(evidence),
        events(evidence),
        listeners(evidence),
        waits(evidence),
    ]
}

/// What came of every message is in the other invariants; here: that every message got an answer, and a sensible one.
fn answers(evidence: &Evidence) -> Line {
    let (sent, answered) = evidence.recollection.totals();
    Line::unless(
        &evidence.recollection.surprises,
        format!("{sent} messages, {answered} answers, none that the contract does not let a terminal expect"),
    )
}

fn events(evidence: &Evidence) -> Line {
    let heard = &evidence.heard;
    let missing: Vec<String> = evidence
        .must_have_been_told
        .iter()
        .filter(|fact| !heard.told.contains_key(*fact))
        .map(|(kind, id)| format!("{kind} of {id} was not heard"))
        .collect();
    let count: u64 = heard.kinds.values().sum();
    Line::unless(
        &missing,
        format!(
            "{} facts stored, each heard in one of {count} events",
            evidence.must_have_been_told.len()
        ),
    )
}

fn listeners(evidence: &Evidence) -> Line {
    let heard = &evidence.heard;
    Line::unless(
        &heard.wrong,
        format!(
            "events read as promised; {} came more than once under one id",
            heard.repeats
        ),
    )
}

fn waits(evidence: &Evidence) -> Line {
    let (key, longest) = evidence.recollection.longest_wait();
    let bad = evidence.parked.len();
    let longest_ms = longest.as_millis();
    let bound: Duration = QUESTION_PATIENCE;
    Line::new(
        longest < bound,
        format!(
            "longest wait for an answer {longest_ms} ms ({key}), beside {bad} parked; a kiosk waits {} s",
            bound.as_secs()
        ),
    )
}
