//! `payment.check` of online payees: the payee itself is asked, before any payment that waits for the same lane.

use std::sync::Arc;

use bus::Queue;
use contract::answer::{Ask, PaymentCheckAnswer, Terms};
use contract::message::PaymentCheck;
use contract::unikassa::{CheckAnswer, CheckResult};
use contract::{Message, Reason, Refusal};
use domain::declaration::Payee;
use domain::ids::Number;
use domain::money::Amount;
use runtime::batch::Item;
use runtime::questions::Answerer;
use runtime::{Context, Nudge, Reply};
use store::{StoreError, payments};

use crate::client::{Answer, Caller, Wire};
use crate::profiles::Target;
use crate::question;

/// Asks payees.
pub(crate) struct Checks {
    pub(crate) context: Context,
    pub(crate) caller: Arc<Caller>,
}

impl Answerer for Checks {
    const NAME: &'static str = "unikassa.questions";
    const QUEUE: Queue = Queue::UnikassaQuestions;

    async fn answer(&self, item: &Item) -> Option<Reply> {
        let Message::PaymentCheck(message) = &item.message else {
            return None;
        };
        let answer = match self.ask(message, item.traceparent.as_deref()).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(%error, payee = %message.payee, "a check could not be made");
                unavailable("the gateway cannot ask now")
            }
        };
        Some(Reply::of(&answer))
    }
}

impl Checks {
    async fn ask(&self, message: &PaymentCheck, traceparent: Option<&str>) -> Result<PaymentCheckAnswer, StoreError> {
        let declarations = self.context.declarations().await?;
        let Some(payee) = declarations
            .payees
            .get(message.payee.as_str())
            .map(|declared| declared.value.clone())
        else {
            return Ok(Refusal::new(Reason::UnknownPayee, "payee: is not declared").into());
        };
        let target = match Target::of(&payee) {
            Ok(target) => target,
            Err(why) => {
                tracing::error!(payee = %payee.id, why, "the payee cannot be called");
                return Ok(unavailable("the payee's profile is not in order"));
            }
        };
        // Intake has answered by the declaration; this was forwarded under an older one.
        if !payee.unikassa.as_ref().is_some_and(|profile| profile.offers_check()) {
            return Ok(unavailable("the payee is not asked"));
        }
        let number = if target.dialect.number_at_check() {
            Some(payments::number_at_check(&self.context.store, message.payment_id).await?)
        } else {
            None
        };
        let request = match target.dialect.check(message, number) {
            Ok(request) => request,
            Err(why) => {
                tracing::error!(payee = %payee.id, why, "the payee cannot be asked");
                return Ok(unavailable("the payee's profile is not in order"));
            }
        };
        let (store, caller) = (&self.context.store, &self.caller);
        let wire = question::ask(store, caller, &payee, &target, request, traceparent).await?;
        // Its slot is free: a payment may be waiting for it.
        self.context.nudge(Nudge::Payments);
        Ok(match wire {
            Err(why) => unavailable(&why),
            Ok(Wire::Answer(answer)) if target.dialect.judges_check(answer.status) => {
                read(&payee, &target, number, &answer)
            }
            Ok(_) => unavailable("the payee did not answer"),
        })
    }
}

fn read(payee: &Payee, target: &Target, number: Option<Number>, answer: &Answer) -> PaymentCheckAnswer {
    match target.dialect.read_check(number, answer) {
        Ok(answer) => answered(payee, answer),
        Err(unreadable) => {
            // What exactly is wrong may quote what the payee says about a payer.
            tracing::warn!(payee = %payee.id, "the payee's answer to a check cannot be read");
            tracing::debug!(payee = %payee.id, %unreadable, "in detail");
            unavailable("the payee's answer cannot be read")
        }
    }
}

fn answered(payee: &Payee, answer: CheckAnswer) -> PaymentCheckAnswer {
    if answer.result == CheckResult::Refused {
        let word = answer.reason.unwrap_or_default();
        // The payee's own words are the contract's where they mean the same.
        let reason = match Reason::parse(&word) {
            Some(
                reason @ (Reason::AccountNotFound
                | Reason::AccountInactive
                | Reason::AmountOutOfRange
                | Reason::InvalidField
                | Reason::CurrencyDiffers),
            ) => reason,
            _ => Reason::RefusedByPayee,
        };
        return Refusal::new(reason, format!("the payee says: {word}")).into();
    }
    let limit =
        |said: Option<i64>, declared: Amount| said.and_then(|minor| Amount::new(minor).ok()).unwrap_or(declared);
    let terms = Terms {
        display: answer.display,
        amount_due: answer.amount_due,
        currency: answer.currency.unwrap_or(payee.currency),
        min_amount: limit(answer.min_amount, payee.amount.min).max(payee.amount.min),
        max_amount: limit(answer.max_amount, payee.amount.max).min(payee.amount.max),
        ask: answer
            .ask
            .into_iter()
            .map(|ask| Ask {
                name: ask.name,
                label: ask.label,
                pattern: ask.pattern,
                required: ask.required,
            })
            .collect(),
        fields: answer.fields.into_inner(),
    };
    match answer.result {
        CheckResult::Ask => PaymentCheckAnswer::Ask(terms),
        _ => PaymentCheckAnswer::Payable(terms),
    }
}

fn unavailable(detail: &str) -> PaymentCheckAnswer {
    PaymentCheckAnswer::Unavailable {
        detail: detail.to_owned(),
    }
}
