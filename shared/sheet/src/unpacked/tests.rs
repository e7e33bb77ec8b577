//! Archives that are not what they say, and one that is.

use std::io::Cursor;

use zip_of_calamine::ZipWriter;
use zip_of_calamine::write::SimpleFileOptions;

use super::*;
use crate::check_directory;

const MOST: u64 = 4 * 1024 * 1024;

fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn check(bytes: &[u8]) -> Result<(), UnpackError> {
    check_unpacked(Cursor::new(bytes), MOST)
}

/// With these bytes at this place of its end record.
fn with_end(archive: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut other = archive.to_vec();
    let at = other.len() - 22 + at;
    other[at..at + bytes.len()].copy_from_slice(bytes);
    other
}

fn offset_of(archive: &[u8]) -> usize {
    let end = archive.len() - 22;
    u32::from_le_bytes(archive[end + 16..end + 20].try_into().unwrap()) as usize
}

#[test]
fn what_unpacks_to_too_much_is_not_read() {
    let bomb = zipped(&[("xl/sharedStrings.xml", &[0; MOST as usize])]);
    assert!(bomb.len() < 64 * 1024);
    check(&bomb).unwrap();
    let refused = check_unpacked(Cursor::new(&bomb), MOST - 1).unwrap_err();
    assert_eq!(refused.to_string(), "unpacks to more than 4194303 bytes");
    let cut = check_unpacked(Cursor::new(&bomb[..bomb.len() - 30]), u64::MAX / 2).unwrap_err();
    assert!(matches!(cut, UnpackError::Damaged(_)), "{cut}");
}

#[test]
fn of_two_directories_in_one_archive_none_is_read() {
    // The end tells of the size of the small one's directory, which is right before it, and of the place of the large one's.
    let small = zipped(&[("a", b"small")]);
    let large = zipped(&[("a", &[0; MOST as usize + 1])]);
    let directory = &small[offset_of(&small)..small.len() - 22];
    let mut both = large[..large.len() - 22].to_vec();
    both.extend_from_slice(directory);
    both.extend_from_slice(&large[large.len() - 22..]);
    let both = with_end(&both, 12, &(directory.len() as u32).to_le_bytes());
    let refused = check(&both).unwrap_err();
    assert!(matches!(refused, UnpackError::Directory), "{refused}");
    check_directory(&mut Cursor::new(&both), 10).unwrap();
    // Nor one that only looks like an end, in the comment of what is.
    let comment = [with_end(&small, 0, b"")[small.len() - 22..].to_vec(), vec![b' '; 3]].concat();
    let decoy = with_end(&small, 20, &(comment.len() as u16).to_le_bytes());
    let decoy = [decoy, comment].concat();
    let refused = check(&decoy).unwrap_err();
    assert!(matches!(refused, UnpackError::Directory), "{refused}");
}

#[test]
fn a_directory_of_the_64_bit_kind_beside_the_usual_one_is_refused_as_that() {
    let usual = zipped(&[("a", b"a")]);
    let end = usual.len() - 22;
    let wide = [b"PK\x06\x06", &[0; 52][..]].concat();
    let locator = [b"PK\x06\x07", &[0; 16][..]].concat();
    let beside = [&usual[..end], &wide, &locator, &usual[end..]].concat();
    let refused = check(&beside).unwrap_err().to_string();
    assert!(refused.contains("of the 64-bit kind beside the usual one"), "{refused}");
}

#[test]
fn every_end_of_an_archive_is_looked_at_and_all_of_it() {
    let good = zipped(&[("a", b"a"), ("b", b"b")]);
    let directory = |bytes: &[u8]| check_directory(&mut Cursor::new(bytes), 2);
    directory(&good).unwrap();
    let is_64 = 0xffff_ffff_u32.to_le_bytes();
    for (at, bytes) in [(8, &[3, 0][..]), (10, &[3, 0]), (12, &is_64), (16, &is_64)] {
        let bad = with_end(&good, at, bytes);
        // Whatever comes behind it.
        let decoyed = with_end(&bad, 20, &22_u16.to_le_bytes());
        let decoyed = [&decoyed, &good[good.len() - 22..]].concat();
        for archive in [bad, decoyed] {
            let refused = directory(&archive).unwrap_err();
            assert!(matches!(refused, UnpackError::Entries(2)), "{at}: {refused}");
            assert!(check(&archive).is_err(), "{at}");
        }
    }
    for (at, bytes) in [(4, [1, 0]), (6, [1, 0]), (8, [1, 0])] {
        let refused = directory(&with_end(&good, at, &bytes)).unwrap_err();
        assert!(matches!(refused, UnpackError::Directory), "{at}: {refused}");
    }
    for none in [&b""[..], b"PK\x05\x06", &good[..good.len() - 1]] {
        assert!(matches!(directory(none), Err(UnpackError::Damaged(_))));
    }
}

#[test]
fn strings_that_there_is_no_room_for_are_not_believed() {
    let book = |attribute: &str, strings: usize| {
        let strings = "<si/>".repeat(strings);
        let text = format!("<?xml version=\"1.0\"?><x:sst count='1' {attribute}>{strings}</x:sst>");
        zipped(&[("xl/any.xml", b"<a/>"), ("xl/sharedStrings.xml", text.as_bytes())])
    };
    for believed in [
        "uniqueCount=\"0\"",
        "uniqueCount='1048576'",
        "uniqueCount=\"x9999999999\"",
        "",
    ] {
        check(&book(believed, 1)).unwrap();
    }
    let most = u64::MAX.to_string();
    for (attribute, claimed) in [
        ("uniqueCount=\"1048577\"", "1048577"),
        ("uniqueCount \n=\t\r '0000000001048577'", "1048577"),
        (
            "uniquniqueCount=\"8\" uniqueCount=\"576460752303423488\"",
            "576460752303423488",
        ),
        ("uniquniqueCount=\"576460752303423488\"", "576460752303423488"),
        ("uniqueCount=\"99999999999999999999999\"", most.as_str()),
    ] {
        let refused = check(&book(attribute, 1)).unwrap_err().to_string();
        assert_eq!(
            refused,
            format!("claims to hold {claimed} texts and has no room for them")
        );
    }
    // As many as there are may be said to be there.
    let many = book("uniqueCount=\"1100000\"", 1_100_000);
    check_unpacked(Cursor::new(&many), 2 * MOST).unwrap();
}
