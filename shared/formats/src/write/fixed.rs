//! Columns of fixed width, counted in characters. What is too long is an error or cut, visibly; numbers, accounts and
//! amounts are never cut.

use std::borrow::Cow;
use std::io::Write;

use domain::declaration::{Align, TooLong};

use super::{RowWriter, lines};
use crate::FormatError;
use crate::column::{Cell, Column, Pen};
use crate::head::Head;
use crate::layout::Layout;
use crate::report::{Change, Report};
use crate::row::{Row, Tally};

pub(super) struct Fixed<'l, W> {
    layout: &'l Layout,
    head: &'l Head,
    out: W,
    pens: Vec<Pen>,
    bytes: Vec<u8>,
}

impl<'l, W: Write> Fixed<'l, W> {
    pub(super) fn begin(
        layout: &'l Layout,
        head: &'l Head,
        mut out: W,
        report: &mut Report,
    ) -> Result<Self, FormatError> {
        lines::header(layout, head, &mut out, report)?;
        if layout.names {
            out.write_all(&names(layout, report)?)?;
        }
        Ok(Self {
            layout,
            head,
            out,
            pens: Pen::of(&layout.columns),
            bytes: Vec::new(),
        })
    }
}

/// The line that names the columns, each as far as it is wide.
pub(crate) fn names(layout: &Layout, report: &mut Report) -> Result<Vec<u8>, FormatError> {
    let name = |column: &Column| {
        let width = column.width.unwrap_or_default();
        let name: String = column.name.chars().take(width).collect();
        format!("{name:<width$}")
    };
    let line: String = layout.columns.iter().map(name).chain(["\n".to_owned()]).collect();
    let mut bytes = Vec::new();
    lines::write(layout, &line, "names", &mut bytes, report)?;
    Ok(bytes)
}

/// A text that fits its column, cut if that is allowed; with its length in characters.
pub(super) fn fitted<'t>(
    layout: &Layout,
    column: &Column,
    row: &Row<'_>,
    text: &'t str,
    width: usize,
    report: &mut Report,
) -> Result<(Cow<'t, str>, usize), FormatError> {
    let length = if text.len() <= width {
        text.chars().count()
    } else {
        text.chars().take(width + 1).count()
    };
    if length <= width {
        return Ok((text.into(), length));
    }
    if layout.too_long == TooLong::Error || !column.may_be_cut() {
        return Err(column.too_long(row, width));
    }
    report.note(Change::Cut(width), || column.spot(row));
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    cut.push('~');
    Ok((cut.into(), width))
}

impl<W: Write> RowWriter<W> for Fixed<'_, W> {
    fn row(&mut self, row: &Row<'_>, line: i64, report: &mut Report) -> Result<(), FormatError> {
        let layout = self.layout;
        self.bytes.clear();
        for (column, pen) in layout.columns.iter().zip(&mut self.pens) {
            let cell = column.cell(layout, self.head, row, line);
            let is_number = matches!(cell, Cell::Money(_) | Cell::Count(_));
            let width = column.width.unwrap_or_default();
            let text = layout.style.text(cell, row, pen);
            let (text, length) = fitted(layout, column, row, text, width, report)?;
            let usual = if is_number { Align::Right } else { Align::Left };
            let align = column.align.unwrap_or(usual);
            let padding = width - length;
            let filler = if align == Align::Zeros { b'0' } else { b' ' };
            if align != Align::Left {
                self.bytes.resize(self.bytes.len() + padding, filler);
            }
            layout
                .charset
                .append(&mut self.bytes, &text, || column.spot(row), report)?;
            if align == Align::Left {
                self.bytes.resize(self.bytes.len() + padding, filler);
            }
        }
        self.bytes.extend_from_slice(layout.line_end.as_str().as_bytes());
        Ok(self.out.write_all(&self.bytes)?)
    }

    fn finish(mut self: Box<Self>, tally: &Tally, report: &mut Report) -> Result<W, FormatError> {
        lines::trailer(self.layout, self.head, tally, &mut self.out, report)?;
        Ok(self.out)
    }
}
