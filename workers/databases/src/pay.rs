//! A payment is entered in one transaction, once. Until its commit is sent nothing has happened, whatever breaks; what breaks
//! after that may have been done, and is said so.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use couriers::Told;
use domain::declaration::{End, StepKind};
use domain::delivery::{Ending, Flag, Verdict};
use sql::{Access, DatabaseError, Dialect, Transaction};
use store::deliveries::Due;

use crate::known;
use crate::settle::{self, of_trouble, told};
use crate::source::{Place, Server, Source};
use crate::steps::{On, Run, Trouble};

/// How often a payment is tried at once that other transactions are in the way of.
const TRIES: u32 = 5;

/// What became of a payment, and what was done for it.
pub(crate) struct Entered {
    pub(crate) told: Told,
    pub(crate) trace: Vec<String>,
}

/// Enters a payment. Never takes longer than a step may.
pub(crate) async fn pay(source: &Source, due: &Due) -> Entered {
    match &source.place {
        Place::File(listed) => {
            let entered = tokio::time::timeout(source.timeout(), listed.pay(source, due)).await;
            entered.unwrap_or_else(|_| Entered {
                told: Told::not_sent(not_in_time(source)),
                trace: Vec::new(),
            })
        }
        Place::Database(server) => {
            let mut entry = Entry {
                source,
                server,
                due,
                since: Instant::now(),
                may_be_done: AtomicBool::new(false),
                trace: Vec::new(),
            };
            let told = entry.within_time().await;
            Entered {
                told,
                trace: entry.trace,
            }
        }
    }
}

/// Whether a step that began then may still be kept. A process that was stopped goes on where it was, however long that was: by
/// then the payee may have been asked, have known nothing of it, and been paid or asked to take it back by somebody else.
pub(crate) fn in_time(source: &Source, since: Instant) -> bool {
    since.elapsed() < source.timeout()
}

fn not_in_time(source: &Source) -> String {
    format!("not done within {} s", source.timeout().as_secs())
}

/// How the statements of a payment came out, before the commit.
enum Statements {
    /// To be kept.
    Done { pending: bool, reference: Option<String> },
    /// To be undone: this is what is told.
    Undone(Told),
    /// To be undone: the unique key was in the way.
    Duplicate,
}

struct Entry<'a> {
    source: &'a Source,
    server: &'a Server,
    due: &'a Due,
    since: Instant,
    /// Something was sent that may last without our hearing of it.
    may_be_done: AtomicBool,
    trace: Vec<String>,
}

