//! Setting a payee up: is its scenario complete, does its database answer, can every statement be read there, and what would a
//! terminal see. Nothing that is tried is kept.

mod engines;
mod needs;
mod procedures;
mod reading;
mod rights;

use contract::message::PaymentCheck;
use domain::declaration::{End, Payee, StepKind};
use domain::delivery::{Ending, Verdict};
use sql::{Access, Database, DatabaseError, Dialect, Transaction};
use store::deliveries::Due;

use crate::check::{self, Checked, Unanswered};
use crate::known::{self, Told};
use crate::settle;
use crate::source::{Place, Server, Source};
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
                    format!(
                        "{} rows were read; that it lacks some the first time after a start is told by min_rows ({}) alone",
                        table.rows,
                        listed.file.min_rows
                    ),
                );
                reading::look_at(
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
    reading::look_at(source, &server.read, &server.compiled, &[StepKind::Check], findings).await;
    let others = [StepKind::Pay, StepKind::Status, StepKind::Cancel, StepKind::List];
    reading::look_at(source, &server.write, &server.compiled, &others, findings).await;
    let looked = async {
        engines::look(server, findings).await?;
        rights::look(source, server, findings).await
    };
    if let Err(error) = looked.await {
        findings.note(
            Severity::Warning,
            "databases.url",
            format!("its rights and tables cannot be seen: {}", error.in_full()),
        );
    }
}

async fn greet(database: &Database) -> Result<(), DatabaseError> {
    database.begin(Access::Read).await?.rollback().await
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

/// What a step about a payment would come to, in a transaction that is rolled back: the payment is entered first where it is
/// asked about or taken back. Where a unique key is what keeps it from being entered twice, that is tried. What cannot be
/// rolled back is not begun, unless it is to be tried `anyway`. What the statements did is added to `lines`, however it ends; what
/// may have been kept of it is returned, and why.
pub async fn try_payment(
    payee: &Payee,
    kind: StepKind,
    due: &Due,
    anyway: bool,
    lines: &mut Vec<String>,
) -> Result<Option<String>, String> {
    let source = Source::of_payee(payee)?;
    if source.profile.statements(kind).is_empty() {
        return Err(format!("databases.{}: the scenario has no such step", kind.as_str()));
    }
    let Place::Database(server) = &source.place else {
        return Err("payments for a file go to the payee in registers: there is nothing to try".to_owned());
    };
    let tried = tokio::time::timeout(source.timeout(), tried(&source, server, kind, due, anyway, lines));
    let late = || Err(format!("not done within {} s", source.timeout().as_secs()));
    tried.await.unwrap_or_else(|_| late())
}

async fn tried(
    source: &Source,
    server: &Server,
    kind: StepKind,
    due: &Due,
    anyway: bool,
    lines: &mut Vec<String>,
) -> Result<Option<String>, String> {
    let in_full = |error: DatabaseError| error.in_full();
    let left = engines::kept(server, &[StepKind::Pay, kind]).await.map_err(in_full)?;
    let left: Vec<String> = left
        .into_iter()
        .map(|kept| format!("{} {}", kept.place, kept.text))
        .collect();
    if !left.is_empty() && !anyway {
        let why = left.join("; ");
        return Err(format!(
            "{why}. What is tried may stay there: if it may, try it with --anyway"
        ));
    }
    if kind == StepKind::Status {
        asked_of_nothing(source, server, due, lines).await?;
    }
    let mut tx = server.write.begin(Access::Write).await.map_err(in_full)?;
    let ended = try_within(source, server, kind, due, &mut tx, lines).await;
    tx.rollback().await.map_err(in_full)?;
    ended.map_err(|why| match left.is_empty() {
        true => why,
        false => format!("{why}; what was tried may be there to stay: {}", left.join("; ")),
    })?;
    let calls = [StepKind::Pay, kind].iter().any(|step| server.compiled.calls(*step));
    let unseen = calls && server.write.dialect() == Dialect::Odbc;
    let unseen = unseen.then(|| "whether a procedure has kept what it did cannot be known by way of ODBC".to_owned());
    Ok(unseen.or_else(|| (!left.is_empty()).then(|| left.join("; "))))
}

/// Asks about a payment that nobody has entered, as it is asked when it counts: where nothing may be changed.
async fn asked_of_nothing(source: &Source, server: &Server, due: &Due, lines: &mut Vec<String>) -> Result<(), String> {
    let asked = settle::ask(source, server, due).await;
    let (told, mut trace) = asked.map_err(|trouble| trouble.in_full())?;
    lines.append(&mut trace);
    if told.ending == Ending::Answered(Verdict::Accepted) {
        let number = due.number;
        return Err(format!(
            "status says of the number {number}, before anything was entered with it, that it was accepted"
        ));
    }
    Ok(())
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
        StepKind::Cancel => &[StepKind::Pay, StepKind::Status, StepKind::Cancel],
    };
    let calls = server.write.dialect().calls_may_commit() && steps.iter().any(|step| server.compiled.calls(*step));
    if calls {
        tx.mark().await.map_err(|error| error.in_full())?;
    }
    let mut told = Told::default();
    let mut entered = false;
    let mut due = due.clone();
    for &step in steps {
        let brought = settle::brought(source, &due, step).map_err(|trouble| trouble.in_full())?;
        let mut run = Run::of_payment(&source.profile, source.currency(), &server.compiled, &brought, &due);
        let ended = run.all(&mut On::Within(tx), step).await;
        lines.append(&mut run.trace);
        told = run.told;
        due.provider_reference = known::reference(&told).or(due.provider_reference);
        let end = ended.map_err(|(_, trouble)| trouble.in_full())?;
        lines.push(format!("{} ends with: {end}", step.as_str()));
        entered = matches!(end, End::Accepted | End::Pending);
        if !entered && kind == StepKind::Cancel && step == StepKind::Status {
            return Err(
                "status is asked first, and nothing is taken back that it does not say was accepted".to_owned(),
            );
        }
    }
    let again = match kind {
        StepKind::Cancel => taken_back_again(source, server, &due, tx, lines).await,
        _ => Ok(()),
    };
    if calls {
        let kept = tx.still_open().await.map_err(|error| error.in_full());
        kept.map_err(|why| format!("a procedure has ended the transaction, and what was tried is kept there: {why}"))?;
    }
    again?;
    // A step that ended before it has entered nothing that the key could keep out.
    match kind == StepKind::Pay && entered {
        true => entered_again(source, server, &due, tx, told, lines).await,
        false => Ok(()),
    }
}

