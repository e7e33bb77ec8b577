//! Delimited text: columns, a separator, quotes or none, and lines before and after.
//!
//! Lines are put together by hand: a register has a million of them, each of ten fields, most of which are ours and need
//! nothing. What is written is read back by `csv` and by Python in the tests.

use std::borrow::Cow;
use std::io::Write;

use super::{RowWriter, lines};
use crate::column::Pen;
use crate::head::Head;
use crate::layout::Layout;
use crate::report::{Change, Report};
use crate::row::{Row, Tally};
use crate::{FormatError, Spot, clean};

pub(super) struct Delimited<'l, W: Write> {
    layout: &'l Layout,
    head: &'l Head,
    out: W,
    pens: Vec<Pen>,
    line: Fields<'l>,
}

/// The line being written.
struct Fields<'l> {
    layout: &'l Layout,
    bytes: Vec<u8>,
    /// One field's bytes, where they are not those of its text.
    encoded: Vec<u8>,
    is_begun: bool,
}

impl<'l, W: Write> Delimited<'l, W> {
    pub(super) fn begin(
        layout: &'l Layout,
        head: &'l Head,
        mut out: W,
        report: &mut Report,
    ) -> Result<Self, FormatError> {
        lines::header(layout, head, &mut out, report)?;
        let mut line = Fields {
            layout,
            bytes: Vec::new(),
            encoded: Vec::new(),
            is_begun: false,
        };
        if layout.names {
            for column in &layout.columns {
                line.add(&column.name, || lines::spot("names"), report)?;
            }
            out.write_all(line.ended())?;
        }
        Ok(Self {
            layout,
            head,
            out,
            pens: Pen::of(&layout.columns),
            line,
        })
    }
}

impl Fields<'_> {
    fn add(&mut self, text: &str, place: impl Fn() -> Spot, report: &mut Report) -> Result<(), FormatError> {
        let layout = self.layout;
        if !self.is_begun {
            self.bytes.clear();
            self.is_begun = true;
        } else {
            self.bytes.push(layout.separator);
        }
        let mut text = Cow::Borrowed(text);
        if !layout.quotes {
            let separator = char::from(layout.separator);
            if text.contains(separator) {
                report.note(Change::Replaced(separator), &place);
            }
            text = clean::unquoted(text, separator, &layout.replacement, layout.style.formulas);
        }
        let mut field = text.as_bytes();
        if layout.charset.legacy().is_some() {
            self.encoded.clear();
            layout.charset.append(&mut self.encoded, &text, place, report)?;
            field = &self.encoded;
        }
        let special = |byte: &u8| *byte == layout.separator || matches!(byte, b'"' | b'\r' | b'\n');
        if !layout.quotes || !field.iter().any(special) {
            self.bytes.extend_from_slice(field);
            return Ok(());
        }
        self.bytes.push(b'"');
        for byte in field {
            if *byte == b'"' {
                self.bytes.push(b'"');
            }
            self.bytes.push(*byte);
        }
        self.bytes.push(b'"');
        Ok(())
    }

    /// The line, whole. One that would be blank, since its only field is empty, would not be taken for a row.
    fn ended(&mut self) -> &[u8] {
        if self.bytes.is_empty() && self.layout.quotes {
            self.bytes.extend_from_slice(b"\"\"");
        }
        self.bytes.extend_from_slice(self.layout.line_end.as_str().as_bytes());
        self.is_begun = false;
        &self.bytes
    }
}

impl<W: Write> RowWriter<W> for Delimited<'_, W> {
    fn row(&mut self, row: &Row<'_>, line: i64, report: &mut Report) -> Result<(), FormatError> {
        let layout = self.layout;
        for (column, pen) in layout.columns.iter().zip(&mut self.pens) {
            let text = layout.style.text(column.cell(layout, self.head, row, line), row, pen);
            self.line.add(text, || column.spot(row), report)?;
        }
        Ok(self.out.write_all(self.line.ended())?)
    }

    fn finish(mut self: Box<Self>, tally: &Tally, report: &mut Report) -> Result<W, FormatError> {
        lines::trailer(self.layout, self.head, tally, &mut self.out, report)?;
        Ok(self.out)
    }
}
