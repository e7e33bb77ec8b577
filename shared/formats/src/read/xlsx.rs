//! A workbook: the first sheet, its columns by the names in its first row. How much it unpacks to is measured first.

use std::io::Cursor;

use calamine::{DataRef, Reader, Xlsx};
use domain::declaration::Fact;
use jiff::civil::DateTime;

use super::{Line, ReadError, Reading, Received};
use crate::column::Column;

/// What a workbook may unpack to, in bytes: strings of it are held in memory.
const UNPACKED_MAX: u64 = 256 * 1024 * 1024;
/// The most columns that are looked at.
const COLUMNS_MAX: usize = 1_000;
/// Digits after the point of a number that is not whole; what is beyond is the computer's, not the agent's.
const DIGITS: usize = 6;
/// Below this a whole number of a spreadsheet is exact; from here on different ones fall together.
const EXACT: f64 = 9_007_199_254_740_992.0;

pub(super) fn read(reading: &Reading<'_>, bytes: &[u8]) -> Result<Received, ReadError> {
    sheet::check_unpacked(Cursor::new(bytes), UNPACKED_MAX).map_err(|error| ReadError::Malformed(error.to_string()))?;
    let broken = |error: calamine::XlsxError| ReadError::Malformed(format!("is no workbook: {error}"));
    let mut book: Xlsx<_> = Xlsx::new(Cursor::new(bytes)).map_err(broken)?;
    let first = book.sheet_names().into_iter().next();
    let first = first.ok_or_else(|| ReadError::Malformed("the workbook has no sheet".to_owned()))?;
    let mut cells = book.worksheet_cells_reader(&first).map_err(broken)?;
    let mut sheet = Sheet {
        reading,
        places: None,
        lines: Vec::new(),
    };
    let mut row: Option<u32> = None;
    let mut values: Vec<Value> = Vec::new();
    loop {
        let next = cells.next_cell().map_err(broken)?;
        let place = next.as_ref().map(calamine::Cell::get_position);
        if let Some(at) = row
            && place.is_none_or(|(next, _)| next != at)
        {
            sheet.add(u64::from(at) + 1, &values);
            values.clear();
        }
        let (Some(cell), Some((at_row, at_column))) = (next, place) else {
            break;
        };
        row = Some(at_row);
        let at = at_column as usize;
        if at < COLUMNS_MAX {
            if values.len() <= at {
                values.resize_with(at + 1, || Value::Text(String::new()));
            }
            values[at] = value_of(cell.get_value());
        }
    }
    Ok(Received {
        lines: sheet.lines,
        ..Received::default()
    })
}

enum Value {
    Text(String),
    Moment(DateTime),
    /// A number that may have been another one.
    Inexact(f64),
    /// Something else, and what: in a column that is read, nobody knows what it stands for.
    Unread(String),
}

fn value_of(value: &DataRef<'_>) -> Value {
    match value {
        DataRef::SharedString(text) => Value::Text((*text).to_owned()),
        DataRef::String(text) => Value::Text(text.clone()),
        DataRef::Int(number) => Value::Text(number.to_string()),
        DataRef::Float(number) if number.abs() < EXACT => Value::Text(decimal(*number)),
        DataRef::Float(number) => Value::Inexact(*number),
        DataRef::DateTime(moment) if moment.is_datetime() => {
            let (year, month, day, hour, minute, second, _) = moment.to_ymd_hms_milli();
            let part = |number: u8| i8::try_from(number).unwrap_or_default();
            let year = i16::try_from(year).unwrap_or_default();
            DateTime::new(year, part(month), part(day), part(hour), part(minute), part(second), 0)
                .map_or_else(|error| Value::Unread(format!("is no moment: {error}")), Value::Moment)
        }
        DataRef::DateTime(_) => Value::Unread("is a length of time".to_owned()),
        DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => Value::Text(text.clone()),
        DataRef::Bool(flag) => Value::Text(flag.to_string()),
        DataRef::Error(error) => Value::Unread(format!("is the error {error}")),
        DataRef::Empty => Value::Text(String::new()),
    }
}

