//! What the terminals remember: what they have sent, what they were answered, and what surprised them. It is the other
//! side's account of the day, and shares nothing with the database it is compared with.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

/// What a terminal knows of a payment it took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) payee: String,
    pub(super) terminal: String,
    pub(super) account: String,
    pub(super) amount: i64,
    pub(super) fee: i64,
    /// As answered; none = not accepted.
    pub(super) number: Option<String>,
    /// It was answered that it is taken back.
    pub(super) revoked: bool,
}

/// What a terminal knows of a card it reserved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CardTold {
    pub(super) product: String,
    /// As answered; none = no card.
    pub(super) serial: Option<String>,
    /// Every answer about its end, in the order of arrival.
    pub(super) ends: Vec<String>,
    /// The sale was answered to be late.
    pub(super) late: bool,
}

/// Messages of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) sent: u64,
    pub(super) answered: u64,
    pub(super) longest: Duration,
}

/// Everything remembered.
#[derive(Clone, Debug, Default)]
pub(super) struct Recollection {
    pub(super) kinds: BTreeMap<String, Kind>,
    pub(super) outcomes: BTreeMap<(String, String), u64>,
    pub(super) payments: BTreeMap<Uuid, Taken>,
    pub(super) cards: BTreeMap<Uuid, CardTold>,
    /// Sealed answers, as they came.
    pub(super) sealed: Vec<String>,
    /// Facts that were never answered, and answers that the contract does not let a terminal expect.
    pub(super) surprises: Vec<String>,
}

/// Shared by all terminals.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<Recollection>);

impl Memory {
    /// Changes what is remembered.
    pub(super) fn note<T>(&self, change: impl FnOnce(&mut Recollection) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A copy of everything.
    pub(super) fn recollect(&self) -> Recollection {
        self.note(|all| all.clone())
    }

    /// A message went out.
    pub(super) fn sent(&self, key: &str) {
        self.note(|all| all.kinds.entry(key.to_owned()).or_default().sent += 1);
    }

    /// Its answer came.
    pub(super) fn answered(&self, key: &str, answer: &Value, after: Duration) {
        self.note(|all| {
            let kind = all.kinds.entry(key.to_owned()).or_default();
            kind.answered += 1;
            kind.longest = kind.longest.max(after);
            *all.outcomes.entry((key.to_owned(), in_short(answer))).or_default() += 1;
        });
    }

    /// Something the contract does not let a terminal expect. Never what an answer holds: it may hold a card.
    pub(super) fn surprise(&self, what: impl Into<String>) {
        let what = what.into();
        self.note(|all| all.surprises.push(what));
    }

    /// Notes a surprise unless the answer is one of these, each an outcome or `refused <reason>`.
    pub(super) fn expect(&self, key: &str, answer: &Value, expected: &[&str]) -> bool {
        let came = in_short(answer);
        let fits = expected.contains(&came.as_str());
        if !fits {
            self.surprise(format!("{key}: `{came}` instead of `{}`", expected.join("` or `")));
        }
        fits
    }
}

impl Recollection {
    /// The longest any well-formed message but a check waited for its answer; checks wait for the payee.
    pub(super) fn longest_wait(&self) -> (String, Duration) {
        let kinds = self.kinds.iter().filter(|(key, _)| *key != "payment.check");
        let longest = kinds.max_by_key(|(_, kind)| kind.longest);
        longest
            .map(|(key, kind)| (key.clone(), kind.longest))
            .unwrap_or_default()
    }

    /// Messages sent and answers that came.
    pub(super) fn totals(&self) -> (u64, u64) {
        self.kinds.values().fold((0, 0), |(sent, answered), kind| {
            (sent + kind.sent, answered + kind.answered)
        })
    }
}

/// `sold`, or `refused out_of_stock`.
pub(super) fn in_short(answer: &Value) -> String {
    let text = |name: &str| answer[name].as_str().unwrap_or_default();
    match (text("outcome"), text("reason")) {
        (outcome, "") => outcome.to_owned(),
        (outcome, reason) => format!("{outcome} {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_not_expected_is_told_without_what_it_holds() {
        let memory = Memory::default();
        let answer = json!({"outcome": "reserved", "card": {"fields": {"pin": "8231 4410 7741 0932"}}});
        assert!(memory.expect("card.reserve", &answer, &["reserved"]));
        assert!(!memory.expect(
            "card.reserve",
            &answer,
            &["refused out_of_stock", "refused limit_reached"]
        ));
        assert_eq!(
            in_short(&json!({"outcome": "refused", "reason": "revoked"})),
            "refused revoked"
        );
        let surprises = memory.recollect().surprises;
        assert_eq!(
            surprises,
            ["card.reserve: `reserved` instead of `refused out_of_stock` or `refused limit_reached`"]
        );
    }

    #[test]
    fn the_longest_wait_is_of_what_we_answer_ourselves() {
        let memory = Memory::default();
        for (key, millis) in [("payment.check", 4000), ("card.sell", 30), ("card.reserve", 20)] {
            memory.sent(key);
            memory.answered(key, &json!({"outcome": "ok"}), Duration::from_millis(millis));
        }
        let all = memory.recollect();
        assert_eq!(all.longest_wait(), ("card.sell".to_owned(), Duration::from_millis(30)));
        assert_eq!(all.totals(), (3, 3));
    }
}
