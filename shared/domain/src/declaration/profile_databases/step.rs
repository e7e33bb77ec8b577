//! A step of a scenario: statements in their order, what their rows mean, and what the payer is asked between them.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::super::{Findings, Pattern, Payee, check_name};
use super::DatabasesProfile;
use crate::invalid::Invalid;
use crate::scenario;
use crate::text::{deserialize_with, is_field_key};

/// The most statements of a step.
const STATEMENTS_MAX: usize = 32;
/// The longest reason of a refusal, in characters.
const REASON_MAX: usize = 64;

/// Which step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StepKind {
    /// May this account be paid?
    Check,
    /// Enter a payment.
    Pay,
    /// What became of it?
    Status,
    /// Take it back.
    Cancel,
    /// What was entered in a period?
    List,
}

impl StepKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Check, Self::Pay, Self::Status, Self::Cancel, Self::List];

    /// The section's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Pay => "pay",
            Self::Status => "status",
            Self::Cancel => "cancel",
            Self::List => "list",
        }
    }
}

/// Statements in their order, in one transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// For `check`: what the payer reads, a template of the columns that the statements returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display: Option<String>,
    /// For `check`: columns that the terminal sends back as fields of the payment, so that later steps have them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub carry: Vec<String>,
    /// What is done.
    pub statement: Vec<Statement>,
}

/// How a payment is entered, in one transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PayStep {
    /// The statements of `status` are asked first, in the same transaction: a payment they know is not entered again. For
    /// payees that have no unique key for it.
    #[serde(default, skip_serializing_if = "super::super::is_false")]
    pub ask_status_first: bool,
    /// What is done.
    pub statement: Vec<Statement>,
}

/// One statement, and what its rows mean. Those of a statement that changes rows are the rows it changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// SQL with named parameters: `:account`, `:amount`, `:number`, …, any field, and any declared column of a statement
    /// before it.
    pub sql: String,
    /// When there is no row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub none: Option<End>,
    /// When there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub several: Option<End>,
    /// What values of the first row mean; the first that fits counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<When>,
    /// For `pay`: a unique key keeps this one from being done twice. That the key is in the way means that the payment was
    /// entered before, if `status` knows it.
    #[serde(default, skip_serializing_if = "super::super::is_false")]
    pub unique: bool,
    /// For `check`: what the payer is asked once this statement has been run. Those after it are run when it is entered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ask: Vec<AskRule>,
}

/// What a value means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// Of which column.
    pub column: String,
    /// One of these, as text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub is: Vec<String>,
    /// Any but these; null is not among any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub is_not: Vec<String>,
    /// Nothing.
    #[serde(default, skip_serializing_if = "super::super::is_false")]
    pub is_null: bool,
    /// What follows.
    pub then: End,
}

/// What the payer is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskRule {
    /// Its key in `fields`, and the parameter's name.
    pub name: String,
    /// What the terminal shows, a template of what is known so far.
    pub label: String,
    /// The whole value matches this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<Pattern>,
    /// Whether it must be entered.
    #[serde(default)]
    pub required: bool,
    /// A number that is not below the one in this column: a meter does not run backwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<String>,
    /// A number that is not above the one in this column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<String>,
}

/// What follows from rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The next statement.
    GoOn,
    /// `check`: nothing more has to be looked up.
    Payable,
    /// `pay` and `status`: entered.
    Accepted,
    /// `pay`: entered before.
    AlreadyAccepted,
    /// Taken, and not decided yet: `status` is asked.
    Pending,
    /// `status` and `cancel`: the payment is not known.
    NotFound,
    /// `status` and `cancel`: taken back.
    Cancelled,
    /// `cancel`: taken back before.
    AlreadyCancelled,
    /// Not now; the same again later.
    Retry,
    /// No, for good, and why: a word of the contract (`account_not_found`), or the payee's own.
    Refused(String),
}

impl End {
    /// Reads the word of the declaration; refusals are written `refused: account_not_found`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if let Some(reason) = text.strip_prefix("refused:") {
            let reason = reason.trim();
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            if reason.is_empty() || reason.len() > REASON_MAX || !reason.chars().all(plain) {
                return Err(Invalid::new(
                    "refused",
                    "must be followed by a word: refused: account_not_found",
                ));
            }
            return Ok(Self::Refused(reason.to_owned()));
        }
        Self::WORDS
            .into_iter()
            .find(|(word, _)| *word == text)
            .map(|(_, end)| end)
            .ok_or_else(|| {
                Invalid::new(
                    "outcome",
                    "must be go_on, payable, accepted, already_accepted, pending, not_found, cancelled, \
                     already_cancelled, retry or refused: REASON",
                )
            })
    }

    const WORDS: [(&str, Self); 9] = [
        ("go_on", Self::GoOn),
        ("payable", Self::Payable),
        ("accepted", Self::Accepted),
        ("already_accepted", Self::AlreadyAccepted),
        ("pending", Self::Pending),
        ("not_found", Self::NotFound),
        ("cancelled", Self::Cancelled),
        ("already_cancelled", Self::AlreadyCancelled),
        ("retry", Self::Retry),
    ];

    /// Whether a step may end like this.
    fn is_of(&self, kind: StepKind) -> bool {
        use StepKind as K;
        match self {
            // Its rows are the answer: nothing follows from them.
            _ if kind == K::List => false,
            Self::GoOn | Self::Retry | Self::Refused(_) => true,
            Self::Payable => kind == K::Check,
            Self::Accepted | Self::Pending => matches!(kind, K::Pay | K::Status),
            Self::AlreadyAccepted => kind == K::Pay,
            Self::NotFound | Self::Cancelled => matches!(kind, K::Status | K::Cancel),
            Self::AlreadyCancelled => kind == K::Cancel,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(reason) => write!(f, "refused: {reason}"),
            other => {
                let word = Self::WORDS.into_iter().find(|(_, end)| end == other);
                f.write_str(word.map_or("", |(word, _)| word))
            }
        }
    }
}

