//! Text made by a template per payment, read backwards.
//!
//! Where the template's first and last line begin with words, a payment is what stands between such lines, and the lines in
//! between are told apart by their words: they may come in any order, be missing, or be of no template of ours. So programs
//! that are not ours write 1CClientBankExchange. Else a payment is as many lines as its template.

use std::borrow::Cow;

use domain::declaration::{Fact, HEAD_NAMES, TextEscape};

use super::pattern::Pattern;
use super::text::{around_of, body, constants, decoded, is_unended, received};
use super::{Line, ReadError, Reading, Received, ReceivedPayment};
use crate::layout::Layout;

/// The pattern of a payment; none where the layout has columns.
pub(super) fn row_of(layout: &Layout) -> Option<Result<Pattern, ReadError>> {
    let template = layout.row.as_ref()?;
    let facts: Vec<&str> = Fact::PLAIN.iter().map(|(name, _)| *name).chain(HEAD_NAMES).collect();
    let fields: Vec<&str> = layout.fields.iter().map(String::as_str).collect();
    let pattern = Pattern::of(template, &facts, &fields, &constants(layout));
    Some(pattern.ok_or_else(|| ReadError::Malformed("the layout's row cannot be read backwards".to_owned())))
}

/// What a fact is called in the pattern.
pub(super) fn name_of(fact: &Fact) -> String {
    match fact {
        Fact::Field(field) => format!("fields.{field}"),
        plain => plain.word().to_owned(),
    }
}

pub(super) fn read(reading: &Reading<'_>, row: &Pattern, bytes: &[u8]) -> Result<Received, ReadError> {
    let text = decoded(reading, bytes)?;
    if row.is_framed() {
        return framed(reading, row, &text);
    }
    let body = body(reading, &text)?;
    let all = body
        .lines
        .chunks(row.height().max(1))
        .zip((body.first..).step_by(row.height().max(1)));
    let lines = all.map(|(lines, line)| Line {
        line,
        payment: match row.values(lines) {
            Some(values) => payment(reading, &values),
            None => Err("is not as the layout's row has it".to_owned()),
        },
    });
    let lines: Vec<Line> = lines.collect();
    Ok(Received {
        unended: is_unended(reading.layout, &text, &lines),
        ..received(reading, "trailer", &body.told, lines)?
    })
}

/// What stands around payments is looked at for a count and a total. What ends like a payment and did not begin like one is
/// a line that is refused: no payment of a kind that the layout does not know is passed over in silence.
fn framed(reading: &Reading<'_>, row: &Pattern, text: &str) -> Result<Received, ReadError> {
    let all = text.lines().map(str::trim_end).zip(1..);
    let mut rest = all.filter(|(text, _)| !text.is_empty()).peekable();
    let mut around = Vec::new();
    let mut lines = Vec::new();
    while let Some((text, line)) = rest.next() {
        let mut refuse = |why: &str| {
            lines.push(Line {
                line,
                payment: Err(why.to_owned()),
            })
        };
        if !row.begins_with(text) {
            if row.ends_with(text) {
                refuse("ends something that is no payment of this layout");
            }
            around.push(text);
            continue;
        }
        let mut own = Vec::new();
        while let Some((text, _)) = rest.next_if(|(text, _)| !row.begins_with(text) && !row.ends_with(text)) {
            own.push(text);
        }
        match rest.next_if(|(text, _)| row.ends_with(text)) {
            Some(_) => lines.push(Line {
                line,
                payment: payment(reading, &row.found_in(&own)),
            }),
            None => refuse("does not end as a payment of this layout does"),
        }
    }
    let told = told(reading.layout, &around)?;
    received(reading, "trailer", &told, lines)
}

fn payment(reading: &Reading<'_>, values: &[(&str, &str)]) -> Result<ReceivedPayment, String> {
    let escape = reading.layout.escape;
    let plain = values.iter().map(|(name, text)| {
        let plain = unescaped(text, escape).ok_or_else(|| format!("{name}: is not escaped as the layout has it"))?;
        Ok((*name, plain))
    });
    let plain: Vec<(&str, Cow<'_, str>)> = plain.collect::<Result<_, String>>()?;
    reading.payment_of(|fact| {
        let name = name_of(fact);
        let mut found = plain.iter().filter(|(told, text)| *told == name && !text.is_empty());
        found.next().map(|(_, text)| &**text)
    })
}

/// What a value was before it was escaped; none where nothing is escaped like that.
fn unescaped(text: &str, escape: TextEscape) -> Option<Cow<'_, str>> {
    match escape {
        TextEscape::Nothing => Some(text.into()),
        TextEscape::Xml => quick_xml::escape::unescape(text).ok(),
        TextEscape::Json => serde_json::from_str(&format!("\"{text}\"")).ok().map(Cow::Owned),
    }
}

/// What the lines around payments tell of themselves.
fn told(layout: &Layout, around: &[&str]) -> Result<Vec<(String, String)>, ReadError> {
    let mut told = Vec::new();
    for (place, pattern) in around_of(layout) {
        let pattern = pattern?;
        let ends = if place == "header" {
            around.first()
        } else {
            around.last()
        };
        if !ends.is_some_and(|line| pattern.begins_with(line)) {
            return Err(ReadError::Malformed(format!("{place}: is not as the layout has it")));
        }
        let found = pattern.found_in(around);
        told.extend(
            found
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
    }
    Ok(told)
}
