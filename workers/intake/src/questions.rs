//! Questions about payments. Kept apart from facts, so a backlog of those never makes a kiosk wait.

use std::collections::HashMap;

use bus::Queue;
use contract::answer::{PaymentCheckAnswer, PaymentStatusAnswer, PaymentStatusNow};
use contract::message::{PaymentCheck, PaymentStatus};
use contract::{Message, Reason, Refusal, RoutingKey};
use domain::declaration::{Gateway, Payee};
use domain::ids::PaymentId;
use domain::payment::PaymentState;
use runtime::batch::{BatchWorker, Item};
use runtime::{Effect, Handled, Outcome};
use store::declarations::Declarations;
use store::payments::{self, Status};
use store::{StoreError, Tx};

use crate::{check, rules};

/// `payment.check` and `payment.status`.
pub(crate) struct Questions;

impl BatchWorker for Questions {
    const NAME: &'static str = "intake.questions";
    const QUEUE: Queue = Queue::IntakeQuestions;
    const FACTS: &'static [RoutingKey] = &[];

    async fn handle(&self, tx: &Tx, declarations: &Declarations, batch: &[&Item]) -> Result<Handled, StoreError> {
        let asked: Vec<PaymentId> = batch
            .iter()
            .filter_map(|item| match &item.message {
                Message::PaymentStatus(message) => Some(message.payment_id),
                _ => None,
            })
            .collect();
        let mut known: HashMap<PaymentId, Vec<Status>> = HashMap::new();
        if !asked.is_empty() {
            for status in payments::status(tx, &asked).await? {
                known.entry(status.payment_id).or_default().push(status);
            }
        }
        let mut handled = Handled::default();
        for (place, item) in batch.iter().enumerate() {
            let outcome = match &item.message {
                Message::PaymentCheck(message) => answer_check(declarations, message, place, &mut handled.effects),
                Message::PaymentStatus(message) => tell_status(&known, message)?,
                _ => Outcome::Silent,
            };
            handled.outcomes.push(outcome);
        }
        Ok(handled)
    }
}

/// Answered from the declaration, or forwarded to the gateway that can ask the payee.
fn answer_check(
    declarations: &Declarations,
    message: &PaymentCheck,
    place: usize,
    effects: &mut Vec<Effect>,
) -> Outcome {
    let declared = match rules::payee(declarations, &message.payee) {
        Ok(declared) => declared,
        Err(refusal) => return refusal.into(),
    };
    let payee = &declared.value;
    if payee.suspended {
        return Refusal::new(Reason::PayeeSuspended, "payee: takes no payments at present").into();
    }
    match check::by_declaration(payee, message) {
        Err(refusal) => refusal.into(),
        Ok(answer) if !asks_payee(payee) => Outcome::answered(&answer),
        // What is missing by the declaration need not bother the payee yet.
        Ok(answer @ PaymentCheckAnswer::Ask(_)) => Outcome::answered(&answer),
        Ok(_) => {
            let queue = match payee.gateway {
                Gateway::Databases => Queue::DatabasesQuestions,
                Gateway::Unikassa | Gateway::Registers => Queue::UnikassaQuestions,
            };
            effects.push(Effect::Forward(queue, place));
            Outcome::Silent
        }
    }
}

/// Whether the payee itself can be asked. Of one that credits on a check it must not be tried.
fn asks_payee(payee: &Payee) -> bool {
    payee.online().is_some_and(|online| online.offers_check)
}

fn tell_status(known: &HashMap<PaymentId, Vec<Status>>, message: &PaymentStatus) -> Result<Outcome, StoreError> {
    let known = known.get(&message.payment_id).map(Vec::as_slice).unwrap_or_default();
    let own = known.iter().find(|status| status.terminal == message.terminal.as_str());
    let Some(status) = own else {
        // That others have revoked it in advance makes it no payment, and none of theirs.
        let refusal = if known.iter().any(|status| status.number.is_some()) {
            Refusal::new(
                Reason::NotYourTerminal,
                "payment_id: another terminal took this payment",
            )
        } else {
            Refusal::new(Reason::UnknownPayment, "payment_id: no such payment")
        };
        return Ok(refusal.into());
    };
    Ok(Outcome::answered(&PaymentStatusAnswer::Ok(PaymentStatusNow {
        payment_id: status.payment_id,
        number: status.number,
        state: PaymentState::parse(&status.state)?,
        attempts: u32::try_from(status.attempts).unwrap_or(0),
        last_error: status.last_error.clone(),
        updated_at: status.updated_at,
    })))
}
