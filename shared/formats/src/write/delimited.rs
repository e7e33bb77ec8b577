//! Delimited text: columns, a separator, quotes or none, and lines before and after.

use std::borrow::Cow;
use std::io::Write;

use csv::{QuoteStyle, Terminator, WriterBuilder};
use domain::declaration::LineEnd;

use super::{RowWriter, lines};
use crate::head::Head;
use crate::layout::Layout;
use crate::report::Report;
use crate::row::{Row, Tally};
use crate::{FormatError, clean};

pub(super) struct Delimited<'l, W: Write> {
    layout: &'l Layout,
    head: &'l Head,
    out: csv::Writer<W>,
    /// One cell's bytes, over and over.
    cell: Vec<u8>,
}

impl<'l, W: Write> Delimited<'l, W> {
    pub(super) fn begin(
        layout: &'l Layout,
        head: &'l Head,
        mut out: W,
        report: &mut Report,
    ) -> Result<Self, FormatError> {
        lines::header(layout, head, &mut out, report)?;
        let terminator = match layout.line_end {
            LineEnd::Crlf => Terminator::CRLF,
            LineEnd::Lf => Terminator::Any(b'\n'),
        };
        let style = if layout.quotes {
            QuoteStyle::Necessary
        } else {
            QuoteStyle::Never
        };
        let out = WriterBuilder::new()
            .delimiter(layout.separator)
            .terminator(terminator)
            .quote_style(style)
            .from_writer(out);
        let mut new = Self {
            layout,
            head,
            out,
            cell: Vec::new(),
        };
        if layout.names {
            for column in &layout.columns {
                new.field(column.name.as_str().into(), || lines::spot("names"), report)?;
            }
            new.out.write_record(None::<&[u8]>)?;
        }
        Ok(new)
    }

    fn field(
        &mut self,
        text: Cow<'_, str>,
        place: impl Fn() -> crate::Spot,
        report: &mut Report,
    ) -> Result<(), FormatError> {
        let layout = self.layout;
        let text = if layout.quotes {
            text
        } else {
            clean::unquoted(text, char::from(layout.separator), &layout.replacement)
        };
        if layout.charset.legacy().is_none() {
            return Ok(self.out.write_field(text.as_bytes())?);
        }
        self.cell.clear();
        layout.charset.append(&mut self.cell, &text, place, report)?;
        Ok(self.out.write_field(&self.cell)?)
    }
}

impl<W: Write> RowWriter<W> for Delimited<'_, W> {
    fn row(&mut self, row: &Row<'_>, line: i64, report: &mut Report) -> Result<(), FormatError> {
        let layout = self.layout;
        for column in &layout.columns {
            let cell = column.cell(layout, self.head, row, line);
            self.field(layout.style.text(cell, row), || column.spot(row), report)?;
        }
        Ok(self.out.write_record(None::<&[u8]>)?)
    }

    fn flush(&mut self) -> Result<(), FormatError> {
        Ok(self.out.flush()?)
    }

    fn finish(self: Box<Self>, tally: &Tally, report: &mut Report) -> Result<W, FormatError> {
        let mut out = self.out.into_inner().map_err(|error| error.into_error())?;
        lines::trailer(self.layout, self.head, tally, &mut out, report)?;
        Ok(out)
    }
}
