//! A table of dBase III, without memo fields: a header that tells the count, fields of fixed width, a record per payment.
//!
//! Written by hand, because the library seeks back to put the count into the header, and keeps numbers as binary
//! fractions. The count is known here before the first row, so the file streams; amounts are written from minor units.

use std::io::Write;

use domain::declaration::Fact;

use super::{RowWriter, fixed};
use crate::FormatError;
use crate::column::{Cell, Column, Pen};
use crate::head::Head;
use crate::layout::Layout;
use crate::report::Report;
use crate::row::{Row, Tally};

/// Records that the header can count, as far as every reader takes it for a signed number.
pub(crate) const ROWS_MAX: u64 = i32::MAX as u64;

const VERSION: u8 = 0x03;
const HEADER_BYTES: usize = 32;
const FIELD_BYTES: usize = 32;
const HEADER_END: u8 = 0x0d;
const FILE_END: u8 = 0x1a;
/// The longest name of a field.
const NAME_MAX: usize = 10;
/// The widest text and the widest number.
const TEXT_MAX: usize = 254;
const NUMBER_WIDTH: usize = 18;

/// A field of the table.
struct Field {
    name: String,
    kind: u8,
    width: usize,
    digits: u8,
}

pub(super) struct Dbf<'l, W> {
    layout: &'l Layout,
    head: &'l Head,
    out: W,
    fields: Vec<Field>,
    pens: Vec<Pen>,
    record: Vec<u8>,
}

impl<'l, W: Write> Dbf<'l, W> {
    pub(super) fn begin(layout: &'l Layout, head: &'l Head, mut out: W) -> Result<Self, FormatError> {
        let digits = u8::try_from(head.currency.digits()).unwrap_or(2);
        let fields = layout
            .columns
            .iter()
            .zip(unique_names(&layout.columns))
            .map(|(column, name)| {
                let (kind, usual, digits) = kind_of(column, digits);
                Field {
                    name,
                    kind,
                    width: if kind == b'D' { 8 } else { column.width.unwrap_or(usual) },
                    digits,
                }
            });
        let fields: Vec<Field> = fields.collect();
        out.write_all(&header(layout, head, &fields))?;
        Ok(Self {
            layout,
            head,
            out,
            fields,
            pens: Pen::of(&layout.columns),
            record: Vec::new(),
        })
    }
}

/// Letter of the type, width unless declared, digits after the point.
fn kind_of(column: &Column, digits: u8) -> (u8, usize, u8) {
    match &column.fact {
        Some(Fact::Amount | Fact::Fee | Fact::Paid) => (b'N', NUMBER_WIDTH, digits),
        Some(Fact::Line | Fact::Sequence) => (b'N', 10, 0),
        Some(Fact::AcceptedDate | Fact::PaidDate) => (b'D', 8, 0),
        Some(Fact::Number) => (b'C', 20, 0),
        Some(Fact::PaymentId) => (b'C', 36, 0),
        Some(Fact::AcceptedTime | Fact::PaidTime) => (b'C', 8, 0),
        Some(Fact::AcceptedAt | Fact::PaidAt) => (b'C', 25, 0),
        Some(Fact::Currency) => (b'C', 3, 0),
        Some(Fact::Account) => (b'C', 200, 0),
        Some(Fact::ReceiptNumber | Fact::Terminal | Fact::Payee) => (b'C', 64, 0),
        Some(_) => (b'C', TEXT_MAX, 0),
        None => (b'C', column.constant.chars().count().clamp(1, TEXT_MAX), 0),
    }
}

/// The columns' names as fields have them: capital letters, at most ten, and none twice.
pub(crate) fn unique_names(columns: &[Column]) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(columns.len());
    for column in columns {
        let capitals = column.name.to_ascii_uppercase();
        let name: String = capitals.chars().filter(char::is_ascii).take(NAME_MAX).collect();
        let mut candidate = name.clone();
        for n in 2.. {
            if !names.contains(&candidate) {
                break;
            }
            let suffix = n.to_string();
            candidate = format!("{}{suffix}", &name[..name.len().min(NAME_MAX - suffix.len())]);
        }
        names.push(candidate);
    }
    names
}

fn header(layout: &Layout, head: &Head, fields: &[Field]) -> Vec<u8> {
    let header_bytes = HEADER_BYTES + FIELD_BYTES * fields.len() + 1;
    let record_bytes: usize = 1 + fields.iter().map(|field| field.width).sum::<usize>();
    let day = head.cutoff.to_zoned(layout.style.zone.tz().clone()).date();
    let count = u32::try_from(head.count).unwrap_or(u32::MAX);
    let byte = |number: i64| u8::try_from(number).unwrap_or_default();
    let mut bytes = vec![
        VERSION,
        byte(i64::from(day.year()) - 1900),
        byte(day.month().into()),
        byte(day.day().into()),
    ];
    bytes.extend(count.to_le_bytes());
    bytes.extend(u16::try_from(header_bytes).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend(u16::try_from(record_bytes).unwrap_or(u16::MAX).to_le_bytes());
    bytes.resize(29, 0);
    bytes.push(layout.charset.dbf_mark());
    bytes.resize(HEADER_BYTES, 0);
    for field in fields {
        let start = bytes.len();
        bytes.extend(field.name.as_bytes());
        bytes.resize(start + 11, 0);
        bytes.push(field.kind);
        bytes.resize(start + 16, 0);
        bytes.push(u8::try_from(field.width).unwrap_or(u8::MAX));
        bytes.push(field.digits);
        bytes.resize(start + FIELD_BYTES, 0);
    }
    bytes.push(HEADER_END);
    bytes
}

impl<W: Write> RowWriter<W> for Dbf<'_, W> {
    fn row(&mut self, row: &Row<'_>, line: i64, report: &mut Report) -> Result<(), FormatError> {
        let layout = self.layout;
        self.record.clear();
        // Not deleted.
        self.record.push(b' ');
        for ((column, field), pen) in layout.columns.iter().zip(&self.fields).zip(&mut self.pens) {
            let cell = column.cell(layout, self.head, row, line);
            let own = match (field.kind, cell) {
                (b'N', Cell::Money(minor)) => Some(domain::money::format_minor(minor, row.currency)),
                (b'D', Cell::Day(at)) => Some(layout.style.at(at, "%Y%m%d")),
                _ => None,
            };
            let text = own.as_deref().unwrap_or_else(|| layout.style.text(cell, row, pen));
            let (text, length) = fixed::fitted(layout, column, row, text, field.width, report)?;
            let padding = field.width - length;
            if field.kind == b'N' {
                self.record.resize(self.record.len() + padding, b' ');
            }
            layout
                .charset
                .append(&mut self.record, &text, || column.spot(row), report)?;
            if field.kind != b'N' {
                self.record.resize(self.record.len() + padding, b' ');
            }
        }
        Ok(self.out.write_all(&self.record)?)
    }

    fn finish(mut self: Box<Self>, tally: &Tally, _: &mut Report) -> Result<W, FormatError> {
        if tally.count != self.head.count {
            // The header has gone out with another count.
            return Err(FormatError::Count {
                came: tally.count,
                told: self.head.count,
            });
        }
        self.out.write_all(&[FILE_END])?;
        Ok(self.out)
    }
}
