//! A table that is a sheet of an Excel workbook. Rows stream; the workbook's strings are held in memory while they do, which
//! [`check_workbook`] has bounded before.

use std::borrow::Cow;
use std::io::BufReader;

use calamine::{DataRef, Reader, Xlsx, XlsxError};
use domain::declaration::CardFileProfile;
use domain::money::Currency;
use jiff::civil::Date;

use super::columns::{Cell, Columns};
use super::{BadRow, Sink};
use crate::import::container::{Seekable, check_workbook};

/// The most columns a sheet has.
const COLUMNS_MAX: u32 = 16_384;

/// Reads every row. An error is about the file as a whole.
pub(super) fn read(
    source: &mut dyn Seekable,
    profile: &CardFileProfile,
    currency: Currency,
    sink: &mut Sink<'_>,
) -> Result<(), String> {
    let mut columns = if profile.has_header() {
        None
    } else {
        Some(Columns::of_places(profile, currency)?)
    };
    let mut any = false;
    rows(source, profile, &mut |number, cells| {
        any = true;
        let Some(columns) = &columns else {
            let names = cells.iter().map(name_of).collect();
            columns = Some(Columns::of_header(profile, currency, names)?);
            return Ok(());
        };
        let row = columns.row(number, cells);
        sink(row.map_err(|why| BadRow { line: number, why })).map_err(super::stopped)
    })?;
    match columns {
        _ if !any => Err("the sheet is empty".into()),
        None => Err("the sheet has no header".into()),
        Some(_) => Ok(()),
    }
}

/// How many rows there are.
pub(super) fn count(source: &mut dyn Seekable, profile: &CardFileProfile) -> Result<u64, String> {
    check_workbook(source)?;
    let mut found: u64 = 0;
    rows(source, profile, &mut |_, _| {
        found += 1;
        Ok(())
    })?;
    Ok(found.saturating_sub(u64::from(profile.has_header())))
}

fn name_of(cell: &Cell<'_>) -> String {
    match cell {
        Cell::Text(name) => name.trim().to_owned(),
        Cell::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

type Each<'e> = dyn FnMut(u64, &[Cell<'_>]) -> Result<(), String> + 'e;

/// Every row that is not blank, with its number in the sheet.
fn rows(source: &mut dyn Seekable, profile: &CardFileProfile, each: &mut Each<'_>) -> Result<(), String> {
    let mut workbook = Xlsx::new(BufReader::new(source)).map_err(|error| refused(&error))?;
    let sheet = match &profile.sheet {
        Some(name) if workbook.sheet_names().contains(name) => name.clone(),
        Some(name) => return Err(format!("the workbook has no sheet `{name}` (card_file.sheet)")),
        None => workbook
            .sheet_names()
            .into_iter()
            .next()
            .ok_or("the workbook has no sheet")?,
    };
    let mut reader = workbook
        .worksheet_cells_reader(&sheet)
        .map_err(|error| refused(&error))?;
    let mut row: Option<u32> = None;
    let mut cells: Vec<Cell<'_>> = Vec::new();
    loop {
        let place = |row: Option<u32>| row.map_or(1, |row| u64::from(row) + 1);
        let next = reader
            .next_cell()
            .map_err(|error| format!("row {}: {}", place(row), refused(&error)))?;
        let position = next.as_ref().map(calamine::Cell::get_position);
        if row.is_some() && position.map(|(row, _)| row) != row {
            emit(row, profile, &cells, each)?;
            cells.clear();
        }
        let (Some(cell), Some((at_row, at_column))) = (next, position) else {
            return Ok(());
        };
        if row.is_some_and(|last| at_row < last) || at_column >= COLUMNS_MAX {
            return Err(format!(
                "row {}: the sheet is damaged: its cells are out of order",
                place(row)
            ));
        }
        row = Some(at_row);
        let at = at_column as usize;
        if cells.len() <= at {
            cells.resize_with(at + 1, || Cell::Text(Cow::Borrowed("")));
        }
        cells[at] = cell_of(cell.get_value());
    }
}

fn emit(row: Option<u32>, profile: &CardFileProfile, cells: &[Cell<'_>], each: &mut Each<'_>) -> Result<(), String> {
    let blank = |cell: &Cell<'_>| matches!(cell, Cell::Text(text) if text.trim().is_empty());
    match row {
        Some(row) if row >= profile.skip_lines && !cells.iter().all(blank) => each(u64::from(row) + 1, cells),
        _ => Ok(()),
    }
}

fn cell_of<'c>(value: &DataRef<'c>) -> Cell<'c> {
    match value {
        DataRef::Empty => Cell::Text(Cow::Borrowed("")),
        DataRef::SharedString(text) => Cell::Text(Cow::Borrowed(text)),
        DataRef::String(text) => Cell::Text(Cow::Owned(text.clone())),
        DataRef::Int(number) => Cell::Number(*number as f64),
        DataRef::Float(number) => Cell::Number(*number),
        DataRef::DateTime(moment) if moment.is_datetime() => {
            let (year, month, day, ..) = moment.to_ymd_hms_milli();
            day_of(year.into(), month, day)
        }
        DataRef::DateTimeIso(text) => match text.get(..10).and_then(|day| day.parse().ok()) {
            Some(day) => Cell::Day(day),
            None => Cell::Other,
        },
        _ => Cell::Other,
    }
}

fn day_of(year: i32, month: u8, day: u8) -> Cell<'static> {
    let number = |value: u8| i8::try_from(value).unwrap_or(0);
    let day = i16::try_from(year)
        .ok()
        .and_then(|year| Date::new(year, number(month), number(day)).ok());
    day.map_or(Cell::Other, Cell::Day)
}

fn refused(error: &XlsxError) -> String {
    // Its own words may repeat what stands in a cell.
    match error {
        XlsxError::Io(error) => format!(
            "the workbook is damaged or cut off: {}",
            crate::import::container::told(error)
        ),
        XlsxError::Zip(_) => "the workbook is damaged or cut off: it is no archive".to_owned(),
        XlsxError::Password => "the workbook has a password: save it without one".to_owned(),
        XlsxError::NotAWorksheet(_) => "the sheet is not a table: it is a chart or a macro sheet".to_owned(),
        _ => "the workbook is damaged, or not as Excel writes it".to_owned(),
    }
}
