//! Wrappings of every kind, good, damaged, hostile, and without their key. What is inside comes out as it went in.

use std::io::{Cursor, Write};

use zip::write::{FileOptions, SimpleFileOptions};
use zip::{AesMode, ZipWriter};

use super::*;
use crate::import::table::tests::workbook;

const TEXT: &[u8] = b"serial,pin\ns-1,823144107741\n";

fn with(password: &str) -> Openers<'static> {
    Openers {
        password: Some(Ok(password.to_owned().into())),
        ..Openers::default()
    }
}

fn opened(bytes: &[u8], openers: &Openers<'_>) -> Result<Vec<u8>, String> {
    let mut found = Vec::new();
    let openers = Openers {
        vault: openers.vault,
        pgp: openers.pgp,
        password: openers.password.clone(),
        bytes: bytes.len() as u64,
    };
    open(&mut Cursor::new(bytes), &openers, &mut |table| {
        match table {
            Table::Text(text) => text.read_to_end(&mut found),
            Table::Workbook(workbook) => workbook.read_to_end(&mut found),
        }
        .map(drop)
        .map_err(|error| told(&error))
    })?;
    Ok(found)
}

fn refused(bytes: &[u8], openers: &Openers<'_>) -> String {
    let why = opened(bytes, openers).unwrap_err();
    assert!(!why.contains("8231") && !why.contains("hunter"), "{why}");
    why
}

fn zipped(files: &[(&str, &[u8])], options: FileOptions<'_, '_, ()>) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn plain_zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    zipped(files, SimpleFileOptions::default())
}

fn aes_zip(password: &str) -> Vec<u8> {
    let options = FileOptions::default().with_aes_encryption(AesMode::Aes256, password);
    zipped(&[("cards.csv", TEXT)], options)
}

fn age_by_passphrase(passphrase: &str, bytes: &[u8]) -> Vec<u8> {
    let mut recipient = age::scrypt::Recipient::new(passphrase.to_owned().into());
    recipient.set_work_factor(4);
    age::encrypt(&recipient, bytes).unwrap()
}

#[test]
fn archives_are_opened_with_and_without_a_password() {
    let none = Openers::default();
    assert_eq!(opened(TEXT, &none).unwrap(), TEXT);
    let packed = plain_zip(&[("a/", b""), ("a/cards.csv", TEXT), ("__MACOSX/a/._cards.csv", b"x")]);
    assert_eq!(opened(&packed, &none).unwrap(), TEXT);
    let sealed = aes_zip("hunter2");
    assert_eq!(opened(&sealed, &with("hunter2")).unwrap(), TEXT);
    assert!(refused(&sealed, &none).contains("the archive has a password"));
    assert_eq!(
        refused(&sealed, &with("hunter3")),
        "the archive: the password does not open it"
    );
    let gone = Openers {
        password: Some(Err("MTS_ARCHIVE is not set here".into())),
        ..Openers::default()
    };
    assert_eq!(
        refused(&sealed, &gone),
        "the archive card_file.password: MTS_ARCHIVE is not set here"
    );
    let book = workbook("");
    assert_eq!(opened(&book, &none).unwrap(), book);
    assert_eq!(opened(&plain_zip(&[("cards.xlsx", &book)]), &none).unwrap(), book);
}

#[test]
fn archives_that_hold_more_or_less_than_one_file_are_refused() {
    let none = Openers::default();
    let two = plain_zip(&[("a.csv", TEXT), ("b.csv", TEXT)]);
    assert_eq!(
        refused(&two, &none),
        "the archive holds more than one file (`a.csv`, `b.csv`): import them one by one"
    );
    assert_eq!(refused(&plain_zip(&[("a/", b"")]), &none), "the archive holds no file");
    let names: Vec<String> = (0..1_001).map(|at| format!("{at}.csv")).collect();
    let many: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), TEXT)).collect();
    assert!(refused(&plain_zip(&many), &none).contains("more than 1000 entries"));
    // An end that only looks like one, in the comment of the real one, hides nothing.
    let (mut hidden, one) = (plain_zip(&many), plain_zip(&[("a.csv", TEXT)]));
    let comment = hidden.len() - 2;
    hidden[comment..].copy_from_slice(&22_u16.to_le_bytes());
    hidden.extend_from_slice(&one[one.len() - 22..]);
    assert!(refused(&hidden, &none).contains("more than 1000 entries"));
    let mut nested = TEXT.to_vec();
    for _ in 0..=LAYERS_MAX {
        nested = plain_zip(&[("cards", &nested)]);
    }
    assert_eq!(refused(&nested, &none), "the file is wrapped more than 4 times");
}

