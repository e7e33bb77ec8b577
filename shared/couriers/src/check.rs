//! `payment.check` of online payees: the payee itself is asked, before any payment that waits for the same lane.

use std::sync::Arc;

use bus::Queue;
use contract::answer::{Ask, PaymentCheckAnswer, Terms};
use contract::message::PaymentCheck;
use contract::unikassa::{CheckAnswer, CheckResult};
use contract::{Message, Reason, Refusal};
use domain::declaration::Payee;
use domain::money::Amount;
use runtime::batch::Item;
use runtime::questions::Answerer;
use runtime::{Context, Reply};
use store::StoreError;
use store::declarations::Declarations;

use crate::Gateway;

/// Asks payees.
pub(crate) struct Checks<G> {
    pub(crate) context: Context,
    pub(crate) gateway: Arc<G>,
}

impl<G: Gateway> Answerer for Checks<G> {
    const NAME: &'static str = G::NAMES.questions;
    const QUEUE: Queue = G::QUESTIONS;

    async fn answer(&self, item: &Item, declared: Option<Arc<Declarations>>) -> Option<Reply> {
        let Message::PaymentCheck(message) = &item.message else {
            return None;
        };
        let answer = match self.ask(message, item.traceparent.as_deref(), declared).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(%error, payee = %message.payee, "a check could not be made");
                unavailable("the gateway cannot ask now")
            }
        };
        Some(Reply::of(&answer))
    }
}

impl<G: Gateway> Checks<G> {
    async fn ask(
        &self,
        message: &PaymentCheck,
        traceparent: Option<&str>,
        declared: Option<Arc<Declarations>>,
    ) -> Result<PaymentCheckAnswer, StoreError> {
        let declarations = match declared {
            Some(declared) => declared,
            None => self.context.declarations().await?,
        };
        let Some(payee) = declarations
            .payees
            .get(message.payee.as_str())
            .map(|declared| declared.value.clone())
        else {
            return Ok(Refusal::new(Reason::UnknownPayee, "payee: is not declared").into());
        };
        // Intake has answered by the declaration; this was forwarded under an older one.
        let ours = payee.online().filter(|_| payee.gateway == G::WORD);
        if !ours.is_some_and(|online| online.offers_check) {
            return Ok(unavailable("the payee is not asked"));
        }
        let answer = self.gateway.check(&payee, message, traceparent).await?;
        Ok(match answer {
            Ok(answer) => answered(&payee, answer),
            Err(why) => unavailable(&why),
        })
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
        let detail = answer.display.unwrap_or_else(|| format!("the payee says: {word}"));
        return Refusal::new(reason, detail).into();
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
