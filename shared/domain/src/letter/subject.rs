//! What every subject names, whoever wrote its template.

use super::values::{cleaned, sequence};
use super::{Language, Letter, texts};
use crate::money::format_minor;

/// Between the two parts of an amount a template may put so many characters.
const POINT_MAX: usize = 3;

/// A subject with what it does not say by itself.
pub(super) fn completed(subject: &str, language: Language, letter: &Letter<'_>) -> String {
    let mut completed = String::with_capacity(subject.len() + 64);
    if letter.is_copy && !subject.contains("COPY") {
        completed.push_str("COPY: ");
    }
    completed.push_str(subject);
    if let Some(part) = letter.part {
        let says = |number: i32| stands_alone(subject, &number.to_string());
        if !(says(part.number) && says(part.of)) {
            completed.push_str(&format!(", {}", texts::part(language, part.number, part.of)));
        }
    }
    if !missing(subject, letter).is_empty() {
        completed.push_str(&format!(
            " [{} {}: {}, {} {}]",
            letter.payee,
            sequence(letter),
            letter.count,
            format_minor(letter.total, letter.currency),
            letter.currency
        ));
    }
    completed
}

/// Which of payee, sequence, count and total a subject does not name.
pub(super) fn missing(subject: &str, letter: &Letter<'_>) -> Vec<&'static str> {
    let name = cleaned(letter.name).to_lowercase();
    let lower = subject.to_lowercase();
    let said = [
        (
            "the payee",
            (!name.is_empty() && lower.contains(&name)) || lower.contains(&letter.payee.to_lowercase()),
        ),
        ("its sequence", stands_alone(subject, &sequence(letter))),
        ("the count", stands_alone(subject, &letter.count.to_string())),
        (
            "the total",
            names_amount(subject, &format_minor(letter.total, letter.currency)),
        ),
    ];
    said.into_iter()
        .filter(|(_, said)| !said)
        .map(|(what, _)| what)
        .collect()
}

/// Whether a number is there, and not as a piece of another.
fn stands_alone(text: &str, number: &str) -> bool {
    text.match_indices(number).any(|(at, _)| {
        let digit = |c: char| c.is_ascii_digit();
        !text[..at].ends_with(digit) && !text[at + number.len()..].starts_with(digit)
    })
}

/// Whether an amount is there, in groups or not, with whatever point.
fn names_amount(text: &str, amount: &str) -> bool {
    let squeezed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
    squeezed.match_indices(whole).any(|(at, _)| {
        let rest = &squeezed[at + whole.len()..];
        let point: usize = rest
            .chars()
            .take(POINT_MAX)
            .take_while(|c| !c.is_ascii_digit())
            .map(char::len_utf8)
            .sum();
        fraction.is_empty() || (point > 0 && rest[point..].starts_with(fraction))
    })
}
