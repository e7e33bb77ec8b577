//! Invariant 2: cards and reservations as terminals know them, against the rows.

use std::collections::{BTreeMap, HashMap};

use store::invariants::ReservationFact;
use uuid::Uuid;

use super::{Evidence, Line};
use crate::demo::memory::CardTold;

/// What a sweep may take on a machine that has other things to do.
const SLACK_SECONDS: f64 = 2.0;

pub(super) fn check(evidence: &Evidence) -> Vec<Line> {
    vec![
        sold_once(evidence),
        resolved_once(evidence),
        held_no_longer(evidence),
        kept_for_an_operator(evidence),
    ]
}

fn sold_once(evidence: &Evidence) -> Line {
    let mut buyers: HashMap<(&str, &str), Vec<Uuid>> = HashMap::new();
    for (id, told) in &evidence.recollection.cards {
        if let (Some(serial), true) = (&told.serial, is_sold(told)) {
            buyers.entry((&told.product, serial)).or_default().push(*id);
        }
    }
    let amiss: Vec<String> = buyers
        .iter()
        .filter(|(_, buyers)| buyers.len() > 1)
        .map(|((product, serial), buyers)| format!("{product} {serial} was sold to {} terminals", buyers.len()))
        .collect();
    let stored = evidence.reservations.iter().filter(|one| one.state == "sold").count();
    let mut line = Line::unless(
        &amiss,
        format!("{} cards sold as terminals were told, {stored} as stored", buyers.len()),
    );
    line.holds &= stored == buyers.len();
    line
}

fn resolved_once(evidence: &Evidence) -> Line {
    let stored: HashMap<Uuid, &ReservationFact> = evidence
        .reservations
        .iter()
        .map(|one| (one.reservation_id, one))
        .collect();
    let held: Vec<(&Uuid, &CardTold)> = evidence
        .recollection
        .cards
        .iter()
        .filter(|(_, told)| told.serial.is_some())
        .collect();
    let mut amiss = Vec::new();
    for (id, told) in &held {
        let Some(found) = stored.get(*id) else {
            amiss.push(format!("{id} was answered and is not stored"));
            continue;
        };
        let expected = states_after(told);
        if !expected.contains(&found.state.as_str()) {
            amiss.push(format!("{id} is {} after {:?}", found.state, told.ends));
        }
        if found.serial != told.serial || (told.late && !found.late) {
            amiss.push(format!("{id}: not as it was told"));
        }
    }
    let with_card = evidence.reservations.iter().filter(|one| one.serial.is_some()).count();
    if with_card != held.len() {
        amiss.push(format!("{with_card} are stored"));
    }
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    evidence
        .reservations
        .iter()
        .for_each(|one| *states.entry(&one.state).or_default() += 1);
    let states: Vec<String> = states.iter().map(|(state, count)| format!("{count} {state}")).collect();
    Line::unless(
        &amiss,
        format!(
            "{} reservations answered with a card: {}",
            held.len(),
            states.join(", ")
        ),
    )
}

/// The states a reservation may be in after what its terminal was told.
fn states_after(told: &CardTold) -> &'static [&'static str] {
    let was_told = |word: &str| told.ends.iter().any(|end| end == word);
    if is_sold(told) {
        &["sold"]
    } else if was_told("conflict") {
        &["conflict"]
    } else if was_told("released") {
        &["released"]
    } else {
        // Nobody said anything any more: the clock did, or a payer who was first.
        &["expired", "superseded"]
    }
}

fn is_sold(told: &CardTold) -> bool {
    told.ends.iter().any(|end| end == "sold" || end == "already_sold")
}

fn held_no_longer(evidence: &Evidence) -> Line {
    let bound = evidence.sweep_interval + SLACK_SECONDS;
    let longest = evidence.overdue_hold;
    let late = evidence.reservations.iter().filter(|one| one.late).count();
    // Some pay after their holds every day; were none sold late, nobody would have looked at it.
    Line::new(
        longest <= bound && late > 0,
        format!(
            "longest seen hold past its end: {longest:.2} s, allowed {bound:.1} s (sweep and slack); {late} sold late"
        ),
    )
}

fn kept_for_an_operator(evidence: &Evidence) -> Line {
    let of = |state: &str| evidence.reservations.iter().filter(|one| one.state == state).count();
    let told = evidence
        .recollection
        .outcomes
        .get(&("card.sell".to_owned(), "conflict".to_owned()))
        .copied();
    let told = usize::try_from(told.unwrap_or_default()).unwrap_or(usize::MAX);
    // The day has payers of both kinds.
    Line::new(
        of("conflict") == told && told > 0 && of("superseded") > 0,
        format!(
            "paid beats held: {} superseded; {} paid for a sold card, kept as cases",
            of("superseded"),
            of("conflict")
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_decides_what_may_be_stored() {
        let told = |ends: &[&str]| CardTold {
            ends: ends.iter().map(ToString::to_string).collect(),
            ..CardTold::default()
        };
        assert_eq!(states_after(&told(&["already_sold", "sold"])), ["sold"]);
        assert_eq!(states_after(&told(&["released"])), ["released"]);
        assert_eq!(states_after(&told(&["conflict"])), ["conflict"]);
        assert_eq!(states_after(&told(&[])), ["expired", "superseded"]);
    }
}
