//! `/pay`: what is entered, always together with the journal.

use contract::unikassa::{Pay, PayAnswer, PayResult, StatusResult, reason};

use super::doubt::{as_written_down, ended};
use super::run::{Verdict, run_all};
use super::{Failure, Receiver};
use crate::journal::{Entered, Entry, State};
use crate::values;
use sql::{Access, Transaction};

impl Receiver {
    /// `/pay`: enters a payment exactly once. `asked_at` is when the request was signed.
    pub(crate) async fn pay(&self, pay: &Pay, asked_at: i64) -> Result<PayAnswer, Failure> {
        let mut tx = self.database.begin(Access::Write).await?;
        let known = match self.journal.enter(&mut tx, pay, asked_at).await? {
            Entered::New => None,
            Entered::OtherNumber => Some(refused(pay, reason::NUMBER_CONFLICT)),
            Entered::Known(entry) if entry.state == State::InDoubt && entry.is_of(pay) => {
                tx.rollback().await?;
                return Err(as_written_down(&entry));
            }
            Entered::Known(entry) => self.answer_known(&mut tx, &entry, pay, asked_at).await?,
        };
        if let Some(known) = known {
            tx.rollback().await?;
            return Ok(known);
        }
        match self.perform(&mut tx, pay, asked_at).await {
            Err(Failure::Doubt(why)) => Err(self.in_doubt(tx, pay, asked_at, why).await),
            performed => {
                let answer = performed?;
                tx.commit().await?;
                Ok(answer)
            }
        }
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
            self.journal.doubt(tx, pay.number, None).await?;
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
