//! `payment.check` for payees that are not asked online: their own declaration answers.

use contract::Refusal;
use contract::answer::{Ask, PaymentCheckAnswer, Terms};
use contract::message::PaymentCheck;
use domain::declaration::{FieldRule, Payee};

use crate::rules;

/// Whether this may be paid, as far as the declaration can tell.
pub(crate) fn by_declaration(payee: &Payee, message: &PaymentCheck) -> Result<PaymentCheckAnswer, Refusal> {
    let missing = rules::entered(payee, &message.account, &message.fields)?;
    rules::money(payee, message.amount, message.currency)?;
    let terms = Terms {
        display: Some(payee.name.clone()),
        amount_due: None,
        currency: payee.currency,
        min_amount: payee.amount.min,
        max_amount: payee.amount.max,
        ask: still_to_enter(payee, message),
        fields: message
            .fields
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    };
    Ok(if missing.is_empty() {
        PaymentCheckAnswer::Payable(terms)
    } else {
        PaymentCheckAnswer::Ask(terms)
    })
}

/// Optional fields too: a front-end that knows nothing of the payee learns here what may be entered.
fn still_to_enter(payee: &Payee, message: &PaymentCheck) -> Vec<Ask> {
    let entered = |rule: &FieldRule| message.fields.get(&rule.name).is_some_and(|value| !value.is_empty());
    payee.field.iter().filter(|rule| !entered(rule)).map(ask).collect()
}

fn ask(rule: &FieldRule) -> Ask {
    Ask {
        name: rule.name.clone(),
        label: rule.label.clone(),
        pattern: rule.pattern.as_ref().map(|pattern| pattern.as_str().to_owned()),
        required: rule.required,
    }
}
