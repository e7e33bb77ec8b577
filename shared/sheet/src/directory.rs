//! The directory of an archive that somebody else made, looked at before anything is made of it: it may claim millions of
//! entries, and an archive with two of them is one thing to one reader and another to the next.

use std::io::{self, Read, Seek, SeekFrom};

use crate::UnpackError;

/// An end record: how it begins, and its size without the comment.
const END: &[u8] = b"PK\x05\x06";
const END_BYTES: u64 = 22;
/// How an entry of the directory begins.
const ENTRY: &[u8] = b"PK\x01\x02";
/// How what leads to a directory of the 64-bit kind begins, and its size: it is right before the end record.
const LOCATOR: &[u8] = b"PK\x06\x07";
const LOCATOR_BYTES: u64 = 20;
/// Where end records are looked for: the longest comment is 65535 bytes, and readers look a little further than they need to.
const TAIL_BYTES: u64 = 66 * 1024;
/// What sends a reader on to a directory of the 64-bit kind.
const ELSEWHERE: u64 = 0xffff_ffff;

/// What an end record says.
struct End {
    /// Where it is.
    at: u64,
    offset: u64,
    size: u64,
    entries: u64,
}

/// Refuses an archive with an end record, be it any that a reader could take, that claims more entries than so many or a directory
/// of the 64-bit kind. Leaves the archive at its beginning.
pub fn check_directory(archive: &mut (impl Read + Seek), most_entries: u64) -> Result<(), UnpackError> {
    last_end(archive, most_entries).map(drop)
}

/// The same, and that every reader finds the one directory: the last end record is right behind what it says is one.
pub(crate) fn check_one_directory(archive: &mut (impl Read + Seek), most_entries: u64) -> Result<(), UnpackError> {
    let end = last_end(archive, most_entries)?;
    if end.offset + end.size != end.at {
        let before = end.at.checked_sub(LOCATOR_BYTES);
        let begins = before.map(|at| four_at(archive, at)).transpose()?;
        return Err(match begins.is_some_and(|begins| begins == LOCATOR) {
            true => UnpackError::Beside,
            false => UnpackError::Directory,
        });
    }
    let begins = four_at(archive, end.offset)?;
    archive.rewind()?;
    let is_one = end.entries == 0 || begins == ENTRY;
    is_one.then_some(()).ok_or(UnpackError::Directory)
}

fn four_at(archive: &mut (impl Read + Seek), at: u64) -> io::Result<[u8; 4]> {
    let mut four = [0; 4];
    archive.seek(SeekFrom::Start(at))?;
    archive.read_exact(&mut four)?;
    Ok(four)
}

fn last_end(archive: &mut (impl Read + Seek), most_entries: u64) -> Result<End, UnpackError> {
    let length = archive.seek(SeekFrom::End(0))?;
    let from = length.saturating_sub(TAIL_BYTES);
    archive.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    io::copy(&mut archive.by_ref().take(TAIL_BYTES), &mut tail)?;
    archive.rewind()?;
    let mut last = None;
    for (at, _) in tail.windows(END.len()).enumerate().filter(|(_, four)| *four == END) {
        let number = |from: usize, length: usize| {
            let bytes = tail.get(at + from..at + from + length)?;
            Some(bytes.iter().rev().fold(0, |sum, byte| (sum << 8) | u64::from(*byte)))
        };
        // One that is cut off, or whose comment is, no reader takes.
        let comment = number(20, 2).map(|comment| at as u64 + END_BYTES + comment);
        if comment.is_some_and(|ends| ends <= tail.len() as u64) {
            last = Some(read_end(from + at as u64, number, most_entries)?);
        }
    }
    last.ok_or_else(|| UnpackError::Damaged("it has no directory".to_owned()))
}

fn read_end(at: u64, number: impl Fn(usize, usize) -> Option<u64>, most_entries: u64) -> Result<End, UnpackError> {
    let number = |from, length| number(from, length).unwrap_or(ELSEWHERE);
    let (here, entries) = (number(8, 2), number(10, 2));
    let (size, offset) = (number(12, 4), number(16, 4));
    let disks = [number(4, 2), number(6, 2)];
    if entries > most_entries || here > most_entries || size == ELSEWHERE || offset == ELSEWHERE {
        return Err(UnpackError::Entries(most_entries));
    }
    if here != entries || disks != [0, 0] {
        return Err(UnpackError::Directory);
    }
    Ok(End {
        at,
        offset,
        size,
        entries,
    })
}
