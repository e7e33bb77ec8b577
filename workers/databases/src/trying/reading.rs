//! Whether a payee's database reads every statement of its scenario, and what the statements return is what is looked at.

use std::collections::BTreeSet;

use domain::declaration::{DatabasesProfile, StepKind};
use domain::scenario;
use sql::{Access, Database, DatabaseError, Dialect, Returned, Statement};

use super::{Findings, Severity, needs, procedures};
use crate::bind::{REFERENCE, knows_reference};
use crate::source::{Compiled, Place, Source};

/// The columns of a list: those it needs, and those it may have.
const LISTED: [&str; 5] = ["number", "amount", "credited_at", "currency", "provider_reference"];

/// Has the database read the statements of these steps.
pub(super) async fn look_at(
    source: &Source,
    database: &Database,
    compiled: &Compiled,
    kinds: &[StepKind],
    findings: &mut Findings,
) {
    let mut given = false;
    for &kind in kinds {
        let mut columns = names_at_hand(source, kind);
        let access = access(source, kind);
        for (at, statement) in compiled.of(kind).iter().enumerate() {
            let words = statement.words(database.dialect());
            if access == Access::Read
                && let Some(verb) = needs::writes(&words, database.dialect())
            {
                let text = format!("changes rows ({verb}), and may only look here");
                findings.note(Severity::Error, &statement.place, text);
                continue;
            }
            match describe(database, statement, access).await {
                Ok(found) => {
                    columns.extend(found.iter().map(|column| column.name.clone()));
                    look_at_types(statement, kind, &found, findings);
                    look_at_names(&source.profile, kind, at, &found, &columns, findings);
                    if kind == StepKind::List {
                        look_at_list(statement, &found, findings);
                    }
                }
                Err(error) => findings.note(Severity::Error, &statement.place, error.in_full()),
            }
            match procedures::look(database, statement).await {
                Ok(wrong) => wrong
                    .into_iter()
                    .for_each(|text| findings.note(Severity::Error, &statement.place, text)),
                Err(error) => findings.note(Severity::Warning, &statement.place, error.in_full()),
            }
        }
        look_at_display(&source.profile, kind, &columns, findings);
        if kind == StepKind::Pay {
            given = columns.contains(REFERENCE) || compiled.calls(kind);
        }
        look_at_reference(compiled, kind, given, findings);
    }
}

/// What asks by the payee's own name for a payment needs one that `pay` tells, and nobody knows after an answer was lost.
fn look_at_reference(compiled: &Compiled, kind: StepKind, given: bool, findings: &mut Findings) {
    let parameters = || compiled.of(kind).iter().flat_map(|statement| &statement.parameters);
    let uses = |name: &str| parameters().any(|parameter| parameter.name == name);
    if !knows_reference(kind) || !uses(REFERENCE) {
        return;
    }
    let place = format!("databases.{}", kind.as_str());
    if !given {
        let text = "asks by :provider_reference, and no statement of pay returns a column provider_reference";
        findings.note(Severity::Warning, &place, text);
    }
    if kind == StepKind::Status && !["number", "payment_id", "paid_at"].into_iter().any(uses) {
        let text = "asks by :provider_reference alone, which is null after an answer was lost: a payment that is there would \
                    be told as never entered, and be entered again: ask by :number or :payment_id";
        findings.note(Severity::Error, &place, text);
    }
}

/// In what kind of transaction a step is run.
fn access(source: &Source, kind: StepKind) -> Access {
    match (&source.place, kind) {
        (Place::Database(_), StepKind::Pay | StepKind::Cancel) => Access::Write,
        _ => Access::Read,
    }
}

/// Has a statement read, and planned where the database tells more by that: whether we may run it. MariaDB reads no change
/// in a transaction that may not make one.
async fn describe(database: &Database, statement: &Statement, access: Access) -> Result<Vec<Returned>, DatabaseError> {
    let mut tx = database.begin(access).await?;
    let columns = tx.describe(statement).await?;
    tx.rollback().await?;
    let plans = matches!(database.dialect(), Dialect::Postgres | Dialect::Mysql);
    if plans && !statement.is_call() {
        let planned = Statement {
            sql: format!("explain {}", statement.sql).into(),
            ..statement.clone()
        };
        let mut tx = database.begin(access).await?;
        tx.run(&planned, &sql::Values::default()).await?;
        tx.rollback().await?;
    }
    Ok(columns)
}

