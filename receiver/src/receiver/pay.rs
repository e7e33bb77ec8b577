//! `/pay` and `/cancel`: what is entered and taken back, always together with the journal.

use contract::unikassa::{Cancel, CancelAnswer, CancelResult, Pay, PayAnswer, PayResult, StatusResult, reason};

use super::run::{Verdict, run_all};
use super::{Failure, Receiver};
use crate::journal::{Entered, Entry, State};
use crate::values;
use sql::{Access, DatabaseError, Transaction};

/// Why a payment is not taken back when the payee's statements find nothing to take back.
const NOT_CANCELLABLE: &str = "not_cancellable";

impl Receiver {
    /// `/pay`: enters a payment exactly once. `asked_at` is when the request was signed.
    pub(crate) async fn pay(&self, pay: &Pay, asked_at: i64) -> Result<PayAnswer, Failure> {
        let mut tx = self.database.begin(Access::Write).await?;
        let known = match self.journal.enter(&mut tx, pay, asked_at).await? {
            Entered::New => None,
            Entered::OtherNumber => Some(refused(pay, reason::NUMBER_CONFLICT)),
            Entered::Known(entry) => self.answer_known(&mut tx, &entry, pay, asked_at).await?,
        };
        if let Some(known) = known {
            tx.rollback().await?;
            return Ok(known);
        }
        let answer = self.perform(&mut tx, pay, asked_at).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// The answer to a number that is known; `None` when the statements are to be tried again.
    async fn answer_known(
        &self,
        tx: &mut Transaction,
        entry: &Entry,
        pay: &Pay,
        asked_at: i64,
    ) -> Result<Option<PayAnswer>, Failure> {
        if !entry.is_of(pay) {
            return Ok(Some(refused(pay, reason::NUMBER_CONFLICT)));
        }
        if entry.state == State::Refused && asked_at > entry.asked_at {
            return Ok(None);
        }
        let told = self.told(tx, entry).await?;
        let result = match told.result {
            StatusResult::Accepted | StatusResult::NotFound => PayResult::AlreadyAccepted,
            StatusResult::Pending => PayResult::Pending,
            StatusResult::Refused => return Ok(Some(answer(pay, PayResult::Refused, told.reason))),
            StatusResult::Cancelled => return Ok(Some(refused(pay, reason::CANCELLED))),
        };
        Ok(Some(PayAnswer {
            provider_reference: told.provider_reference,
            ..answer(pay, result, None)
        }))
    }

    /// Runs the payee's statements, and records what came of it.
    async fn perform(&self, tx: &mut Transaction, pay: &Pay, asked_at: i64) -> Result<PayAnswer, Failure> {
        tx.mark().await?;
        let verdict = if pay.currency == self.currency {
            let values = values::of_pay(pay, self.amount_as);
            run_all(tx, &self.pay, &values, reason::ACCOUNT_NOT_FOUND).await?
        } else {
            Verdict::Refused {
                reason: reason::CURRENCY_DIFFERS.to_owned(),
            }
        };
        match verdict {
            Verdict::Done { reference, pending } => {
                tx.still_open().await.map_err(|error| ended("pay.sql", error))?;
                self.journal
                    .accept(tx, pay.number, asked_at, reference.as_deref())
                    .await?;
                let result = if pending {
                    PayResult::Pending
                } else {
                    PayResult::Accepted
                };
                Ok(PayAnswer {
                    provider_reference: reference,
                    ..answer(pay, result, None)
                })
            }
            Verdict::Refused { reason } => {
                tx.undo().await.map_err(|error| ended("pay.sql", error))?;
                self.journal.refuse(tx, pay.number, asked_at, &reason).await?;
                Ok(answer(pay, PayResult::Refused, Some(reason)))
            }
        }
    }

    /// `/cancel`: takes a payment back, if the configuration says how.
    pub(crate) async fn cancel(&self, cancel: &Cancel) -> Result<CancelAnswer, Failure> {
        let mut tx = self.database.begin(Access::Write).await?;
        let (result, reason) = match self.journal.find(&mut tx, cancel.number).await? {
            None => (CancelResult::NotFound, None),
            Some(entry) => self.take_back(&mut tx, &entry, &cancel.reason).await?,
        };
        if result == CancelResult::Cancelled {
            tx.commit().await?;
        } else {
            tx.rollback().await?;
        }
        Ok(CancelAnswer {
            number: cancel.number,
            result,
            reason,
        })
    }

    async fn take_back(
        &self,
        tx: &mut Transaction,
        entry: &Entry,
        why: &str,
    ) -> Result<(CancelResult, Option<String>), Failure> {
        match (entry.state, &self.cancel) {
            (State::Cancelled, _) => return Ok((CancelResult::AlreadyCancelled, None)),
            // It was never entered: to be cancelled it only has to stay so.
            (State::Refused, _) => {}
            (State::Accepted, None) => {
                return Ok((CancelResult::Refused, Some(reason::CANCEL_NOT_OFFERED.to_owned())));
            }
            (State::Accepted, Some(statements)) => {
                let mut values = values::of_pay(&entry.pay, self.amount_as);
                values.text("reason", why);
                values.optional_text("provider_reference", entry.provider_reference.clone());
                tx.mark().await?;
                if let Verdict::Refused { reason } = run_all(tx, statements, &values, NOT_CANCELLABLE).await? {
                    return Ok((CancelResult::Refused, Some(reason)));
                }
                tx.still_open().await.map_err(|error| ended("cancel.sql", error))?;
            }
        }
        self.journal.cancel(tx, entry.pay.number, why).await?;
        Ok((CancelResult::Cancelled, None))
    }
}

fn answer(pay: &Pay, result: PayResult, reason: Option<String>) -> PayAnswer {
    PayAnswer {
        number: pay.number,
        result,
        reason,
        provider_reference: None,
    }
}

fn refused(pay: &Pay, reason: &str) -> PayAnswer {
    answer(pay, PayResult::Refused, Some(reason.to_owned()))
}

/// The mark set before the statements is gone.
fn ended(place: &str, error: DatabaseError) -> Failure {
    match error {
        DatabaseError::Refused(_) => Failure::Answer {
            place: place.to_owned(),
            why: "a statement ended the transaction, and what was done before it cannot be undone".to_owned(),
        },
        other => other.into(),
    }
}
