//! Reading the table of a card file, whatever it is written as: rows come out one by one, good or with what is wrong.

mod columns;
mod lines;
mod sheet;
mod text;

use std::io::{self, Read};

use domain::declaration::{CardFileProfile, TableFormat};
use domain::money::Currency;

pub(super) use columns::{BadRow, Row};

use super::container::{Table, told};
use crate::vault::FileHash;

/// Takes a row; or says that nobody wants any more.
pub(super) type Sink<'s> = dyn FnMut(Result<Row, BadRow>) -> Result<(), Stop> + 's;

/// Nobody wants to know any more; who stopped says why.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop;

fn stopped(_: Stop) -> String {
    "stopped".to_owned()
}

/// Reads every row. An error is about the file as a whole.
pub(super) fn read(
    table: Table<'_>,
    profile: &CardFileProfile,
    currency: Currency,
    sink: &mut Sink<'_>,
) -> Result<(), String> {
    match (table, profile.format) {
        (Table::Text(source), TableFormat::Csv | TableFormat::Fixed) => text::read(source, profile, currency, sink),
        (Table::Workbook(source), TableFormat::Xlsx) => {
            super::container::check_workbook(source)?;
            sheet::read(source, profile, currency, sink)
        }
        (Table::Text(_), TableFormat::Xlsx) => Err("the file is not an Excel workbook (.xlsx)".into()),
        (Table::Workbook(_), _) => Err("the file is an Excel workbook: declare card_file.format = \"xlsx\"".into()),
    }
}

/// Reads a table to its end for what recognises it, and for how many rows it may have.
pub(super) fn look(table: Table<'_>, profile: &CardFileProfile, hash: &mut FileHash) -> Result<u64, String> {
    match table {
        Table::Text(source) => {
            let mut hashing = Hashing { inner: source, hash };
            let rows = text::count(&mut hashing, profile)?;
            // What follows the last line's end, if the counting stopped before.
            io::copy(&mut hashing, &mut io::sink()).map_err(|error| told(&error))?;
            Ok(rows)
        }
        Table::Workbook(source) => {
            io::copy(
                &mut Hashing {
                    inner: &mut *source,
                    hash,
                },
                &mut io::sink(),
            )
            .map_err(|error| told(&error))?;
            io::Seek::seek(source, io::SeekFrom::Start(0)).map_err(|error| told(&error))?;
            if profile.format != TableFormat::Xlsx {
                return Ok(0);
            }
            sheet::count(source, profile)
        }
    }
}

/// Hashes what is read through it.
struct Hashing<'h, R: ?Sized> {
    inner: &'h mut R,
    hash: &'h mut FileHash,
}

impl<R: Read + ?Sized> Read for Hashing<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
pub(super) mod tests;
#[cfg(test)]
mod tests_places;
