//! Zip archives: one file in each, or a workbook, which is one itself. Its directory is looked at before it is read, since an
//! archive may claim millions of entries.

use std::io::{BufReader, Read, Seek};

use secrecy::ExposeSecret;
use sheet::UnpackError;
use zip::ZipArchive;
use zip::result::ZipError;

use super::{Bounded, Layer, Named, Openers, Seekable, Table, Take, peel as peel_layer, told};

/// The most entries of an archive.
const ENTRIES_MAX: u64 = 1_000;
/// The most that a workbook may unpack to: a million rows take about two thirds of it.
const WORKBOOK_MAX: u64 = 256 * 1024 * 1024;
/// The longest name that is told.
const NAME_MAX: usize = 100;

pub(super) fn peel(
    source: &mut dyn Seekable,
    openers: &Openers<'_>,
    left: u8,
    take: &mut Take<'_>,
) -> Result<(), String> {
    sheet::check_directory(&mut &mut *source, ENTRIES_MAX).map_err(|error| unfit("archive", error))?;
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

/// What is wrong with an archive before it is opened, or with a workbook before it is read.
fn unfit(what: &str, error: UnpackError) -> String {
    match error {
        UnpackError::Read(error) => format!("the {what} is damaged or cut off: {}", told(&error)),
        UnpackError::Damaged(why) => format!("the {what} is damaged or cut off: {why}"),
        UnpackError::Entries(_) => format!("the {what} {error}, which a card file does not need"),
        other => format!("the {what} {other}"),
    }
}

/// Unpacks every part of a workbook into nothing, to be sure that whoever reads it may hold it in memory.
pub(in super::super) fn check_workbook(source: &mut dyn Seekable) -> Result<(), String> {
    let checked = sheet::check_unpacked(BufReader::new(&mut *source), WORKBOOK_MAX);
    checked.map_err(|error| unfit("workbook", error))?;
    source.rewind().map_err(|error| told(&error))
}
