//! Zip archives: one file in each, or a workbook, which is one itself. Its directory is looked at before it is read, since an
//! archive may claim millions of entries.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use secrecy::ExposeSecret;
use zip::ZipArchive;
use zip::result::ZipError;

use super::{Bounded, Layer, Named, Openers, Seekable, Table, Take, peel as peel_layer, told};

/// The most entries of an archive.
const ENTRIES_MAX: u64 = 1_000;
/// The most that a workbook may unpack to: a million rows take about two thirds of it.
const WORKBOOK_MAX: u64 = 256 * 1024 * 1024;
/// An end record: its size without the comment, and the longest comment.
const END_BYTES: u64 = 22;
const COMMENT_MAX: u64 = 65_535;
/// The longest name that is told.
const NAME_MAX: usize = 100;

pub(super) fn peel(
    source: &mut dyn Seekable,
    openers: &Openers<'_>,
    left: u8,
    take: &mut Take<'_>,
) -> Result<(), String> {
    check_directory(source)?;
    let mut archive = ZipArchive::new(BufReader::new(&mut *source)).map_err(refused)?;
    if archive.file_names_raw().any(|name| name == b"[Content_Types].xml") {
        drop(archive);
        source.rewind().map_err(|error| told(&error))?;
        return take(Table::Workbook(&mut &mut *source));
    }
    let (index, name, encrypted) = the_file(&archive)?;
    let entry = if encrypted {
        let password = openers.password().map_err(|why| format!("the archive {why}"))?;
        archive.by_index_decrypt(index, password.expose_secret().as_bytes())
    } else {
        archive.by_index(index)
    };
    let what = format!("`{name}` of the archive");
    let entry = entry.map_err(refused)?;
    let most = openers.unpacked_max();
    if entry.size() > most {
        return Err(format!(
            "{what} unpacks to more than {most} bytes, too much for what it is packed in"
        ));
    }
    let mut entry = Named::new(what.clone(), Bounded::new(what, entry, most));
    peel_layer(Layer::Stream(&mut entry), openers, left, take)
}

/// The one file of an archive; folders and what a Mac puts beside it do not count.
fn the_file<R: Read + Seek>(archive: &ZipArchive<R>) -> Result<(usize, String, bool), String> {
    let mut found = None;
    for index in 0..archive.len() {
        let entry = archive.by_index_data(index).map_err(refused)?;
        let name = entry.name().map_err(refused)?;
        if !entry.is_file() || name.starts_with("__MACOSX/") || name.ends_with(".DS_Store") {
            continue;
        }
        if let Some((_, first, _)) = &found {
            let second = shown(&name);
            return Err(format!(
                "the archive holds more than one file (`{first}`, `{second}`): import them one by one"
            ));
        }
        found = Some((index, shown(&name), entry.encrypted()));
    }
    found.ok_or_else(|| "the archive holds no file".to_owned())
}

/// A name from outside, fit to be shown.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(NAME_MAX).collect()
}

fn refused(error: ZipError) -> String {
    match error {
        ZipError::Io(error) => format!("the archive is damaged or cut off: {}", told(&error)),
        ZipError::InvalidPassword => "the archive: the password does not open it".to_owned(),
        other => format!("the archive is damaged or cut off: {other}"),
    }
}

/// Refuses an archive whose directory claims more than a card file ever has, before anything is made of it.
fn check_directory(source: &mut dyn Seekable) -> Result<(), String> {
    let cut_off = |error: io::Error| format!("the archive is damaged or cut off: {}", told(&error));
    let length = source.seek(SeekFrom::End(0)).map_err(cut_off)?;
    let tail_length = length.min(END_BYTES + COMMENT_MAX);
    source.seek(SeekFrom::Start(length - tail_length)).map_err(cut_off)?;
    let mut tail = Vec::new();
    source.take(tail_length).read_to_end(&mut tail).map_err(cut_off)?;
    source.seek(SeekFrom::Start(0)).map_err(cut_off)?;
    let Some(end) = tail.windows(4).rposition(|window| window == b"PK\x05\x06") else {
        return Err("the archive is damaged or cut off: it has no directory".to_owned());
    };
    let number = |at: usize, length: usize| {
        let bytes = tail.get(at..at + length).unwrap_or_default();
        bytes.iter().rev().fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
    };
    if number(end + 10, 2) > ENTRIES_MAX || number(end + 16, 4) == u64::from(u32::MAX) {
        // The second mark, like 65535 entries, sends the reader on to a directory of the 64-bit kind.
        return Err(format!(
            "the archive has more than {ENTRIES_MAX} entries, or is of the 64-bit kind, which a card file does not need"
        ));
    }
    Ok(())
}

/// Unpacks every part of a workbook into nothing, to be sure that whoever reads it may hold it in memory.
pub(in super::super) fn check_workbook(source: &mut dyn Seekable) -> Result<(), String> {
    let mut archive = ZipArchive::new(BufReader::new(&mut *source)).map_err(refused)?;
    let mut left = WORKBOOK_MAX;
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(refused)?;
        let what = "the workbook";
        let mut entry = Named::new(what, Bounded::new(what, entry, left));
        left -= io::copy(&mut entry, &mut io::sink()).map_err(|error| told(&error))?;
    }
    source.seek(SeekFrom::Start(0)).map_err(|error| told(&error))?;
    Ok(())
}