impl Entry<'_> {
    async fn within_time(&mut self) -> Told {
        let timeout = self.source.timeout();
        match tokio::time::timeout(timeout, self.patiently()).await {
            Ok(told) => told,
            Err(_) => self.late(),
        }
    }

    fn late(&self) -> Told {
        Told {
            lost: true,
            ..self.broken(not_in_time(self.source))
        }
    }

    /// What broke before the commit was sent is undone by the database itself.
    fn broken(&self, why: String) -> Told {
        if self.may_be_done.load(Ordering::Relaxed) {
            Told {
                lost: true,
                ..Told::maybe(why)
            }
        } else {
            Told::not_sent(why)
        }
    }

    async fn patiently(&mut self) -> Told {
        // Waiting for locks once more takes up to half of the time: who would not be done with it in time is told of it.
        let early = self.source.timeout() / 3;
        for _ in 1..TRIES {
            match self.once().await {
                Err(trouble)
                    if trouble.is_contention()
                        && self.since.elapsed() < early
                        && !self.may_be_done.load(Ordering::Relaxed) =>
                {
                    self.trace.push(format!("once more: {}", trouble.in_full()));
                }
                ended => return ended.unwrap_or_else(|trouble| self.of_trouble(&trouble)),
            }
        }
        let ended = self.once().await;
        ended.unwrap_or_else(|trouble| self.of_trouble(&trouble))
    }

    fn of_trouble(&mut self, trouble: &Trouble) -> Told {
        self.trace.push(trouble.in_full());
        match trouble {
            _ if trouble.is_away() => self.broken(trouble.to_string()),
            // It has answered: nothing of it is under way any more.
            _ if self.may_be_done.load(Ordering::Relaxed) => Told::maybe(trouble.to_string()),
            _ => of_trouble(trouble),
        }
    }

    async fn once(&mut self) -> Result<Told, Trouble> {
        let mut tx = self
            .server
            .write
            .begin(Access::Write)
            .await
            .map_err(|error| at("pay", error))?;
        match self.statements(&mut tx).await? {
            Statements::Undone(told) => self.undone(tx, told).await,
            Statements::Duplicate => {
                let _ = tx.rollback().await;
                self.entered_before().await
            }
            Statements::Done { pending, reference } => {
                tx.still_open().await.map_err(|error| self.ended_by_itself(error))?;
                if !in_time(self.source, self.since) {
                    return Ok(self.late());
                }
                self.may_be_done.store(true, Ordering::Relaxed);
                match tx.commit().await {
                    Ok(()) => Ok(Told {
                        provider_reference: reference,
                        ..told(if pending { Verdict::Pending } else { Verdict::Accepted })
                    }),
                    Err(lost @ DatabaseError::Away(_)) => {
                        self.trace.push(format!("databases.pay.commit: {}", lost.in_full()));
                        Ok(Told {
                            lost: true,
                            ..Told::maybe(format!("the answer to the commit was lost: {}", lost.in_short()))
                        })
                    }
                    Err(refused) => {
                        // The database has answered: it was undone.
                        self.may_be_done.store(false, Ordering::Relaxed);
                        Err(at("pay.commit", refused))
                    }
                }
            }
        }
    }

    /// Nothing of it is to be kept. Where a procedure has kept it all the same, what the rows said is not how it ended.
    async fn undone(&mut self, mut tx: Transaction, told: Told) -> Result<Told, Trouble> {
        let called = self.may_be_done.load(Ordering::Relaxed);
        if !called || told.ending == Ending::Answered(Verdict::AlreadyAccepted) {
            // However it ends, nothing is kept.
            let _ = tx.rollback().await;
            return Ok(told);
        }
        tx.still_open().await.map_err(|error| self.ended_by_itself(error))?;
        let _ = tx.rollback().await;
        if self.server.write.dialect() == Dialect::Odbc {
            return self.kept_by_a_call(told).await;
        }
        Ok(told)
    }

    /// By way of ODBC nobody says whether a procedure has ended the transaction: what is there now does.
    async fn kept_by_a_call(&mut self, told: Told) -> Result<Told, Trouble> {
        let (asked, trace) = settle::ask(self.source, self.server, self.due).await?;
        self.trace.extend(trace);
        Ok(match asked.ending {
            Ending::Answered(Verdict::NotFound) => told,
            Ending::Answered(Verdict::Accepted | Verdict::NumberConflict) => asked,
            _ => Told::maybe("a procedure was called, and status does not say what it did".to_owned()),
        })
    }

    /// A statement has ended the transaction (a procedure of MySQL can): what it did before is there to stay.
    fn ended_by_itself(&self, error: DatabaseError) -> Trouble {
        if !error.is_away() {
            self.may_be_done.store(true, Ordering::Relaxed);
        }
        at("pay: a statement ended the transaction", error)
    }

    async fn statements(&mut self, tx: &mut Transaction) -> Result<Statements, Trouble> {
        let (profile, currency) = (&self.source.profile, self.source.currency());
        let pay = profile.pay.as_ref();
        if pay.is_some_and(|pay| pay.ask_status_first)
            && let Some(before) = self.asked_first(tx).await?
        {
            return Ok(Statements::Undone(before));
        }
        if self.server.write.dialect().calls_may_commit() {
            tx.mark().await.map_err(|error| at("pay", error))?;
            // What a procedure does may last, whatever becomes of the transaction.
            let calls = self.server.compiled.calls(StepKind::Pay);
            self.may_be_done.store(calls, Ordering::Relaxed);
        }
        let brought = settle::brought(self.source, self.due, StepKind::Pay)?;
        let mut run = Run::of_payment(profile, currency, &self.server.compiled, &brought, self.due);
        let ended = run.all(&mut On::Within(tx), StepKind::Pay).await;
        self.trace.append(&mut run.trace);
        let reference = known::reference(&run.told);
        let unique = |at: usize| pay.is_some_and(|pay| pay.statement[at].unique);
        Ok(match ended {
            Ok(End::Accepted) => Statements::Done {
                pending: false,
                reference,
            },
            Ok(End::Pending) => Statements::Done {
                pending: true,
                reference,
            },
            Ok(End::AlreadyAccepted) => Statements::Undone(Told {
                provider_reference: reference,
                ..told(Verdict::AlreadyAccepted)
            }),
            Ok(End::Refused(reason)) => Statements::Undone(settle::refused(&reason)),
            Ok(_) => Statements::Undone(told(Verdict::TryLater)),
            Err((at, trouble)) if trouble.is_duplicate() && unique(at) => Statements::Duplicate,
            Err((_, trouble)) => return Err(trouble),
        })
    }

    /// What `status` says before anything is entered; none when it does not know the payment.
    async fn asked_first(&mut self, tx: &mut Transaction) -> Result<Option<Told>, Trouble> {
        let (end, trace) = settle::ask_within(self.source, self.server, self.due, tx).await?;
        self.trace.extend(trace);
        Ok(match end.ending {
            Ending::Answered(Verdict::NotFound) => None,
            _ => Some(found_there(end)),
        })
    }

    /// The unique key says that it was, if it is the key of the number; `status` says whether, and how it stands.
    async fn entered_before(&mut self) -> Result<Told, Trouble> {
        let asked = settle::ask(self.source, self.server, self.due).await?;
        self.trace.extend(asked.1);
        Ok(match asked.0.ending {
            Ending::Answered(Verdict::NotFound) => Told {
                error: Some(
                    "the unique key is taken, and status knows no such payment: is it the key of the number?"
                        .to_owned(),
                ),
                ..told(Verdict::Concerning)
            },
            _ => found_there(asked.0),
        })
    }
}

