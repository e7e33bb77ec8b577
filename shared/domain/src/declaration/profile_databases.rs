//! The `[databases]` of a payee: where its data are, and by which statements an account is looked up, a payment entered, asked
//! about and taken back. One file says everything; [`crate::scenario`] says what the statements' rows mean.

mod file;
mod step;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::online::{Online, default_give_up_hours, default_probe_seconds, default_retry_seconds};
use super::pace::{QuietWindow, Rate};
use super::{Findings, Payee, SecretRef, Zone};
use crate::text::is_field_key;

pub use file::{FileFormat, FileSource};
pub use step::{AskRule, End, PayStep, Statement, Step, StepKind, When};

/// The most connections of one process to a payee's database, for checks.
const CHECKS_MAX: u32 = 100;

/// The `[databases]` of a payee.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabasesProfile {
    /// `postgres://…`, `mysql://…`, `mariadb://…`, `sqlite:PATH`, or `odbc:` and a connection string where the program was
    /// built with that; it may be `env:` or `file:`, since it holds a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<SecretRef>,
    /// The same for checks: an account that may only read, or a copy of the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_url: Option<SecretRef>,
    /// A file that the payee sends or shares, instead of a database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileSource>,
    /// What amounts look like in the payee's data.
    #[serde(default)]
    pub amount_as: AmountAs,
    /// The zone of dates and times that say none.
    #[serde(default = "Zone::utc")]
    pub time_zone: Zone,
    /// How many payments are entered at a time, across all processes.
    #[serde(default = "default_concurrency")]
    pub concurrency: u32,
    /// How many checks one process asks at a time: each has a connection of its own.
    #[serde(default = "default_check_connections")]
    pub check_connections: u32,
    /// The longest a step may take; no statement takes longer.
    #[serde(default = "default_timeout_seconds")]
    pub timeout_seconds: u32,
    /// The waits between attempts; the last one repeats.
    #[serde(default = "default_retry_seconds")]
    pub retry_seconds: Vec<u32>,
    /// How long after acceptance the last attempt is made.
    #[serde(default = "default_give_up_hours")]
    pub give_up_hours: u32,
    /// The breaker's first probe interval; it doubles up to ten minutes.
    #[serde(default = "default_probe_seconds")]
    pub probe_seconds: u32,
    /// How many payments in how many seconds; nothing = as many as `concurrency` allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// When the database is left alone, in its `time_zone`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quiet_hours: Vec<QuietWindow>,
    /// What parameters are that are neither the payment's own nor text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub types: BTreeMap<String, ValueType>,
    /// Reasons of refusals in the payee's language, for the payer to read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub messages: BTreeMap<String, String>,
    /// How an account is looked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Step>,
    /// How a payment is entered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pay: Option<PayStep>,
    /// How it is asked what became of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Step>,
    /// How one is taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<Step>,
    /// How it is asked what was entered in a period, a page at a time: `number`, `amount`, `credited_at`, and perhaps
    /// `currency` and `provider_reference` of each, in the order of numbers, those above `:after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<Step>,
}

/// What amounts look like in the payee's data, or in what it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AmountAs {
    /// An integer of minor units: `15000`.
    #[default]
    Minor,
    /// A decimal number with the currency's digits: `150.00`.
    Decimal,
}

/// What a parameter is in the payee's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueType {
    /// Text.
    Text,
    /// An integer of 64 bits.
    Integer,
    /// A decimal number, up to six digits behind the point.
    Decimal,
    /// An amount, as `amount_as` says.
    Money,
    /// A date and time.
    Moment,
    /// A UUID.
    Uuid,
}

impl DatabasesProfile {
    /// Whether a unique key keeps a payment from being entered twice; a file is only looked into. One that only asks `status`
    /// first is asked again after a *maybe*, and paid again only when that has said that it is not there.
    pub fn idempotent(&self) -> bool {
        let by_key = |pay: &PayStep| pay.statement.iter().any(|statement| statement.unique);
        self.file.is_some() || self.pay.as_ref().is_none_or(by_key)
    }

    /// What it says about calls.
    pub fn online(&self) -> Online<'_> {
        Online {
            idempotent: self.idempotent(),
            asks_first: self.pay.as_ref().is_some_and(|pay| pay.ask_status_first),
            offers_status: self.status.is_some(),
            offers_cancel: self.cancel.is_some(),
            offers_check: self.check.is_some(),
            concurrency: self.concurrency,
            timeout_seconds: self.timeout_seconds,
            retry_seconds: &self.retry_seconds,
            give_up_hours: self.give_up_hours,
            probe_seconds: self.probe_seconds,
            rate: self.rate,
            quiet_hours: &self.quiet_hours,
            time_zone: &self.time_zone,
        }
    }

    /// The statements of a step, in their order.
    pub fn statements(&self, kind: StepKind) -> &[Statement] {
        let steps = match kind {
            StepKind::Check => &self.check,
            StepKind::Pay => return self.pay.as_ref().map_or(&[], |step| &step.statement),
            StepKind::Status => &self.status,
            StepKind::Cancel => &self.cancel,
            StepKind::List => &self.list,
        };
        steps.as_ref().map_or(&[], |step| &step.statement)
    }

    /// Everything the terminal may be asked for by the check, in the order of asking.
    pub fn asks(&self) -> impl Iterator<Item = &AskRule> {
        self.statements(StepKind::Check)
            .iter()
            .flat_map(|statement| &statement.ask)
    }

    pub(super) fn check(&self, payee: &Payee) -> Findings {
        let mut found = self.online().check();
        self.check_source(payee, &mut found);
        let checks = (1..=CHECKS_MAX).contains(&self.check_connections);
        found.refuse_if(!checks, "check_connections", "must be from 1 to 100");
        for name in self.types.keys() {
            let place = format!("types.{name}");
            found.refuse_if(!is_field_key(name), &place, "must match ^[a-z][a-z0-9_]{0,31}$");
        }
        for (reason, text) in &self.messages {
            found.take(super::check_name(&format!("messages.{reason}"), text));
        }
        if let Some(check) = &self.check {
            found.within("check", check.check(StepKind::Check, payee));
        }
        match &self.pay {
            Some(pay) => found.within("pay", pay.check(self)),
            None => found.refuse_if(self.file.is_none(), "pay", "is missing: how is a payment entered?"),
        }
        found.refuse_if(
            self.cancel.is_some() && self.status.is_none(),
            "cancel",
            "needs [databases.status], which is asked first: what was taken back already would be taken back again",
        );
        for (kind, step) in [
            (StepKind::Status, &self.status),
            (StepKind::Cancel, &self.cancel),
            (StepKind::List, &self.list),
        ] {
            if let Some(step) = step {
                found.within(kind.as_str(), step.check(kind, payee));
                found.refuse_if(
                    self.file.is_some(),
                    kind.as_str(),
                    "is for databases: the payments of a file are in its registers",
                );
            }
        }
        found
    }

    fn check_source(&self, payee: &Payee, found: &mut Findings) {
        found.refuse_if(
            self.url.is_some() == self.file.is_some(),
            "url",
            "say either url or file: where are the payee's data?",
        );
        found.refuse_if(
            self.read_url.is_some() && self.url.is_none(),
            "read_url",
            "stands beside url, which is missing",
        );
        if let Some(file) = &self.file {
            found.within("file", file.check());
            found.refuse_if(
                payee.register.is_none(),
                "file",
                "needs a [register]: payments for a file go to the payee in registers",
            );
        }
    }
}

fn default_concurrency() -> u32 {
    4
}

fn default_check_connections() -> u32 {
    8
}

fn default_timeout_seconds() -> u32 {
    10
}
