//! `/status` and `/list`: what the journal says, and what the payee's own tables say where the configuration asks them.

use std::time::Instant;

use contract::unikassa::{List, ListAnswer, ListItem, Status, StatusAnswer, StatusResult};
use domain::ids::Number;
use domain::money::{Amount, Currency};

use super::doubt::as_written_down;
use super::run::{cut, run};
use super::{Failure, Receiver};
use crate::journal::{Entry, PAGE, State, of_period, short_reference};
use crate::values;
use sql::Statement;
use sql::{Access, Row, Transaction};

impl Receiver {
    /// `/status`: what became of a number. `asked_at` is when the request was signed.
    pub(crate) async fn status(&self, status: &Status, asked_at: i64) -> Result<StatusAnswer, Failure> {
        let mut tx = self.database.begin(Access::Write).await?;
        let entry = self.journal.find(&mut tx, status.number).await?;
        let answer = match entry {
            None => bare(status.number, StatusResult::NotFound),
            Some(entry) => {
                if entry.state == State::Refused {
                    self.journal.hear(&mut tx, status.number, asked_at).await?;
                }
                self.told(&mut tx, &entry).await?
            }
        };
        tx.commit().await?;
        Ok(answer)
    }

    /// What became of a number that the journal knows. Of one that was entered the payee's tables may know more: not
    /// posted yet, refused after all, taken back by hand.
    pub(super) async fn told(&self, tx: &mut Transaction, entry: &Entry) -> Result<StatusAnswer, Failure> {
        let result = match entry.state {
            State::InDoubt => StatusResult::Pending,
            State::Accepted => StatusResult::Accepted,
            State::Cancelled => StatusResult::Cancelled,
            State::Refused => StatusResult::Refused,
        };
        let reason = match entry.state {
            State::InDoubt => Some(cut(&as_written_down(entry).to_string())),
            _ => entry.refused_reason.clone(),
        };
        let recorded = StatusAnswer {
            reason,
            provider_reference: entry.provider_reference.clone(),
            ..bare(entry.pay.number, result)
        };
        if entry.state != State::Accepted {
            return Ok(recorded);
        }
        let mut values = values::of_pay(&entry.pay, self.amount_as);
        values.optional_text("provider_reference", entry.provider_reference.clone());
        let mut answer = recorded;
        for statement in self.status.iter().flatten() {
            // No row: nothing is known beyond what was recorded.
            let Some(row) = run(tx, statement, &values).await?.rows.into_iter().next() else {
                continue;
            };
            answer.result = status_result(&row).map_err(|why| wrong(statement, why))?;
            answer.reason = row.text("refused_reason").map(|why| cut(&why)).or(answer.reason);
            let reference = row.text("provider_reference").map(|given| short_reference(&given));
            answer.provider_reference = reference.or(answer.provider_reference);
        }
        Ok(answer)
    }

    /// `/list`: what was credited in a period, a page at a time, in the order of numbers.
    pub(crate) async fn list(&self, list: &List) -> Result<ListAnswer, Failure> {
        let after = list.after.as_deref().map(Number::parse).transpose();
        let after = after.map_err(|_| Failure::Request("after: is not from an answer to /list".to_owned()))?;
        let (items, next) = match &self.list {
            None => self.list_by_journal(list, after).await?,
            Some(statement) => {
                let mut tx = self.database.begin(Access::Read).await?;
                let (items, more) = self.list_by(&mut tx, statement, list, after).await?;
                tx.rollback().await?;
                let last = items.last().map(|item| item.number);
                (items, last.filter(|_| more))
            }
        };
        let next = next.map(|last| last.to_string());
        Ok(ListAnswer { items, next })
    }

    /// A page of what the journal says was entered, without what the payee's tables say is not posted yet, was refused or taken
    /// back since; and the last number that was read, if there is more. Where all that was read has gone so it is read on, for
    /// half of a request's time: a page may then be empty and not the last, and the next one goes on behind it.
    async fn list_by_journal(
        &self,
        list: &List,
        mut after: Option<Number>,
    ) -> Result<(Vec<ListItem>, Option<Number>), Failure> {
        let until = Instant::now() + self.timeout / 2;
        loop {
            let (items, next) = self.list_some(list, after, until).await?;
            if !items.is_empty() || next.is_none() || Instant::now() >= until {
                return Ok((items, next));
            }
            after = next;
        }
    }

