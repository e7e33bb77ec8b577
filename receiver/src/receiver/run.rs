//! Running the statements of the configuration and reading what they say.

use super::Failure;
use crate::journal::short_reference;
use sql::{Cell, DatabaseError, Outcome, Readable, Statement, Transaction, Values};

/// The longest text shown to a payer or given as a reason, in characters.
const TEXT_MAX: usize = 500;

/// Columns that mean something, besides `field_<name>`.
const MEANINGFUL: [&str; 11] = [
    "display",
    "amount_due",
    "min_amount",
    "max_amount",
    "refused_reason",
    "provider_reference",
    "result",
    "number",
    "amount",
    "currency",
    CREDITED_AT,
];
/// The one of them that is a date and time.
const CREDITED_AT: &str = "credited_at";

/// Why a number is in doubt.
pub(super) const ENDED: &str = "the statement ended the transaction, and what was done may be there to stay";

/// What a list of statements came to.
pub(crate) enum Verdict {
    /// `pending`: entered, and the payee's own system has still to post it.
    Done {
        reference: Option<String>,
        pending: bool,
    },
    Refused {
        reason: String,
    },
}

/// Runs statements in their order until one refuses. One that touches nothing refuses with `untouched`.
pub(crate) async fn run_all(
    tx: &mut Transaction,
    statements: &[Statement],
    values: &Values,
    untouched: &str,
) -> Result<Verdict, Failure> {
    let (mut reference, mut pending) = (None, false);
    for statement in statements {
        let outcome = run_whole(tx, statement, values).await?;
        let row = outcome.rows.first();
        if let Some(why) = row.and_then(|row| row.text("refused_reason")) {
            return Ok(Verdict::Refused { reason: cut(&why) });
        }
        if outcome.touched == 0 && !statement.optional {
            return Ok(Verdict::Refused {
                reason: untouched.to_owned(),
            });
        }
        let given = row.and_then(|row| row.text("provider_reference"));
        reference = given.map(|given| short_reference(&given)).or(reference);
        pending = match row.and_then(|row| row.text("result")).as_deref() {
            None => pending,
            Some("accepted") => false,
            Some("pending") => true,
            Some(other) => {
                return Err(Failure::Answer {
                    place: statement.place.clone(),
                    why: format!("column result is {other:?}: there are accepted, pending"),
                });
            }
        };
    }
    Ok(Verdict::Done { reference, pending })
}

/// Runs one statement of a transaction that is kept whole or not at all, and sees to it that it still is one: a procedure of
/// MySQL may end it, and then refuse or fail as if nothing had been done.
async fn run_whole(tx: &mut Transaction, statement: &Statement, values: &Values) -> Result<Outcome, Failure> {
    if !statement.is_call() {
        return run(tx, statement, values).await;
    }
    tx.mark_call().await?;
    let done = run(tx, statement, values).await;
    let said = match &done {
        // The server has undone, or will, what was not committed. Of what was committed before, the journal knows: it was
        // committed with it, and the number is in doubt there. A lock that was not given in time undoes its statement alone, and
        // then it can be seen whether the transaction is still there.
        Err(Failure::Statement { source, .. }) if source.has_ended_the_transaction() => return done,
        Err(failure) => {
            if let Some(said) = failure.of_database() {
                tracing::debug!(said = said.in_full(), "the database's own words");
            }
            format!(" ({failure})")
        }
        Ok(_) => String::new(),
    };
    if tx.call_has_ended_it().await? {
        return Err(Failure::Doubt(format!("{}: {ENDED}{said}", statement.place)));
    }
    done
}

/// Runs one statement; an error names its place.
pub(crate) async fn run(tx: &mut Transaction, statement: &Statement, values: &Values) -> Result<Outcome, Failure> {
    run_readable(tx, statement, values)
        .await
        .map_err(|source| Failure::Statement {
            place: statement.place.clone(),
            source,
        })
}

/// Runs one statement, and leaves out of its rows what is not read. A column that counts has to be of a type that is.
pub(crate) async fn run_readable(
    tx: &mut Transaction,
    statement: &Statement,
    values: &Values,
) -> Result<Outcome, DatabaseError> {
    let Outcome { rows, touched } = tx.run(statement, values).await?;
    let rows = rows
        .into_iter()
        .map(|row| row.readable(readable))
        .collect::<Result<_, _>>()?;
    Ok(Outcome { rows, touched })
}

/// Dates and times have many ways to be shown: where one is to be, the statement chooses.
fn readable(name: &str, cell: &Cell) -> Readable {
    let unread = match cell {
        Cell::Unread(type_name) => type_name.as_str(),
        Cell::Moment(_) | Cell::Local(_) if name != CREDITED_AT => "date and time",
        _ => return Readable::Taken,
    };
    if MEANINGFUL.contains(&name) || name.starts_with("field_") {
        Readable::Refused(unread.to_owned())
    } else {
        Readable::LeftOut
    }
}

/// A text of the payee's, of a length an answer can take.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(TEXT_MAX).collect()
}
