//! JSON Lines: an object per payment, columns as its members. Amounts are strings of major units: a reader that takes
//! numbers for binary fractions gets none.

use std::io::Write;

use domain::declaration::LineEnd;
use serde_json::{Map, Value};

use super::RowWriter;
use crate::FormatError;
use crate::column::{Cell, Pen};
use crate::head::Head;
use crate::layout::Layout;
use crate::report::Report;
use crate::row::{Row, Tally};

pub(super) struct JsonLines<'l, W> {
    layout: &'l Layout,
    head: &'l Head,
    out: W,
    pens: Vec<Pen>,
    bytes: Vec<u8>,
}

impl<'l, W: Write> JsonLines<'l, W> {
    pub(super) fn begin(layout: &'l Layout, head: &'l Head, out: W) -> Self {
        Self {
            layout,
            head,
            out,
            pens: Pen::of(&layout.columns),
            bytes: Vec::new(),
        }
    }
}

impl<W: Write> RowWriter<W> for JsonLines<'_, W> {
    fn row(&mut self, row: &Row<'_>, line: i64, _: &mut Report) -> Result<(), FormatError> {
        let layout = self.layout;
        let members = layout.columns.iter().zip(&mut self.pens).map(|(column, pen)| {
            let value = match column.cell(layout, self.head, row, line) {
                Cell::Empty => Value::Null,
                Cell::Count(count) => Value::from(count),
                // What JSON escapes need not be made harmless otherwise.
                Cell::Hostile(text) => Value::from(text),
                cell => Value::from(layout.style.text(cell, row, pen)),
            };
            (column.name.clone(), value)
        });
        self.bytes.clear();
        serde_json::to_writer(&mut self.bytes, &Value::Object(members.collect::<Map<_, _>>()))
            .map_err(std::io::Error::from)?;
        let end = if layout.line_end == LineEnd::Crlf {
            "\n"
        } else {
            layout.line_end.as_str()
        };
        self.bytes.extend_from_slice(end.as_bytes());
        Ok(self.out.write_all(&self.bytes)?)
    }

    fn finish(self: Box<Self>, _: &Tally, _: &mut Report) -> Result<W, FormatError> {
        Ok(self.out)
    }
}
