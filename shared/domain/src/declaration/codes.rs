//! What a payee's codes mean. A code that is in no table means nothing: after a payment it is a *maybe*.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Findings;
use super::described::Parsing;

/// The most codes of a table, and the longest of them in characters.
const CODES_MAX: usize = 500;
const CODE_MAX: usize = 100;

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Meaning {
    /// Done: credited, taken back, may be paid.
    Success,
    /// Done before.
    AlreadyDone,
    /// Taken, not decided: it is asked about, and never sent again to a payee that is not idempotent.
    Pending,
    /// Begun and not finished, and the payee wants the same request again: so it is, by the payee's own word, to any
    /// payee. It may have been credited until a later answer says so or not.
    Unfinished,
    /// Not done, and the payee wants the same request again.
    Retry,
    /// No, for good.
    Refused,
    /// No: there is no such account.
    AccountNotFound,
    /// No: the account takes no payments.
    AccountInactive,
    /// No: too little or too much.
    AmountOutOfRange,
    /// The number is not known.
    NotFound,
    /// Credited and taken back.
    Cancelled,
    /// The number is known with another content.
    NumberConflict,
}

/// A table of codes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Codes(BTreeMap<String, Meaning>);

impl Codes {
    /// The codes of the OSMP provider protocol as its payees use them.
    pub fn osmp() -> Self {
        use Meaning as M;
        let table = [
            ("0", M::Success),
            ("1", M::Retry),
            ("4", M::AccountNotFound),
            ("5", M::AccountNotFound),
            ("7", M::Refused),
            ("8", M::Refused),
            ("10", M::Refused),
            ("40", M::Refused),
            ("79", M::AccountInactive),
            ("90", M::Unfinished),
            ("241", M::AmountOutOfRange),
            ("242", M::AmountOutOfRange),
            ("243", M::Refused),
            ("300", M::Refused),
        ];
        Self(
            table
                .into_iter()
                .map(|(code, meaning)| (code.to_owned(), meaning))
                .collect(),
        )
    }

    /// This table with another's entries in the place of its own.
    #[must_use]
    pub fn overridden_by(mut self, other: &Self) -> Self {
        self.0
            .extend(other.0.iter().map(|(code, meaning)| (code.clone(), *meaning)));
        self
    }

    /// What a code means, if anybody said.
    pub fn meaning(&self, code: &str, parsing: Parsing) -> Option<Meaning> {
        let any_case = || {
            let mut same = self
                .0
                .iter()
                .filter(|(known, _)| known.to_lowercase() == code.to_lowercase());
            same.next().map(|(_, meaning)| *meaning)
        };
        match parsing {
            Parsing::Strict => self.0.get(code).copied(),
            Parsing::Lenient => self.0.get(code).copied().or_else(any_case),
        }
    }

    /// Whether no code is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether some code means this.
    pub fn has(&self, meaning: Meaning) -> bool {
        self.0.values().any(|known| *known == meaning)
    }

    pub(super) fn check(&self, field: &str, found: &mut Findings) {
        found.refuse_if(self.0.len() > CODES_MAX, field, "has more than 500 codes");
        for code in self.0.keys() {
            let wrong = code.trim() != code || code.is_empty() || code.chars().count() > CODE_MAX;
            let place = format!("{field}.{code}");
            found.refuse_if(
                wrong,
                &place,
                "a code has from 1 to 100 characters and no white space around it",
            );
        }
    }
}
