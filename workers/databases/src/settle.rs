//! What became of a payment, and taking one back: `status` and `cancel`. Both are asked where payments are entered, never of a
//! copy, which may not have heard of it yet.

use std::ops::ControlFlow;
use std::time::Instant;

use couriers::Told;
use domain::declaration::{End, StepKind};
use domain::delivery::{Ending, Flag, Verdict};
use sql::{Access, DatabaseError, Transaction};
use store::deliveries::Due;

use crate::bind::{Brought, amount_as};
use crate::known;
use crate::pay::in_time;
use crate::source::{Server, Source};
use crate::steps::{On, Run, Trouble};

/// An answer of the payee's data.
pub(crate) fn told(verdict: Verdict) -> Told {
    Told {
        result: Some(word(verdict).to_owned()),
        ..Told::bare(Ending::Answered(verdict))
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Accepted => "accepted",
        Verdict::AlreadyAccepted => "already_accepted",
        Verdict::Pending | Verdict::Unfinished => "pending",
        Verdict::TryLater => "retry",
        Verdict::Refused => "refused",
        Verdict::NumberConflict => "number_conflict",
        Verdict::Concerning => "error",
        Verdict::NotFound => "not_found",
        Verdict::Cancelled => "cancelled",
    }
}

/// No, and why.
pub(crate) fn refused(reason: &str) -> Told {
    Told {
        error: Some(format!("the payee says: {reason}")),
        ..told(Verdict::Refused)
    }
}

/// The payee has something else under the number.
pub(crate) fn number_conflict() -> Told {
    Told {
        error: Some("the number is there with another amount or account".to_owned()),
        ..told(Verdict::NumberConflict)
    }
}

/// What a fault says that the database told us of: nothing was done. What it refused is about the request, and not about
/// the payment.
pub(crate) fn of_trouble(trouble: &Trouble) -> Told {
    let verdict = if trouble.is_contention() {
        Verdict::TryLater
    } else {
        Verdict::Concerning
    };
    Told {
        error: Some(trouble.to_string()),
        ..told(verdict)
    }
}

/// What a payment brings to a step.
pub(crate) fn brought(source: &Source, due: &Due, kind: StepKind) -> Result<Brought, Trouble> {
    Brought::by_payment(due, kind, source.currency(), amount_as(&source.profile), &source.zone).map_err(|why| {
        Trouble::Value {
            place: format!("databases.{}", kind.as_str()),
            why,
        }
    })
}

/// What became of a payment. An error: nothing is known.
pub(crate) async fn ask(source: &Source, server: &Server, due: &Due) -> Result<(Told, Vec<String>), Trouble> {
    let away = |error: DatabaseError| Trouble::Database {
        place: "databases.status".to_owned(),
        source: error,
    };
    let mut tx = server.write.begin(Access::Read).await.map_err(away)?;
    let asked = ask_within(source, server, due, &mut tx).await?;
    tx.rollback().await.map_err(away)?;
    Ok(asked)
}

/// The same within a transaction.
pub(crate) async fn ask_within(
    source: &Source,
    server: &Server,
    due: &Due,
    tx: &mut Transaction,
) -> Result<(Told, Vec<String>), Trouble> {
    let brought = brought(source, due, StepKind::Status)?;
    let mut run = Run::of_payment(&source.profile, source.currency(), &server.compiled, &brought, due);
    let end = run
        .all(&mut On::Within(tx), StepKind::Status)
        .await
        .map_err(|(_, trouble)| trouble)?;
    let verdict = match &end {
        End::Accepted => Verdict::Accepted,
        End::Pending => Verdict::Pending,
        End::Refused(_) => Verdict::Refused,
        End::Cancelled => Verdict::Cancelled,
        End::NotFound => Verdict::NotFound,
        _ => Verdict::TryLater,
    };
    if verdict != Verdict::NotFound && is_of_another_account(&run, due) {
        return Ok((number_conflict(), run.trace));
    }
    let mut answer = match &end {
        End::Refused(reason) => refused(reason),
        _ => told(verdict),
    };
    answer.provider_reference = known::reference(&run.told);
    // Where it says what was entered, that is held against what was paid.
    let amount = run.told.amounts.get("amount");
    if verdict != Verdict::NotFound && amount.is_some_and(|amount| *amount != due.amount) {
        answer.flag = Some(Flag::EchoedAmountDiffers);
    }
    Ok((answer, run.trace))
}

