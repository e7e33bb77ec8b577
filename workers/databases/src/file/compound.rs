//! The compound files that workbooks of before 2007 are: one is opened with what checks its tables of allocation, and one is made
//! for the reader of workbooks, which checks nothing and makes room for whatever a header says.

use std::io::{self, Cursor, Read as _, Write as _};

use cfb::{CompoundFile, Version};

/// The largest file of this kind that is read, in bytes: what its reader makes of one is up to fourteen times as much.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// The largest number that a sector has; those above mean that there is none.
const SECTOR_MAX: u32 = 0xffff_fffa;
/// A sector is of one of two sizes, in bytes, of which this is the larger.
const SECTOR: usize = 4096;

fn wrong(error: &io::Error) -> String {
    format!("is no workbook that can be read: {error}")
}

/// The stream of records that is the workbook in a file.
pub(super) fn stream(bytes: &[u8]) -> Result<Vec<u8>, String> {
    if bytes.len() > BYTES_MAX {
        return Err(format!("is larger than {BYTES_MAX} bytes: save it as XLSX"));
    }
    check_list(bytes)?;
    // Some programs leave the last sector as short as what is in it.
    let mut whole = bytes.to_vec();
    whole.resize(bytes.len().next_multiple_of(SECTOR), 0);
    let mut file = CompoundFile::open(Cursor::new(whole)).map_err(|error| wrong(&error))?;
    let mut found = ["Workbook", "Book"]
        .into_iter()
        .find_map(|name| file.open_stream(name).ok())
        .ok_or_else(|| "is no workbook that can be read: there is none in the compound file".to_owned())?;
    let mut stream = Vec::new();
    found.read_to_end(&mut stream).map_err(|error| wrong(&error))?;
    Ok(stream)
}

/// A file that holds this workbook and nothing else.
pub(super) fn holding(stream: &[u8]) -> Result<Vec<u8>, String> {
    let make = || {
        let mut file = CompoundFile::create_with_version(Version::V3, Cursor::new(Vec::new()))?;
        file.create_stream("Workbook")?.write_all(stream)?;
        file.flush()?;
        Ok(file.into_inner().into_inner())
    };
    make().map_err(|error: io::Error| wrong(&error))
}

/// A table of allocation is read as often as it is listed, before anything is checked: the list (a chain of sectors, each of which
/// ends with the number of the next) is to be as long as the file needs, and no longer.
fn check_list(bytes: &[u8]) -> Result<(), String> {
    let number = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let size = if bytes.get(30) == Some(&12) { SECTOR } else { 512 };
    let tables = bytes.len() / size / (size / 4) + 1;
    let longest = tables / (size / 4 - 1) + 1;
    let mut next = number(68);
    for _ in 0..=longest {
        match next {
            Some(sector) if sector <= SECTOR_MAX => next = number((sector as usize + 2) * size - 4),
            _ => return Ok(()),
        }
    }
    Err("is damaged: its list of allocation tables is longer than the file needs".to_owned())
}
