//! What is known within a step: the payer's fields and the columns of rows, as text, with the amounts among them.

use std::collections::BTreeMap;

use domain::declaration::{DatabasesProfile, StepKind, ValueType};
use domain::money::Currency;
use domain::scenario::{AMOUNTS, Known};
use sql::{Cell, Row};

use crate::bind::{REFERENCE, amount_as};
use crate::file;
use crate::source::Compiled;

/// The longest value of a column that is taken over, in characters.
const VALUE_MAX: usize = 4_000;
/// The longest reference that is kept, in characters.
const REFERENCE_MAX: usize = 100;

/// Everything that statements have told, and the payer.
#[derive(Debug, Default, Clone)]
pub(crate) struct Told {
    /// By name, as text.
    pub(crate) known: Known,
    /// What rows have told of it: the payee's own word, and no terminal's.
    pub(crate) by_rows: Known,
    /// Those that are amounts, in minor units.
    pub(crate) amounts: BTreeMap<String, i64>,
}

impl Told {
    /// Begins with what the payer entered, as far as he may.
    pub(crate) fn by_payer<'a>(compiled: &Compiled, fields: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        Self {
            known: fields
                .filter(|(key, _)| compiled.knows_field(key))
                .map(|(key, value)| (key.to_owned(), Some(value.to_owned())))
                .collect(),
            ..Self::default()
        }
    }

    /// Takes a row of a step over; a later column of a name counts. An error names a column that cannot be read.
    pub(crate) fn take(
        &mut self,
        row: &Row,
        kind: StepKind,
        profile: &DatabasesProfile,
        currency: Currency,
    ) -> Result<(), String> {
        let first = columns(row)?;
        for name in first.keys() {
            // What a payment was entered with is held against what was paid.
            let echoed = kind == StepKind::Status && name == "amount";
            let declared = profile.types.get(name) == Some(&ValueType::Money);
            let is_money = echoed || declared || AMOUNTS.contains(&name.as_str());
            let (amount_as, digits) = (amount_as(profile), currency.digits());
            let minor = match &profile.file {
                _ if !is_money => None,
                Some(listed) => file::amount(row, name, listed.format, amount_as, digits)?,
                None => row.amount(name, amount_as, digits)?,
            };
            match minor {
                Some(minor) => self.amounts.insert(name.clone(), minor),
                None => self.amounts.remove(name),
            };
        }
        self.known.extend(first.clone());
        self.by_rows.extend(first);
        Ok(())
    }
}

/// The payee's own name for a payment, where its statements tell one.
pub(crate) fn reference(told: &Told) -> Option<String> {
    let given = told.by_rows.get(REFERENCE)?.as_ref()?;
    Some(shortened(given))
}

/// A reference of a length that is kept, without what a database or a terminal would choke on.
pub(crate) fn shortened(reference: &str) -> String {
    reference
        .chars()
        .filter(|c| !c.is_control())
        .take(REFERENCE_MAX)
        .collect()
}

/// The columns of a row as text. A column of a type that is not read is an error: it has to be cast, or left out.
pub(crate) fn columns(row: &Row) -> Result<Known, String> {
    row.with_prefix("")
        .map(|(name, cell)| Ok((name.to_owned(), text(name, cell)?)))
        .collect()
}

fn text(name: &str, cell: &Cell) -> Result<Option<String>, String> {
    if let Cell::Unread(type_name) = cell {
        return Err(format!(
            "column {name} is of type {type_name}: cast it to text, or leave it out"
        ));
    }
    Ok(cell.text().map(|text| {
        let plain = |c: char| if c.is_control() && c != '\n' { ' ' } else { c };
        text.chars().take(VALUE_MAX).map(plain).collect()
    }))
}
