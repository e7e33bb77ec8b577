//! A workbook with typed cells. It is made in memory, so that nothing of it is ever on a disk in the clear; hence the
//! limits: cells, and bytes of text.

use std::io::Write;

use sheet::Xlsx;

use super::RowWriter;
use crate::column::{Cell, Column};
use crate::head::Head;
use crate::layout::Layout;
use crate::report::Report;
use crate::row::{Row, Tally};
use crate::{FormatError, clean};

/// Cells of one workbook: about 100 bytes each while it is made.
const CELLS_MAX: u64 = 200_000;
/// Bytes of text of one workbook.
const TEXT_MAX: usize = 16 * 1024 * 1024;
/// How wide a column is shown unless declared, in characters.
const WIDTH: u16 = 18;
/// The widest that a spreadsheet shows.
const WIDEST: u16 = 255;

/// How many payments fit with so many columns.
pub(crate) fn rows_max(columns: usize) -> u64 {
    CELLS_MAX / u64::try_from(columns).unwrap_or(u64::MAX).max(1)
}

pub(super) struct Book<'l, W> {
    layout: &'l Layout,
    head: &'l Head,
    out: W,
    book: Xlsx,
    text_bytes: usize,
}

impl<'l, W: Write> Book<'l, W> {
    pub(super) fn begin(layout: &'l Layout, head: &'l Head, out: W) -> Result<Self, FormatError> {
        let width = |column: &Column| column.width.and_then(|width| u16::try_from(width).ok());
        let columns: Vec<sheet::Column<'_>> = layout
            .columns
            .iter()
            .map(|column| sheet::Column::new(&column.name, width(column).unwrap_or(WIDTH).min(WIDEST)))
            .collect();
        Ok(Self {
            layout,
            head,
            out,
            book: Xlsx::in_memory("Payments", &columns, head.cutoff)?,
            text_bytes: 0,
        })
    }
}

impl<W: Write> RowWriter<W> for Book<'_, W> {
    fn row(&mut self, row: &Row<'_>, line: i64, _: &mut Report) -> Result<(), FormatError> {
        let layout = self.layout;
        let digits = u8::try_from(row.currency.digits()).unwrap_or(2);
        let zoned = |at: jiff::Timestamp| at.to_zoned(layout.style.zone.tz().clone());
        let mut bytes = 0;
        let mut text = |text: String| {
            bytes += text.len();
            sheet::Cell::Text(text)
        };
        let cells: Vec<sheet::Cell> = layout
            .columns
            .iter()
            .map(|column| match column.cell(layout, self.head, row, line) {
                Cell::Empty => sheet::Cell::Empty,
                Cell::Hostile(raw) => text(clean::text(raw, layout.style.formulas).into_owned()),
                Cell::Own(own) => text(own.to_owned()),
                Cell::Number(number) => text(number.to_string()),
                Cell::Id(id) => text(id.to_string()),
                Cell::Count(count) => sheet::Cell::Count(count),
                Cell::Money(minor) => sheet::Cell::Money { minor, digits },
                Cell::Day(at) => sheet::Cell::Day(zoned(at).date()),
                Cell::Moment(at) => sheet::Cell::Moment(zoned(at)),
                Cell::Time(at) => sheet::Cell::Text(layout.style.at(at, &layout.style.time)),
            })
            .collect();
        self.text_bytes += bytes;
        if self.text_bytes > TEXT_MAX {
            return Err(FormatError::TooMuchText(TEXT_MAX));
        }
        Ok(self.book.row(&cells)?)
    }

    fn finish(mut self: Box<Self>, _: &Tally, _: &mut Report) -> Result<W, FormatError> {
        let bytes = self.book.into_bytes()?;
        self.out.write_all(&bytes)?;
        Ok(self.out)
    }
}
