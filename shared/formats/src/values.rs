//! What templates of a layout are filled with.

use std::borrow::Cow;

use domain::declaration::{Fact, Formulas};
use domain::template::{Template, Values};

use crate::FormatError;
use crate::column::{Column, Pen};
use crate::head::Head;
use crate::layout::Layout;
use crate::name::short;
use crate::row::{Row, Tally};

/// The longest header, trailer or row, in bytes.
const TEXT_MAX: usize = 64 * 1024;

/// Fills a template in. Its last line ends, whether it says so or not; a template without a line comes to nothing.
pub(crate) fn fill(template: &Template, name: &'static str, values: &Values) -> Result<String, FormatError> {
    let mut text = template
        .fill(values, TEXT_MAX)
        .map_err(|source| FormatError::Template { name, source })?;
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// What is known before the first payment.
pub(crate) fn of_head(layout: &Layout, head: &Head) -> Values {
    with_texts(layout, head, |text| Cow::Borrowed(text))
}

/// The same for the file's name, which no text fills alone.
pub(crate) fn of_name(layout: &Layout, head: &Head) -> Values {
    with_texts(layout, head, short)
}

/// With so much of every text that an operator has written.
fn with_texts(layout: &Layout, head: &Head, cut: fn(&str) -> Cow<'_, str>) -> Values {
    let style = &layout.style;
    let mut values = Values::new(&style.zone);
    let payee = &layout.payee;
    let mut optional = |name: &str, text: &Option<String>| values.text(name, &cut(text.as_deref().unwrap_or_default()));
    optional("inn", &payee.requisites.inn);
    optional("kpp", &payee.requisites.kpp);
    optional("settlement_account", &payee.requisites.account);
    optional("bank", &payee.requisites.bank);
    optional("bik", &payee.requisites.bik);
    optional("corr_account", &payee.requisites.corr_account);
    values.text("payee", &payee.id);
    values.text("payee_name", &cut(&payee.name));
    values.text("mail", &cut(&payee.mail));
    values.text("series", &head.series);
    values.number("sequence", head.sequence.into());
    values.number("sequence_of_day", head.of_day);
    values.number("sequence_of_year", head.of_year);
    values.number("part", head.part.0.into());
    values.number("parts", head.part.1.into());
    values.flag("copy", head.is_copy);
    values.number("open", head.open);
    values.number("count", head.count);
    values.text("total", &style.money(head.total, head.currency));
    values.text("currency", head.currency.code());
    values.text("date", &style.at(head.cutoff, &style.date));
    values.text("time", &style.at(head.cutoff, &style.time));
    values.moment("cutoff", head.cutoff);
    values.text("year", &style.at(head.cutoff, "%Y"));
    values.text("first_date", &style.at(head.first_at, &style.date));
    values.text("last_date", &style.at(head.last_at, &style.date));
    let constants = layout.constants.iter();
    let constants: Vec<(&str, Cow<'_, str>)> = constants.map(|(name, text)| (name.as_str(), cut(text))).collect();
    values.members("constants", constants.iter().map(|(name, text)| (*name, &**text)));
    values
}

/// The same with what is known after the last one.
pub(crate) fn of_trailer(layout: &Layout, head: &Head, tally: &Tally) -> Values {
    let mut values = of_head(layout, head);
    let mut money = |name: &str, minor| values.text(name, &layout.style.money(minor, head.currency));
    money("total", tally.total);
    money("total_fee", tally.fees);
    money("total_paid", tally.total.wrapping_add(tally.fees));
    values.number("count", tally.count);
    values
}

/// A payment's facts, added to those of the head. What the payer did not enter is there as nothing.
pub(crate) fn add_row(values: &mut Values, layout: &Layout, head: &Head, row: &Row<'_>, line: i64) {
    for (name, fact) in Fact::PLAIN {
        let mut pen = Pen::default();
        // What is the head's is there already.
        if matches!(
            fact,
            Fact::Payee
                | Fact::PayeeName
                | Fact::Inn
                | Fact::Kpp
                | Fact::SettlementAccount
                | Fact::Bik
                | Fact::Sequence
        ) {
            continue;
        }
        let column = Column::plain(fact, name);
        let cell = column.cell(layout, head, row, line);
        values.text(name, layout.style.text(cell, row, &mut pen));
    }
    let entered: Vec<(&str, Cow<'_, str>)> = layout
        .fields
        .iter()
        .map(|field| {
            let raw = row.fields.entered(field).unwrap_or_default();
            (field.as_str(), crate::clean::text(raw, layout.style.formulas))
        })
        .collect();
    values.members("fields", entered.iter().map(|(field, text)| (*field, &**text)));
}

/// Formulas are a business of tables: other text is read by programs.
pub(crate) fn formulas_unless_said(kind: domain::declaration::FormatKind) -> Formulas {
    match kind {
        domain::declaration::FormatKind::Delimited => Formulas::Disarm,
        _ => Formulas::Keep,
    }
}
