//! The text to print for a card: a product's own template filled in, or a plain line for each thing there is to know.
//!
//! A template is written by an operator and filled with a card's secrets while a payer waits. So it can print, choose and
//! repeat, and nothing else: no calls, no arithmetic, no variables of its own, no other files. It ends after a bounded
//! number of steps and a bounded length. What is wrong with one is found when the product is declared ([`check`]); what
//! goes wrong with a certain card all the same is an error that repeats nothing of the card.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;
use minijinja::{ErrorKind, Value};

use crate::invalid::Invalid;
use crate::money::{Amount, Currency, format_minor};
use crate::template::{self, Escape, Money, TemplateError, names, refusal_of};

pub use crate::template::in_groups;

/// The longest template, in characters.
pub const TEMPLATE_MAX: usize = 4_000;
/// The longest text a template may come to, in bytes.
pub const TEXT_MAX: usize = 16 * 1024;

/// Everything a slip can tell. The card's fields are its secrets.
#[derive(Clone)]
pub struct Slip<'a> {
    /// The product's id.
    pub product: &'a str,
    /// Its name for people.
    pub name: &'a str,
    /// By which people name the card.
    pub serial: &'a str,
    /// What the payer pays.
    pub price: Amount,
    /// What the card is worth.
    pub face_value: Amount,
    /// The currency of both.
    pub currency: Currency,
    /// Until when the card is held.
    pub held_until: Timestamp,
    /// The last day on which the card is good, where it has one.
    pub expires_on: Option<Date>,
    /// The card's own fields, in the order of its file.
    pub fields: &'a [(&'a str, &'a str)],
}

impl fmt::Debug for Slip<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { product, serial, .. } = self;
        write!(f, "Slip({product} {serial}, …)")
    }
}

/// A line for each thing there is to know, long numbers in groups a person can read off.
pub fn plain(slip: &Slip<'_>) -> String {
    let mut text = String::with_capacity(TEXT_MAX.min(1_024));
    text.extend([slip.name, "\nserial: ", slip.serial]);
    for (name, value) in slip.fields {
        text.extend(["\n", name, ": "]);
        template::group_into(&mut text, value);
    }
    text.extend(["\nprice: ", &money(slip.price, slip.currency)]);
    text
}

/// A template filled in. Names are those of [`Slip`], and each of the card's fields is there under its own, which wins, and
/// as `fields.<name>`. What is put in is never looked at again: a card's field cannot name another.
pub fn render(template: &str, slip: &Slip<'_>) -> Result<String, TemplateError> {
    let names = field_names(template)?;
    fill(template, slip).map_err(|error| {
        let mut refusal = refusal_of(&error, false);
        let has = |name: &String| slip.fields.iter().any(|(field, _)| field == name);
        let lacking: Vec<String> = names.into_iter().filter(|name| !has(name)).collect();
        if error.kind() == ErrorKind::UndefinedError && !lacking.is_empty() {
            refusal.why = format!("{}; the card has no {}", refusal.why, lacking.join(", "));
        }
        refusal
    })
}

/// Everything that can be known to be wrong with a template before there is a card: it is filled in with sample cards of
/// the product that `slip` tells of. `known_fields` are the names of its cards' fields, where those are declared.
pub fn check(template: &str, slip: &Slip<'_>, known_fields: Option<&[&str]>) -> Result<(), Invalid> {
    let refused = |why: String| Invalid::new("receipt", why);
    if template.chars().count() > TEMPLATE_MAX {
        return Err(refused(format!("is longer than {TEMPLATE_MAX} characters")));
    }
    if template.chars().any(|c| c.is_control() && c != '\n') {
        return Err(refused("holds a control character other than a line feed".to_owned()));
    }
    let at_fault = |error: TemplateError| refused(error.to_string());
    let names = field_names(template).map_err(at_fault)?;
    if let Some(known) = known_fields
        && let Some(other) = names.iter().find(|name| !known.contains(&name.as_str()))
    {
        return Err(refused(format!("names `{other}`, which is no field of its cards")));
    }
    // Cards differ: one of digits that expires, one of words that does not.
    for (value, expires_on) in [("823144107741", Some(Date::constant(2030, 12, 31))), ("ab-12 cd", None)] {
        let fields: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), value)).collect();
        let sample = Slip {
            expires_on,
            fields: &fields,
            ..slip.clone()
        };
        fill(template, &sample).map_err(|error| at_fault(refusal_of(&error, true)))?;
    }
    Ok(())
}

/// Each of a card's fields is there under its own name, and as a member of `fields`.
fn field_names(template: &str) -> Result<BTreeSet<String>, TemplateError> {
    let mut found = names(template, &STANDARD)?;
    found.others.append(&mut found.fields);
    Ok(found.others)
}

/// Only for what the grammar has let pass.
fn fill(template: &str, slip: &Slip<'_>) -> Result<String, minijinja::Error> {
    template::fill(template, Escape::Nothing, context(slip), TEXT_MAX)
}

fn context(slip: &Slip<'_>) -> Value {
    let printed = |minor: Amount| {
        Value::from_object(Money {
            minor: minor.minor(),
            currency: slip.currency,
        })
    };
    let text = |text: &str| Value::from(text);
    let own: Vec<(String, Value)> = slip
        .fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), text(value)))
        .collect();
    let standard = [
        ("product", text(slip.product)),
        ("name", text(slip.name)),
        ("serial", text(slip.serial)),
        ("price", printed(slip.price)),
        ("face_value", printed(slip.face_value)),
        ("currency", text(slip.currency.code())),
        ("held_until", Value::from(slip.held_until.to_string())),
        (
            "expires_on",
            slip.expires_on
                .map_or(Value::from(()), |day| Value::from(day.to_string())),
        ),
        ("fields", own.iter().cloned().collect()),
    ];
    standard
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .chain(own)
        .collect()
}

/// What is always there, whatever the card.
const STANDARD: [&str; 9] = [
    "product",
    "name",
    "serial",
    "price",
    "face_value",
    "currency",
    "held_until",
    "expires_on",
    "fields",
];

fn money(amount: Amount, currency: Currency) -> String {
    format!("{} {currency}", format_minor(amount.minor(), currency))
}

#[cfg(test)]
mod tests;