/// What a statement returns, and whether that is read: a column that is not spoils every row it is in. Of a list only those
/// that mean something are read.
fn look_at_types(statement: &Statement, kind: StepKind, found: &[Returned], findings: &mut Findings) {
    let unread = found
        .iter()
        .filter(|column| !column.is_read && (kind != StepKind::List || LISTED.contains(&column.name.as_str())));
    let mut is_read = true;
    for column in unread {
        let type_name = column.type_name.as_deref().unwrap_or("unknown");
        let name = &column.name;
        let text = format!(
            "returns the column {name} of type {type_name}, which is not read: cast it to text, or leave it out"
        );
        findings.note(Severity::Error, &statement.place, text);
        is_read = false;
    }
    if !is_read {
        return;
    }
    let shown = |column: &Returned| match &column.type_name {
        Some(type_name) => format!("{} ({type_name})", column.name),
        None => column.name.clone(),
    };
    let shown = match found {
        [] => "no column".to_owned(),
        found => found.iter().map(shown).collect::<Vec<_>>().join(", "),
    };
    findings.note(Severity::Fine, &statement.place, format!("can be run; returns {shown}"));
}

/// What pages cannot do without.
fn look_at_list(statement: &Statement, found: &[Returned], findings: &mut Findings) {
    for needed in &LISTED[..3] {
        if !found.iter().any(|column| column.name == *needed) {
            let text = format!("does not return {needed}");
            findings.note(Severity::Error, &statement.place, text);
        }
    }
    for needed in ["after", "limit"] {
        if !statement.parameters.iter().any(|parameter| parameter.name == needed) {
            let text = format!(
                "does not ask page by page (:{needed} is missing): and number > :after order by number limit :limit"
            );
            findings.note(Severity::Error, &statement.place, text);
        }
    }
}

/// What is known before any statement has been run.
fn names_at_hand(source: &Source, kind: StepKind) -> BTreeSet<String> {
    let fields = source.payee.field.iter().map(|field| field.name.clone());
    let asked = source.profile.asks().map(|ask| ask.name.clone());
    let carried = source.profile.check.iter().flat_map(|check| check.carry.clone());
    let carried = carried.filter(|_| kind != StepKind::Check);
    fields.chain(asked).chain(carried).collect()
}

fn look_at_names(
    profile: &DatabasesProfile,
    kind: StepKind,
    at: usize,
    found: &[Returned],
    known: &BTreeSet<String>,
    findings: &mut Findings,
) {
    let rule = &profile.statements(kind)[at];
    let place = |inner: &str| format!("databases.{}.statement[{at}].{inner}", kind.as_str());
    for (nth, when) in rule.when.iter().enumerate() {
        if !found.iter().any(|column| column.name == when.column) {
            let text = format!("looks at column {}, which the statement does not return", when.column);
            findings.note(Severity::Error, place(&format!("when[{nth}]")), text);
        }
    }
    for (nth, ask) in rule.ask.iter().enumerate() {
        let bounds = [&ask.at_least, &ask.at_most].into_iter().flatten();
        let spoken = scenario::names(&ask.label).unwrap_or_default();
        for name in bounds.cloned().chain(spoken).filter(|name| !known.contains(name)) {
            let text = format!("speaks of {name}, which is not known by then");
            findings.note(Severity::Error, place(&format!("ask[{nth}]")), text);
        }
    }
}

fn look_at_display(profile: &DatabasesProfile, kind: StepKind, known: &BTreeSet<String>, findings: &mut Findings) {
    let Some(check) = profile.check.as_ref().filter(|_| kind == StepKind::Check) else {
        return;
    };
    let spoken = check
        .display
        .as_deref()
        .map(scenario::names)
        .and_then(Result::ok)
        .unwrap_or_default();
    for (place, names) in [("display", spoken), ("carry", check.carry.iter().cloned().collect())] {
        for name in names.iter().filter(|name| !known.contains(*name)) {
            let text = format!("speaks of {name}, which no statement returns");
            findings.note(Severity::Error, format!("databases.check.{place}"), text);
        }
    }
}
