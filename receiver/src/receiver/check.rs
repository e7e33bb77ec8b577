//! `/check`: may this account be paid, and what does the payee say. It only looks: whatever the statements do is undone,
//! so that a statement of `[pay]` put here by mistake credits nobody.

use contract::unikassa::{Ask, Check, CheckAnswer, CheckResult, reason};
use domain::ids::Number;
use domain::text::Fields;

use super::run::{cut, run};
use super::{Failure, Receiver};
use crate::values;
use sql::Values;
use sql::{Access, Row, Transaction};

impl Receiver {
    /// `/check`: asks the payee's statements about an account. Whatever they do is undone.
    pub(crate) async fn check(&self, check: &Check) -> Result<CheckAnswer, Failure> {
        if check.currency.is_some_and(|currency| currency != self.currency) {
            return Ok(refused_check(check.number, reason::CURRENCY_DIFFERS.to_owned()));
        }
        let values = values::of_check(check, self.currency, self.amount_as);
        let mut tx = self.database.begin(Access::Read).await?;
        let found = self.look_up(&mut tx, &values).await?;
        tx.rollback().await?;
        let Some(found) = found else {
            return Ok(refused_check(check.number, reason::ACCOUNT_NOT_FOUND.to_owned()));
        };
        self.check_answer(check, &found).map_err(|why| Failure::Answer {
            place: "check.sql".to_owned(),
            why,
        })
    }

    /// The columns of all statements together; `None` when one that has to find something does not.
    async fn look_up(&self, tx: &mut Transaction, values: &Values) -> Result<Option<Row>, Failure> {
        let mut found = Row::default();
        for statement in &self.check {
            match run(tx, statement, values).await?.rows.into_iter().next() {
                Some(row) => found.merge(row),
                None if statement.optional => {}
                None => return Ok(None),
            }
        }
        Ok(Some(found))
    }

    /// What the columns that the statements returned mean; `Err` says what is wrong with them.
    pub(crate) fn check_answer(&self, check: &Check, found: &Row) -> Result<CheckAnswer, String> {
        if let Some(why) = found.text("refused_reason") {
            return Ok(CheckAnswer {
                display: display(found),
                ..refused_check(check.number, cut(&why))
            });
        }
        let amount = |name: &str| found.amount(name, self.amount_as, self.currency.digits());
        let (min_amount, max_amount) = (amount("min_amount")?, amount("max_amount")?);
        let outside =
            |given: i64| min_amount.is_some_and(|min| given < min) || max_amount.is_some_and(|max| given > max);
        if check.amount.is_some_and(|given| outside(given.minor())) {
            let refused = refused_check(check.number, reason::AMOUNT_OUT_OF_RANGE.to_owned());
            return Ok(CheckAnswer {
                currency: Some(self.currency),
                min_amount,
                max_amount,
                ..refused
            });
        }
        let fields = found
            .with_prefix("field_")
            .filter_map(|(key, cell)| Some((key.to_owned(), cell.text()?)));
        let ask: Vec<Ask> = self
            .ask
            .iter()
            .filter(|ask| check.fields.get(&ask.name).is_none())
            .cloned()
            .collect();
        let missing = ask.iter().any(|ask| ask.required);
        Ok(CheckAnswer {
            display: display(found),
            amount_due: amount("amount_due")?,
            currency: Some(self.currency),
            min_amount,
            max_amount,
            fields: Fields::new(fields.collect()).map_err(|invalid| invalid.to_string())?,
            ask,
            ..CheckAnswer::bare(
                check.number,
                if missing {
                    CheckResult::Ask
                } else {
                    CheckResult::Payable
                },
            )
        })
    }
}

fn refused_check(number: Option<Number>, reason: String) -> CheckAnswer {
    CheckAnswer {
        reason: Some(reason),
        ..CheckAnswer::bare(number, CheckResult::Refused)
    }
}

fn display(found: &Row) -> Option<String> {
    found.text("display").map(|text| cut(&text))
}
