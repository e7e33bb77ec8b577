//! `payment.check` of online payees: the payee itself is asked, before any payment that waits for the same lane.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::Queue;
use contract::answer::{Ask, PaymentCheckAnswer, Terms};
use contract::event::Events;
use contract::message::PaymentCheck;
use contract::unikassa::{Check, CheckAnswer, CheckResult, Request};
use contract::{Message, Reason, Refusal};
use domain::declaration::Payee;
use domain::money::Amount;
use runtime::batch::Item;
use runtime::questions::Answerer;
use runtime::{Context, Reply, emit};
use store::StoreError;
use store::lanes::{self, Asked, Slot};

use crate::client::{Caller, Wire};
use crate::profiles::Target;
use crate::protocol::{self, Told};
use crate::record;

/// How long a question waits for a slot of its lane.
const PATIENCE: Duration = Duration::from_secs(5);
/// How soon it looks for one again, at first and at most: many questions may be looking at once.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(200));

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
        let Some(slot) = self.slot(&payee, target.timeout).await? else {
            return Ok(unavailable("the payee cannot be asked now"));
        };
        let request = Request::Check(Check {
            payment_id: message.payment_id,
            number: None,
            account: message.account.clone(),
            amount: message.amount,
            currency: message.currency,
            fields: message.fields.clone(),
        });
        let begun = Instant::now();
        let wire = self.caller.call(&target, &request, traceparent).await;
        let (told, answer) = read(&payee, wire);
        // As after a payment: a call that ran into its timeout may still keep the payee busy for as long again.
        let rest = (told.lost && begun.elapsed() >= target.timeout).then_some(target.timeout);
        if let Err(error) = self.finish(&payee, &slot, rest, &told).await {
            // The slot comes back when its lease ends; the payer need not wait for that.
            tracing::warn!(%error, payee = %payee.id, "the end of a check could not be recorded");
        }
        Ok(answer)
    }

    /// The next free slot of the lane; none when the payee is down or all stay taken.
    async fn slot(&self, payee: &Payee, call: Duration) -> Result<Option<Slot>, StoreError> {
        let begun = Instant::now();
        let mut pause = LOOK_AGAIN.0;
        // Looked at between two tries, never cutting one off: a slot taken by a commit nobody heard of is lost for as long
        // as its lease.
        while begun.elapsed() < PATIENCE {
            match lanes::take_for_question(&self.context.store, payee.id.as_str(), call).await? {
                Asked::Go(slot) => return Ok(Some(slot)),
                Asked::Closed => return Ok(None),
                Asked::Busy => tokio::time::sleep(pause).await,
            }
            pause = (pause * 2).min(LOOK_AGAIN.1);
        }
        Ok(None)
    }

    async fn finish(&self, payee: &Payee, slot: &Slot, rest: Option<Duration>, told: &Told) -> Result<(), StoreError> {
        let Some(profile) = &payee.unikassa else { return Ok(()) };
        let tx = self.context.store.begin().await?;
        let mut events = Events::new(domain::clock::now());
        // The lane before its slot, as claims do.
        record::note(&tx, payee, profile, told, &mut events).await?;
        lanes::give_back(&tx, slot, rest).await?;
        emit(&tx, events, None).await?;
        tx.commit().await?;
        self.context.nudge(runtime::Nudge::Payments);
        Ok(())
    }
}

fn read(payee: &Payee, wire: Wire) -> (Told, PaymentCheckAnswer) {
    let (told, body) = protocol::read_check(wire);
    let answer = match body.as_deref().map(|body| CheckAnswer::read(body, None)) {
        Some(Ok(answer)) => answered(payee, answer),
        Some(Err(unreadable)) => {
            // What exactly is wrong may quote what the payee says about a payer.
            tracing::warn!(payee = %payee.id, "the payee's answer to a check cannot be read");
            tracing::debug!(payee = %payee.id, %unreadable, "in detail");
            unavailable("the payee's answer cannot be read")
        }
        None => unavailable("the payee did not answer"),
    };
    (told, answer)
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
