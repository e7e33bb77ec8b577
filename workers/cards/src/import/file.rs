//! Reading a card file: CSV with a header, `,` `;` or tab between columns, UTF-8 with or without a byte order mark.
//!
//! `serial` is required, `expires_on` (YYYY-MM-DD) optional, every other column is a secret field of that name. Reasons name
//! columns and never repeat values.

use std::io::{BufRead, BufReader, Read};

use contract::answer::SecretFields;
use csv::{ByteRecord, ReaderBuilder, Terminator};
use domain::limits::{FIELD_VALUE_MAX, FIELDS_MAX, SERIAL_MAX};
use domain::text::is_field_key;
use jiff::civil::Date;
use secrecy::SecretString;

/// One card of a file.
pub(super) struct Row {
    /// Where it begins.
    pub(super) line: u64,
    pub(super) serial: String,
    pub(super) expires_on: Option<Date>,
    pub(super) details: SecretFields,
}

/// A row that cannot be read.
pub(super) struct BadRow {
    pub(super) line: u64,
    pub(super) why: String,
}

enum Column {
    Serial,
    ExpiresOn,
    Secret(String),
}

/// A card file being read.
pub(super) struct CardFile<R> {
    csv: csv::Reader<BufReader<R>>,
    columns: Vec<Column>,
    record: ByteRecord,
}

impl<R: Read> CardFile<R> {
    /// Reads the header. An error is about the file as a whole.
    pub(super) fn open(reader: R) -> Result<Self, String> {
        let mut reader = BufReader::with_capacity(64 * 1024, reader);
        let start = reader.fill_buf().map_err(|error| unreadable(&error))?;
        if start.is_empty() {
            return Err("the file is empty".into());
        }
        let bom = start.starts_with("\u{feff}".as_bytes());
        let header_end = start.iter().position(|byte| *byte == b'\n').unwrap_or(start.len());
        let delimiter = delimiter_of(&start[..header_end]);
        if bom {
            reader.consume("\u{feff}".len());
        }
        // Ending rows at line feeds alone keeps the count of lines right; a carriage return before one is trimmed off.
        let mut csv = ReaderBuilder::new()
            .delimiter(delimiter)
            .terminator(Terminator::Any(b'\n'))
            .flexible(true)
            .has_headers(false)
            .from_reader(reader);
        let mut record = ByteRecord::new();
        csv.read_byte_record(&mut record).map_err(|error| malformed(&error))?;
        let columns = columns_of(&record)?;
        Ok(Self { csv, columns, record })
    }

    /// The next row. `Err` of the outer kind: the file cannot be read on at all.
    pub(super) fn next(&mut self) -> Result<Option<Result<Row, BadRow>>, String> {
        loop {
            if !self
                .csv
                .read_byte_record(&mut self.record)
                .map_err(|error| malformed(&error))?
            {
                return Ok(None);
            }
            let blank = self.record.len() == 1 && self.record[0].trim_ascii().is_empty();
            if !blank {
                break;
            }
        }
        let line = self.record.position().map_or(0, csv::Position::line);
        Ok(Some(self.row(line).map_err(|why| BadRow { line, why })))
    }

    fn row(&self, line: u64) -> Result<Row, String> {
        if self.record.len() != self.columns.len() {
            return Err(format!(
                "has {} columns where the header has {}",
                self.record.len(),
                self.columns.len()
            ));
        }
        let (mut serial, mut expires_on, mut details) = (String::new(), None, Vec::with_capacity(self.columns.len()));
        for (column, bytes) in self.columns.iter().zip(&self.record) {
            let name = column.name();
            let value = std::str::from_utf8(bytes)
                .map_err(|_| format!("{name}: is not UTF-8"))?
                .trim();
            if value.chars().any(char::is_control) {
                return Err(format!("{name}: holds a control character"));
            }
            match column {
                Column::Serial => serial = serial_of(value)?,
                Column::ExpiresOn => expires_on = date_of(value)?,
                Column::Secret(_) if value.is_empty() => {}
                Column::Secret(name) if value.chars().count() <= FIELD_VALUE_MAX => {
                    details.push((name.clone(), SecretString::from(value)));
                }
                Column::Secret(name) => return Err(format!("{name}: is longer than {FIELD_VALUE_MAX} characters")),
            }
        }
        if details.is_empty() {
            return Err("has no secret field with a value".into());
        }
        Ok(Row {
            line,
            serial,
            expires_on,
            details: SecretFields::new(details),
        })
    }
}

impl Column {
    fn name(&self) -> &str {
        match self {
            Self::Serial => "serial",
            Self::ExpiresOn => "expires_on",
            Self::Secret(name) => name,
        }
    }
}