#[test]
fn what_is_cut_off_or_damaged_is_refused_wherever_it_is_cut() {
    let noise: Vec<u8> = (0..200_000_u32)
        .flat_map(|at| (at.wrapping_mul(2_654_435_761)).to_be_bytes())
        .collect();
    let packed = plain_zip(&[("cards.csv", &noise)]);
    let sealed = age_by_passphrase("hunter2", &noise);
    let openers = with("hunter2");
    for cut in [1, 10_000, packed.len() / 2] {
        assert!(
            refused(&packed[..packed.len() - cut], &openers).contains("damaged or cut off"),
            "{cut}"
        );
    }
    for cut in [1, 20, sealed.len() / 2] {
        let why = refused(&sealed[..sealed.len() - cut], &openers);
        assert!(
            why.contains("the age file is damaged or cut off after "),
            "{cut}: {why}"
        );
    }
    assert!(refused(&sealed[..100], &openers).starts_with("the age file"));
    let mut flipped = packed;
    flipped[5_000] ^= 1;
    assert!(refused(&flipped, &openers).contains("`cards.csv` of the archive is damaged or cut off after"));
    let mut flipped = sealed;
    flipped[70_000] ^= 1;
    let why = refused(&flipped, &openers);
    assert!(why.contains("the age file is damaged or cut off after "), "{why}");
}

#[test]
fn what_unpacks_to_too_much_is_stopped_while_it_does() {
    let none = Openers::default();
    let bomb = vec![b'0'; usize::try_from(UNPACKED_FREE).unwrap() + 1];
    let packed = plain_zip(&[("cards.csv", &bomb)]);
    assert!(packed.len() < 1_000_000);
    assert!(refused(&packed, &none).contains("unpacks to more than 67108864 bytes"));
    // One that lies about its size in both places it stands.
    let mut lying = packed;
    let size = u32::try_from(bomb.len()).unwrap().to_le_bytes();
    while let Some(at) = lying.windows(4).position(|window| window == size) {
        lying[at..at + 4].copy_from_slice(&100_u32.to_le_bytes());
    }
    let why = refused(&lying, &none);
    assert!(why.contains("unpacks to more than") || why.contains("damaged"), "{why}");
    let book = plain_zip(&[
        ("[Content_Types].xml", b""),
        ("xl/sharedStrings.xml", &vec![b' '; 300 * 1024 * 1024]),
    ]);
    let why = check_workbook(&mut Cursor::new(book)).unwrap_err();
    assert!(why.contains("the workbook unpacks to more than"), "{why}");
}

#[test]
fn a_workbook_that_claims_more_texts_than_it_holds_is_refused_before_it_is_read() {
    let strings = b"<sst uniqueCount=\"576460752303423487\"><si><t>a</t></si></sst>";
    let book = plain_zip(&[("[Content_Types].xml", b""), ("xl/sharedStrings.xml", strings)]);
    let why = check_workbook(&mut Cursor::new(book)).unwrap_err();
    assert_eq!(
        why,
        "the workbook claims to hold 576460752303423487 texts and has no room for them"
    );
    let two = [plain_zip(&[("[Content_Types].xml", b"")]), workbook("")].concat();
    let why = check_workbook(&mut Cursor::new(two)).unwrap_err();
    assert!(why.contains("its directory is not where its end says"), "{why}");
}

