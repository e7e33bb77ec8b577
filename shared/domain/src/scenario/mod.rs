//! What the rows of a payee's database mean, by its scenario. Pure: statements are run elsewhere, and what they returned comes
//! here as text by the names of columns.
//!
//! A step runs statement after statement. Rows say whether it goes on or ends ([`judge`]); columns are known to what follows.
//! A check stops where the payer has to enter something ([`missing`]), and is asked again with it.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::Value;

use crate::declaration::{AskRule, End, Statement, StepKind, When};
use crate::invalid::Invalid;
use crate::money::Currency;
use crate::template::{self, Escape, Money, TemplateError, refusal_of};
use crate::text::Fields;

/// The longest template, in characters.
const TEMPLATE_MAX: usize = 2_000;
/// The longest text that a template may come to, in bytes.
const TEXT_MAX: usize = 2_000;
/// Columns that are amounts in every scenario.
pub const AMOUNTS: [&str; 3] = ["amount_due", "min_amount", "max_amount"];

/// What is known so far, by name: what the payer entered, and the columns of the rows, of which a later one counts. `None` is
/// a column that is null.
pub type Known = BTreeMap<String, Option<String>>;

/// What a statement did.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// How many rows it returned or changed.
    pub count: u64,
    /// The first of those it returned.
    pub first: &'a Known,
}

/// What follows from a statement's rows.
pub fn judge(kind: StepKind, statement: &Statement, rows: Rows<'_>) -> End {
    match rows.count {
        0 => statement.none.clone().unwrap_or_else(|| nothing_found(kind)),
        1 => mapped(statement, rows.first),
        _ => match statement.several.clone().unwrap_or_else(|| several_found(kind)) {
            End::GoOn => mapped(statement, rows.first),
            end => end,
        },
    }
}

/// What a step comes to whose statements have all gone on.
pub fn finished(kind: StepKind) -> End {
    match kind {
        StepKind::Check => End::Payable,
        StepKind::Pay | StepKind::Status => End::Accepted,
        StepKind::Cancel => End::Cancelled,
        StepKind::List => End::GoOn,
    }
}

fn nothing_found(kind: StepKind) -> End {
    match kind {
        StepKind::Check | StepKind::Pay => End::Refused("account_not_found".to_owned()),
        StepKind::Status => End::NotFound,
        StepKind::Cancel => End::Refused("not_cancellable".to_owned()),
        StepKind::List => End::GoOn,
    }
}

/// More than was meant: an account of somebody else's, or a payment that is there twice. A person has to look.
fn several_found(kind: StepKind) -> End {
    match kind {
        StepKind::Check | StepKind::Pay | StepKind::Cancel => End::Refused("several_found".to_owned()),
        StepKind::Status => End::Retry,
        StepKind::List => End::GoOn,
    }
}

fn mapped(statement: &Statement, first: &Known) -> End {
    let fits = |when: &&When| {
        let value = first.get(&when.column).and_then(Option::as_ref);
        match value {
            None => when.is_null,
            Some(value) if when.is_not.is_empty() => when.is.contains(value),
            Some(value) => !when.is_not.contains(value),
        }
    };
    let when = statement.when.iter().find(fits);
    when.map_or(End::GoOn, |when| when.then.clone())
}

/// What of these the payer has still to enter, or what is wrong with what he has entered.
pub fn missing<'a>(asks: &'a [AskRule], entered: &Fields, known: &Known) -> Result<Vec<&'a AskRule>, Invalid> {
    let mut missing = Vec::new();
    for ask in asks {
        match entered.get(&ask.name) {
            Some(value) if !value.is_empty() => accept(ask, value, known)?,
            // An empty one is one that the payer was asked for and did not enter.
            Some(_) if !ask.required => {}
            _ => missing.push(ask),
        }
    }
    Ok(missing)
}

fn accept(ask: &AskRule, value: &str, known: &Known) -> Result<(), Invalid> {
    let wrong = |why: String| Err(Invalid::new(&ask.name, why).within("fields"));
    if ask.pattern.as_ref().is_some_and(|pattern| !pattern.is_match(value)) {
        return wrong("does not match its pattern".to_owned());
    }
    let bounds = [(&ask.at_least, "below"), (&ask.at_most, "above")];
    for (column, beyond) in bounds {
        let Some(bound) = column.as_ref().and_then(|column| known.get(column)?.as_deref()) else {
            continue;
        };
        let (Some(given), Some(limit)) = (decimal(value), decimal(bound)) else {
            return wrong("is no number".to_owned());
        };
        if (beyond == "below" && given < limit) || (beyond == "above" && given > limit) {
            return wrong(format!("is {beyond} {bound}"));
        }
    }
    Ok(())
}

/// Whether a text is a decimal number of at most twenty digits and six behind the point.
pub fn is_decimal(text: &str) -> bool {
    decimal(text).is_some()
}

/// A decimal number in millionths; `None` for what is none, or has more digits.
fn decimal(text: &str) -> Option<i128> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, part) = digits.split_once(['.', ',']).unwrap_or((digits, ""));
    let part = part.trim_end_matches('0');
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 20 || part.len() > 6 || !are_digits(whole) || !are_digits(part) {
        return None;
    }
    let millionths: i128 = format!("{whole}{part:0<6}").parse().ok()?;
    Some(if negative { -millionths } else { millionths })
}

/// Fills in a template of what is known. `amounts` are the names that are money, with their minor units.
pub fn fill(
    template: &str,
    known: &Known,
    amounts: &BTreeMap<String, i64>,
    currency: Currency,
) -> Result<String, String> {
    let text = |(name, value): (&String, &Option<String>)| {
        let value = value
            .as_ref()
            .map_or(Value::from(()), |value| Value::from(value.as_str()));
        (name.clone(), value)
    };
    let mut values: BTreeMap<String, Value> = known.iter().map(text).collect();
    for (name, minor) in amounts {
        let minor = *minor;
        values.insert(name.clone(), Value::from_object(Money { minor, currency }));
    }
    template::fill(template, Escape::Nothing, Value::from(values), TEXT_MAX)
        .map_err(|error| refusal_of(&error, true).to_string())
}

/// What a template speaks of.
pub fn names(template: &str) -> Result<BTreeSet<String>, TemplateError> {
    template::names(template, &[]).map(|names| names.others)
}

/// Refuses a template that can do more than print, choose and repeat.
pub fn check_template(field: &str, template: &str) -> Result<(), Invalid> {
    let wrong = |why: String| Err(Invalid::new(field, why));
    if template.chars().count() > TEMPLATE_MAX {
        return wrong(format!("is longer than {TEMPLATE_MAX} characters"));
    }
    if template.chars().any(|c| c.is_control() && c != '\n') {
        return wrong("holds a control character other than a line feed".to_owned());
    }
    template::names(template, &[])
        .map(drop)
        .or_else(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests;