/// The separator that the header uses most.
fn delimiter_of(header: &[u8]) -> u8 {
    let count = |wanted: u8| header.iter().filter(|byte| **byte == wanted).count();
    // Of equally many the first one listed last wins, so a header of one column is comma-separated.
    [b'\t', b';', b',']
        .into_iter()
        .max_by_key(|delimiter| count(*delimiter))
        .unwrap_or(b',')
}

fn columns_of(header: &ByteRecord) -> Result<Vec<Column>, String> {
    let mut columns: Vec<Column> = Vec::with_capacity(header.len());
    for (at, bytes) in header.iter().enumerate() {
        let name = std::str::from_utf8(bytes).unwrap_or_default().trim();
        let column = match name {
            "serial" => Column::Serial,
            "expires_on" => Column::ExpiresOn,
            key if is_field_key(key) => Column::Secret(key.to_owned()),
            // Not repeated: a file without a header has a card's details here.
            _ => {
                return Err(format!(
                    "column {} of the header is not a name such as `pin` (a-z, 0-9, _)",
                    at + 1
                ));
            }
        };
        if columns.iter().any(|known| known.name() == column.name()) {
            return Err(format!("column {} of the header names a column twice", at + 1));
        }
        columns.push(column);
    }
    let secrets = columns
        .iter()
        .filter(|column| matches!(column, Column::Secret(_)))
        .count();
    if !columns.iter().any(|column| matches!(column, Column::Serial)) {
        return Err("the header has no column `serial`".into());
    }
    if secrets == 0 {
        return Err("the header has no column besides `serial` and `expires_on`: there is nothing to sell".into());
    }
    if secrets > FIELDS_MAX {
        return Err(format!("the header has more than {FIELDS_MAX} secret fields"));
    }
    Ok(columns)
}

fn serial_of(value: &str) -> Result<String, String> {
    if value.is_empty() {
        return Err("serial: is empty".into());
    }
    if value.chars().count() > SERIAL_MAX {
        return Err(format!("serial: is longer than {SERIAL_MAX} characters"));
    }
    Ok(value.to_owned())
}

fn date_of(value: &str) -> Result<Option<Date>, String> {
    if value.is_empty() {
        return Ok(None);
    }
    let shaped = value.len() == 10
        && value.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    let date = shaped.then(|| value.parse().ok()).flatten();
    date.map(Some)
        .ok_or_else(|| "expires_on: is not a date written YYYY-MM-DD".into())
}

fn unreadable(error: &std::io::Error) -> String {
    format!("the file cannot be read: {error}")
}

fn malformed(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Io(error) => unreadable(error),
        _ => "the file is not CSV".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line, and the serial or what is wrong.
    type Read = Result<(u64, String), (u64, String)>;

    fn rows(text: &str) -> Result<Vec<Read>, String> {
        let mut file = CardFile::open(text.as_bytes())?;
        let mut rows = Vec::new();
        while let Some(row) = file.next()? {
            rows.push(row.map(|row| (row.line, row.serial)).map_err(|bad| (bad.line, bad.why)));
        }
        Ok(rows)
    }

    #[test]
    fn headers_decide_what_a_column_is() {
        assert_eq!(rows("serial,pin\n1,2\n").unwrap(), [Ok((2, "1".into()))]);
        assert_eq!(
            rows("\u{feff}pin;serial;expires_on\r\n2;1;2030-01-31\r\n").unwrap(),
            [Ok((2, "1".into()))]
        );
        assert_eq!(
            rows("serial,pin\r\n\r\n1,2\r\n3,\"4\"\r\n").unwrap(),
            [Ok((3, "1".into())), Ok((4, "3".into()))]
        );
        assert_eq!(rows("serial\tpin\n\"a\nb\"\tc\n").unwrap().len(), 1);
        for bad in [
            "",
            "pin\n1\n",
            "serial\n1\n",
            "serial,serial,pin\n",
            "serial,Pin\n",
            "1,2\n3,4\n",
            "serial,pin,pin\n",
        ] {
            assert!(rows(bad).is_err(), "{bad:?}");
        }
        assert!(!rows("serial,823144107741\n").unwrap_err().contains("8231"));
    }

    #[test]
    fn bad_rows_are_named_by_their_line_and_not_repeated() {
        let text = "serial,pin,expires_on\n1,p1,\n,8231,\n3,8231\n4,,2030-01-01\n5,8231,2030-1-1\n6,82\u{1}31,\n7,p7,2030-02-30\n";
        let found = rows(text).unwrap();
        let bad: Vec<(u64, String)> = found.into_iter().filter_map(Result::err).collect();
        assert_eq!(
            bad.iter().map(|(line, _)| *line).collect::<Vec<_>>(),
            [3, 4, 5, 6, 7, 8]
        );
        assert!(bad.iter().all(|(_, why)| !why.contains("8231")));
        let long = format!("serial,pin\n{},p\n1,{}\n", "s".repeat(201), "p".repeat(501));
        assert!(rows(&long).unwrap().iter().all(Result::is_err));
    }
}
