//! `check-config`: says what is wrong with a configuration, and at which place, before a payment does. Every statement is
//! tried in a transaction that is rolled back.

use std::collections::BTreeMap;

use contract::unikassa::{Check, List, Pay};
use domain::ids::{Number, PaymentId};
use domain::money::Amount;
use domain::text::{Account, Fields};
use jiff::ToSpan as _;

use crate::config::Config;
use crate::receiver::{OpenError, Receiver, Section};
use crate::values;
use sql::Values;
use sql::{Access, DatabaseError};
use sql::{Dialect, Statement};

mod trial;

use trial::Trial;

/// A number no real payment has yet, and that still fits a 32-bit column.
const SAMPLE_NUMBER: i64 = 2_000_000_001;
/// The account that is tried when none is given.
const SAMPLE_ACCOUNT: &str = "0";
/// The amount that is tried when none is given, in minor units.
const SAMPLE_AMOUNT: i64 = 100;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It works.
    Fine,
    /// It may be meant so.
    Warning,
    /// Payments would fail.
    Error,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Its place in the configuration.
    pub place: String,
    /// What was found, and what to do.
    pub text: String,
}

/// What the administrator gave to try the statements with; samples stand in for the rest.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// An account of the payee's. With one, what fails is an error; without, the sample may be to blame.
    pub account: Option<String>,
    /// An amount, in minor units.
    pub amount: Option<i64>,
    /// What the payer enters.
    pub fields: BTreeMap<String, String>,
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn note(&mut self, severity: Severity, place: &str, text: impl Into<String>) {
        self.0.push(Finding {
            severity,
            place: place.to_owned(),
            text: text.into(),
        });
    }
}

/// Looks at everything a request would need, and changes nothing.
pub async fn check_config(config: &Config, given: &Given) -> Vec<Finding> {
    let mut findings = Findings::default();
    let receiver = match Receiver::open(config) {
        Ok(receiver) => receiver,
        Err(error) => {
            let (place, text) = match error {
                OpenError::Invalid(invalid) => (invalid.field, invalid.why),
                other => ("configuration".to_owned(), other.to_string()),
            };
            findings.note(Severity::Error, &place, text);
            return findings.0;
        }
    };
    if receiver.secrets.any_weak() {
        let text = "is shorter than 24 bytes; ask the operator for a longer one";
        findings.note(Severity::Warning, "secret", text);
    } else {
        findings.note(Severity::Fine, "secret", "is readable");
    }
    match Sample::new(&receiver, given) {
        Err((place, why)) => findings.note(Severity::Error, place, why),
        Ok(sample) => {
            if let Err(error) = look(&receiver, &sample, given.account.is_some(), &mut findings).await {
                findings.note(Severity::Error, "database.url", words(&error));
            }
        }
    }
    receiver.close().await;
    findings.0
}

async fn look(
    receiver: &Receiver,
    sample: &Sample,
    real_account: bool,
    findings: &mut Findings,
) -> Result<(), DatabaseError> {
    receiver.ping().await?;
    findings.note(Severity::Fine, "database.url", "the database answers");
    let kept = kept_tables(receiver).await?;
    if kept.iter().any(|table| table == "unigate_payment") {
        let text = "the table cannot be rolled back: alter table unigate_payment engine = InnoDB";
        findings.note(Severity::Error, "unigate_payment", text);
    } else {
        rehearse_journal(receiver, sample, findings).await?;
    }
    let mut trial = Trial {
        receiver,
        sample,
        real_account,
        kept,
        ended: false,
        findings,
    };
    // The status is asked and the payment is taken back after it was entered, in the same transaction: alone they would
    // find nothing.
    for (access, sections) in [
        (Access::Read, &[Section::Check][..]),
        (Access::Write, &[Section::Pay, Section::Status, Section::Cancel]),
        (Access::Read, &[Section::List]),
    ] {
        let mut tx = receiver.database.begin(access).await?;
        for section in sections {
            trial.section(&mut tx, *section).await?;
        }
        tx.rollback().await?;
    }
    Ok(())
}

async fn rehearse_journal(receiver: &Receiver, sample: &Sample, findings: &mut Findings) -> Result<(), DatabaseError> {
    let mut tx = receiver.database.begin(Access::Write).await?;
    match receiver.journal.rehearse(&mut tx, &sample.payment).await {
        Ok(()) => findings.note(Severity::Fine, "unigate_payment", "the journal table works"),
        Err(error) if error.is_away() => return Err(error),
        Err(error) => {
            let text = format!(
                "the journal table cannot be used, run init-db or grant select, insert, update on it: {}",
                words(&error)
            );
            findings.note(Severity::Error, "unigate_payment", text);
        }
    }
    tx.rollback().await
}

/// Tables whose changes stay, whatever becomes of the transaction: MySQL's older engines know none.
async fn kept_tables(receiver: &Receiver) -> Result<Vec<String>, DatabaseError> {
    const KEPT: &str = "
        select lower(t.table_name) as name from information_schema.tables t
         where t.table_schema = database() and t.table_type = 'BASE TABLE'
           and not exists (select 1 from information_schema.engines e where e.engine = t.engine and e.transactions = 'YES')";
    if receiver.database.dialect() != Dialect::Mysql {
        return Ok(Vec::new());
    }
    let statement = Statement {
        place: "information_schema".to_owned(),
        sql: KEPT.into(),
        parameters: Vec::new(),
        optional: true,
    };
    let mut tx = receiver.database.begin(Access::Read).await?;
    let found = tx.run(&statement, &Values::default()).await?;
    tx.rollback().await?;
    Ok(found.rows.iter().filter_map(|row| row.text("name")).collect())
}

/// What a check, a payment, its cancelling and a list would bring.
struct Sample {
    payment: Pay,
    asked: Check,
    check: Values,
    pay: Values,
    known: Values,
    period: List,
}

impl Sample {
    /// `Err` names what was given and is none.
    fn new(receiver: &Receiver, given: &Given) -> Result<Self, (&'static str, String)> {
        let bad = |place: &'static str| move |invalid: domain::Invalid| (place, invalid.to_string());
        let (currency, amount_as) = receiver.money();
        let now = domain::clock::now();
        let account = given.account.as_deref().unwrap_or(SAMPLE_ACCOUNT);
        let payment = Pay {
            number: Number::new(SAMPLE_NUMBER).map_err(bad("number"))?,
            payment_id: PaymentId::random(),
            account: Account::new(account).map_err(bad("--account"))?,
            amount: Amount::new(given.amount.unwrap_or(SAMPLE_AMOUNT)).map_err(bad("--amount"))?,
            currency,
            paid_at: now,
            fields: Fields::new(given.fields.clone()).map_err(bad("--field"))?,
        };
        let asked = Check {
            payment_id: payment.payment_id,
            number: None,
            account: payment.account.clone(),
            amount: Some(payment.amount),
            currency: Some(currency),
            fields: payment.fields.clone(),
        };
        let pay = values::of_pay(&payment, amount_as);
        let mut known = pay.clone();
        known.text("reason", "check-config");
        Ok(Self {
            check: values::of_check(&asked, currency, amount_as),
            asked,
            pay,
            known,
            period: List {
                from: now.saturating_sub(24.hours()).unwrap_or(now),
                to: now,
                after: None,
            },
            payment,
        })
    }
}

/// An error with its causes, in one line.
fn words(error: &DatabaseError) -> String {
    match error {
        DatabaseError::Away(source) | DatabaseError::Contended(source) => format!("{error}: {source}"),
        _ => error.to_string(),
    }
}
