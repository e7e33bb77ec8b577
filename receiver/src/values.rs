//! The values a request brings for the named parameters.

use contract::unikassa::{Check, Pay};
use domain::money::Currency;
use domain::text::Fields;
use sql::{AmountAs, Values};

/// What a payment brings.
pub(crate) fn of_pay(pay: &Pay, amount_as: AmountAs) -> Values {
    let mut values = Values::default();
    values.integer("number", pay.number.get());
    values.text("payment_id", pay.payment_id.to_string());
    values.text("account", pay.account.as_str());
    values.amount(pay.amount, pay.currency, amount_as);
    values.text("paid_at", pay.paid_at.to_string());
    give_fields(&mut values, &pay.fields);
    values
}

/// What a check brings; `currency` is the payee's, for a check that names none.
pub(crate) fn of_check(check: &Check, currency: Currency, amount_as: AmountAs) -> Values {
    let mut values = Values::default();
    if let Some(number) = check.number {
        values.integer("number", number.get());
    }
    values.text("payment_id", check.payment_id.to_string());
    values.text("account", check.account.as_str());
    match check.amount {
        Some(amount) => values.amount(amount, currency, amount_as),
        None => values.text("currency", currency.code()),
    }
    give_fields(&mut values, &check.fields);
    values
}

fn give_fields(values: &mut Values, fields: &Fields) {
    // A map of texts: there is nothing serialization could refuse.
    values.text("fields", serde_json::to_string(fields).unwrap_or_default());
    for (key, value) in fields.iter() {
        values.text(&format!("field_{key}"), value);
    }
}
