//! Invariant 8: the secrets of all cards, searched for wherever they must not be.

use super::{Evidence, Line};

pub(super) fn check(evidence: &Evidence) -> Vec<Line> {
    let stock = &evidence.stock;
    let bytes: usize = evidence.haystacks.iter().map(|(_, text)| text.len()).sum();
    let found: Vec<String> = evidence
        .haystacks
        .iter()
        .map(|(name, text)| (name, stock.secrets_in(text)))
        .filter(|(_, found)| *found > 0)
        .map(|(name, found)| format!("{found} in {name}"))
        .collect();
    let searched = format!(
        "the secrets of {} cards searched for in log, metrics, events, sealed answers and {} tables ({} KiB)",
        stock.cards,
        evidence
            .haystacks
            .iter()
            .filter(|(name, _)| name.starts_with("the table"))
            .count(),
        bytes / 1024
    );
    // A search that finds nothing in the files the cards came in is no search.
    let sharp = stock.files.iter().all(|file| {
        let rows = file.text.lines().count() - 1;
        stock.secrets_in(file.text.as_bytes()) == 2 * rows
    });
    vec![
        Line::unless(&found, searched),
        Line::new(sharp, "the same search finds every one of them in the card files"),
        Line::new(
            !evidence.recollection.sealed.is_empty(),
            format!(
                "{} answers came sealed to their terminal, which opened them",
                evidence.recollection.sealed.len()
            ),
        ),
    ]
}
