//! `/cancel`: what is taken back, always together with the journal.

use contract::unikassa::{Cancel, CancelAnswer, CancelResult, StatusResult, reason};

use super::doubt::{as_written_down, ended};
use super::run::{Verdict, run_all};
use super::{Failure, Receiver};
use crate::journal::{Entry, State};
use crate::values;
use sql::{Access, DatabaseError, Transaction};

/// Why a payment is not taken back when the payee's statements find nothing to take back.
const NOT_CANCELLABLE: &str = "not_cancellable";
/// What the journal says of a number while it is being taken back, and afterwards if nobody heard how that ended.
const BEING_CANCELLED: &str = "cancel.sql had begun to take it back";

impl Receiver {
    /// `/cancel`: takes a payment back, if the configuration says how.
    pub(crate) async fn cancel(&self, cancel: &Cancel) -> Result<CancelAnswer, Failure> {
        let mut tx = self.database.begin(Access::Write).await?;
        let (result, reason) = match self.journal.find(&mut tx, cancel.number).await? {
            None => (CancelResult::NotFound, None),
            Some(entry) if entry.state == State::InDoubt => {
                tx.rollback().await?;
                return Err(as_written_down(&entry));
            }
            Some(entry) => match self.take_back(&mut tx, &entry, &cancel.reason).await {
                Err(Failure::Doubt(why)) => return Err(self.in_doubt(tx, &entry.pay, entry.asked_at, why).await),
                taken => taken?,
            },
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
        match (self.known(tx, entry).await?, &self.cancel) {
            (StatusResult::Cancelled, _) => return Ok((CancelResult::AlreadyCancelled, None)),
            // It was never entered, or given back by the payee: to be cancelled it only has to stay so.
            (StatusResult::Refused, _) => {}
            (_, None) => {
                return Ok((CancelResult::Refused, Some(reason::CANCEL_NOT_OFFERED.to_owned())));
            }
            (_, Some(statements)) => {
                let mut values = values::of_pay(&entry.pay, self.amount_as);
                values.text("reason", why);
                values.optional_text("provider_reference", entry.provider_reference.clone());
                self.journal.doubt(tx, entry.pay.number, Some(BEING_CANCELLED)).await?;
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

    /// What became of it, as `/status` tells. The journal's row has to stay locked meanwhile.
    async fn known(&self, tx: &mut Transaction, entry: &Entry) -> Result<StatusResult, Failure> {
        tx.mark().await?;
        let told = self.told(tx, entry).await?;
        match tx.still_open().await {
            Ok(()) => Ok(told.result),
            // Nothing was done yet.
            Err(DatabaseError::Refused(_)) => Err(Failure::Answer {
                place: "status.sql".to_owned(),
                why: "a statement ended the transaction".to_owned(),
            }),
            Err(other) => Err(other.into()),
        }
    }
}
