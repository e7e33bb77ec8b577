//! `payment.check`: the dialogue with the payer. Statements are run up to where something has to be entered that is not there
//! yet; the terminal asks again with it, and they are run anew. Nothing of it changes anything.

use contract::message::PaymentCheck;
use contract::unikassa::{Ask, CheckAnswer, CheckResult};
use domain::declaration::{AskRule, End, StepKind};
use domain::scenario;
use domain::text::Fields;
use sql::Access;

use crate::bind::{Brought, amount_as};
use crate::known::Told;
use crate::source::{Compiled, Place, Source};
use crate::steps::{On, Run, Trouble};

/// The longest text that a terminal is told, in characters.
const TEXT_MAX: usize = 500;

/// Why a check has no answer.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// The scenario says that the payee cannot say now.
    Later,
    /// The payee's data cannot be asked now, or not as the scenario says.
    Trouble(Trouble),
    /// The file is not there yet.
    NoFile(String),
    /// It took too long.
    Timeout,
}

impl From<Trouble> for Unanswered {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

/// A check that has been made, with what an operator may read of it.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) answer: CheckAnswer,
    pub(crate) trace: Vec<String>,
}

/// Asks the payee's data, for as long as a step may take. A question on a connection that turned out to be dead, and one that
/// another transaction was in the way of, is asked once more. Where no connection is to be had the wait for one was long enough.
pub(crate) async fn check(source: &Source, asked: &PaymentCheck) -> Result<Checked, Unanswered> {
    let all = async {
        match once(source, asked).await {
            Err(Unanswered::Trouble(trouble)) if trouble.is_broken_off() || trouble.is_contention() => {
                once(source, asked).await
            }
            checked => checked,
        }
    };
    tokio::time::timeout(source.timeout(), all)
        .await
        .unwrap_or(Err(Unanswered::Timeout))
}

async fn once(source: &Source, asked: &PaymentCheck) -> Result<Checked, Unanswered> {
    match &source.place {
        Place::Database(server) => on(source, asked, &server.read, &server.compiled).await,
        Place::File(listed) => {
            let table = listed.table().await.map_err(Unanswered::NoFile)?;
            on(source, asked, &table.database, &listed.compiled).await
        }
    }
}

async fn on(
    source: &Source,
    asked: &PaymentCheck,
    database: &sql::Database,
    compiled: &Compiled,
) -> Result<Checked, Unanswered> {
    let brought = Brought::by_check(asked, source.currency(), amount_as(&source.profile), &source.zone);
    if compiled.of(StepKind::Check).len() == 1 {
        return Dialogue::of(source, asked, compiled, &brought)
            .go(&mut On::Alone(database))
            .await;
    }
    let away = |error| Trouble::Database {
        place: "databases.check".to_owned(),
        source: error,
    };
    let mut tx = database.begin(Access::Read).await.map_err(away)?;
    let checked = Dialogue::of(source, asked, compiled, &brought)
        .go(&mut On::Within(&mut tx))
        .await?;
    tx.rollback().await.map_err(away)?;
    Ok(checked)
}

/// One turn of the dialogue, from its beginning.
struct Dialogue<'a> {
    source: &'a Source,
    asked: &'a PaymentCheck,
    run: Run<'a>,
    /// What may be entered and has not been.
    offered: Vec<&'a AskRule>,
}

impl<'a> Dialogue<'a> {
    fn of(source: &'a Source, asked: &'a PaymentCheck, compiled: &'a Compiled, brought: &'a Brought) -> Self {
        Self {
            source,
            asked,
            run: Run {
                profile: &source.profile,
                currency: source.currency(),
                compiled,
                brought,
                told: Told::by_payer(compiled, asked.fields.iter()),
                trace: Vec::new(),
            },
            offered: Vec::new(),
        }
    }

    async fn go(mut self, on: &mut On<'_>) -> Result<Checked, Unanswered> {
        let answer = self.answer(on).await?;
        Ok(Checked {
            answer,
            trace: self.run.trace,
        })
    }

