//! Setting a payee up: is its scenario complete, does its database answer, can every statement be read there, and what would a
//! terminal see. Nothing that is tried is kept.

mod rights;

use std::collections::BTreeSet;

use contract::message::PaymentCheck;
use domain::declaration::{DatabasesProfile, End, Payee, StepKind};
use domain::scenario;
use sql::{Access, Database, DatabaseError, Dialect, Statement, Transaction};
use store::deliveries::Due;

use crate::check::{self, Checked, Unanswered};
use crate::known::Told;
use crate::settle;
use crate::source::{Compiled, Place, Server, Source};
use crate::steps::{On, Run};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It works.
    Fine,
    /// It may be meant so.
    Warning,
    /// Checks or payments would fail.
    Error,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Its place in the declaration.
    pub place: String,
    /// What was found, and what to do.
    pub text: String,
}

#[derive(Default)]
pub(crate) struct Findings(Vec<Finding>);

impl Findings {
    fn note(&mut self, severity: Severity, place: impl Into<String>, text: impl Into<String>) {
        self.0.push(Finding {
            severity,
            place: place.into(),
            text: text.into(),
        });
    }
}

/// Whether everything that a payee's data are reached with can be had and used here.
pub fn complete(payee: &Payee) -> Result<(), String> {
    Source::of_payee(payee).map(drop)
}

/// Looks at everything a payment would need, has the database read every statement, and changes nothing.
pub async fn check_config(payee: &Payee) -> Vec<Finding> {
    let mut findings = Findings::default();
    let source = match Source::of_payee(payee) {
        Ok(source) => source,
        Err(why) => {
            findings.note(Severity::Error, "databases", why);
            return findings.0;
        }
    };
    match &source.place {
        Place::File(listed) => match listed.table().await {
            Ok(table) => {
                findings.note(
                    Severity::Fine,
                    "databases.file",
                    format!("{} rows were read", table.rows),
                );
                look_at(
                    &source,
                    &table.database,
                    &listed.compiled,
                    &[StepKind::Check, StepKind::Pay],
                    &mut findings,
                )
                .await;
            }
            Err(why) => findings.note(Severity::Error, "databases.file", why),
        },
        Place::Database(server) => {
            let timeout = source.timeout() * 4;
            let looked = tokio::time::timeout(timeout, look_at_server(&source, server, &mut findings)).await;
            if looked.is_err() {
                findings.note(Severity::Error, "databases.url", "the database does not answer in time");
            }
        }
    }
    findings.0
}

async fn look_at_server(source: &Source, server: &Server, findings: &mut Findings) {
    for (field, database) in [("url", &server.write), ("read_url", &server.read)] {
        let place = format!("databases.{field}");
        match greet(database).await {
            Ok(()) if field == "url" || source.profile.read_url.is_some() => {
                findings.note(Severity::Fine, place, "the database answers");
            }
            Ok(()) => {}
            Err(error) => {
                findings.note(Severity::Error, place, error.in_full());
                return;
            }
        }
    }
    look_at(source, &server.read, &server.compiled, &[StepKind::Check], findings).await;
    let others = [StepKind::Pay, StepKind::Status, StepKind::Cancel, StepKind::List];
    look_at(source, &server.write, &server.compiled, &others, findings).await;
    if let Err(error) = rights::look(source, server, findings).await {
        findings.note(
            Severity::Warning,
            "databases.url",
            format!("its rights cannot be seen: {}", error.in_full()),
        );
    }
}

async fn greet(database: &Database) -> Result<(), DatabaseError> {
    database.begin(Access::Read).await?.rollback().await
}

/// Has the database read the statements of these steps.
async fn look_at(
    source: &Source,
    database: &Database,
    compiled: &Compiled,
    kinds: &[StepKind],
    findings: &mut Findings,
) {
    for &kind in kinds {
        let mut columns = names_at_hand(source, kind);
        for (at, statement) in compiled.of(kind).iter().enumerate() {
            match describe(database, statement, kind).await {
                Ok(found) => {
                    columns.extend(found.iter().cloned());
                    let shown = if found.is_empty() {
                        "no column".to_owned()
                    } else {
                        found.join(", ")
                    };
                    findings.note(Severity::Fine, &statement.place, format!("can be run; returns {shown}"));
                    look_at_names(&source.profile, kind, at, &found, &columns, findings);
                    if kind == StepKind::List {
                        look_at_list(statement, &found, findings);
                    }
                }
                Err(error) => findings.note(Severity::Error, &statement.place, error.in_full()),
            }
        }
        look_at_display(&source.profile, kind, &columns, findings);
    }
}

