//! The records of a workbook of before 2007. Its reader makes room for what they only say, repeats a text for each cell that names
//! it, and lays out the whole rectangle between two cells: so it gets a workbook of one sheet and of nothing that is not read,
//! in which each cell stands beside the one before, and each text once. Where a cell was is kept here.

use std::collections::BTreeMap;

const FORMULA: u16 = 0x0006;
const END: u16 = 0x000a;
const DATE_MODE: u16 = 0x0022;
const FILE_PASS: u16 = 0x002f;
const CONTINUE: u16 = 0x003c;
const CODE_PAGE: u16 = 0x0042;
const BOUND_SHEET: u16 = 0x0085;
const MUL_RK: u16 = 0x00bd;
const RICH_TEXT: u16 = 0x00d6;
const EXTENDED_FORMAT: u16 = 0x00e0;
const TEXTS: u16 = 0x00fc;
const NAMED_TEXT: u16 = 0x00fd;
const NUMBER: u16 = 0x0203;
const LABEL: u16 = 0x0204;
const BOOL_OR_ERROR: u16 = 0x0205;
const TEXT_OF_FORMULA: u16 = 0x0207;
const RK: u16 = 0x027e;
const FORMAT: u16 = 0x041e;
const BEGIN: u16 = 0x0809;

/// A formula that its reader takes the shortest time over: the number nought.
const NO_FORMULA: [u8; 5] = [3, 0, 0x1e, 0, 0];

const COLUMNS_MAX: u32 = 256;
/// How many cells of a sheet are read; each takes its reader some hundred bytes.
const CELLS_MAX: usize = 4_000_000;
const SHEETS_MAX: usize = 4_096;
/// Programs know some four thousand formats in a workbook.
const FORMATS_MAX: usize = 16_384;
/// In how many records the texts may be. What takes one takes time for all that follow.
const PIECES_MAX: usize = 32_768;

/// What is read of a workbook.
pub(super) struct Workbook<'a> {
    stream: &'a [u8],
    /// Formats, and what says how all the rest is to be taken.
    common: Vec<u8>,
    texts: Vec<u8>,
    /// Where each sheet begins, and what else is said of it.
    sheets: Vec<(u32, &'a [u8])>,
}

/// Where a cell was, counted from 0, and which of those it is that are handed on.
pub(super) struct Place {
    line: u16,
    column: u16,
    nth: u32,
}

impl Place {
    pub(super) fn was(&self) -> (u32, u32) {
        (self.line.into(), self.column.into())
    }

    pub(super) fn is(&self) -> (u32, u32) {
        (self.nth / COLUMNS_MAX, self.nth % COLUMNS_MAX)
    }
}

impl<'a> Workbook<'a> {
    pub(super) fn of(stream: &'a [u8]) -> Result<Self, String> {
        let mut book = Self {
            stream,
            common: Vec::new(),
            texts: Vec::new(),
            sheets: Vec::new(),
        };
        let (mut formats, mut pieces, mut before) = (0, 0, 0);
        for record in records(stream) {
            let (kind, data) = record?;
            match kind {
                CONTINUE if before == TEXTS => pieces += 1,
                _ => before = kind,
            }
            match kind {
                TEXTS | CONTINUE if before == TEXTS => put(&mut book.texts, kind, &[data]),
                BOUND_SHEET => {
                    let (begin, rest) = data.split_first_chunk().ok_or_else(cut_off)?;
                    book.sheets.push((u32::from_le_bytes(*begin), rest));
                }
                BEGIN | CODE_PAGE | DATE_MODE | FILE_PASS | FORMAT | EXTENDED_FORMAT => {
                    formats += 1;
                    put(&mut book.common, kind, &[data]);
                }
                _ => {}
            }
            for (what, found, most) in [
                ("sheets", book.sheets.len(), SHEETS_MAX),
                ("formats", formats, FORMATS_MAX),
                ("pieces of its texts", pieces, PIECES_MAX),
            ] {
                at_most(what, found, most)?;
            }
        }
        Ok(book)
    }

    /// A workbook of all sheets, and nothing in them.
    pub(super) fn empty(&self) -> Vec<u8> {
        self.with(&self.sheets, &[], &[])
    }

    /// A workbook of one sheet, and where its cells were, line by line.
    pub(super) fn sheet(&self, nth: usize) -> Result<(Vec<u8>, Vec<Place>), String> {
        let sheet = self.sheets.get(nth..=nth).unwrap_or_default();
        let begin = sheet.first().map_or(0, |(begin, _)| *begin as usize);
        let mut cells = Cells::default();
        for record in records(self.stream.get(begin..).ok_or_else(cut_off)?) {
            let (kind, data) = record?;
            cells.take(kind, data)?;
        }
        // Of two in one place the later one holds.
        cells.places.sort_by_key(Place::was);
        Ok((self.with(sheet, &self.texts, &cells.records), cells.places))
    }

    fn with(&self, sheets: &[(u32, &[u8])], texts: &[u8], cells: &[u8]) -> Vec<u8> {
        let mut stream = self.common.clone();
        stream.extend_from_slice(texts);
        let length: usize = sheets.iter().map(|(_, rest)| 4 + 4 + rest.len()).sum();
        let begin = stream.len() + length + 4;
        for (_, rest) in sheets {
            put(&mut stream, BOUND_SHEET, &[&(begin as u32).to_le_bytes(), rest]);
        }
        put(&mut stream, END, &[]);
        stream.extend_from_slice(cells);
        put(&mut stream, END, &[]);
        stream
    }
}