#[test]
fn age_files_are_opened_by_passphrase_also_armoured_and_around_an_archive() {
    let wrapped = age_by_passphrase("hunter2", &plain_zip(&[("cards.csv", TEXT)]));
    assert_eq!(opened(&wrapped, &with("hunter2")).unwrap(), TEXT);
    assert_eq!(
        refused(&wrapped, &with("hunter3")),
        "the age file: the passphrase does not open it"
    );
    assert!(refused(&wrapped, &Openers::default()).contains("the age file has a password"));
    let mut armoured = Vec::new();
    let mut writer = age::armor::ArmoredWriter::wrap_output(&mut armoured, age::armor::Format::AsciiArmor).unwrap();
    writer.write_all(&wrapped).unwrap();
    writer.finish().unwrap();
    assert_eq!(opened(&armoured, &with("hunter2")).unwrap(), TEXT);
    let stranger = age::x25519::Identity::generate().to_public();
    let foreign = age::encrypt(&stranger, TEXT).unwrap();
    assert!(refused(&foreign, &with("hunter2")).contains("only a cards worker can open it"));
}

/// Made with GnuPG for these tests alone: a key, and messages to it or by the passphrase `hunter2`.
const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/import/container/samples");

fn sample(name: &str) -> Vec<u8> {
    std::fs::read(format!("{SAMPLES}/{name}")).unwrap()
}

#[test]
fn openpgp_messages_are_opened_by_the_workers_key_and_by_passphrase() {
    let key = PgpKey::read(format!("{SAMPLES}/key.asc").as_ref(), None).unwrap();
    let own = Openers {
        pgp: Some(&key),
        ..Openers::default()
    };
    for name in ["to-key.pgp", "to-key.asc"] {
        assert_eq!(opened(&sample(name), &own).unwrap(), TEXT, "{name}");
        assert!(refused(&sample(name), &Openers::default()).contains("UNIGATE_PGP_KEY_FILE"));
        assert!(refused(&sample(name), &with("hunter2")).contains("neither key nor password opens it"));
    }
    let archive = opened(&sample("zip-to-key.pgp"), &own).unwrap();
    assert_eq!(archive.iter().filter(|byte| **byte == b'\n').count(), 3_001);
    assert_eq!(opened(&sample("by-password.pgp"), &with("hunter2")).unwrap(), TEXT);
    refused(&sample("by-password.pgp"), &with("hunter3"));
    assert!(!format!("{key:?}").contains("PRIVATE"));
    let none = PgpKey::read(format!("{SAMPLES}/to-key.asc").as_ref(), None).unwrap_err();
    assert!(none.to_string().contains("is not an OpenPGP secret key"), "{none}");
}

#[test]
fn openpgp_messages_that_are_cut_off_or_damaged_are_refused() {
    let key = PgpKey::read(format!("{SAMPLES}/key.asc").as_ref(), None).unwrap();
    let own = Openers {
        pgp: Some(&key),
        ..Openers::default()
    };
    for (name, at) in [("to-key.pgp", 150), ("zip-to-key.pgp", 20_000)] {
        let whole = sample(name);
        refused(&whole[..whole.len() - 1], &own);
        refused(&whole[..at], &own);
        let mut flipped = whole;
        flipped[at] ^= 1;
        refused(&flipped, &own);
    }
}

#[test]
fn what_is_packed_otherwise_is_named_and_text_is_left_alone() {
    for (bytes, why) in [
        (&b"\xd0\xcf\x11\xe0\xa1\xb1"[..], "Excel workbook with a password"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
        (b"Rar!\x1a", "RAR"),
        (b"%PDF-1.7", "PDF"),
    ] {
        assert!(refused(bytes, &Openers::default()).contains(why));
    }
    // Cyrillic of one byte a character begins like many a binary.
    for text in ["Серия;ПИН", "ПИН;Серия", "ЁЖИК", "я", "Аб\u{2022}"] {
        for encoding in [encoding_rs::WINDOWS_1251, encoding_rs::IBM866, encoding_rs::UTF_8] {
            let (bytes, ..) = encoding.encode(text);
            assert_eq!(kind_of(&bytes), Kind::Text, "{text} in {}", encoding.name());
            assert_eq!(opened(&bytes, &Openers::default()).unwrap(), &*bytes);
        }
    }
    assert_eq!(opened(b"", &Openers::default()).unwrap(), b"");
}
