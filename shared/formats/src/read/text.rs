//! Delimited text and columns of fixed width: decoded, without what stands before and after, line by line.

use std::borrow::Cow;

use csv::{ReaderBuilder, StringRecord};
use domain::declaration::{Align, HEAD_NAMES};
use domain::money::parse_major;

use super::pattern::Pattern;
use super::{Line, ReadError, Reading, Received};
use crate::column::Column;
use crate::layout::Layout;
use crate::report::Report;
use crate::write::fixed;

/// The text, whatever it was encoded in. A letter that cannot be read is an error: a name that is half a name is none.
pub(super) fn decoded<'b>(reading: &Reading<'_>, bytes: &'b [u8]) -> Result<Cow<'b, str>, ReadError> {
    let charset = &reading.layout.charset;
    let wrong = ReadError::Encoding(charset.name());
    match charset.legacy() {
        None => {
            let bare = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
            std::str::from_utf8(bare).map(Cow::Borrowed).map_err(|_| wrong)
        }
        Some(encoding) => encoding
            .decode_without_bom_handling_and_without_replacement(bytes)
            .ok_or(wrong),
    }
}

/// The payments' own lines, the number of the first, and what stands around them tells.
pub(super) struct Body<'t> {
    pub(super) lines: Vec<&'t str>,
    pub(super) first: u64,
    pub(super) told: Vec<(String, String)>,
}

pub(super) fn constants(layout: &Layout) -> Vec<(&str, &str)> {
    let constants = layout.constants.iter();
    constants.map(|(name, text)| (name.as_str(), text.as_str())).collect()
}

/// The patterns of what stands before and after the payments, as far as the layout has them, with their names.
pub(super) fn around_of(layout: &Layout) -> impl Iterator<Item = (&'static str, Result<Pattern, ReadError>)> {
    let names: Vec<&str> = HEAD_NAMES.into_iter().chain(["total_fee", "total_paid"]).collect();
    let templates = [("header", &layout.header), ("trailer", &layout.trailer)];
    templates.into_iter().filter_map(move |(name, template)| {
        let pattern = Pattern::of(template.as_ref()?, &names, &[], &constants(layout));
        let wrong = || ReadError::Malformed(format!("the layout's {name} cannot be read backwards"));
        Some((name, pattern.ok_or_else(wrong)))
    })
}

pub(super) fn body<'t>(reading: &Reading<'_>, text: &'t str) -> Result<Body<'t>, ReadError> {
    let mut lines: Vec<&str> = text.lines().collect();
    let mut told = Vec::new();
    let mut first = 1;
    for (name, pattern) in around_of(reading.layout) {
        let pattern = pattern?;
        let height = pattern.height();
        if lines.len() < height {
            return Err(ReadError::Malformed(format!("{name}: is missing")));
        }
        let own = if name == "header" {
            first += height as u64;
            lines.drain(..height).collect::<Vec<_>>()
        } else {
            // Some programs end a file with an empty line.
            while lines.last().is_some_and(|line| line.is_empty()) {
                lines.pop();
            }
            let at = lines.len().saturating_sub(height);
            lines.split_off(at)
        };
        let values = pattern
            .values(&own)
            .ok_or_else(|| ReadError::Malformed(format!("{name}: is not as the layout has it")))?;
        told.extend(
            values
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
    }
    Ok(Body { lines, first, told })
}

/// What was read, with what the file tells of all payments at this `place`.
pub(super) fn received(
    reading: &Reading<'_>,
    place: &str,
    told: &[(String, String)],
    lines: Vec<Line>,
) -> Result<Received, ReadError> {
    let value = |wanted: &str| {
        told.iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.as_str())
    };
    let wrong = |why: &str| ReadError::Malformed(format!("{place}: {why}"));
    let told_count = value("count").map(|text| text.parse().map_err(|_| wrong("the count is no number")));
    // A register of nothing is a total of nothing, which is no amount of a payment.
    let is_zero = |text: &str| text.bytes().all(|byte| matches!(byte, b'0' | b'.' | b','));
    let told_total = value("total").map(|text| match parse_major(text, reading.currency) {
        Some(total) => Ok(total.minor()),
        None if is_zero(text) => Ok(0),
        None => Err(wrong("the total is no amount")),
    });
    Ok(Received {
        lines,
        told_count: told_count.transpose()?,
        told_total: told_total.transpose()?,
        ..Received::default()
    })
}

pub(super) fn delimited(reading: &Reading<'_>, bytes: &[u8]) -> Result<Received, ReadError> {
    let layout = reading.layout;
    let text = decoded(reading, bytes)?;
    let body = body(reading, &text)?;
    let joined = body.lines.join("\n");
    let mut rows = ReaderBuilder::new()
        .delimiter(layout.separator)
        .quoting(layout.quotes)
        .has_headers(false)
        .flexible(true)
        .from_reader(joined.as_bytes());
    let mut header: Option<Header> = None;
    let mut lines = Vec::new();
    for record in rows.records() {
        let record = record.map_err(|error| ReadError::Malformed(error.to_string()))?;
        let line = body.first + record.position().map_or(0, |at| at.line() - 1);
        // What follows a quote that nobody closed would be missing without a word.
        if record.iter().any(|cell| cell.contains('\n')) {
            let why = "a quoted cell goes on in the next line; is its quote closed?";
            return Err(ReadError::Malformed(format!("line {line}: {why}")));
        }
        if layout.names && header.is_none() {
            header = Some(Header::of(&record, &layout.columns));
            continue;
        }
        if record.iter().all(str::is_empty) {
            continue;
        }
        let payment = cells(&record, header.as_ref(), layout.columns.len());
        let payment = payment.and_then(|cells| reading.payment(&cells));
        lines.push(Line { line, payment });
    }
    Ok(Received {
        unended: is_unended(layout, &text, &lines),
        ..received(reading, "trailer", &body.told, lines)?
    })
}

