//! The text to print for a card: a product's own template filled in, or a plain line for each thing there is to know.
//!
//! A template is written by an operator and filled with a card's secrets while a payer waits. So it can print, choose and
//! repeat, and nothing else: no calls, no arithmetic, no variables of its own, no other files. It ends after a bounded
//! number of steps and a bounded length. What is wrong with one is found when the product is declared ([`check`]); what
//! goes wrong with a certain card all the same is an error that repeats nothing of the card.

mod filters;
mod grammar;

use std::fmt;
use std::io;
use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::civil::Date;
use minijinja::value::Object;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};

use crate::invalid::Invalid;
use crate::money::{Amount, Currency, format_minor};

pub use filters::in_groups;

/// The longest template, in characters.
pub const TEMPLATE_MAX: usize = 4_000;
/// The longest text a template may come to, in bytes.
pub const TEXT_MAX: usize = 16 * 1024;
/// The most instructions of the engine that one text may take: a thousand lines, and done within a millisecond.
const FUEL: u64 = 10_000;

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

/// Why a template came to nothing. It repeats no value that was to be printed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct ReceiptError {
    /// Where in the template, counted from 1.
    pub line: usize,
    /// What went wrong.
    pub why: String,
}

/// A line for each thing there is to know, long numbers in groups a person can read off.
pub fn plain(slip: &Slip<'_>) -> String {
    let mut text = String::with_capacity(TEXT_MAX.min(1_024));
    text.extend([slip.name, "\nserial: ", slip.serial]);
    for (name, value) in slip.fields {
        text.extend(["\n", name, ": "]);
        filters::group_into(&mut text, value);
    }
    text.extend(["\nprice: ", &money(slip.price, slip.currency)]);
    text
}

/// A template filled in. Names are those of [`Slip`], and each of the card's fields is there under its own, which wins, and
/// as `fields.<name>`. What is put in is never looked at again: a card's field cannot name another.
pub fn render(template: &str, slip: &Slip<'_>) -> Result<String, ReceiptError> {
    let names = grammar::field_names(template)?;
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
    let at_fault = |error: ReceiptError| refused(error.to_string());
    let names = grammar::field_names(template).map_err(at_fault)?;
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

/// The engine as templates get it. Made once: it holds nothing of any card.
static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut engine = Environment::empty();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_auto_escape_callback(|_| AutoEscape::None);
    engine.set_fuel(Some(FUEL));
    // A line that only says `{% if … %}` leaves no blank line on the slip.
    engine.set_trim_blocks(true);
    engine.set_lstrip_blocks(true);
    // What is not there is printed as nothing, not as the engine's word for it.
    engine.set_formatter(|out, state, value| {
        if value.is_none() {
            return Ok(());
        }
        minijinja::escape_formatter(out, state, value)
    });
    filters::add_to(&mut engine);
    engine
});

/// Only for what [`grammar`] has let pass.
fn fill(template: &str, slip: &Slip<'_>) -> Result<String, Error> {
    let mut text = Limited(Vec::with_capacity(TEXT_MAX));
    ENGINE
        .template_from_str(template)?
        .render_captured_to(context(slip), &mut text)?;
    // The engine writes whole strings, so this is UTF-8.
    String::from_utf8(text.0).map_err(|_| Error::new(ErrorKind::BadSerialization, "the text is not UTF-8"))
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

/// The engine's detail may repeat a value, so it is told of samples only.
fn refusal_of(error: &Error, with_detail: bool) -> ReceiptError {
    let too_long = std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<io::Error>())
        .is_some_and(|source| source.kind() == io::ErrorKind::StorageFull);
    let why = match (error.kind(), error.detail()) {
        _ if too_long => format!("comes to more than {TEXT_MAX} bytes"),
        (ErrorKind::OutOfFuel, _) => "takes too many steps".to_owned(),
        (kind, Some(detail)) if with_detail => format!("{kind}: {detail}"),
        (kind, _) => kind.to_string(),
    };
    ReceiptError {
        line: error.line().unwrap_or(1),
        why,
    }
}

/// An amount that prints with its currency; the filter `money` prints it in other ways.
#[derive(Debug)]
struct Money {
    minor: i64,
    currency: Currency,
}

impl Object for Money {
    fn repr(self: &std::sync::Arc<Self>) -> minijinja::value::ObjectRepr {
        minijinja::value::ObjectRepr::Plain
    }

    fn render(self: &std::sync::Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", format_minor(self.minor, self.currency), self.currency)
    }
}

fn money(amount: Amount, currency: Currency) -> String {
    format!("{} {currency}", format_minor(amount.minor(), currency))
}

/// Takes so much and no more.
struct Limited(Vec<u8>);

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > TEXT_MAX {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
