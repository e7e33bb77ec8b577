//! The values a request brings for the named parameters. Missing ones are null, of the parameter's own type.

use std::collections::BTreeMap;

use contract::unikassa::{Check, Pay};
use domain::money::{Amount, Currency, format_minor};
use domain::text::Fields;

use crate::config::AmountAs;
use crate::statement::{Kind, Parameter};

/// What is bound to a parameter.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Integer(Option<i64>),
    Text(Option<String>),
}

/// Values by the names of their parameters.
#[derive(Clone, Default)]
pub(crate) struct Values(BTreeMap<String, Value>);

impl Values {
    /// What a payment brings.
    pub(crate) fn of_pay(pay: &Pay, amount_as: AmountAs) -> Self {
        let mut values = Self::default();
        values.integer("number", pay.number.get());
        values.text("payment_id", pay.payment_id.to_string());
        values.text("account", pay.account.as_str());
        values.amount(pay.amount, pay.currency, amount_as);
        values.text("paid_at", pay.paid_at.to_string());
        values.fields(&pay.fields);
        values
    }

    /// What a check brings; `currency` is the payee's, for a check that names none.
    pub(crate) fn of_check(check: &Check, currency: Currency, amount_as: AmountAs) -> Self {
        let mut values = Self::default();
        if let Some(number) = check.number {
            values.integer("number", number.get());
        }
        values.text("payment_id", check.payment_id.to_string());
        values.text("account", check.account.as_str());
        match check.amount {
            Some(amount) => values.amount(amount, currency, amount_as),
            None => values.text("currency", currency.code()),
        }
        values.fields(&check.fields);
        values
    }

    pub(crate) fn integer(&mut self, name: &str, integer: i64) {
        self.0.insert(name.to_owned(), Value::Integer(Some(integer)));
    }

    pub(crate) fn text(&mut self, name: &str, text: impl Into<String>) {
        self.0.insert(name.to_owned(), Value::Text(Some(text.into())));
    }

    pub(crate) fn optional_text(&mut self, name: &str, text: Option<String>) {
        self.0.insert(name.to_owned(), Value::Text(text));
    }

    fn amount(&mut self, amount: Amount, currency: Currency, amount_as: AmountAs) {
        match amount_as {
            AmountAs::Minor => self.integer("amount", amount.minor()),
            AmountAs::Decimal => self.text("amount", format_minor(amount.minor(), currency)),
        }
        self.text("currency", currency.code());
    }

    fn fields(&mut self, fields: &Fields) {
        // A map of texts: there is nothing serialization could refuse.
        self.text("fields", serde_json::to_string(fields).unwrap_or_default());
        for (key, value) in fields.iter() {
            self.text(&format!("field_{key}"), value);
        }
    }

    /// The value of a parameter.
    pub(crate) fn get(&self, parameter: &Parameter) -> Value {
        match self.0.get(&parameter.name) {
            Some(value) => value.clone(),
            None if parameter.kind == Kind::Integer => Value::Integer(None),
            None => Value::Text(None),
        }
    }
}