/// Whether nothing tells that the last of these payments is whole. A trailer does, and a closing quote.
pub(super) fn is_unended(layout: &Layout, text: &str, payments: &[Line]) -> bool {
    let quote = layout.quotes.then_some('"');
    let is_told = payments.is_empty() || layout.trailer.is_some();
    !is_told && !text.ends_with(|last| matches!(last, '\n' | '\r') || Some(last) == quote)
}

/// A first line with the names of its columns.
struct Header {
    /// Where each column of the layout stands.
    places: Vec<Option<usize>>,
    /// How many columns there are, also such as the layout does not have.
    len: usize,
    /// How many there are up to the last that has a name: some programs end the first line alone with a separator.
    named: usize,
}

impl Header {
    fn of(record: &StringRecord, columns: &[Column]) -> Self {
        let place = |column: &Column| record.iter().position(|name| name == column.name);
        Self {
            places: columns.iter().map(place).collect(),
            len: record.len(),
            named: record.len() - record.iter().rev().take_while(|name| name.is_empty()).count(),
        }
    }
}

/// The cells of a line in the order of the layout. One with more of them than the header has names is not read: which of them is
/// one too many nobody can say, and the others would be taken for what they are not. Nor one with fewer: the file may be cut
/// off in the middle of an amount, which is one all the same.
fn cells<'r>(record: &'r StringRecord, header: Option<&Header>, columns: usize) -> Result<Vec<&'r str>, String> {
    let Some(header) = header else {
        let is_whole = record.len() == columns;
        let why = || format!("has {} columns where the layout has {columns}", record.len());
        return is_whole.then(|| record.iter().collect()).ok_or_else(why);
    };
    if record.len() < header.named || record.iter().skip(header.len).any(|cell| !cell.is_empty()) {
        return Err(format!(
            "has {} columns where the header has {}",
            record.len(),
            header.len
        ));
    }
    let cell = |place: &Option<usize>| place.and_then(|at| record.get(at)).unwrap_or_default();
    Ok(header.places.iter().map(cell).collect())
}

pub(super) fn fixed(reading: &Reading<'_>, bytes: &[u8]) -> Result<Received, ReadError> {
    let layout = reading.layout;
    let text = decoded(reading, bytes)?;
    let body = body(reading, &text)?;
    let names = usize::from(layout.names);
    if layout.names {
        check_names(reading, &body)?;
    }
    let width: usize = layout.columns.iter().filter_map(|column| column.width).sum();
    let lines = body
        .lines
        .iter()
        .zip(body.first..)
        .skip(names)
        .filter(|(text, _)| !text.trim().is_empty());
    let lines = lines.map(|(text, line)| {
        let length = text.chars().count();
        let payment = if length == width {
            let cells = cut(text, &layout.columns);
            reading.payment(&cells)
        } else {
            Err(format!("has {length} characters where the layout has {width}"))
        };
        Line { line, payment }
    });
    let lines = lines.collect();
    received(reading, "trailer", &body.told, lines)
}

/// Refuses a file that does not begin with the names of the layout's columns: its first line may be a payment.
fn check_names(reading: &Reading<'_>, body: &Body<'_>) -> Result<(), ReadError> {
    let written = fixed::names(reading.layout, &mut Report::default());
    let written = written.map_err(|error| ReadError::Malformed(error.to_string()))?;
    let names = decoded(reading, &written)?;
    match body.lines.first() {
        Some(line) if line.trim_end() == names.trim_end() => Ok(()),
        _ => Err(ReadError::Malformed(format!(
            "line {}: does not name the columns as the layout does",
            body.first
        ))),
    }
}

/// The cells of a line of fixed width, without what fills them up.
fn cut<'t>(text: &'t str, columns: &[Column]) -> Vec<&'t str> {
    let mut rest = text;
    let cell = |column: &Column| {
        let width = column.width.unwrap_or_default();
        let end = rest.char_indices().nth(width).map_or(rest.len(), |(at, _)| at);
        let (cell, after) = rest.split_at(end);
        rest = after;
        if column.align == Some(Align::Zeros) {
            let bare = cell.trim_start_matches('0');
            // `0.50`, and a zero itself.
            let kept = if bare.starts_with(|c: char| c.is_ascii_digit()) {
                bare.len()
            } else {
                bare.len() + 1
            };
            &cell[cell.len().saturating_sub(kept)..]
        } else {
            cell.trim_matches(' ')
        }
    };
    columns.iter().map(cell).collect()
}
