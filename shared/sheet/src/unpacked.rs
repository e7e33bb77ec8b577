//! What somebody else's workbook unpacks to: whoever reads one holds its strings in memory, so that is measured first.

use std::io::{self, Read, Seek};

use zip::ZipArchive;

/// Why a workbook is not to be read.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// It would take more memory than anybody meant to give it.
    #[error("unpacks to more than {0} bytes")]
    TooMuch(u64),
    /// It is none, or cut off.
    #[error("is no workbook: {0}")]
    Damaged(String),
}

/// Unpacks everything once, to nowhere, and no more than so many bytes: what an archive says of itself proves nothing.
pub fn check_unpacked(workbook: impl Read + Seek, most: u64) -> Result<(), UnpackError> {
    let damaged = |error: &dyn std::fmt::Display| UnpackError::Damaged(error.to_string());
    let mut archive = ZipArchive::new(workbook).map_err(|error| damaged(&error))?;
    let mut left = most;
    for at in 0..archive.len() {
        let entry = archive.by_index(at).map_err(|error| damaged(&error))?;
        let unpacked = io::copy(&mut entry.take(left + 1), &mut io::sink()).map_err(|error| damaged(&error))?;
        left = left.checked_sub(unpacked).ok_or(UnpackError::TooMuch(most))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write as _};

    use super::*;

    #[test]
    fn what_unpacks_to_too_much_is_not_read() {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default();
        zip.start_file("xl/sharedStrings.xml", options).unwrap();
        let zeros = vec![0; 1024 * 1024];
        for _ in 0..4 {
            zip.write_all(&zeros).unwrap();
        }
        let bomb = zip.finish().unwrap().into_inner();
        assert!(bomb.len() < 64 * 1024);
        let check = |bytes: &[u8], most| check_unpacked(Cursor::new(bytes), most);
        check(&bomb, 4 * 1024 * 1024).unwrap();
        let refused = check(&bomb, 4 * 1024 * 1024 - 1).unwrap_err();
        assert_eq!(refused.to_string(), "unpacks to more than 4194303 bytes");
        let cut = check(&bomb[..bomb.len() - 30], u64::MAX / 2).unwrap_err();
        assert!(matches!(cut, UnpackError::Damaged(_)), "{cut}");
    }
}