    /// Of one page of the journal as much as there is time for, at least one number, in a transaction of its own: nothing that
    /// the payee's statements lock is held for longer. They are run as they are for `/status`.
    async fn list_some(
        &self,
        list: &List,
        after: Option<Number>,
        until: Instant,
    ) -> Result<(Vec<ListItem>, Option<Number>), Failure> {
        let access = if self.status.is_some() {
            Access::Write
        } else {
            Access::Read
        };
        let mut tx = self.database.begin(access).await?;
        let (entered, more) = self.journal.list(&mut tx, list, after).await?;
        let last = entered.last().map(|(entry, _)| entry.pay.number);
        let mut next = last.filter(|_| more);
        let mut items = Vec::with_capacity(entered.len());
        for (entry, credited_at) in entered {
            let number = entry.pay.number;
            let told = self.told(&mut tx, &entry).await?;
            if told.result == StatusResult::Accepted {
                items.push(ListItem {
                    number,
                    amount: entry.pay.amount,
                    currency: entry.pay.currency,
                    credited_at,
                    provider_reference: told.provider_reference,
                });
            }
            if Some(number) != last && Instant::now() >= until {
                next = Some(number);
                break;
            }
        }
        tx.rollback().await?;
        Ok((items, next))
    }

    /// A page by the payee's own statement, held to what paging needs: a row out of order would be skipped or come twice,
    /// and a payment would seem to be missing.
    pub(crate) async fn list_by(
        &self,
        tx: &mut Transaction,
        statement: &Statement,
        list: &List,
        after: Option<Number>,
    ) -> Result<(Vec<ListItem>, bool), Failure> {
        let mut values = of_period(list, after);
        values.text("currency", self.currency.code());
        let rows = run(tx, statement, &values).await?.rows;
        let mut items: Vec<ListItem> = Vec::with_capacity(rows.len().min(PAGE));
        for row in rows.iter().take(PAGE) {
            let item = self.list_item(row).map_err(|why| wrong(statement, why))?;
            let before = items.last().map(|item| item.number).or(after);
            if before.is_some_and(|before| item.number <= before) {
                let why = format!(
                    "number {} does not come after the one before it: it is to say number > :after and order by number",
                    item.number
                );
                return Err(wrong(statement, why));
            }
            items.push(item);
        }
        Ok((items, rows.len() > PAGE))
    }

    fn list_item(&self, row: &Row) -> Result<ListItem, String> {
        let number = row.text("number").ok_or("there is no column number, or it is null")?;
        let amount = row
            .amount("amount", self.amount_as, self.currency.digits())?
            .ok_or("there is no column amount, or it is null")?;
        let currency = row.text("currency").map(|code| Currency::parse(&code)).transpose();
        Ok(ListItem {
            number: Number::parse(&number).map_err(|_| format!("column number: {number:?} is none"))?,
            amount: Amount::new(amount).map_err(|_| format!("column amount: {amount} is none"))?,
            currency: currency
                .map_err(|_| "column currency is none")?
                .unwrap_or(self.currency),
            credited_at: row.moment("credited_at", &self.zone)?,
            provider_reference: row.text("provider_reference").map(|given| short_reference(&given)),
        })
    }
}

fn bare(number: Number, result: StatusResult) -> StatusAnswer {
    StatusAnswer {
        number,
        result,
        reason: None,
        provider_reference: None,
    }
}

/// Of a number that was entered nothing is told but what may come after that.
pub(crate) fn status_result(row: &Row) -> Result<StatusResult, String> {
    let word = row.text("result").ok_or("there is no column result, or it is null")?;
    StatusResult::parse(&word)
        .filter(|result| *result != StatusResult::NotFound)
        .ok_or_else(|| format!("column result is {word:?}: there are accepted, pending, refused, cancelled"))
}

fn wrong(statement: &Statement, why: String) -> Failure {
    Failure::Answer {
        place: statement.place.clone(),
        why,
    }
}
