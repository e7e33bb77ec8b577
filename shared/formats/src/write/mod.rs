//! Writing: one trait, an implementation per format, and what is the same for all of them.

pub(crate) mod dbf;
mod delimited;
pub(crate) mod fixed;
mod jsonl;
mod lines;
pub(crate) mod xlsx;
mod xml;

use std::io::Write;

use domain::declaration::FormatKind;

use crate::FormatError;
use crate::head::Head;
use crate::layout::Layout;
use crate::report::Report;
use crate::row::{Row, Tally};

/// One format's way of writing. What comes before the first row is written when it is made.
pub(crate) trait RowWriter<W> {
    /// Writes a payment, and hands it over as far as the format lets it go before its end; `line` is its place in the file,
    /// from 1.
    fn row(&mut self, row: &Row<'_>, line: i64, report: &mut Report) -> Result<(), FormatError>;

    /// Writes what comes after the last row, and gives the `Write` back.
    fn finish(self: Box<Self>, tally: &Tally, report: &mut Report) -> Result<W, FormatError>;
}

/// A register being written.
pub struct Writer<'l, W> {
    format: Box<dyn RowWriter<W> + 'l>,
    rows_max: Option<u64>,
    tally: Tally,
    report: Report,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// How much.
    pub tally: Tally,
    /// What the file shows otherwise than it came.
    pub report: Report,
}

impl<'l, W: Write + 'l> Writer<'l, W> {
    pub(crate) fn begin(layout: &'l Layout, head: &'l Head, out: W) -> Result<Self, FormatError> {
        let mut report = Report::default();
        let format: Box<dyn RowWriter<W> + 'l> = match layout.format.kind() {
            FormatKind::Delimited => Box::new(delimited::Delimited::begin(layout, head, out, &mut report)?),
            FormatKind::Fixed => Box::new(fixed::Fixed::begin(layout, head, out, &mut report)?),
            FormatKind::Text => Box::new(lines::Lines::begin(layout, head, out, &mut report)?),
            FormatKind::Xlsx => Box::new(xlsx::Book::begin(layout, head, out)?),
            FormatKind::Dbf => Box::new(dbf::Dbf::begin(layout, head, out)?),
            FormatKind::Xml => Box::new(xml::Xml::begin(layout, head, out, &mut report)?),
            FormatKind::Jsonl => Box::new(jsonl::JsonLines::begin(layout, head, out)),
        };
        Ok(Self {
            format,
            rows_max: layout.rows_max(),
            tally: Tally::default(),
            report,
        })
    }

    /// Writes a payment.
    pub fn row(&mut self, row: &Row<'_>) -> Result<(), FormatError> {
        if let Some(most) = self.rows_max
            && self.tally.count.unsigned_abs() >= most
        {
            return Err(FormatError::TooManyRows(most));
        }
        self.format.row(row, self.tally.count + 1, &mut self.report)?;
        self.tally.add(row);
        Ok(())
    }

    /// Ends the file. Without it the file is not whole, and is not to be used.
    pub fn finish(self) -> Result<(W, Written), FormatError> {
        let tally = self.tally;
        self.finish_as(tally)
    }

    /// Ends it as if so much had been written: to measure what files have besides their rows.
    pub fn finish_as(mut self, tally: Tally) -> Result<(W, Written), FormatError> {
        let out = self.format.finish(&tally, &mut self.report)?;
        let written = Written {
            tally,
            report: self.report,
        };
        Ok((out, written))
    }
}
