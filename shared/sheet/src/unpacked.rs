//! What somebody else's workbook unpacks to: whoever reads one holds its strings in memory, so that is measured first. By
//! the library that calamine reads archives with, since another might see another archive in the same bytes.

use std::io::{self, Read, Seek, Write};

use zip_of_calamine::ZipArchive;
use zip_of_calamine::result::ZipError;

use crate::directory::check_one_directory;

/// The most entries of a workbook: a few a sheet, and one a picture.
const ENTRIES_MAX: u64 = 10_000;
/// The attribute that says how many strings there are: calamine makes room for as many before it reads one.
const CLAIM: &[u8] = b"uniqueCount";
/// What the shortest string takes, as `<si/>`.
const STRING_BYTES: u64 = 5;
/// So many may be claimed in any case, as programs do that take no pains to count: room for them is some megabytes.
const CLAIMED_FREE: u64 = 1024 * 1024;

/// What fails where calamine reads an archive. Whoever names both libraries can see that they are one.
pub type ArchiveError = ZipError;

/// Why a workbook or another archive is not to be read.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// It would take more memory than anybody meant to give it.
    #[error("unpacks to more than {0} bytes")]
    TooMuch(u64),
    /// It says that it has more strings than it has room for.
    #[error("claims to hold {0} texts and has no room for them")]
    Claims(u64),
    /// Its directory claims too much.
    #[error("has more than {0} entries, or is of the 64-bit kind")]
    Entries(u64),
    /// What it holds is told twice, and the two need not agree.
    #[error(
        "has a directory of the 64-bit kind beside the usual one, and only one is read: save it anew in a spreadsheet program"
    )]
    Beside,
    /// One reader would find another directory in it than the next.
    #[error("is no archive as programs write them: its directory is not where its end says")]
    Directory,
    /// It is none, or cut off.
    #[error("is no workbook: {0}")]
    Damaged(String),
    /// It could not be read.
    #[error("is no workbook, or cut off: {0}")]
    Read(#[from] io::Error),
}

impl From<ZipError> for UnpackError {
    fn from(error: ZipError) -> Self {
        match error {
            ZipError::Io(error) => Self::Read(error),
            other => Self::Damaged(other.to_string()),
        }
    }
}

/// Unpacks everything once, to nowhere, and no more than so many bytes: what an archive says of itself proves nothing.
pub fn check_unpacked(mut workbook: impl Read + Seek, most: u64) -> Result<(), UnpackError> {
    check_one_directory(&mut workbook, ENTRIES_MAX)?;
    let mut archive = ZipArchive::new(workbook)?;
    let mut left = most;
    for at in 0..archive.len() {
        let entry = archive.by_index(at)?;
        let mut claims = Claims::default();
        let unpacked = io::copy(&mut entry.take(left + 1), &mut claims)?;
        left = left.checked_sub(unpacked).ok_or(UnpackError::TooMuch(most))?;
        if claims.most > CLAIMED_FREE.max(unpacked / STRING_BYTES) {
            return Err(UnpackError::Claims(claims.most));
        }
    }
    Ok(())
}

/// Takes what is unpacked, and keeps of it how many strings it says there are, wherever it says so.
#[derive(Default)]
struct Claims {
    /// How much of `uniqueCount="` stands before the next byte.
    at: usize,
    number: u64,
    most: u64,
}

impl Claims {
    const EQUALS: usize = CLAIM.len();
    const QUOTE: usize = CLAIM.len() + 1;
    const DIGITS: usize = CLAIM.len() + 2;

    fn take(&mut self, byte: u8) {
        self.at = match self.at {
            at if CLAIM.get(at) == Some(&byte) => at + 1,
            // `uniquniqueCount` has one too.
            5 if byte == b'n' => 2,
            Self::EQUALS if byte == b'=' => Self::QUOTE,
            Self::QUOTE if matches!(byte, b'"' | b'\'') => {
                self.number = 0;
                Self::DIGITS
            }
            at @ (Self::EQUALS | Self::QUOTE) if byte.is_ascii_whitespace() => at,
            Self::DIGITS if byte.is_ascii_digit() => {
                self.number = self.number.saturating_mul(10).saturating_add(u64::from(byte - b'0'));
                self.most = self.most.max(self.number);
                Self::DIGITS
            }
            _ => usize::from(byte == CLAIM[0]),
        };
    }
}

impl Write for Claims {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.at > 0 || bytes.contains(&CLAIM[0]) {
            bytes.iter().for_each(|byte| self.take(*byte));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
