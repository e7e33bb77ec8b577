//! The first reading of a file: every row is looked at, nothing is entered.

use std::io::Read;

use jiff::civil::Date;

use super::file::CardFile;
use super::report::Report;
use crate::vault::{FileHash, Vault};

/// A file whose rows were all looked at.
pub(super) struct Checked {
    pub(super) report: Report,
    /// Rows with a card that is not past its day.
    pub(super) good: i64,
    /// Recognises the same file again: under every index key, the last one to be stored.
    pub(super) file_hashes: Vec<[u8; 32]>,
    /// The vault's version that this was worked out under.
    pub(super) vault_version: i32,
}

/// Looks at every row. An error is about the file as a whole.
pub(super) fn check(vault: &Vault, sealed: &[u8], today: Date) -> Result<Checked, String> {
    let vault_version = vault.version();
    let reader = vault.reader(sealed).map_err(|error| error.to_string())?;
    let mut hashing = Hashing {
        inner: reader,
        hash: vault.index_key().of_file(),
    };
    let mut report = Report::default();
    let mut good = 0;
    let mut file = CardFile::open(&mut hashing)?;
    while let Some(row) = file.next()? {
        report.rows += 1;
        match row {
            Ok(row) if is_expired(row.expires_on, today) => report.expired.add(row.line, "expires_on: is past"),
            Ok(_) => good += 1,
            Err(bad) => report.refused.add(bad.line, bad.why),
        }
    }
    drop(file);
    if report.rows == 0 {
        return Err("the file has no rows".into());
    }
    Ok(Checked {
        report,
        good,
        file_hashes: hashing.hash.finish(),
        vault_version,
    })
}

/// A card is good through its last day.
pub(super) fn is_expired(expires_on: Option<Date>, today: Date) -> bool {
    expires_on.is_some_and(|last| last < today)
}

/// Hashes what is read through it.
struct Hashing<R> {
    inner: R,
    hash: FileHash,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}
