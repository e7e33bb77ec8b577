//! Statements tried one by one: what each returned or changed, and what is wrong with it.

use super::{Findings, Sample, Severity, words};
use crate::receiver::{Failure, Receiver, Section, run, told};
use sql::Statement;
use sql::Values;
use sql::{DatabaseError, Row, Transaction};

/// The longest value that is shown, in characters.
const SHOWN_MAX: usize = 60;

/// A configuration whose statements are tried.
pub(super) struct Trial<'a> {
    pub(super) receiver: &'a Receiver,
    pub(super) sample: &'a Sample,
    /// Whether the account is one of the payee's, and not a sample that statements may fail on.
    pub(super) real_account: bool,
    /// Tables whose changes stay; statements that name one are not run.
    pub(super) kept: Vec<String>,
    /// A statement has ended the transaction: whatever ran now would stay.
    pub(super) ended: bool,
    pub(super) findings: &'a mut Findings,
}

impl Section {
    /// Columns that mean something; the first so many of them must be there.
    fn columns(self) -> (&'static [&'static str], usize) {
        match self {
            Self::Check => (
                &["display", "amount_due", "min_amount", "max_amount", "refused_reason"],
                0,
            ),
            Self::Pay => (&["provider_reference", "refused_reason", "result"], 0),
            Self::Status => (&["result", "provider_reference", "refused_reason"], 1),
            Self::Cancel => (&["refused_reason"], 0),
            Self::List => (
                &["number", "amount", "credited_at", "currency", "provider_reference"],
                3,
            ),
        }
    }

    fn knows(self, column: &str) -> bool {
        self.columns().0.contains(&column) || (self == Self::Check && column.starts_with("field_"))
    }
}

