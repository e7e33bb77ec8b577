//! Invariant 5: answers and events, against the rows.

use std::time::Duration;

use uuid::Uuid;

use super::{Evidence, Line};
use crate::demo::memory::{Company, Recollection};
use crate::demo::till::QUESTION_PATIENCE;
use crate::demo::witness::Heard;

/// By how much a wait may be longer amid bad ones: a busy machine does that much to two equal times of the day. A batch that
/// stands still for a second at each bad one waits longer, also where terminals and bad ones are few.
const TIMES_AS_LONG: u32 = 3;
const SLACK: Duration = Duration::from_millis(500);

pub(super) fn check(evidence: &Evidence) -> Vec<Line> {
    vec![
        answers(&evidence.recollection),
        events(&evidence.must_have_been_told, &evidence.heard),
        listeners(evidence),
        longest_wait(&evidence.recollection),
        beside_bad_ones(&evidence.recollection, evidence.parked.len()),
    ]
}

/// What came of every message is in the other invariants; here: that every message got an answer, and a sensible one.
fn answers(recollection: &Recollection) -> Line {
    let (sent, answered) = recollection.totals();
    let (again, given_up) = (recollection.told_again, recollection.given_up);
    let mut line = Line::unless(
        &recollection.surprises,
        format!(
            "{sent} messages, {again} of them facts told again, {given_up} checks that a payee left unanswered; \
             {answered} answers, none that the contract does not let a terminal expect"
        ),
    );
    line.holds &= sent == answered + again + given_up;
    line
}

/// An event may come again under its id: at least once is what is promised. Two events of one thing are another matter:
/// an event is written in the transaction of what happened, and on this day nothing happens twice to the same.
fn events(must_have_been_told: &[(String, Uuid)], heard: &Heard) -> Line {
    let missing = must_have_been_told
        .iter()
        .filter(|fact| !heard.told.contains_key(*fact))
        .map(|(kind, id)| format!("{kind} of {id} was not heard"));
    let twice = heard
        .told
        .iter()
        .filter(|(_, times)| **times > 1)
        .map(|((kind, id), times)| format!("{kind} of {id} was told {times} times under different ids"));
    let amiss: Vec<String> = missing.chain(twice).collect();
    let count: u64 = heard.kinds.values().sum();
    Line::unless(
        &amiss,
        format!(
            "{} facts stored, each heard once, in {count} events",
            must_have_been_told.len()
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

fn longest_wait(recollection: &Recollection) -> Line {
    let (key, longest) = recollection.longest_wait();
    Line::new(
        longest < QUESTION_PATIENCE,
        format!(
            "longest wait for an answer {} ms ({key}), a fact's from its first telling; a kiosk waits {} s",
            longest.as_millis(),
            QUESTION_PATIENCE.as_secs()
        ),
    )
}

/// The morning, which has the bad ones, beside the evening, which is the same mixture without: on the same machine, on the
/// same day.
fn beside_bad_ones(recollection: &Recollection, bad: usize) -> Line {
    let (with, without) = (Company::WithBadOnes, Company::WithoutBadOnes);
    let (Some(with), Some(without)) = (recollection.nine_of_ten(with), recollection.nine_of_ten(without)) else {
        return Line::new(false, "no waits to compare");
    };
    let bound = without * TIMES_AS_LONG + SLACK;
    Line::new(
        with < bound && bad > 0,
        format!(
            "nine of ten good ones answered within {} ms beside {bad} that were parked, and within {} ms with none such \
             about; allowed {} ms ({TIMES_AS_LONG} times that and {} ms)",
            with.as_millis(),
            without.as_millis(),
            bound.as_millis(),
            SLACK.as_millis()
        ),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::demo::memory::Memory;

    fn day(morning: u64, evening: u64) -> Recollection {
        let memory = Memory::default();
        for (company, millis) in [(Company::WithBadOnes, morning), (Company::WithoutBadOnes, evening)] {
            memory.in_company(company);
            memory.sent("card.sell");
            memory.answered("card.sell", &json!({"outcome": "sold"}), Duration::from_millis(millis));
        }
        memory.recollect()
    }

    #[test]
    fn bad_ones_that_delay_others_are_seen() {
        for (morning, evening, holds) in [
            (300, 20, true),
            (550, 20, true),
            (570, 20, false),
            (1400, 770, true),
            (4900, 1500, true),
            // A second at each of twelve, as it was seen once.
            (3429, 503, false),
        ] {
            let line = beside_bad_ones(&day(morning, evening), 8);
            assert_eq!(line.holds, holds, "{}", line.text);
        }
        assert!(!beside_bad_ones(&day(20, 20), 0).holds);
        assert!(!beside_bad_ones(&Recollection::default(), 8).holds);
    }

    #[test]
    fn an_event_told_twice_is_amiss_and_one_that_came_again_is_not() {
        let id = Uuid::from_u128(7);
        let sold = ("card.sold".to_owned(), id);
        let after = |event_ids: &[&str]| {
            let mut heard = Heard::default();
            for event_id in event_ids {
                let body = json!({"event_id": event_id, "items": [{"reservation_id": id}]}).to_string();
                heard.take("card.sold", Some(event_id), body.as_bytes());
            }
            events(std::slice::from_ref(&sold), &heard).holds
        };
        assert!(after(&["e1"]) && after(&["e1", "e1"]));
        assert!(!after(&["e1", "e2"]) && !after(&[]));
    }

    #[test]
    fn what_was_not_answered_is_missed() {
        let memory = Memory::default();
        memory.sent("payment.check");
        assert!(!answers(&memory.recollect()).holds);
        memory.unanswered("payment.check", QUESTION_PATIENCE);
        assert!(answers(&memory.recollect()).holds);
        memory.sent("card.reserve");
        memory.unanswered("card.reserve", QUESTION_PATIENCE);
        assert!(!answers(&memory.recollect()).holds);
    }
}
