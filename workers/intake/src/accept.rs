//! `payment.accepted`: money was taken for a payee.
//!
//! An id seen before is judged by what is stored, also when the payee's rules have changed since; only a new one is
//! judged by the rules.

use std::collections::HashMap;

use contract::answer::{PaymentAcceptedAnswer, PaymentNumber};
use contract::event::{PaymentEvent, PaymentItem};
use contract::message::PaymentAccepted;
use contract::{Reason, Refusal};
use domain::declaration::{Payee, UnikassaProfile};
use domain::ids::Number;
use domain::payment::PaymentState;
use runtime::Outcome;
use store::declarations::{Declarations, Declared};
use store::payments::{Acceptance, NewPayment, accept as store_payments, known_identities};
use store::{StoreError, Tx};

use crate::facts::{Arrived, Work};
use crate::rules;

/// Stores what its payee takes, and says of each message what became of it.
pub(crate) async fn accept(work: &mut Work<'_>, tx: &Tx, arrived: &[Arrived<'_>]) -> Result<(), StoreError> {
    let mut fitting = Vec::with_capacity(arrived.len());
    let mut refused = Vec::new();
    for one in arrived {
        match judge(work, one.message) {
            Ok(payee) => fitting.push((one, payee)),
            Err(refusal) => refused.push((one, refusal)),
        }
    }
    let payments: Vec<NewPayment<'_>> = fitting
        .iter()
        .map(|(one, payee)| new_payment(one, payee, work.declarations))
        .collect();
    let acceptances = store_payments(tx, work.numbers, &payments).await?;
    for ((one, payee), acceptance) in fitting.iter().zip(acceptances) {
        if let Acceptance::Accepted(number) = acceptance {
            tell(work, one, number);
            work.wake(payee.value.gateway);
        }
        work.outcomes[one.place] = outcome(one.message, acceptance);
    }
    refuse(work, tx, refused).await
}

fn judge<'d>(work: &Work<'d>, message: &PaymentAccepted) -> Result<&'d Declared<Payee>, Refusal> {
    let declared = rules::payee(work.declarations, &message.payee)?;
    let payee = &declared.value;
    let missing = rules::entered(payee, &message.account, &message.fields)?;
    if let Some(field) = missing.first() {
        let detail = format!("fields.{}: is required by the payee", field.name);
        return Err(Refusal::new(Reason::InvalidField, detail));
    }
    rules::money(payee, Some(message.amount), Some(message.currency))?;
    rules::age(message.paid_at, work.now)?;
    Ok(declared)
}

fn new_payment<'a>(one: &Arrived<'a>, payee: &'a Declared<Payee>, declarations: &Declarations) -> NewPayment<'a> {
    let message = one.message;
    let group = declarations.group_of(&message.terminal);
    let give_up_hours = payee.value.online().map(|online| online.give_up_hours);
    NewPayment {
        payment_id: message.payment_id,
        fingerprint: *one.item.fingerprint.as_bytes(),
        payee: &message.payee,
        payee_version: payee.version,
        gateway: payee.value.gateway,
        terminal: &message.terminal,
        account: &message.account,
        amount: message.amount,
        fee: message.fee,
        currency: message.currency,
        fields: &message.fields,
        receipt_number: message.receipt_number.as_ref(),
        paid_at: message.paid_at,
        series: payee.value.series_of(&message.fields, group),
        // `Payee::check` bounds it by a year.
        give_up_hours: give_up_hours.map(|hours| i32::try_from(hours).unwrap_or(i32::MAX)),
        traceparent: one.item.traceparent.as_deref(),
        numbered_at_check: payee
            .value
            .unikassa
            .as_ref()
            .is_some_and(UnikassaProfile::numbers_at_check),
    }
}

fn tell(work: &mut Work<'_>, one: &Arrived<'_>, number: Number) {
    let message = one.message;
    let item = PaymentItem {
        payment_id: message.payment_id,
        number,
        payee: message.payee.clone(),
        terminal: message.terminal.clone(),
        account: message.account.clone(),
        amount: message.amount,
        fee: message.fee,
        currency: message.currency,
        state: PaymentState::Accepted,
        error: None,
    };
    let traceparent = one.item.traceparent.as_deref();
    work.events.push_traced(PaymentEvent::Accepted, &item, traceparent);
}

fn outcome(message: &PaymentAccepted, acceptance: Acceptance) -> Outcome {
    let number = |number| PaymentNumber {
        payment_id: message.payment_id,
        number,
    };
    match acceptance {
        Acceptance::Accepted(known) => Outcome::answered(&PaymentAcceptedAnswer::Accepted(number(known))),
        Acceptance::Already(known) => Outcome::answered(&PaymentAcceptedAnswer::AlreadyAccepted(number(known))),
        Acceptance::Reused => Refusal::new(
            Reason::PaymentIdReused,
            "payment_id: was used before with other content",
        )
        .into(),
        Acceptance::Revoked => Refusal::new(Reason::Revoked, "payment_id: was revoked before the payment came").into(),
        Acceptance::Settled => Refusal::new(
            Reason::SettledByOperator,
            "payment_id: an operator has settled it by hand",
        )
        .into(),
    }
}

async fn refuse(work: &mut Work<'_>, tx: &Tx, refused: Vec<(&Arrived<'_>, Refusal)>) -> Result<(), StoreError> {
    let ids: Vec<_> = refused.iter().map(|(one, _)| one.message.payment_id).collect();
    let known: HashMap<_, _> = known_identities(tx, &ids).await?;
    for (one, refusal) in refused {
        let identity = known.get(&one.message.payment_id);
        let judged = identity.and_then(|known| known.judge(&one.message.terminal, one.item.fingerprint.as_bytes()));
        work.outcomes[one.place] = match judged {
            Some(acceptance) => outcome(one.message, acceptance),
            None => refusal.into(),
        };
    }
    Ok(())
}
