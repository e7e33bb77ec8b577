//! Excel workbooks.

use std::io::Cursor;

use calamine::{Data, Range, Reader, Xls, Xlsx};

use super::rows::{Line, value};

/// The largest number whose digits a cell keeps.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

pub(super) fn xlsx(bytes: &[u8], sheet: Option<&str>, header: usize) -> Result<(Vec<String>, Vec<Line>), String> {
    let wrong = |error: calamine::XlsxError| format!("is no workbook that can be read: {error}");
    let mut book = Xlsx::new(Cursor::new(bytes)).map_err(wrong)?;
    let name = sheet_name(&book, sheet)?;
    read(&book.worksheet_range(&name).map_err(wrong)?, header)
}

pub(super) fn xls(bytes: &[u8], sheet: Option<&str>, header: usize) -> Result<(Vec<String>, Vec<Line>), String> {
    let wrong = |error: calamine::XlsError| format!("is no workbook that can be read: {error}");
    let mut book = Xls::new(Cursor::new(bytes)).map_err(wrong)?;
    let name = sheet_name(&book, sheet)?;
    read(&book.worksheet_range(&name).map_err(wrong)?, header)
}

fn sheet_name<R: std::io::Read + std::io::Seek>(book: &impl Reader<R>, wanted: Option<&str>) -> Result<String, String> {
    let names = book.sheet_names();
    match wanted {
        None => names.into_iter().next().ok_or_else(|| "has no sheet".to_owned()),
        Some(wanted) if names.iter().any(|name| name == wanted) => Ok(wanted.to_owned()),
        Some(wanted) => Err(format!("has no sheet {wanted:?}: there are {}", names.join(", "))),
    }
}

/// Lines without any value are left out: sheets have them at their end.
fn read(cells: &Range<Data>, header: usize) -> Result<(Vec<String>, Vec<Line>), String> {
    // The range begins at the first cell that is used.
    let first = cells.start().map_or(0, |(line, _)| line as usize);
    let heading = (header - 1).checked_sub(first).and_then(|at| cells.rows().nth(at));
    let heading = heading.ok_or_else(|| format!("line {header}: there is no heading"))?;
    let mut lines = Vec::new();
    for (at, row) in cells.rows().enumerate() {
        let number = first + at + 1;
        if number <= header {
            continue;
        }
        let values: Vec<_> = row
            .iter()
            .map(cell)
            .collect::<Result<_, _>>()
            .map_err(|why| format!("line {number}: {why}"))?;
        if values.iter().any(Option::is_some) {
            lines.push((number, values));
        }
    }
    let heading = heading.iter().map(|word| cell(word).ok().flatten().unwrap_or_default());
    Ok((heading.collect(), lines))
}

fn cell(cell: &Data) -> Result<Option<String>, String> {
    Ok(match cell {
        Data::Empty => None,
        Data::String(text) | Data::DateTimeIso(text) | Data::DurationIso(text) => value(text),
        Data::Int(integer) => Some(integer.to_string()),
        Data::Float(number) if number.fract() == 0.0 && number.abs() < EXACT_MAX => Some(format!("{number:.0}")),
        Data::Float(number) => Some(number.to_string()),
        Data::Bool(flag) => Some(flag.to_string()),
        Data::DateTime(moment) => {
            let (year, month, day, hour, minute, second, _) = moment.to_ymd_hms_milli();
            Some(match (hour, minute, second) {
                (0, 0, 0) => format!("{year:04}-{month:02}-{day:02}"),
                _ => format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"),
            })
        }
        Data::Error(error) => return Err(format!("a cell holds the error {error:?}")),
    })
}
