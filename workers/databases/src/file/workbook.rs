//! Excel workbooks. Cells are taken one by one, and of a row only the declared columns: how large a sheet says that it is, and
//! how often it repeats a text, costs nothing but itself.

use std::collections::BTreeMap;
use std::io::Cursor;

use calamine::{Data, ExcelDateTime, Reader, Xls, Xlsx};
use domain::declaration::FileSource;

use super::rows::{Row, places, value};
use super::{biff, compound};

/// What a workbook may unpack to, in bytes: its texts are held in memory.
const UNPACKED_MAX: u64 = 256 * 1024 * 1024;
/// What the values that are kept of it may come to, in bytes: a sheet can name one long text in every cell.
const KEPT_MAX: usize = 256 * 1024 * 1024;
/// The largest number whose digits a cell keeps.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

pub(super) fn xlsx(bytes: &[u8], file: &FileSource) -> Result<Vec<Row>, String> {
    let wrong = |error: calamine::XlsxError| format!("is no workbook that can be read: {error}");
    sheet::check_unpacked(Cursor::new(bytes), UNPACKED_MAX).map_err(|error| error.to_string())?;
    let mut book = Xlsx::new(Cursor::new(bytes)).map_err(wrong)?;
    let name = sheet_name(&book, file)?;
    let mut cells = book.worksheet_cells_reader(&name).map_err(wrong)?;
    let mut reading = Reading::of(file);
    while let Some(cell) = cells.next_cell().map_err(wrong)? {
        reading.take(cell.get_position(), &cell.get_value().clone().into())?;
    }
    reading.end()
}

/// The format of before 2007, whose sheets have at most 65536 lines of 256 columns: its reader is given only what is read of it.
pub(super) fn xls(bytes: &[u8], file: &FileSource) -> Result<Vec<Row>, String> {
    let stream = compound::stream(bytes)?;
    let whole = biff::Workbook::of(&stream)?;
    let all = old_book(&whole.empty())?;
    let name = sheet_name(&all, file)?;
    let nth = all.sheet_names().iter().position(|known| *known == name);
    let (sheet, places) = whole.sheet(nth.unwrap_or_default())?;
    let cells = old_book(&sheet)?
        .worksheet_range(&name)
        .map_err(|error| old_wrong(&error))?;
    let mut reading = Reading::of(file);
    for place in places {
        match cells.get_value(place.is()) {
            None | Some(Data::Empty) => {}
            Some(cell) => reading.take(place.was(), cell)?,
        }
    }
    reading.end()
}

fn old_book(stream: &[u8]) -> Result<Xls<Cursor<Vec<u8>>>, String> {
    Xls::new(Cursor::new(compound::holding(stream)?)).map_err(|error| old_wrong(&error))
}

fn old_wrong(error: &calamine::XlsError) -> String {
    format!("is no workbook that can be read: {error}")
}

fn sheet_name<R: std::io::Read + std::io::Seek>(book: &impl Reader<R>, file: &FileSource) -> Result<String, String> {
    let names = book.sheet_names();
    match &file.sheet {
        None => names.into_iter().next().ok_or_else(|| "has no sheet".to_owned()),
        Some(wanted) if names.contains(wanted) => Ok(wanted.clone()),
        Some(wanted) => Err(format!("has no sheet {wanted:?}: there are {}", names.join(", "))),
    }
}

/// A sheet as its cells come, line by line.
struct Reading<'a> {
    file: &'a FileSource,
    /// The words of the heading by their columns.
    heading: Vec<(u32, String)>,
    /// Which declared column stands in a column, once the heading is whole.
    places: Option<BTreeMap<u32, usize>>,
    /// The line that is being read, counted from 1, and its values.
    line: u32,
    row: Row,
    rows: Vec<Row>,
    kept: usize,
}

impl<'a> Reading<'a> {
    fn of(file: &'a FileSource) -> Self {
        Self {
            file,
            heading: Vec::new(),
            places: None,
            line: 0,
            row: Row::new(),
            rows: Vec::new(),
            kept: 0,
        }
    }

    fn take(&mut self, (above, column): (u32, u32), cell: &Data) -> Result<(), String> {
        let line = above + 1;
        if line < self.line {
            return Err(format!("line {line}: is damaged: its cells are out of order"));
        }
        if line < self.file.header {
            return Ok(());
        }
        if line == self.file.header {
            let word = text(cell).ok().flatten().unwrap_or_default();
            self.heading.push((column, word));
            return Ok(());
        }
        if line > self.line {
            self.end_line();
            self.line = line;
        }
        self.end_heading()?;
        let Some(place) = self.places.as_ref().and_then(|places| places.get(&column)).copied() else {
            return Ok(());
        };
        let value = text(cell).map_err(|why| format!("line {line}: {why}"))?;
        self.kept += value.as_ref().map_or(0, String::len);
        if self.kept > KEPT_MAX {
            return Err(format!("line {line}: there is more text in it than {KEPT_MAX} bytes"));
        }
        self.row[place] = value;
        Ok(())
    }

    fn end_heading(&mut self) -> Result<(), String> {
        if self.places.is_some() {
            return Ok(());
        }
        if self.heading.is_empty() {
            return Err(format!("line {}: there is no heading", self.file.header));
        }
        let words: Vec<String> = self.heading.iter().map(|(_, word)| word.clone()).collect();
        let declared = places(self.file, &words)?.into_iter().enumerate();
        self.places = Some(declared.map(|(nth, at)| (self.heading[at].0, nth)).collect());
        self.row = vec![None; self.file.columns.len()];
        Ok(())
    }

    /// Lines without any value are left out: sheets have them at their end.
    fn end_line(&mut self) {
        if self.row.iter().any(Option::is_some) {
            let empty = vec![None; self.row.len()];
            self.rows.push(std::mem::replace(&mut self.row, empty));
        }
    }

    fn end(mut self) -> Result<Vec<Row>, String> {
        self.end_heading()?;
        self.end_line();
        Ok(self.rows)
    }
}

/// A number with its first 15 digits.
fn shown(number: f64) -> f64 {
    format!("{number:.14e}").parse().unwrap_or(number)
}

/// A date, a time, or both. Day zero is none: programs leave it where no date is known, and before a time that stands alone.
fn dated(moment: &ExcelDateTime) -> Result<Option<String>, String> {
    if moment.as_f64() < 0.0 {
        return Err("a cell holds a date before the first that there is".to_owned());
    }
    let (year, month, day, hour, minute, second, _) = moment.to_ymd_hms_milli();
    let date = (year >= 1900).then(|| format!("{year:04}-{month:02}-{day:02}"));
    let time = (hour, minute, second) != (0, 0, 0);
    let time = time.then(|| format!("{hour:02}:{minute:02}:{second:02}"));
    let said: Vec<String> = [date, time].into_iter().flatten().collect();
    Ok((!said.is_empty()).then(|| said.join(" ")))
}

fn text(cell: &Data) -> Result<Option<String>, String> {
    Ok(match cell {
        Data::Empty => None,
        Data::String(text) | Data::DateTimeIso(text) | Data::DurationIso(text) => value(text),
        Data::Int(integer) => Some(integer.to_string()),
        Data::Float(number) if number.fract() == 0.0 && number.abs() < EXACT_MAX => Some(format!("{number:.0}")),
        // As many digits as the program shows that saved it: the rest is what binary fractions make of a sum.
        Data::Float(number) => Some(shown(*number).to_string()),
        Data::Bool(flag) => Some(flag.to_string()),
        Data::DateTime(moment) => dated(moment)?,
        Data::Error(error) => return Err(format!("a cell holds the error {error:?}")),
    })
}