/// Whether a row says whose account was paid, and it is not the one of this payment.
fn is_of_another_account(run: &Run<'_>, due: &Due) -> bool {
    let told = run.told.by_rows.get("account").and_then(Option::as_deref);
    told.is_some_and(|account| account.trim() != due.account.trim())
}

/// Takes a payment back.
pub(crate) async fn cancel(source: &Source, server: &Server, due: &Due) -> (Told, Vec<String>) {
    let (mut trace, since) = (Vec::new(), Instant::now());
    let taken = taken_or_asked(source, server, due, since, &mut trace);
    let taken = tokio::time::timeout(source.timeout(), taken).await;
    (taken.unwrap_or_else(|_| late(source)), trace)
}

fn late(source: &Source) -> Told {
    Told {
        lost: true,
        ..Told::maybe(format!("not done within {} s", source.timeout().as_secs()))
    }
}

/// Takes it back; where its statements took nothing back, it is asked what is there now: a procedure may have kept what it did,
/// and said otherwise.
async fn taken_or_asked(source: &Source, server: &Server, due: &Due, since: Instant, trace: &mut Vec<String>) -> Told {
    let of = |trouble: &Trouble| match trouble.is_away() {
        true => Told::maybe(trouble.to_string()),
        false => of_trouble(trouble),
    };
    let told = match take_back(source, server, due, since, trace).await {
        Ok(ControlFlow::Break(told)) => return told,
        Ok(ControlFlow::Continue(told)) => told,
        Err(trouble) => {
            trace.push(trouble.in_full());
            of(&trouble)
        }
    };
    match ask(source, server, due).await {
        Ok((asked, seen)) => {
            trace.extend(seen);
            held_against(told, asked)
        }
        Err(trouble) => {
            trace.push(trouble.in_full());
            match told.ending {
                // It may be taken back already: no word of it counts before status has been heard.
                Ending::Answered(Verdict::Refused | Verdict::NotFound) => of(&trouble),
                _ => told,
            }
        }
    }
}

/// What a cancel told that took nothing back, beside what `status` says is there.
fn held_against(told: Told, asked: Told) -> Told {
    use Verdict as V;
    match (told.ending, asked.ending) {
        (_, Ending::Answered(V::Cancelled)) => asked,
        // Nothing is there that could be taken back.
        (Ending::Answered(V::Refused), Ending::Answered(V::NotFound)) => asked,
        (Ending::Answered(V::Refused), Ending::Answered(V::TryLater)) => asked,
        // Two that do not know it are believed: not while one of them does.
        (Ending::Answered(V::NotFound), Ending::Answered(V::Accepted | V::Pending | V::TryLater)) => Told {
            error: Some("cancel does not find what status says is there".to_owned()),
            ..self::told(V::TryLater)
        },
        _ => told,
    }
}

/// What `status` says before anything is taken back; `None` where there is something that can be. By a cancel whose answer was
/// lost, whose worker vanished, or by the payee it may have been taken back: to do that again would give the money back twice.
pub(crate) fn said_before(asked: Told) -> Option<Told> {
    use Verdict as V;
    let anothers = || Told {
        result: Some(word(V::NumberConflict).to_owned()),
        error: number_conflict().error,
        ..told(V::Refused)
    };
    match asked.ending {
        Ending::Answered(V::Accepted | V::Pending) if asked.flag.is_none() => None,
        // Refused, and asked about: `status` says the same, and that is what is kept of it.
        Ending::Answered(V::Accepted | V::Pending | V::NumberConflict) => Some(anothers()),
        _ => Some(asked),
    }
}

