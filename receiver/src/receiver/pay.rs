//! `/pay`, `/status`, `/cancel`, `/list`: what is entered, told and taken back, always together with the journal.

use contract::unikassa::{
    Cancel, CancelAnswer, CancelResult, List, ListAnswer, Pay, PayAnswer, PayResult, Status, StatusAnswer,
    StatusResult, reason,
};
use domain::ids::Number;

use super::run::{Verdict, run_all};
use super::{Failure, Receiver};
use crate::database::Access;
use crate::journal::{Entered, Entry, State};
use crate::values::Values;

/// Why a payment is not taken back when the payee's statements find nothing to take back.
const NOT_CANCELLABLE: &str = "not_cancellable";

impl Receiver {
    /// `/pay`: enters a payment exactly once. `asked_at` is when the request was signed.
    pub(crate) async fn pay(&self, pay: &Pay, asked_at: i64) -> Result<PayAnswer, Failure> {
        let answer = |result, reason| PayAnswer {
            number: pay.number,
            result,
            reason,
            provider_reference: None,
        };
        let mut tx = self.database.begin(Access::Write).await?;
        match self.journal.enter(&mut tx, pay, asked_at).await? {
            Entered::New => {}
            Entered::OtherNumber => {
                return Ok(answer(PayResult::Refused, Some(reason::NUMBER_CONFLICT.to_owned())));
            }
            Entered::Known(entry) => {
                if let Some(known) = answer_known(&entry, pay, asked_at) {
                    return Ok(known);
                }
            }
        }
        tx.mark().await?;
        let verdict = if pay.currency == self.currency {
            let values = Values::of_pay(pay, self.amount_as);
            run_all(&mut tx, &self.pay, &values, reason::ACCOUNT_NOT_FOUND).await?
        } else {
            Verdict::Refused {
                reason: reason::CURRENCY_DIFFERS.to_owned(),
            }
        };
        let answer = match verdict {
            Verdict::Done { reference } => {
                self.journal
                    .accept(&mut tx, pay.number, asked_at, reference.as_deref())
                    .await?;
                PayAnswer {
                    provider_reference: reference,
                    ..answer(PayResult::Accepted, None)
                }
            }
            Verdict::Refused { reason } => {
                tx.undo().await?;
                self.journal.refuse(&mut tx, pay.number, asked_at, &reason).await?;
                answer(PayResult::Refused, Some(reason))
            }
        };
        tx.commit().await?;
        Ok(answer)
    }

    /// `/status`: what the journal says of a number.
    pub(crate) async fn status(&self, status: &Status, asked_at: i64) -> Result<StatusAnswer, Failure> {
        let mut tx = self.database.begin(Access::Write).await?;
        let entry = self.journal.find(&mut tx, status.number).await?;
        let result = match entry.as_ref().map(|entry| entry.state) {
            None => StatusResult::NotFound,
            Some(State::Accepted) => StatusResult::Accepted,
            Some(State::Cancelled) => StatusResult::Cancelled,
            Some(State::Refused) => {
                self.journal.hear(&mut tx, status.number, asked_at).await?;
                StatusResult::Refused
            }
        };
        tx.commit().await?;
        let (reason, provider_reference) = entry
            .map(|entry| (entry.refused_reason, entry.provider_reference))
            .unwrap_or_default();
        Ok(StatusAnswer {
            number: status.number,
            result,
            reason,
            provider_reference,
        })
    }

    /// `/cancel`: takes a payment back, if the configuration says how.
    pub(crate) async fn cancel(&self, cancel: &Cancel) -> Result<CancelAnswer, Failure> {
        let answer = |result, reason| CancelAnswer {
            number: cancel.number,
            result,
            reason,
        };
        let mut tx = self.database.begin(Access::Write).await?;
        let Some(entry) = self.journal.find(&mut tx, cancel.number).await? else {
            return Ok(answer(CancelResult::NotFound, None));
        };
        match (entry.state, &self.cancel) {
            (State::Cancelled, _) => return Ok(answer(CancelResult::AlreadyCancelled, None)),
            // It was never entered: to be cancelled it only has to stay so.
            (State::Refused, _) => {}
            (State::Accepted, None) => {
                return Ok(answer(
                    CancelResult::Refused,
                    Some(reason::CANCEL_NOT_OFFERED.to_owned()),
                ));
            }
            (State::Accepted, Some(statements)) => {
                let mut values = Values::of_pay(&entry.pay, self.amount_as);
                values.text("reason", cancel.reason.clone());
                values.optional_text("provider_reference", entry.provider_reference);
                if let Verdict::Refused { reason } = run_all(&mut tx, statements, &values, NOT_CANCELLABLE).await? {
                    return Ok(answer(CancelResult::Refused, Some(reason)));
                }
            }
        }
        self.journal.cancel(&mut tx, cancel.number, &cancel.reason).await?;
        tx.commit().await?;
        Ok(answer(CancelResult::Cancelled, None))
    }

    /// `/list`: what was entered in a period.
    pub(crate) async fn list(&self, list: &List) -> Result<ListAnswer, Failure> {
        let after = list.after.as_deref().map(Number::parse).transpose();
        let after = after.map_err(|_| Failure::Request("after: is not from an answer to /list".to_owned()))?;
        let mut tx = self.database.begin(Access::Read).await?;
        let (items, next) = self.journal.list(&mut tx, list, after).await?;
        Ok(ListAnswer { items, next })
    }
}

/// The answer to a number that is known; `None` when the statements are to be tried again.
fn answer_known(entry: &Entry, pay: &Pay, asked_at: i64) -> Option<PayAnswer> {
    let answer = |result, reason: Option<String>, provider_reference| PayAnswer {
        number: pay.number,
        result,
        reason,
        provider_reference,
    };
    if !entry.is_of(pay) {
        return Some(answer(
            PayResult::Refused,
            Some(reason::NUMBER_CONFLICT.to_owned()),
            None,
        ));
    }
    match entry.state {
        State::Accepted => Some(answer(
            PayResult::AlreadyAccepted,
            None,
            entry.provider_reference.clone(),
        )),
        State::Cancelled => Some(answer(PayResult::Refused, Some(reason::CANCELLED.to_owned()), None)),
        State::Refused if asked_at <= entry.asked_at => {
            Some(answer(PayResult::Refused, entry.refused_reason.clone(), None))
        }
        State::Refused => None,
    }
}