impl Serialize for End {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for End {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_with(deserializer, "what follows", Self::parse)
    }
}

impl Step {
    pub(super) fn check(&self, kind: StepKind, payee: &Payee) -> Findings {
        let mut found = check_statements(&self.statement, kind);
        let for_checks = kind == StepKind::Check;
        found.refuse_if(
            self.display.is_some() && !for_checks,
            "display",
            "is shown by a check only",
        );
        found.refuse_if(!self.carry.is_empty() && !for_checks, "carry", "is for a check only");
        if let Some(template) = &self.display {
            found.take(scenario::check_template("display", template));
        }
        for name in &self.carry {
            let declared = payee.field.iter().any(|field| field.name == *name);
            found.refuse_if(!is_field_key(name), "carry", "must match ^[a-z][a-z0-9_]{0,31}$");
            found.refuse_if(declared, "carry", "names a field that the payer enters");
        }
        found.refuse_if(
            kind == StepKind::List && self.statement.len() > 1,
            "statement",
            "is one for a list, whose rows are the payments",
        );
        found
    }
}

impl PayStep {
    pub(super) fn check(&self, profile: &DatabasesProfile) -> Findings {
        let mut found = check_statements(&self.statement, StepKind::Pay);
        let unique = self.statement.iter().filter(|statement| statement.unique).count();
        let once = unique > 0 || self.ask_status_first || profile.file.is_some();
        found.refuse_if(
            !once,
            "statement",
            "nothing keeps a payment from being entered twice: say unique = true for the statement whose row has a unique \
             key, or ask_status_first = true",
        );
        found.refuse_if(
            unique > 1,
            "statement",
            "only one of them can be the one with unique = true",
        );
        found.refuse_if(
            self.ask_status_first && profile.status.is_none(),
            "ask_status_first",
            "needs [databases.status]: what is asked?",
        );
        found.refuse_if(
            unique > 0 && profile.status.is_none(),
            "statement",
            "unique = true needs [databases.status]: a key that is taken may be taken by something else",
        );
        found
    }
}

fn check_statements(statements: &[Statement], kind: StepKind) -> Findings {
    let mut found = Findings::default();
    found.refuse_if(statements.is_empty(), "statement", "has none");
    found.refuse_if(statements.len() > STATEMENTS_MAX, "statement", "has more than 32");
    for (at, statement) in statements.iter().enumerate() {
        found.within(&format!("statement[{at}]"), statement.check(kind));
    }
    found
}

impl Statement {
    fn check(&self, kind: StepKind) -> Findings {
        let mut found = Findings::default();
        found.refuse_if(self.sql.trim().is_empty(), "sql", "is empty");
        let mut end = |place: &str, end: &End| {
            found.refuse_if(!end.is_of(kind), place, "is no end of this step");
        };
        for (place, given) in [("none", &self.none), ("several", &self.several)] {
            if let Some(given) = given {
                end(place, given);
            }
        }
        for (at, when) in self.when.iter().enumerate() {
            end(&format!("when[{at}].then"), &when.then);
        }
        for (at, when) in self.when.iter().enumerate() {
            let said = [!when.is.is_empty(), !when.is_not.is_empty(), when.is_null];
            let place = format!("when[{at}]");
            let one = said.iter().filter(|said| **said).count() == 1;
            found.refuse_if(!one, &place, "says one of is, is_not and is_null");
        }
        found.refuse_if(self.unique && kind != StepKind::Pay, "unique", "is for [databases.pay]");
        found.refuse_if(
            !self.ask.is_empty() && kind != StepKind::Check,
            "ask",
            "is for [databases.check]: the payer is there only then",
        );
        for (at, ask) in self.ask.iter().enumerate() {
            let place = format!("ask[{at}]");
            let mut within = Findings::default();
            within.refuse_if(!is_field_key(&ask.name), "name", "must match ^[a-z][a-z0-9_]{0,31}$");
            within.take(check_name("label", &ask.label));
            within.take(scenario::check_template("label", &ask.label));
            found.within(&place, within);
        }
        found
    }
}