/// The statements of `status` run first, in the same transaction. An end that has to be held against what `status` says
/// afterwards is one to continue with.
async fn take_back(
    source: &Source,
    server: &Server,
    due: &Due,
    since: Instant,
    trace: &mut Vec<String>,
) -> Result<ControlFlow<Told, Told>, Trouble> {
    let at = |error: DatabaseError| Trouble::Database {
        place: "databases.cancel".to_owned(),
        source: error,
    };
    let mut tx = server.write.begin(Access::Write).await.map_err(at)?;
    let (asked, mut seen) = ask_within(source, server, due, &mut tx).await?;
    trace.append(&mut seen);
    if let Some(before) = said_before(asked) {
        // However it ends, nothing is kept.
        let _ = tx.rollback().await;
        return Ok(ControlFlow::Break(before));
    }
    let dialect = server.write.dialect();
    if dialect.calls_may_commit() {
        tx.mark().await.map_err(at)?;
    }
    let brought = brought(source, due, StepKind::Cancel)?;
    let mut run = Run::of_payment(&source.profile, source.currency(), &server.compiled, &brought, due);
    let ended = run.all(&mut On::Within(&mut tx), StepKind::Cancel).await;
    trace.append(&mut run.trace);
    let (keep, told) = match ended.map_err(|(_, trouble)| trouble)? {
        End::Cancelled => (true, told(Verdict::Cancelled)),
        End::AlreadyCancelled => (false, told(Verdict::Cancelled)),
        End::NotFound => (false, told(Verdict::NotFound)),
        End::Refused(reason) => (false, refused(&reason)),
        _ => (false, told(Verdict::TryLater)),
    };
    // What a procedure has kept is kept, whatever its rows say; that it was taken back before is so either way. By way of ODBC
    // nobody says whether one has ended the transaction: what is there after it does.
    let called = dialect.calls_may_commit() && server.compiled.calls(StepKind::Cancel);
    let called = called && told.ending != Ending::Answered(Verdict::Cancelled);
    if (keep || called)
        && let Err(error) = tx.still_open().await
    {
        let place = "databases.cancel: a statement ended the transaction".to_owned();
        let trouble = Trouble::Database { place, source: error };
        trace.push(trouble.in_full());
        return Ok(ControlFlow::Continue(Told::maybe(trouble.to_string())));
    }
    if keep {
        if !in_time(source, since) {
            return Ok(ControlFlow::Break(late(source)));
        }
        tx.commit().await.map_err(at)?;
    } else {
        let _ = tx.rollback().await;
    }
    Ok(match told.ending {
        Ending::Answered(Verdict::Cancelled) => ControlFlow::Break(told),
        _ => ControlFlow::Continue(told),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Place;
    use crate::tests::{Books, PAYMENTS, due};

    #[tokio::test]
    async fn what_a_worker_that_was_stopped_takes_back_is_not_kept() {
        let books = Books::with(PAYMENTS).await;
        let (source, due) = (books.source(), due(15_000));
        let Place::Database(server) = &source.place else {
            panic!("a database");
        };
        crate::pay::pay(&source, &due).await;
        let long_ago = Instant::now().checked_sub(source.timeout()).unwrap();
        let told = taken_or_asked(&source, server, &due, long_ago, &mut Vec::new()).await;
        assert_eq!(
            (told.ending, told.lost),
            (Ending::Maybe { retry_safe: false }, true),
            "{told:?}"
        );
        let (asked, _) = ask(&source, server, &due).await.unwrap();
        assert_eq!(asked.ending, Ending::Answered(Verdict::Accepted), "{asked:?}");
        let (told, _) = cancel(&source, server, &due).await;
        assert_eq!(told.ending, Ending::Answered(Verdict::Cancelled), "{told:?}");
    }
}