/// The cells of a sheet, as they are handed on.
#[derive(Default)]
struct Cells {
    records: Vec<u8>,
    places: Vec<Place>,
    next: u32,
    /// The cells that have a text by its number.
    named: BTreeMap<u32, u32>,
    is_text_to_follow: bool,
}

impl Cells {
    fn take(&mut self, kind: u16, data: &[u8]) -> Result<(), String> {
        match kind {
            NUMBER | RK | BOOL_OR_ERROR => self.cell(kind, data, &[after(data, 4)?]),
            LABEL | RICH_TEXT => {
                let (format, text) = after(data, 4)?.split_at_checked(2).ok_or_else(cut_off)?;
                let (length, text) = text_of(text)?;
                self.cell(kind, data, &[format, &length, text])
            }
            FORMULA => {
                let (value, _) = after(data, 4)?.split_at_checked(16).ok_or_else(cut_off)?;
                self.is_text_to_follow = true;
                self.cell(kind, data, &[value, &NO_FORMULA])
            }
            TEXT_OF_FORMULA if std::mem::take(&mut self.is_text_to_follow) => {
                let (length, text) = text_of(data)?;
                put(&mut self.records, kind, &[&length, text]);
                Ok(())
            }
            NAMED_TEXT => {
                let number = after(data, 6)?.first_chunk().ok_or_else(cut_off)?;
                match self.named.get(&u32::from_le_bytes(*number)) {
                    Some(nth) => self.place(Place {
                        line: two(data, 0)?,
                        column: two(data, 2)?,
                        nth: *nth,
                    }),
                    None => {
                        self.named.insert(u32::from_le_bytes(*number), self.next);
                        self.cell(kind, data, &[after(data, 4)?])
                    }
                }
            }
            MUL_RK => self.cells(data),
            _ => Ok(()),
        }
    }

    /// Numbers that stand one beside the other.
    fn cells(&mut self, data: &[u8]) -> Result<(), String> {
        let (numbers, _last) = after(data, 4)?.split_last_chunk::<2>().ok_or_else(cut_off)?;
        let (numbers, []) = numbers.as_chunks::<6>() else {
            return Err(cut_off());
        };
        for (column, number) in (two(data, 2)?..=u16::MAX).zip(numbers) {
            self.put(RK, two(data, 0)?, column, &[number])?;
        }
        Ok(())
    }

    fn cell(&mut self, kind: u16, data: &[u8], parts: &[&[u8]]) -> Result<(), String> {
        self.put(kind, two(data, 0)?, two(data, 2)?, parts)
    }

    fn put(&mut self, kind: u16, line: u16, column: u16, parts: &[&[u8]]) -> Result<(), String> {
        let place = Place {
            line,
            column,
            nth: self.next,
        };
        let (line, column) = place.is();
        self.place(place)?;
        let is = [line as u16, column as u16].map(u16::to_le_bytes).concat();
        put(&mut self.records, kind, &[&[is.as_slice()], parts].concat());
        self.next += 1;
        Ok(())
    }

    fn place(&mut self, place: Place) -> Result<(), String> {
        let (line, column) = (u32::from(place.line) + 1, u32::from(place.column) + 1);
        if column > COLUMNS_MAX {
            return Err(format!(
                "line {line}: is damaged: it has a cell in column {column} of {COLUMNS_MAX}"
            ));
        }
        self.places.push(place);
        at_most("cells in the sheet", self.places.len(), CELLS_MAX)
    }
}

/// The records up to the one that ends their part.
fn records(stream: &[u8]) -> impl Iterator<Item = Result<(u16, &[u8]), String>> {
    let mut rest = Some(stream);
    std::iter::from_fn(move || {
        let Some((kind, data, after)) = record(rest.take()?) else {
            return Some(Err(cut_off()));
        };
        rest = Some(after);
        (kind != END).then_some(Ok((kind, data)))
    })
}

fn record(stream: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (kind, rest) = stream.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (data, after) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
    Some((u16::from_le_bytes(*kind), data, after))
}

fn put(records: &mut Vec<u8>, kind: u16, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    records.extend(kind.to_le_bytes());
    records.extend((length as u16).to_le_bytes());
    parts.iter().for_each(|part| records.extend_from_slice(part));
}

/// A text after how long it is, which is no more than there is of it.
fn text_of(data: &[u8]) -> Result<([u8; 2], &[u8]), String> {
    let text = after(data, 2)?;
    let length = usize::from(two(data, 0)?).min(text.len());
    Ok(((length as u16).to_le_bytes(), text))
}

fn two(data: &[u8], at: usize) -> Result<u16, String> {
    let number = after(data, at)?.first_chunk().ok_or_else(cut_off)?;
    Ok(u16::from_le_bytes(*number))
}

fn after(data: &[u8], begin: usize) -> Result<&[u8], String> {
    data.get(begin..).ok_or_else(cut_off)
}

fn cut_off() -> String {
    "is damaged: a record of the workbook is cut off".to_owned()
}

fn at_most(what: &str, found: usize, most: usize) -> Result<(), String> {
    if found > most {
        return Err(format!(
            "has more than {most} {what}: save what is needed of it as XLSX"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_of_too_many_cells_is_refused() {
        let (line, column, nth) = (0, 0, 0);
        let mut cells = Cells::default();
        cells.places.resize_with(CELLS_MAX - 1, || Place { line, column, nth });
        assert_eq!(cells.take(RK, &[0; 10]), Ok(()));
        assert_eq!(
            cells.take(RK, &[0; 10]).unwrap_err(),
            "has more than 4000000 cells in the sheet: save what is needed of it as XLSX"
        );
    }
}