/// Spreadsheets keep account numbers and amounts as binary fractions; people mean the decimal they see.
fn decimal(number: f64) -> String {
    let digits = format!("{number:.DIGITS$}");
    digits.trim_end_matches('0').trim_end_matches('.').to_owned()
}

struct Sheet<'r, 'l> {
    reading: &'r Reading<'l>,
    /// Where each of the layout's columns is, once the names are known.
    places: Option<Vec<Option<usize>>>,
    lines: Vec<Line>,
}

impl Sheet<'_, '_> {
    fn add(&mut self, line: u64, values: &[Value]) {
        let columns = &self.reading.layout.columns;
        let blank = |value: &Value| matches!(value, Value::Text(text) if text.trim().is_empty());
        if values.iter().all(blank) {
            return;
        }
        let Some(places) = &self.places else {
            let is_name = |value: &Value, name: &str| matches!(value, Value::Text(text) if text.trim() == name);
            let place = |column: &Column| values.iter().position(|value| is_name(value, &column.name));
            self.places = Some(columns.iter().map(place).collect());
            return;
        };
        let cells = columns.iter().zip(places).map(|(column, place)| {
            let value = place.and_then(|at| values.get(at));
            value.map_or(Ok(String::new()), |value| self.text(column, value))
        });
        let cells: Result<Vec<String>, String> = cells.collect();
        let payment = cells.and_then(|cells| {
            let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
            self.reading.payment(&cells)
        });
        self.lines.push(Line { line, payment });
    }

    /// What stands in this column, a moment as the layout writes it; or why nobody knows.
    fn text(&self, column: &Column, value: &Value) -> Result<String, String> {
        let style = &self.reading.layout.style;
        let moment = match value {
            Value::Text(text) => return Ok(text.trim().to_owned()),
            Value::Inexact(number) => {
                return Err(format!(
                    "{}: {number} has more digits than a number of a workbook keeps; the cell must be text",
                    column.name
                ));
            }
            Value::Unread(why) => return Err(format!("{}: {why}", column.name)),
            Value::Moment(moment) => *moment,
        };
        let zoned = moment.to_zoned(style.zone.tz().clone());
        let zoned = zoned.map_err(|error| format!("{}: is no moment: {error}", column.name))?;
        let pattern = match column.fact {
            Some(Fact::PaidDate | Fact::AcceptedDate) => &style.date,
            Some(Fact::PaidTime | Fact::AcceptedTime) => &style.time,
            _ => &style.moment,
        };
        Ok(zoned.strftime(pattern.as_str()).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workbook_is_measured_by_the_library_that_reads_it() {
        // Another version would be another type.
        let _: fn(sheet::ArchiveError) -> calamine::XlsxError = calamine::XlsxError::Zip;
    }

    #[test]
    fn only_an_empty_cell_is_empty() {
        let is_empty = |cell| matches!(value_of(&cell), Value::Text(text) if text.is_empty());
        assert!(is_empty(DataRef::Empty));
        for cell in [
            DataRef::Error(calamine::CellErrorType::Div0),
            DataRef::Bool(false),
            DataRef::DurationIso("PT1H".to_owned()),
        ] {
            assert!(!is_empty(cell));
        }
        let error = value_of(&DataRef::Error(calamine::CellErrorType::Div0));
        assert!(matches!(error, Value::Unread(why) if why.contains("#DIV/0!")));
    }

    #[test]
    fn numbers_are_the_decimals_people_see() {
        for (number, text) in [
            (1_000_001.0, "1000001"),
            (0.1 + 0.2, "0.3"),
            (1250.4, "1250.4"),
            (0.05, "0.05"),
            (40_702_810_900_000.0, "40702810900000"),
            (9_007_199_254_740_991.0, "9007199254740991"),
            (150.000_000_000_000_03, "150"),
            (0.0, "0"),
            (100.0, "100"),
        ] {
            assert_eq!(decimal(number), text);
        }
    }
}