/// Has a statement read, and planned where the database tells more by that: whether we may run it. MariaDB reads no change
/// in a transaction that may not make one.
async fn describe(database: &Database, statement: &Statement, kind: StepKind) -> Result<Vec<String>, DatabaseError> {
    let access = if kind == StepKind::Check {
        Access::Read
    } else {
        Access::Write
    };
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

/// What pages cannot do without.
fn look_at_list(statement: &Statement, found: &[String], findings: &mut Findings) {
    for needed in ["number", "amount", "credited_at"] {
        if !found.iter().any(|column| column == needed) {
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
    found: &[String],
    known: &BTreeSet<String>,
    findings: &mut Findings,
) {
    let rule = &profile.statements(kind)[at];
    let place = |inner: &str| format!("databases.{}.statement[{at}].{inner}", kind.as_str());
    for (nth, when) in rule.when.iter().enumerate() {
        if !found.contains(&when.column) {
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

/// What a terminal would be told, or why nothing; and what the statements did, line by line.
pub async fn try_check(
    payee: &Payee,
    asked: &PaymentCheck,
) -> Result<(contract::unikassa::CheckAnswer, Vec<String>), String> {
    let source = Source::of_payee(payee)?;
    match check::check(&source, asked).await {
        Ok(Checked { answer, trace }) => Ok((answer, trace)),
        Err(Unanswered::Later) => Err("the scenario says: retry".to_owned()),
        Err(Unanswered::Timeout) => Err(format!("not answered within {} s", source.timeout().as_secs())),
        Err(Unanswered::NoFile(why)) => Err(why),
        Err(Unanswered::Trouble(trouble)) => Err(trouble.in_full()),
    }
}

/// What was tried of a payment.
#[derive(Debug)]
pub struct Tried {
    /// What the statements did, line by line.
    pub lines: Vec<String>,
    /// Nothing of it was kept. Of a procedure by way of ODBC nobody says so.
    pub undone: bool,
}

/// What a step about a payment would come to, in a transaction that is rolled back: the payment is entered first where it is
/// asked about or taken back. Where a unique key is what keeps it from being entered twice, that is tried.
pub async fn try_payment(payee: &Payee, kind: StepKind, due: &Due) -> Result<Tried, String> {
    let source = Source::of_payee(payee)?;
    let Place::Database(server) = &source.place else {
        return Err("payments for a file go to the payee in registers: there is nothing to try".to_owned());
    };
    let mut lines = Vec::new();
    let tried = tokio::time::timeout(source.timeout(), async {
        let mut tx = server
            .write
            .begin(Access::Write)
            .await
            .map_err(|error| error.in_full())?;
        let tried = try_within(&source, server, kind, due, &mut tx, &mut lines).await;
        tx.rollback().await.map_err(|error| error.in_full())?;
        tried
    });
    let ended = tried
        .await
        .unwrap_or_else(|_| Err(format!("not done within {} s", source.timeout().as_secs())));
    ended?;
    let calls = [StepKind::Pay, kind].iter().any(|step| server.compiled.calls(*step));
    Ok(Tried {
        lines,
        undone: !calls || server.write.dialect() != Dialect::Odbc,
    })
}

async fn try_within(
    source: &Source,
    server: &Server,
    kind: StepKind,
    due: &Due,
    tx: &mut Transaction,
    lines: &mut Vec<String>,
) -> Result<(), String> {
    let steps: &[StepKind] = match kind {
        StepKind::Check | StepKind::List => &[],
        StepKind::Pay => &[StepKind::Pay],
        StepKind::Status => &[StepKind::Pay, StepKind::Status],
        StepKind::Cancel => &[StepKind::Pay, StepKind::Cancel],
    };
    let calls = server.write.dialect().calls_may_commit() && steps.iter().any(|step| server.compiled.calls(*step));
    if calls {
        tx.mark().await.map_err(|error| error.in_full())?;
    }
    let mut told = Told::default();
    let mut entered = false;
    for &step in steps {
        let brought = settle::brought(source, due, step).map_err(|trouble| trouble.in_full())?;
        let mut run = Run::of_payment(&source.profile, source.currency(), &server.compiled, &brought, due);
        let ended = run.all(&mut On::Within(tx), step).await;
        lines.append(&mut run.trace);
        told = run.told;
        let end = ended.map_err(|(_, trouble)| trouble.in_full())?;
        lines.push(format!("{} ends with: {end}", step.as_str()));
        entered = matches!(end, End::Accepted | End::Pending);
    }
    if calls {
        let kept = tx.still_open().await.map_err(|error| error.in_full());
        kept.map_err(|why| format!("a procedure has ended the transaction, and what was tried is kept there: {why}"))?;
    }
    let statements = source.profile.statements(StepKind::Pay).iter();
    let unique = statements.enumerate().find(|(_, statement)| statement.unique);
    // A step that ended before it has entered nothing that the key could keep out.
    if let Some((at, _)) = unique.filter(|_| kind == StepKind::Pay && entered) {
        tx.mark().await.map_err(|error| error.in_full())?;
        let brought = settle::brought(source, due, StepKind::Pay).map_err(|trouble| trouble.in_full())?;
        let mut again = Run::of_payment(&source.profile, source.currency(), &server.compiled, &brought, due);
        again.told = told;
        let place = &server.compiled.of(StepKind::Pay)[at].place;
        match again.one(&mut On::Within(tx), StepKind::Pay, at).await {
            Err(trouble) if trouble.is_duplicate() => {
                lines.push(format!("{place}: the same once more is kept out by the unique key"));
                tx.undo().await.map_err(|error| error.in_full())?;
            }
            Err(trouble) => return Err(trouble.in_full()),
            Ok(_) => {
                return Err(format!(
                    "{place}: the same once more was done too: no unique key keeps a payment from being entered twice"
                ));
            }
        }
    }
    Ok(())
}