    async fn answer(&mut self, on: &mut On<'_>) -> Result<CheckAnswer, Unanswered> {
        let source = self.source;
        let statements = source.profile.statements(StepKind::Check);
        for (at, statement) in statements.iter().enumerate() {
            match self.run.one(on, StepKind::Check, at).await {
                Ok(End::GoOn) => {}
                Ok(End::Refused(reason)) => return Ok(self.refused(&reason, None)),
                Ok(End::Retry) => return Err(Unanswered::Later),
                Ok(_) => break,
                // Only what the payer entered can be of a wrong type here: the rest is ours or the payee's own.
                Err(Trouble::Value { why, .. }) => return Ok(self.refused("invalid_field", Some(why))),
                Err(trouble) => return Err(trouble.into()),
            }
            match scenario::missing(&statement.ask, &self.asked.fields, &self.run.told.by_rows) {
                Err(wrong) => return Ok(self.refused("invalid_field", Some(wrong.to_string()))),
                Ok(missing) if missing.iter().any(|ask| ask.required) => {
                    self.offered.extend(missing);
                    return self.terms(CheckResult::Ask);
                }
                Ok(missing) => self.offered.extend(missing),
            }
        }
        self.terms(CheckResult::Payable)
    }

    fn terms(&self, result: CheckResult) -> Result<CheckAnswer, Unanswered> {
        let amount = |name: &str| self.run.told.amounts.get(name).copied();
        let (min_amount, max_amount) = (amount("min_amount"), amount("max_amount"));
        if let Some(given) = self.asked.amount.map(|amount| amount.minor())
            && (min_amount.is_some_and(|min| given < min) || max_amount.is_some_and(|max| given > max))
        {
            return Ok(self.refused("amount_out_of_range", None));
        }
        let check = self.source.profile.check.as_ref();
        let carry = check.map_or(&[][..], |check| &check.carry);
        let carried = carry
            .iter()
            .filter_map(|name| Some((name.clone(), self.run.told.by_rows.get(name)?.clone()?)));
        let fields = Fields::new(carried.collect()).map_err(|wrong| unusable("carry", wrong.to_string()))?;
        let display = match check.and_then(|check| check.display.as_ref()) {
            None => None,
            // Before the last question not everything is known that it may speak of.
            Some(template) if result == CheckResult::Ask => self.fill(template).ok(),
            Some(template) => Some(self.fill(template).map_err(|why| unusable("display", why))?),
        };
        let ask = self.offered.iter().map(|rule| self.ask(rule)).collect::<Result<_, _>>();
        Ok(CheckAnswer {
            display,
            amount_due: amount("amount_due"),
            currency: Some(self.source.currency()),
            min_amount,
            max_amount,
            ask: ask.map_err(|why| unusable("ask", why))?,
            fields,
            ..CheckAnswer::bare(None, result)
        })
    }

    fn ask(&self, rule: &AskRule) -> Result<Ask, String> {
        Ok(Ask {
            name: rule.name.clone(),
            label: self.fill(&rule.label)?,
            pattern: rule.pattern.as_ref().map(|pattern| pattern.as_str().to_owned()),
            required: rule.required,
        })
    }

    fn fill(&self, template: &str) -> Result<String, String> {
        let told = &self.run.told;
        let text = scenario::fill(template, &told.known, &told.amounts, self.source.currency())?;
        Ok(text.chars().take(TEXT_MAX).collect())
    }

    /// In the payee's language where the scenario has words for it, else as it is.
    fn refused(&self, reason: &str, detail: Option<String>) -> CheckAnswer {
        let message = self.source.profile.messages.get(reason).cloned();
        CheckAnswer {
            reason: Some(reason.to_owned()),
            display: message.or(detail),
            ..CheckAnswer::bare(None, CheckResult::Refused)
        }
    }
}

fn unusable(place: &str, why: String) -> Trouble {
    Trouble::Rows {
        place: format!("databases.check.{place}"),
        why,
    }
}