impl Trial<'_> {
    /// Tries the statements of a section. Errors of statements are findings; only a database that went away is an error.
    pub(super) async fn section(&mut self, tx: &mut Transaction, section: Section) -> Result<(), DatabaseError> {
        let statements = self.receiver.statements();
        let statements = statements
            .iter()
            .find(|(of, _)| *of == section)
            .map_or(&[][..], |(_, list)| *list);
        let mut found = Row::default();
        let mut whole = !statements.is_empty();
        for statement in statements {
            if self.ended {
                return Ok(());
            }
            match self.statement(tx, section, statement).await? {
                Some(Some(row)) => found.merge(row),
                Some(None) => {}
                None => whole = false,
            }
        }
        if section == Section::Check && whole && found.names().next().is_some() {
            let answer = self.receiver.check_answer(&self.sample.asked, &found);
            match answer.map(|answer| answer.reason) {
                Err(why) => self.findings.note(Severity::Error, "check.sql", why),
                Ok(Some(reason)) if self.real_account => {
                    self.findings
                        .note(Severity::Warning, "check.sql", format!("refuses: {reason}"));
                }
                Ok(_) => {}
            }
        }
        Ok(())
    }

    /// Tries one statement: `None` when it failed, else its first row if it has any.
    async fn statement(
        &mut self,
        tx: &mut Transaction,
        section: Section,
        statement: &Statement,
    ) -> Result<Option<Option<Row>>, DatabaseError> {
        let place = statement.place.as_str();
        if let Some(table) = self.kept.iter().find(|table| names(&statement.sql, table)) {
            let text =
                format!("uses the table {table}, whose engine cannot roll back: alter table {table} engine = InnoDB");
            self.findings.note(Severity::Error, place, text);
            return Ok(None);
        }
        tx.mark().await?;
        if !self.describe(tx, section, statement).await? {
            tx.undo().await?;
            return Ok(None);
        }
        let values = match section {
            Section::Check => &self.sample.check,
            Section::Pay => &self.sample.pay,
            Section::Status | Section::Cancel => &self.sample.known,
            Section::List => return self.list(tx, statement).await.map(|()| Some(None)),
        };
        match self.run(tx, section, statement, values).await {
            Ok(row) => match tx.still_open().await {
                Ok(()) => Ok(Some(row)),
                Err(DatabaseError::Refused(_)) => {
                    let text = format!(
                        "ended the transaction: what it did for the number {} is there to stay, and payments would not be safe",
                        self.sample.payment.number
                    );
                    self.findings.note(Severity::Error, place, text);
                    self.ended = true;
                    Ok(None)
                }
                Err(error) => Err(error),
            },
            Err(error) if error.is_away() || matches!(error, DatabaseError::Contended(_)) => Err(error),
            Err(error) => {
                let sample = !self.real_account && error.is_about_values();
                let (severity, hint) = match sample {
                    true => (
                        Severity::Warning,
                        "failed with a sample payment (name an account of yours: --account)",
                    ),
                    false => (Severity::Error, "failed"),
                };
                self.findings
                    .note(severity, place, format!("{hint}: {}", words(&error)));
                tx.undo().await?;
                Ok(None)
            }
        }
    }

    /// Has the database read it, and judges the names of its columns; false when it cannot be run.
    async fn describe(
        &mut self,
        tx: &mut Transaction,
        section: Section,
        statement: &Statement,
    ) -> Result<bool, DatabaseError> {
        let place = statement.place.as_str();
        let found = match tx.describe(statement).await {
            Ok(found) => found,
            Err(error) if error.is_away() => return Err(error),
            Err(error) => {
                self.findings.note(Severity::Error, place, words(&error));
                return Ok(false);
            }
        };
        let found: Vec<String> = found.into_iter().map(|column| column.name).collect();
        let (known, needed) = section.columns();
        for name in found.iter().filter(|name| !section.knows(name)) {
            let text = format!(
                "returns the column {name}, which means nothing here; there are {}",
                known.join(", ")
            );
            self.findings.note(Severity::Warning, place, text);
        }
        let missing: Vec<&str> = known[..needed]
            .iter()
            .copied()
            .filter(|name| !found.iter().any(|f| f == name))
            .collect();
        if !missing.is_empty() {
            let text = format!("returns no column {}", missing.join(", "));
            self.findings.note(Severity::Error, place, text);
        }
        Ok(missing.is_empty())
    }

    async fn run(
        &mut self,
        tx: &mut Transaction,
        section: Section,
        statement: &Statement,
        values: &Values,
    ) -> Result<Option<Row>, DatabaseError> {
        let place = statement.place.as_str();
        let outcome = run::run_readable(tx, statement, values).await?;
        let row = outcome.rows.into_iter().next();
        let refused = row.as_ref().and_then(|row| row.text("refused_reason"));
        let wrong = row
            .as_ref()
            .filter(|_| section == Section::Status)
            .and_then(|row| told::status_result(row).err());
        if let Some(why) = wrong {
            self.findings.note(Severity::Error, place, why);
        } else if let Some(why) = refused.filter(|_| self.real_account && section != Section::Check) {
            self.findings.note(Severity::Warning, place, format!("refuses: {why}"));
        } else if outcome.touched == 0 && self.real_account && !statement.optional && section != Section::Status {
            let text = "touches nothing for this account, which refuses";
            self.findings.note(Severity::Warning, place, text);
        } else {
            let rows = if outcome.touched == 1 { "row" } else { "rows" };
            let shown = row.as_ref().map(|row| shown(section, row)).unwrap_or_default();
            self.findings.note(
                Severity::Fine,
                place,
                format!("works: {} {rows}{shown}", outcome.touched),
            );
        }
        Ok(row)
    }

    async fn list(&mut self, tx: &mut Transaction, statement: &Statement) -> Result<(), DatabaseError> {
        let place = statement.place.as_str();
        let listed = self.receiver.list_by(tx, statement, &self.sample.period, None).await;
        match listed {
            Ok((items, _)) => {
                let text = format!("works: {} of the last day", items.len());
                self.findings.note(Severity::Fine, place, text);
            }
            Err(Failure::Statement { source, .. } | Failure::Database(source)) => {
                if source.is_away() {
                    return Err(source);
                }
                self.findings.note(Severity::Error, place, words(&source));
            }
            Err(Failure::Answer { why, .. }) => self.findings.note(Severity::Error, place, why),
            Err(other) => self.findings.note(Severity::Error, place, other.to_string()),
        }
        Ok(())
    }
}

/// The columns that mean something with what came out.
fn shown(section: Section, row: &Row) -> String {
    let known = row.names().filter(|name| section.knows(name));
    let shown: Vec<String> = known
        .map(|name| {
            let value = row.get(name).and_then(|cell| cell.text());
            let value = value.map_or("null".to_owned(), |text| text.chars().take(SHOWN_MAX).collect());
            format!("{name} = {value}")
        })
        .collect();
    if shown.is_empty() {
        String::new()
    } else {
        format!(": {}", shown.join(", "))
    }
}

/// Whether a table's name is a word of a statement.
fn names(sql: &str, table: &str) -> bool {
    sql.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
        .any(|word| word.to_lowercase() == table)
}
