//! The payee's books: what each number came to, and the answers that follow from it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::request::{Request, Verb};

/// What became of a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryState {
    /// Neither credited nor refused yet.
    Pending,
    /// Credited.
    Credited,
    /// Refused, with the reason.
    Refused(String),
    /// Credited and taken back.
    Cancelled,
}

/// One number in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What became of it.
    pub state: EntryState,
    /// How many times it was credited; more than once only when the payee is not idempotent.
    pub credits: u32,
    /// The pay request that made the entry.
    pub pay: Value,
}

impl Entry {
    /// A text member of the pay request.
    pub fn text(&self, member: &str) -> Option<&str> {
        self.pay.get(member)?.as_str()
    }

    /// The amount of the pay request, in minor units.
    pub fn amount(&self) -> i64 {
        self.pay["amount"].as_i64().unwrap_or(0)
    }

    /// Whether a repeated pay is about the same thing.
    fn same(&self, pay: &Value) -> bool {
        ["payment_id", "account", "amount"]
            .iter()
            .all(|member| self.pay.get(member) == pay.get(member))
    }
}

/// What a repeated pay meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Repeats {
    /// It is known: credited once.
    #[default]
    Known,
    /// It is credited again.
    Credited,
    /// It is turned down as a duplicate, although the first one was credited.
    TurnedDown,
}

pub(super) struct Ledger {
    pub(super) repeats: Repeats,
    pub(super) credits_on_check: bool,
    pub(super) entries: BTreeMap<String, Entry>,
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self {
            repeats: Repeats::Known,
            credits_on_check: false,
            entries: BTreeMap::new(),
        }
    }

    /// Carries a request out and says what a well-behaved payee answers.
    pub(super) fn carry_out(&mut self, verb: Verb, request: &Request) -> Value {
        let number = request.number().unwrap_or_default();
        match verb {
            Verb::Check => {
                if self.credits_on_check {
                    self.pay(&number, &request.body);
                }
                json!({"result": "payable", "display": "a scripted payee"})
            }
            Verb::Pay => self.pay(&number, &request.body),
            Verb::Status => self.status(&number),
            Verb::Cancel => self.cancel(&number),
            Verb::List => self.list(),
        }
    }

    fn pay(&mut self, number: &str, pay: &Value) -> Value {
        let entry = self.entries.entry(number.to_owned()).or_insert_with(|| Entry {
            state: EntryState::Refused(String::new()),
            credits: 0,
            pay: pay.clone(),
        });
        if self.repeats == Repeats::TurnedDown && entry.credits > 0 {
            return json!({"result": "duplicate"});
        }
        if self.repeats == Repeats::Known && entry.credits > 0 {
            if !entry.same(pay) {
                return refused("number_conflict");
            }
            if entry.state == EntryState::Credited {
                return json!({"result": "already_accepted", "provider_reference": reference(number)});
            }
        }
        match entry.state {
            EntryState::Cancelled => refused("cancelled"),
            EntryState::Pending => json!({"result": "pending"}),
            EntryState::Credited | EntryState::Refused(_) => {
                entry.state = EntryState::Credited;
                entry.credits += 1;
                json!({"result": "accepted", "provider_reference": reference(number)})
            }
        }
    }

    fn status(&self, number: &str) -> Value {
        match self.entries.get(number).map(|entry| &entry.state) {
            Some(EntryState::Credited) => {
                json!({"result": "accepted", "provider_reference": reference(number)})
            }
            Some(EntryState::Pending) => json!({"result": "pending"}),
            Some(EntryState::Refused(reason)) => refused(reason),
            Some(EntryState::Cancelled) => json!({"result": "cancelled"}),
            None => json!({"result": "not_found"}),
        }
    }

    fn cancel(&mut self, number: &str) -> Value {
        let Some(entry) = self.entries.get_mut(number) else {
            return json!({"result": "not_found"});
        };
        match entry.state {
            EntryState::Cancelled => json!({"result": "already_cancelled"}),
            EntryState::Refused(_) => refused("never_credited"),
            EntryState::Credited | EntryState::Pending => {
                entry.state = EntryState::Cancelled;
                json!({"result": "cancelled"})
            }
        }
    }

    fn list(&self) -> Value {
        let credited = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.state == EntryState::Credited);
        let items: Vec<Value> = credited
            .map(|(number, entry)| {
                json!({
                    "number": number,
                    "amount": entry.pay["amount"],
                    "currency": entry.pay["currency"],
                    "credited_at": entry.pay["paid_at"],
                    "provider_reference": reference(number),
                })
            })
            .collect();
        json!({ "items": items })
    }

    /// Credits once more what was credited just now.
    pub(super) fn double(&mut self, request: &Request) {
        let number = request.number().unwrap_or_default();
        let credited = self
            .entries
            .get_mut(&number)
            .filter(|entry| entry.state == EntryState::Credited);
        credited.into_iter().for_each(|entry| entry.credits += 1);
    }

    /// Remembers a pay that is neither credited nor refused yet.
    pub(super) fn suspend(&mut self, request: &Request) {
        self.remember(request, EntryState::Pending);
    }

    /// Remembers a pay that is refused.
    pub(super) fn turn_down(&mut self, request: &Request, reason: &str) {
        self.remember(request, EntryState::Refused(reason.to_owned()));
    }

    fn remember(&mut self, request: &Request, state: EntryState) {
        let number = request.number().unwrap_or_default();
        self.entries.entry(number).or_insert_with(|| Entry {
            state,
            credits: 0,
            pay: request.body.clone(),
        });
    }

    pub(super) fn settle(&mut self, number: &str) {
        if let Some(entry) = self.pending(number) {
            entry.state = EntryState::Credited;
            entry.credits += 1;
        }
    }

    pub(super) fn refuse(&mut self, number: &str, reason: &str) {
        if let Some(entry) = self.pending(number) {
            entry.state = EntryState::Refused(reason.to_owned());
        }
    }

    fn pending(&mut self, number: &str) -> Option<&mut Entry> {
        self.entries
            .get_mut(number)
            .filter(|entry| entry.state == EntryState::Pending)
    }
}

pub(super) fn refused(reason: &str) -> Value {
    json!({"result": "refused", "reason": reason})
}

fn reference(number: &str) -> String {
    format!("scripted-{number}")
}

/// Puts the echoed number in front of an answer that has none.
pub(super) fn echo(answer: Value, number: Option<&Value>) -> Value {
    match (answer, number) {
        (Value::Object(members), Some(number)) if !members.contains_key("number") => {
            let mut echoed = Map::new();
            echoed.insert("number".to_owned(), number.clone());
            echoed.extend(members);
            Value::Object(echoed)
        }
        (answer, _) => answer,
    }
}
