//! The rows of a file, whatever its format: under the names that the declaration gives to the columns of its heading. A file
//! that lacks one of them, or whose rows have another number of values than its heading, is not the file that was meant.

use domain::declaration::{FileFormat, FileSource, TextEncoding};

use super::{Stamp, Wrong, dbf, open, text, workbook};

/// A row: a value for each declared column, in the order of [`columns`].
pub(super) type Row = Vec<Option<String>>;

/// What the rows that are kept of lines may come to, in bytes with their own weight: a line can be as short as its end.
pub(super) const KEPT_MAX: usize = 512 * 1024 * 1024;

/// The names of the table's columns.
pub(super) fn columns(file: &FileSource) -> Vec<String> {
    file.columns.values().cloned().collect()
}

/// Reads the file that looked like this, whole. Errors name the line.
pub(super) fn read(file: &FileSource, stamp: Stamp) -> Result<Vec<Row>, Wrong> {
    let bytes = open::read(&file.path, stamp)?;
    let encoding = file.encoding.unwrap_or(match file.format {
        FileFormat::Dbf => TextEncoding::Cp866,
        FileFormat::Csv | FileFormat::Xlsx | FileFormat::Xls => TextEncoding::Utf8,
    });
    let rows = match file.format {
        FileFormat::Csv => text::read(&bytes, file, encoding),
        FileFormat::Dbf => dbf::read(&bytes, file, encoding),
        FileFormat::Xlsx => workbook::xlsx(&bytes, file),
        FileFormat::Xls => workbook::xls(&bytes, file),
    };
    rows.map_err(Wrong::File)
}

/// The rows of a file of lines: of each only what was declared is read and kept.
pub(super) struct Rows {
    /// Where each declared column stands.
    pub(super) places: Vec<usize>,
    rows: Vec<Row>,
    pub(super) kept: usize,
}

impl Rows {
    pub(super) fn under(file: &FileSource, heading: &[String]) -> Result<Self, String> {
        Ok(Self {
            places: places(file, heading)?,
            rows: Vec::new(),
            kept: 0,
        })
    }

    /// Takes a line over, by the values at its places.
    pub(super) fn take(&mut self, value: impl Fn(usize) -> Result<Option<String>, String>) -> Result<(), String> {
        let row: Row = self
            .places
            .iter()
            .map(|place| value(*place))
            .collect::<Result<_, _>>()?;
        let text: usize = row.iter().flatten().map(String::len).sum();
        self.kept += text + size_of::<Row>() + row.len() * size_of::<Option<String>>();
        if self.kept > KEPT_MAX {
            return Err(format!("there is more in it than {KEPT_MAX} bytes"));
        }
        self.rows.push(row);
        Ok(())
    }

    pub(super) fn end(self) -> Vec<Row> {
        self.rows
    }
}

/// Where each declared column stands in the heading.
pub(super) fn places(file: &FileSource, heading: &[String]) -> Result<Vec<usize>, String> {
    let same = |word: &str, wanted: &str| word.trim().to_lowercase() == wanted.trim().to_lowercase();
    let place = |wanted: &String| {
        let found = heading.iter().position(|word| same(word, wanted));
        found.ok_or_else(|| format!("line {}: there is no column {wanted:?} in the heading", file.header))
    };
    file.columns.keys().map(place).collect()
}

/// A value as it is kept: without the white space around it, and null when nothing is left.
pub(super) fn value(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Text in the encoding that was declared, and in no other.
pub(super) fn decode(bytes: &[u8], encoding: TextEncoding) -> Result<String, String> {
    let by = match encoding {
        TextEncoding::Utf8 => encoding_rs::UTF_8,
        TextEncoding::Windows1251 => encoding_rs::WINDOWS_1251,
        TextEncoding::Cp866 => encoding_rs::IBM866,
    };
    let bytes = match encoding {
        TextEncoding::Utf8 => bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes),
        TextEncoding::Windows1251 | TextEncoding::Cp866 => bytes,
    };
    by.decode_without_bom_handling_and_without_replacement(bytes)
        .map(std::borrow::Cow::into_owned)
        .ok_or_else(|| "is not in the declared encoding".to_owned())
}
