//! An XLSX file: a heading that stays in sight, rows, totals.

use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rust_xlsxwriter::{DocProperties, Format, FormatBorder, Workbook, Worksheet, XlsxError};

use crate::{Cell, Column};

/// Rows of a sheet, its heading included; what is beyond goes to another sheet of the same file.
const ROWS_MAX: u32 = 1_048_576;
/// The longest text a cell may hold.
const TEXT_MAX: usize = 32_767;
/// Digits after the point that a currency may have.
const DIGITS: usize = 5;

/// Why a spreadsheet cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("the spreadsheet cannot be written: {0}")]
pub struct SheetError(#[from] XlsxError);

/// A spreadsheet being written.
pub struct Xlsx {
    workbook: Workbook,
    title: String,
    columns: Vec<(String, u16)>,
    /// Whether rows stay in memory; else they go to a temporary file as they come.
    in_memory: bool,
    rows_max: u32,
    sheets: usize,
    next_row: u32,
    plain: Formats,
    bold: Formats,
}

impl Xlsx {
    /// Begins a file whose sheets are called `title`, at most 25 characters without `[]:*?/\`. Rows go to a temporary
    /// file as they come.
    pub fn new(title: &str, columns: &[Column<'_>]) -> Result<Self, SheetError> {
        Self::begin(title, columns, false, ROWS_MAX)
    }

    /// The same, all of it in memory and on no disk. `created` is the date the file says it is of, so that the same rows
    /// make the same bytes.
    pub fn in_memory(title: &str, columns: &[Column<'_>], created: Timestamp) -> Result<Self, SheetError> {
        let mut new = Self::begin(title, columns, true, ROWS_MAX)?;
        let created = created.to_zoned(TimeZone::UTC).datetime();
        new.workbook
            .set_properties(&DocProperties::new().set_creation_datetime(&created));
        Ok(new)
    }

    fn begin(title: &str, columns: &[Column<'_>], in_memory: bool, rows_max: u32) -> Result<Self, SheetError> {
        let mut new = Self {
            workbook: Workbook::new(),
            title: title.to_owned(),
            columns: columns
                .iter()
                .map(|column| (column.name.to_owned(), column.width))
                .collect(),
            in_memory,
            rows_max,
            sheets: 0,
            next_row: 0,
            plain: Formats::new(Format::new()),
            bold: Formats::new(Format::new().set_bold().set_border_top(FormatBorder::Thin)),
        };
        new.add_sheet()?;
        Ok(new)
    }

    /// Adds a row.
    pub fn row(&mut self, cells: &[Cell]) -> Result<(), SheetError> {
        self.write(cells, false)
    }

    /// Adds a row of totals: bold, with a line above.
    pub fn total(&mut self, cells: &[Cell]) -> Result<(), SheetError> {
        self.write(cells, true)
    }

    /// Writes the file, over one that is there.
    pub fn save(mut self, path: &Path) -> Result<(), SheetError> {
        Ok(self.workbook.save(path)?)
    }

    /// The file's bytes.
    pub fn into_bytes(mut self) -> Result<Vec<u8>, SheetError> {
        Ok(self.workbook.save_to_buffer()?)
    }

    fn write(&mut self, cells: &[Cell], is_total: bool) -> Result<(), SheetError> {
        if self.next_row == self.rows_max {
            self.add_sheet()?;
        }
        let formats = if is_total { &self.bold } else { &self.plain };
        let sheet = self.workbook.worksheet_from_index(self.sheets - 1)?;
        for (column, cell) in (0..).zip(cells) {
            put(sheet, self.next_row, column, cell, formats)?;
        }
        self.next_row += 1;
        Ok(())
    }

    fn add_sheet(&mut self) -> Result<(), SheetError> {
        self.sheets += 1;
        let name = match self.sheets {
            1 => self.title.clone(),
            at => format!("{} {at}", self.title),
        };
        let heading = Format::new().set_bold().set_border_bottom(FormatBorder::Thin);
        let sheet = if self.in_memory {
            self.workbook.add_worksheet()
        } else {
            self.workbook.add_worksheet_with_constant_memory()?
        };
        sheet.set_name(name)?.set_landscape().set_repeat_rows(0, 0)?;
        sheet.set_freeze_panes(1, 0)?;
        for (at, (name, width)) in (0..).zip(&self.columns) {
            sheet.set_column_width(at, *width)?;
            sheet.write_string_with_format(0, at, name, &heading)?;
        }
        self.next_row = 1;
        Ok(())
    }
}

/// A format per type of cell.
struct Formats {
    text: Format,
    count: Format,
    money: [Format; DIGITS],
    moment: Format,
    day: Format,
}

impl Formats {
    fn new(base: Format) -> Self {
        let numbers = |format: &str| base.clone().set_num_format(format);
        Self {
            text: base.clone(),
            count: numbers("#,##0"),
            money: ["#,##0", "#,##0.0", "#,##0.00", "#,##0.000", "#,##0.0000"].map(numbers),
            moment: numbers("yyyy-mm-dd hh:mm:ss"),
            day: numbers("yyyy-mm-dd"),
        }
    }
}

fn put(sheet: &mut Worksheet, row: u32, column: u16, cell: &Cell, formats: &Formats) -> Result<(), SheetError> {
    match cell {
        Cell::Empty => sheet.write_blank(row, column, &formats.text)?,
        Cell::Text(text) => sheet.write_string_with_format(row, column, clean(text), &formats.text)?,
        Cell::Count(count) => sheet.write_number_with_format(row, column, *count as f64, &formats.count)?,
        Cell::Money { minor, digits } => {
            let digits = usize::from(*digits).min(DIGITS - 1);
            // Exact to the last digit up to 2^53 minor units; a spreadsheet knows no other numbers.
            let major = *minor as f64 / 10_f64.powi(i32::try_from(digits).unwrap_or(0));
            sheet.write_number_with_format(row, column, major, &formats.money[digits])?
        }
        Cell::Moment(moment) => {
            // A cell has no zone: it shows the clock on the wall there, to the second.
            let wall = moment.datetime();
            let seconds = wall.with().subsec_nanosecond(0).build().unwrap_or(wall);
            sheet.write_datetime_with_format(row, column, seconds, &formats.moment)?
        }
        Cell::Day(day) => sheet.write_datetime_with_format(row, column, *day, &formats.day)?,
        Cell::Flag(flag) => sheet.write_boolean_with_format(row, column, *flag, &formats.text)?,
    };
    Ok(())
}

/// Control characters have no place in a cell; a text that is too long for one is cut.
fn clean(text: &str) -> String {
    text.chars()
        .take(TEXT_MAX)
        .map(|letter| if letter.is_control() { '\u{fffd}' } else { letter })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_beyond_a_sheet_go_to_the_next() {
        let columns = [Column::new("serial", 10)];
        let mut sheet = Xlsx::begin("Sales", &columns, false, 3).unwrap();
        for at in 0..5 {
            sheet.row(&[Cell::Count(at)]).unwrap();
        }
        sheet.total(&[Cell::Count(10)]).unwrap();
        assert_eq!((sheet.sheets, sheet.next_row), (3, 3));
        let names: Vec<String> = sheet.workbook.worksheets().iter().map(Worksheet::name).collect();
        assert_eq!(names, ["Sales", "Sales 2", "Sales 3"]);
    }

    #[test]
    fn text_of_a_cell_is_text() {
        assert_eq!(clean("a\u{0}b\n=1"), "a\u{fffd}b\u{fffd}=1");
        assert_eq!(clean(&"я".repeat(40_000)).chars().count(), TEXT_MAX);
    }
}
