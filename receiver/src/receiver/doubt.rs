//! A number of which nobody knows what became: a procedure of the payee's ended the transaction that it and the journal were
//! in, so that neither is known to have been kept or undone. It is written down, and from then on nothing is done about it
//! and nothing told of it but that nobody has decided: the gateway goes on asking, and a person looks. To pay such a number fails
//! every time: an answer would be a sign that payments are taken, and where every one ends like that more would be sent.

use std::time::Duration;

use contract::unikassa::Pay;
use sql::{Access, Database, DatabaseError, Transaction};

use super::run::ENDED;
use super::{Failure, Receiver};
use crate::journal::{Entered, Entry, Journal};

/// The first pause before a doubt is written down once more that could not be, and the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(5);

impl Receiver {
    /// Writes a number down as in doubt, in a transaction of its own, and returns what is answered. It is gone on with when
    /// the request breaks off, and until the database takes it.
    pub(super) async fn in_doubt(&self, tx: Transaction, pay: &Pay, asked_at: i64, why: String) -> Failure {
        // What has been begun in the place of the transaction that was ended is not to be kept. Where it cannot be said, the
        // connection is closed, which does the same.
        let _ = tx.rollback().await;
        tracing::error!(number = %pay.number, why, "a number is in doubt: see what was entered, and settle it by hand");
        let (database, journal) = (self.database.clone(), self.journal.clone());
        let (pay, reason) = (pay.clone(), why.clone());
        let written = tokio::spawn(async move { write_down(&database, &journal, &pay, asked_at, &reason).await });
        // It ends by itself; a panic in it would have been told of.
        let _ = written.await;
        Failure::Doubt(why)
    }
}

async fn write_down(database: &Database, journal: &Journal, pay: &Pay, asked_at: i64, why: &str) {
    let mut pause = PAUSE_FIRST;
    loop {
        match try_to_write_down(database, journal, pay, asked_at, why).await {
            Ok(()) => return,
            Err(error) if error.is_away() || matches!(error, DatabaseError::Contended(_)) => {
                tracing::warn!(error = error.in_short(), number = %pay.number, "the doubt about a number could not be written down yet");
            }
            Err(error) => {
                tracing::error!(error = error.in_short(), number = %pay.number, "the doubt about a number cannot be written down");
                return;
            }
        }
        tokio::time::sleep(pause).await;
        pause = (2 * pause).min(PAUSE_MAX);
    }
}

async fn try_to_write_down(
    database: &Database,
    journal: &Journal,
    pay: &Pay,
    asked_at: i64,
    why: &str,
) -> Result<(), DatabaseError> {
    let mut tx = database.begin(Access::Write).await?;
    // Its row may have been undone with the rest.
    if let Entered::OtherNumber = journal.enter(&mut tx, pay, asked_at).await? {
        return Err(DatabaseError::unreadable("the payment is known under another number"));
    }
    journal.doubt(&mut tx, pay.number, Some(why)).await?;
    tx.commit().await
}

/// What is said of a number that was in doubt before: about it nothing is done.
pub(super) fn as_written_down(entry: &Entry) -> Failure {
    Failure::Doubt(entry.refused_reason.clone().unwrap_or_else(|| ENDED.to_owned()))
}

/// The mark set before the statements is gone.
pub(super) fn ended(place: &str, error: DatabaseError) -> Failure {
    match error {
        DatabaseError::Refused(_) => Failure::Doubt(format!("{place}: {ENDED}")),
        other => other.into(),
    }
}
