//! The rows of a file, whatever its format: under the names that the declaration gives to the columns of its heading. A file
//! that lacks one of them, or whose rows have another number of values than its heading, is not the file that was meant.

use domain::declaration::{FileFormat, FileSource, TextEncoding};

use super::{dbf, text, workbook};

/// A row: a value for each declared column, in the order of [`columns`].
pub(super) type Row = Vec<Option<String>>;

/// A line of a file: its number, and its values.
pub(super) type Line = (usize, Vec<Option<String>>);

/// The names of the table's columns.
pub(super) fn columns(file: &FileSource) -> Vec<String> {
    file.columns.values().cloned().collect()
}

/// Reads a file whole. Errors name the line.
pub(super) fn read(file: &FileSource) -> Result<Vec<Row>, String> {
    let bytes = std::fs::read(&file.path).map_err(|error| error.to_string())?;
    let encoding = file.encoding.unwrap_or(match file.format {
        FileFormat::Dbf => TextEncoding::Cp866,
        FileFormat::Csv | FileFormat::Xlsx | FileFormat::Xls => TextEncoding::Utf8,
    });
    match file.format {
        FileFormat::Csv => by_lines(
            file,
            text::read(&bytes, encoding, file.separator, file.header as usize)?,
        ),
        FileFormat::Dbf => by_lines(file, dbf::read(&bytes, encoding)?),
        FileFormat::Xlsx => workbook::xlsx(&bytes, file),
        FileFormat::Xls => workbook::xls(&bytes, file),
    }
}

fn by_lines(file: &FileSource, (heading, lines): (Vec<String>, Vec<Line>)) -> Result<Vec<Row>, String> {
    let places = places(file, &heading)?;
    lines
        .into_iter()
        .map(|(number, values)| {
            if values.len() != heading.len() {
                let (given, wanted) = (values.len(), heading.len());
                return Err(format!("line {number}: has {given} values instead of {wanted}"));
            }
            Ok(places.iter().map(|place| values[*place].clone()).collect())
        })
        .collect()
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
