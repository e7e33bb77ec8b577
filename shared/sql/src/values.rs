//! The values that are bound to named parameters. Missing ones are null, of the parameter's own type.

use std::collections::BTreeMap;

use domain::money::{Amount, Currency, format_minor};

use crate::AmountAs;
use crate::statement::{Kind, Parameter};

/// What is bound to a parameter.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// An integer, or null.
    Integer(Option<i64>),
    /// Anything else, as text, or null.
    Text(Option<String>),
}

/// Values by the names of their parameters.
#[derive(Clone, Default)]
pub struct Values(BTreeMap<String, Value>);

impl Values {
    /// Gives an integer.
    pub fn integer(&mut self, name: &str, integer: i64) {
        self.0.insert(name.to_owned(), Value::Integer(Some(integer)));
    }

    /// Gives a text; numbers that are no integers, moments and ids travel as text too.
    pub fn text(&mut self, name: &str, text: impl Into<String>) {
        self.0.insert(name.to_owned(), Value::Text(Some(text.into())));
    }

    /// Gives a text or null.
    pub fn optional_text(&mut self, name: &str, text: Option<String>) {
        self.0.insert(name.to_owned(), Value::Text(text));
    }

    /// Gives `amount` and `currency`.
    pub fn amount(&mut self, amount: Amount, currency: Currency, amount_as: AmountAs) {
        match amount_as {
            AmountAs::Minor => self.integer("amount", amount.minor()),
            AmountAs::Decimal => self.text("amount", format_minor(amount.minor(), currency)),
        }
        self.text("currency", currency.code());
    }

    /// The value of a parameter.
    pub fn get(&self, parameter: &Parameter) -> Value {
        match self.0.get(&parameter.name) {
            Some(value) => value.clone(),
            None if parameter.kind == Kind::Integer => Value::Integer(None),
            None => Value::Text(None),
        }
    }
}