/// Enters it once more, where a unique key is what should keep it out.
async fn entered_again(
    source: &Source,
    server: &Server,
    due: &Due,
    tx: &mut Transaction,
    told: Told,
    lines: &mut Vec<String>,
) -> Result<(), String> {
    let mut statements = source.profile.statements(StepKind::Pay).iter();
    let Some(at) = statements.position(|statement| statement.unique) else {
        return Ok(());
    };
    tx.mark().await.map_err(|error| error.in_full())?;
    let brought = settle::brought(source, due, StepKind::Pay).map_err(|trouble| trouble.in_full())?;
    let mut again = Run::of_payment(&source.profile, source.currency(), &server.compiled, &brought, due);
    again.told = told;
    let place = &server.compiled.of(StepKind::Pay)[at].place;
    match again.one(&mut On::Within(tx), StepKind::Pay, at).await {
        Err(trouble) if trouble.is_duplicate() => {
            lines.push(format!("{place}: the same once more is kept out by the unique key"));
            tx.undo().await.map_err(|error| error.in_full())
        }
        Err(trouble) => Err(trouble.in_full()),
        Ok(_) => Err(format!(
            "{place}: the same once more was done too: no unique key keeps a payment from being entered twice"
        )),
    }
}

/// Takes it back once more, as is done when the answer to the first was lost.
async fn taken_back_again(
    source: &Source,
    server: &Server,
    due: &Due,
    tx: &mut Transaction,
    lines: &mut Vec<String>,
) -> Result<(), String> {
    let asked = settle::ask_within(source, server, due, tx).await;
    let (asked, mut trace) = asked.map_err(|trouble| trouble.in_full())?;
    lines.append(&mut trace);
    if settle::said_before(asked).is_some() {
        lines.push("cancel once more is not run: status says that nothing is there to be taken back".to_owned());
        return Ok(());
    }
    let brought = settle::brought(source, due, StepKind::Cancel).map_err(|trouble| trouble.in_full())?;
    let mut run = Run::of_payment(&source.profile, source.currency(), &server.compiled, &brought, due);
    let ended = run.all(&mut On::Within(tx), StepKind::Cancel).await;
    lines.append(&mut run.trace);
    match ended.map_err(|(_, trouble)| trouble.in_full())? {
        End::Cancelled => Err(
            "databases.cancel: the same once more was done too: status does not say cancelled after it, \
             and the payer would get the money back twice"
                .to_owned(),
        ),
        end => {
            lines.push(format!(
                "cancel once more ends with: {end}; status should say cancelled before it"
            ));
            Ok(())
        }
    }
}