/// What `status` says of the number before anything was entered now, as the answer to a pay.
fn found_there(asked: Told) -> Told {
    match asked.ending {
        // Whatever became of it, it is not this payment.
        _ if asked.flag == Some(Flag::EchoedAmountDiffers) => settle::number_conflict(),
        Ending::Answered(Verdict::Accepted) => Told {
            provider_reference: asked.provider_reference,
            ..told(Verdict::AlreadyAccepted)
        },
        // Once taken back, the number is not entered again.
        Ending::Answered(Verdict::Cancelled) => settle::refused("it was entered before, and taken back"),
        _ => asked,
    }
}

fn at(place: &str, source: DatabaseError) -> Trouble {
    Trouble::Database {
        place: format!("databases.{place}"),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{Books, PAYMENTS, due};

    #[tokio::test]
    async fn what_a_worker_that_was_stopped_goes_on_with_is_not_kept() {
        let books = Books::with(PAYMENTS).await;
        let (source, due) = (books.source(), due(15_000));
        let Place::Database(server) = &source.place else {
            panic!("a database");
        };
        let mut entry = Entry {
            source: &source,
            server,
            due: &due,
            since: Instant::now().checked_sub(source.timeout()).unwrap(),
            may_be_done: AtomicBool::new(false),
            trace: Vec::new(),
        };
        let told = entry.patiently().await;
        assert_eq!((told.ending, told.lost), (Ending::NotSent, true), "{told:?}");
        // It is to be paid once more, by whoever has found that it is not there.
        let again = pay(&source, &due).await.told;
        assert_eq!(again.ending, Ending::Answered(Verdict::Accepted), "{again:?}");
    }
}
