//! `check-config`: says what is wrong with a configuration, and at which place, before a payment does. Everything is
//! tried in a transaction that is rolled back.

use contract::unikassa::{Check, Pay};
use domain::ids::{Number, PaymentId};
use domain::money::Amount;
use domain::text::{Account, Fields};

use crate::config::Config;
use crate::database::{Access, DatabaseError, Transaction};
use crate::receiver::{OpenError, Receiver};
use crate::statement::Statement;
use crate::values::Values;

/// A number no real payment has yet, and that still fits a 32-bit column.
const SAMPLE_NUMBER: i64 = 2_000_000_001;
/// The account that is tried when none is given.
const SAMPLE_ACCOUNT: &str = "0";
/// Columns that mean something in the answer of a check.
const CHECK_COLUMNS: [&str; 5] = ["display", "amount_due", "min_amount", "max_amount", "refused_reason"];
/// Columns that mean something in the answer of a payment.
const PAY_COLUMNS: [&str; 2] = ["provider_reference", "refused_reason"];

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

/// Looks at everything a request would need. `account` is a real one of the payee's, if the administrator gave one.
pub async fn check_config(config: &Config, account: Option<&str>) -> Vec<Finding> {
    let mut findings = Findings(Vec::new());
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
        findings.note(
            Severity::Warning,
            "secret",
            "is shorter than 24 bytes; ask the operator for a longer one",
        );
    } else {
        findings.note(Severity::Fine, "secret", "is readable");
    }
    if let Err(error) = look(&receiver, account, &mut findings).await {
        findings.note(Severity::Error, "database.url", words(&error));
    }
    receiver.close().await;
    findings.0
}

async fn look(receiver: &Receiver, account: Option<&str>, findings: &mut Findings) -> Result<(), DatabaseError> {
    receiver.ping().await?;
    findings.note(Severity::Fine, "database.url", "the database answers");
    let mut tx = receiver.database.begin(Access::Write).await?;
    match receiver.journal.check(&mut tx).await {
        Ok(()) => findings.note(Severity::Fine, "unigate_payment", "the journal table is there"),
        Err(error) => {
            let text = format!("the journal table cannot be used, run init-db: {}", words(&error));
            findings.note(Severity::Error, "unigate_payment", text);
        }
    }
    drop(tx);
    let Some(sample) = Sample::new(receiver, account) else {
        findings.note(
            Severity::Error,
            "--account",
            "is not an account: 1 to 200 characters, no control characters",
        );
        return Ok(());
    };
    let (check, pay, cancel) = receiver.statements();
    let lists = [
        (check, &sample.check, &CHECK_COLUMNS[..]),
        (pay, &sample.pay, &PAY_COLUMNS),
        (cancel, &sample.cancel, &PAY_COLUMNS),
    ];
    // Cancelling is tried after paying, in the same transaction: alone it would find nothing to take back.
    let mut tx = receiver.database.begin(Access::Write).await?;
    for (statements, values, columns) in lists {
        for statement in statements {
            try_statement(&mut tx, statement, values, columns, account.is_some(), findings).await?;
        }
    }
    Ok(())
}

/// What a check, a payment and its cancelling would bring.
struct Sample {
    check: Values,
    pay: Values,
    cancel: Values,
}

impl Sample {
    fn new(receiver: &Receiver, account: Option<&str>) -> Option<Self> {
        let (currency, amount_as) = receiver.money();
        let pay = Pay {
            number: Number::new(SAMPLE_NUMBER).ok()?,
            payment_id: PaymentId::random(),
            account: Account::new(account.unwrap_or(SAMPLE_ACCOUNT)).ok()?,
            amount: Amount::new(100).ok()?,
            currency,
            paid_at: domain::clock::now(),
            fields: Fields::default(),
        };
        let check = Check {
            payment_id: pay.payment_id,
            number: None,
            account: pay.account.clone(),
            amount: Some(pay.amount),
            currency: Some(currency),
            fields: Fields::default(),
        };
        let pay = Values::of_pay(&pay, amount_as);
        let mut cancel = pay.clone();
        cancel.text("reason", "check-config");
        Some(Self {
            check: Values::of_check(&check, currency, amount_as),
            pay,
            cancel,
        })
    }
}

/// Errors of the statement are findings; only a database that went away is an error.
async fn try_statement(
    tx: &mut Transaction,
    statement: &Statement,
    values: &Values,
    columns: &[&str],
    real_account: bool,
    findings: &mut Findings,
) -> Result<(), DatabaseError> {
    let place = statement.place.as_str();
    tx.mark().await?;
    match tx.describe(statement).await {
        Ok(found) => {
            for name in found.iter().filter(|name| !is_known(name, columns)) {
                let text = format!(
                    "returns the column {name}, which means nothing here; there are {}",
                    columns.join(", ")
                );
                findings.note(Severity::Warning, place, text);
            }
        }
        Err(error @ DatabaseError::Away(_)) => return Err(error),
        Err(error) => {
            findings.note(Severity::Error, place, words(&error));
            return tx.undo().await;
        }
    }
    match tx.run(statement, values).await {
        Ok(outcome) if outcome.touched == 0 && real_account && !statement.optional => {
            findings.note(
                Severity::Warning,
                place,
                "touches nothing for this account, which refuses",
            );
        }
        Ok(_) => findings.note(Severity::Fine, place, "works"),
        Err(error @ DatabaseError::Away(_)) => return Err(error),
        Err(error) => {
            let text = format!(
                "failed with a sample payment (another account: --account): {}",
                words(&error)
            );
            findings.note(Severity::Warning, place, text);
            tx.undo().await?;
        }
    }
    Ok(())
}

fn is_known(column: &str, columns: &[&str]) -> bool {
    columns.contains(&column) || (columns.contains(&"display") && column.starts_with("field_"))
}

/// An error with its causes, in one line.
fn words(error: &DatabaseError) -> String {
    match error {
        DatabaseError::Away(source) => format!("{error}: {source}"),
        _ => error.to_string(),
    }
}
