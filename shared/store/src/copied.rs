//! Rows by COPY, in the server's binary form and in one piece of memory. A row costs neither an allocation nor a round through
//! the driver's types, which is what counts where a million of them are read.

use std::fmt::Display;
use std::pin::pin;

use futures::TryStreamExt;
use jiff::Timestamp;
use uuid::Uuid;

use crate::{Store, StoreError};

/// What a binary COPY begins with: eleven bytes that say so, flags, and the length of an extension, which is none.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// In place of a row's count of columns: no more rows.
const END: i16 = -1;
/// Moments are counted from the beginning of 2000, here in microseconds of the epoch.
const YEAR_2000: i64 = 946_684_800_000_000;

/// Rows that were read whole.
#[derive(Debug, Default)]
pub(crate) struct Copied {
    bytes: Vec<u8>,
    count: i64,
    /// Where the last row begins.
    last: usize,
}

impl Store {
    /// Reads all rows of a query, which can have no parameters: what it depends on is written into it by [`literal`].
    pub(crate) async fn copied(&self, query: &str) -> Result<Copied, StoreError> {
        let session = self.session().await?;
        let sql = format!("COPY ({query}) TO STDOUT (FORMAT binary)");
        let mut pieces = pin!(session.answered(session.copy_out(&sql)).await??);
        let mut copied = Copied::default();
        while let Some(piece) = session.answered(pieces.try_next()).await?? {
            copied.add(&piece);
        }
        session.give_back();
        Ok(copied)
    }
}

/// A value as a literal of SQL.
pub(crate) fn literal(value: impl Display) -> String {
    format!("'{}'", value.to_string().replace('\'', "''"))
}

impl Copied {
    /// Adds what the server sends at a time: a row, the first one with the header, or the end.
    fn add(&mut self, piece: &[u8]) {
        let row = piece
            .strip_prefix(HEADER)
            .filter(|_| self.bytes.is_empty())
            .unwrap_or(piece);
        if row.is_empty() || row == END.to_be_bytes() {
            return;
        }
        self.last = self.bytes.len();
        self.count += 1;
        self.bytes.extend_from_slice(row);
    }

    pub(crate) fn count(&self) -> i64 {
        self.count
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn rows(&self) -> Rows<'_> {
        Rows(&self.bytes)
    }

    /// The last row alone.
    pub(crate) fn last(&self) -> Rows<'_> {
        Rows(self.bytes.get(self.last..).unwrap_or_default())
    }
}

/// Reads rows, column after column in the order of the query. All columns of a row are to be read.
pub(crate) struct Rows<'p>(&'p [u8]);

impl<'p> Rows<'p> {
    /// Goes to the next row; false after the last one.
    pub(crate) fn next_row(&mut self) -> Result<bool, StoreError> {
        if self.0.is_empty() {
            return Ok(false);
        }
        self.array::<2>().map(|_| true)
    }

    pub(crate) fn int8_or_null(&mut self) -> Result<Option<i64>, StoreError> {
        let value = self.value()?;
        value.map(|bytes| fixed(bytes).map(i64::from_be_bytes)).transpose()
    }

    pub(crate) fn int8(&mut self) -> Result<i64, StoreError> {
        self.int8_or_null()?.ok_or_else(broken)
    }

    /// A `timestamptz`.
    pub(crate) fn moment(&mut self) -> Result<Timestamp, StoreError> {
        let since_2000 = self.int8()?;
        Timestamp::from_microsecond(since_2000.saturating_add(YEAR_2000)).map_err(StoreError::unreadable)
    }

    pub(crate) fn uuid(&mut self) -> Result<Uuid, StoreError> {
        let bytes = self.value()?.ok_or_else(broken)?;
        fixed(bytes).map(Uuid::from_bytes)
    }

    pub(crate) fn text_or_null(&mut self) -> Result<Option<&'p str>, StoreError> {
        let value = self.value()?;
        value
            .map(|bytes| std::str::from_utf8(bytes).map_err(|_| broken()))
            .transpose()
    }

    pub(crate) fn text(&mut self) -> Result<&'p str, StoreError> {
        self.text_or_null()?.ok_or_else(broken)
    }

    /// A value by its length, of which -1 is that of none.
    fn value(&mut self) -> Result<Option<&'p [u8]>, StoreError> {
        match i32::from_be_bytes(self.array()?) {
            -1 => Ok(None),
            length => usize::try_from(length)
                .map_err(|_| broken())
                .and_then(|length| self.take(length))
                .map(Some),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        self.take(N).and_then(fixed)
    }

    fn take(&mut self, length: usize) -> Result<&'p [u8], StoreError> {
        let (taken, left) = self.0.split_at_checked(length).ok_or_else(broken)?;
        self.0 = left;
        Ok(taken)
    }
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], StoreError> {
    bytes.try_into().map_err(|_| broken())
}

fn broken() -> StoreError {
    StoreError::unreadable("a row that was copied has not the columns that were asked for")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What PostgreSQL sends of `VALUES (7::int8, 'ж', NULL::text)`.
    const ROW: &[u8] = b"\0\x03\0\0\0\x08\0\0\0\0\0\0\0\x07\0\0\0\x02\xd0\xb6\xff\xff\xff\xff";

    #[test]
    fn rows_are_read_as_they_came() {
        let mut copied = Copied::default();
        copied.add(&[HEADER, ROW].concat());
        copied.add(ROW);
        copied.add(&END.to_be_bytes());
        assert_eq!(copied.count(), 2);
        for (mut rows, count) in [(copied.rows(), 2), (copied.last(), 1)] {
            for _ in 0..count {
                assert!(rows.next_row().unwrap());
                assert_eq!((rows.int8().unwrap(), rows.text().unwrap()), (7, "ж"));
                assert_eq!(rows.text_or_null().unwrap(), None);
            }
            assert!(!rows.next_row().unwrap());
        }
    }

    #[test]
    fn no_rows_are_none() {
        let mut copied = Copied::default();
        copied.add(&[HEADER, &END.to_be_bytes()].concat());
        assert_eq!(copied.count(), 0);
        assert!(!copied.rows().next_row().unwrap());
        assert!(!copied.last().next_row().unwrap());
    }

    #[test]
    fn what_is_cut_short_or_of_another_type_is_an_error() {
        for cut in 3..ROW.len() {
            let mut rows = Rows(&ROW[..cut]);
            let read = rows
                .next_row()
                .and_then(|_| rows.int8())
                .and_then(|_| rows.text())
                .and_then(|_| rows.text_or_null());
            assert!(read.is_err(), "{cut}");
        }
        let mut rows = Rows(ROW);
        rows.next_row().unwrap();
        assert!(rows.uuid().is_err());
    }

    #[test]
    fn a_literal_ends_where_it_should() {
        assert_eq!(literal("it's"), "'it''s'");
    }
}
