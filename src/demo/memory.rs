//! What the terminals remember: what they have sent, what they were answered, and what surprised them. It is the other
//! side's account of the day, and shares nothing with the database it is compared with.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use super::till::WAITS_FOR_A_PAYEE;

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

/// What else is sent meanwhile: two times of the day are alike but for this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Company {
    /// Nothing is compared.
    #[default]
    Any,
    /// Bad ones are among them.
    WithBadOnes,
    /// The same mixture without.
    WithoutBadOnes,
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
    /// Tellings of facts that had got no answer.
    pub(super) told_again: u64,
    /// Questions that no payee answered in time.
    pub(super) given_up: u64,
    /// What is going on.
    company: Company,
    /// How long good messages waited for their answers, and what was going on.
    waits: Vec<(Company, Duration)>,
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
            let outcome = in_short(answer);
            if key != WAITS_FOR_A_PAYEE && !outcome.starts_with("refused") {
                all.waits.push((all.company, after));
            }
            *all.outcomes.entry((key.to_owned(), outcome)).or_default() += 1;
        });
    }

    /// A fact got no answer and is told once more.
    pub(super) fn told_again(&self) {
        self.note(|all| all.told_again += 1);
    }

    /// A question got no answer in time. Only one that waits for a payee may.
    pub(super) fn unanswered(&self, key: &str, after: Duration) {
        if key == WAITS_FOR_A_PAYEE {
            self.note(|all| all.given_up += 1);
        } else {
            self.surprise(format!("{key}: no answer within {} s", after.as_secs()));
        }
    }

    /// What is going on from now on.
    pub(super) fn in_company(&self, company: Company) {
        self.note(|all| all.company = company);
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

    /// Notes a surprise unless exactly one of the tellings of a fact had this outcome.
    pub(super) fn expect_once(&self, key: &str, tellings: &[Option<Value>], outcome: &str) {
        let times = tellings
            .iter()
            .flatten()
            .filter(|answer| in_short(answer) == outcome)
            .count();
        if times != 1 {
            let all = tellings.len();
            self.surprise(format!("{key}: {times} of {all} tellings were answered `{outcome}`"));
        }
    }
}

impl Recollection {
    /// The longest any well-formed message but a check waited for its answer; checks wait for the payee.
    pub(super) fn longest_wait(&self) -> (String, Duration) {
        let kinds = self.kinds.iter().filter(|(key, _)| *key != WAITS_FOR_A_PAYEE);
        let longest = kinds.max_by_key(|(_, kind)| kind.longest);
        longest
            .map(|(key, kind)| (key.clone(), kind.longest))
            .unwrap_or_default()
    }

    /// Within what time nine of ten good messages were answered that were sent in this company; none if none were. One
    /// in ten may meet with a machine that has other things to do; whatever holds up a queue holds up more.
    pub(super) fn nine_of_ten(&self, company: Company) -> Option<Duration> {
        let mut waits: Vec<Duration> = self
            .waits
            .iter()
            .filter(|(kept, _)| *kept == company)
            .map(|(_, wait)| *wait)
            .collect();
        waits.sort_unstable();
        waits.get((waits.len() * 9).div_ceil(10).saturating_sub(1)).copied()
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

    #[test]
    fn only_what_waits_for_a_payee_may_go_unanswered() {
        let memory = Memory::default();
        memory.unanswered("payment.check", Duration::from_secs(10));
        assert_eq!(memory.recollect().surprises, Vec::<String>::new());
        memory.unanswered("card.reserve", Duration::from_secs(10));
        let all = memory.recollect();
        assert_eq!(
            (all.given_up, &*all.surprises),
            (1, &["card.reserve: no answer within 10 s".to_owned()][..])
        );
    }

    #[test]
    fn waits_are_kept_apart_by_what_was_going_on() {
        let memory = Memory::default();
        let answered = |millis: u64, outcome: &str| {
            memory.answered(
                "card.sell",
                &json!({ "outcome": outcome }),
                Duration::from_millis(millis),
            );
        };
        answered(9000, "sold");
        memory.in_company(Company::WithBadOnes);
        (1..=10).for_each(|tenth| answered(tenth * 100, "sold"));
        answered(5000, "refused");
        memory.in_company(Company::WithoutBadOnes);
        answered(7, "sold");
        let all = memory.recollect();
        assert_eq!(all.nine_of_ten(Company::WithBadOnes), Some(Duration::from_millis(900)));
        assert_eq!(all.nine_of_ten(Company::WithoutBadOnes), Some(Duration::from_millis(7)));
        assert_eq!(Recollection::default().nine_of_ten(Company::WithBadOnes), None);
    }
}
