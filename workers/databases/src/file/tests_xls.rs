//! Workbooks of before 2007 that say more than they hold: none of them takes memory or time for what is not there.

use std::io::{Cursor, Write as _};

use cfb::{CompoundFile, Version};
use serde_json::json;

use super::tests::{Place, listed, looked, payee, rows as found_in};
use super::*;

/// How the records of a sheet and of its workbook begin.
const SHEET: [u8; 4] = [0x00, 0x06, 0x10, 0x00];
const BOOK: [u8; 4] = [0x00, 0x06, 0x05, 0x00];
/// What nobody makes room for.
const HUGE: [u8; 4] = u32::MAX.to_le_bytes();

fn record(kind: u16, parts: &[&[u8]]) -> Vec<u8> {
    let data = parts.concat();
    [&kind.to_le_bytes(), &(data.len() as u16).to_le_bytes(), data.as_slice()].concat()
}

fn at(line: u16, column: u16) -> [u8; 6] {
    let ([a, b], [c, d]) = (line.to_le_bytes(), column.to_le_bytes());
    [a, b, c, d, 0, 0]
}

fn label(line: u16, column: u16, text: &str) -> Vec<u8> {
    let length = (text.len() as u16).to_le_bytes();
    record(0x0204, &[&at(line, column), &length, &[0], text.as_bytes()])
}

/// A cell that has a text by its number.
fn named(line: u16, column: u16, number: u32) -> Vec<u8> {
    record(0x00fd, &[&at(line, column), &number.to_le_bytes()])
}

/// The records of a workbook with this many sheets, which all begin where the cells do, under the heading `A`, `B`, `C`.
fn records(common: &[u8], sheets: u16, cells: &[u8]) -> Vec<u8> {
    let name = |nth: u16, begin: u32| {
        let name = format!("{nth:04}");
        record(0x0085, &[&begin.to_le_bytes(), &[0, 0, 4, 0], name.as_bytes()])
    };
    let begin = record(0x0809, &[&BOOK]);
    let length = begin.len() + common.len() + name(0, 0).len() * usize::from(sheets) + 4;
    let sheets: Vec<u8> = (0..sheets).flat_map(|nth| name(nth, length as u32)).collect();
    let heading: Vec<u8> = (0..)
        .zip(["A", "B", "C"])
        .flat_map(|(at, word)| label(0, at, word))
        .collect();
    let end = record(0x000a, &[]);
    [
        begin.as_slice(),
        common,
        &sheets,
        &end,
        &record(0x0809, &[&SHEET]),
        &heading,
        cells,
        &end,
    ]
    .concat()
}

fn compound(stream: &[u8]) -> Vec<u8> {
    let mut file = CompoundFile::create_with_version(Version::V3, Cursor::new(Vec::new())).unwrap();
    file.create_stream("Workbook").unwrap().write_all(stream).unwrap();
    file.flush().unwrap();
    file.into_inner().into_inner()
}

/// A workbook of one sheet with these cells.
fn workbook(cells: &[u8]) -> Vec<u8> {
    compound(&records(&[], 1, cells))
}

fn file() -> serde_json::Value {
    json!({"format": "xls", "columns": {"A": "account", "B": "name", "C": "amount_due"}})
}

fn read(bytes: &[u8]) -> Result<Vec<rows::Row>, String> {
    let payee = payee(std::path::Path::new("/list.xls"), file());
    super::workbook::xls(bytes, &payee.databases.unwrap().file.unwrap())
}

fn row(values: [&str; 3]) -> rows::Row {
    values
        .map(|value| (!value.is_empty()).then(|| value.to_owned()))
        .to_vec()
}

#[test]
fn what_an_old_workbook_only_says_costs_nothing() {
    let one = [label(1, 0, "1"), label(1, 1, "x")].concat();
    let mut promising = workbook(&one);
    // How many tables of allocation there are, and lists of those.
    promising[44..48].copy_from_slice(&HUGE);
    promising[64..68].copy_from_slice(&HUGE);
    let wide = record(0x0200, &[&[0; 4], &HUGE, &[0; 2], &HUGE[..2], &[0; 2]]);
    for (nth, bytes) in [promising, workbook(&[wide, one].concat())].into_iter().enumerate() {
        assert_eq!(read(&bytes).unwrap(), [row(["1", "x", ""])], "{nth}");
    }
}

#[test]
fn cells_of_an_old_workbook_are_read_wherever_they_are_and_in_any_order() {
    let rk = |number: i32| {
        [0, 0]
            .into_iter()
            .chain(((number << 2) | 2).to_le_bytes())
            .collect::<Vec<u8>>()
    };
    let beside = [&[9, 0, 1, 0], rk(7).as_slice(), &rk(-8), &[2, 0]].concat();
    let cells = [
        label(65_535, 255, "far"),
        label(65_535, 0, "last"),
        record(0x00bd, &[&beside]),
        label(9, 0, "ten"),
        record(
            0x0006,
            &[&at(4, 1), &[0, 0, 0, 0, 0, 0, 0xff, 0xff], &[0; 6], &[3, 0, 0x1e, 1, 0]],
        ),
        record(0x0207, &[&[3, 0, 0], b"sum"]),
        record(0x0203, &[&at(4, 2), &1.5_f64.to_le_bytes()]),
        label(4, 0, "before"),
        label(4, 0, "five"),
    ];
    assert_eq!(
        read(&workbook(&cells.concat())).unwrap(),
        [
            row(["five", "sum", "1.5"]),
            row(["ten", "7", "-8"]),
            row(["last", "", ""])
        ]
    );
}

#[test]
fn a_text_of_an_old_workbook_takes_the_room_that_it_needs() {
    // Each says that it is of 65535 characters, and has one.
    let long = |line: u16| record(0x0204, &[&at(line, 0), &HUGE[..2], &[0], b"x"]);
    let cells: Vec<u8> = (1..=50_000).flat_map(long).collect();
    assert_eq!(read(&workbook(&cells)).unwrap().len(), 50_000);
    // What formulas say is not asked for: each of these is 65000 spaces to begin with, put in one by one.
    let spaces = [0x19, 0x40, 0, 255].repeat(16_000);
    let length = (spaces.len() as u16 + 3).to_le_bytes();
    let formula = |line: u16| record(0x0006, &[&at(line, 0), &[0; 14], &length, &[0x1e, 1, 0], &spaces]);
    let cells: Vec<u8> = (1..=20).flat_map(formula).collect();
    assert_eq!(read(&workbook(&cells)).unwrap().len(), 20);
    // One text under many numbers, for cells that are no matter of ours.
    let texts = record(0x00fc, &[&[0; 8], &60_000_u16.to_le_bytes(), &[0], &[b'x'; 60_000]]);
    let cells: Vec<u8> = (1..=60_000).flat_map(|line| named(line, 3, 0)).collect();
    let book = records(&texts, 1, &[label(1, 0, "1"), cells].concat());
    assert_eq!(read(&compound(&book)).unwrap(), [row(["1", "", ""])]);
}

/// A file whose list of allocation tables is as many sectors long, and ends with this, or begins anew.
fn listing(sectors: u32, last: Option<u32>) -> Vec<u8> {
    let mut bytes = workbook(&[]);
    let first = (bytes.len() / 512 - 1) as u32;
    bytes[68..72].copy_from_slice(&first.to_le_bytes());
    for nth in 1..=sectors {
        let next = if nth == sectors {
            last.unwrap_or(first)
        } else {
            first + nth
        };
        bytes.extend([0; 4].repeat(127));
        bytes.extend(next.to_le_bytes());
    }
    bytes
}

/// A file whose directory goes on with itself.
fn round() -> Vec<u8> {
    let mut bytes = workbook(&[]);
    let number = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().unwrap());
    let (table, directory) = (number(76), number(48));
    let entry = (table as usize + 1) * 512 + directory as usize * 4;
    bytes[entry..entry + 4].copy_from_slice(&directory.to_le_bytes());
    bytes
}

#[tokio::test]
async fn an_old_workbook_that_would_fill_the_memory_is_refused_and_the_one_before_stays() {
    let place = Place::new();
    let path = place.file("list.xls", &workbook(&label(1, 0, "1")));
    let listed = listed(&path, file());
    assert_eq!(found_in(&listed.table().await.unwrap()).await, ["1|-|-"]);
    let texts = record(0x00fc, &[&[0; 8], &60_000_u16.to_le_bytes(), &[0], &[b'x'; 60_000]]);
    let often: Vec<u8> = (1..=60_000).flat_map(|line| named(line, 0, 0)).collect();
    let pieces = [texts.clone(), record(0x003c, &[]).repeat(40_000)].concat();
    let many: Vec<u8> = (1..=20_000).flat_map(|line| label(line, 0, "x")).collect();
    let formats = record(0x041e, &[&[0; 5]]).repeat(20_000);
    for (bomb, expected) in [
        (
            listing(1, None),
            "its list of allocation tables is longer than the file needs",
        ),
        (
            listing(20_000, Some(0xffff_fffe)),
            "its list of allocation tables is longer than the file needs",
        ),
        (round(), "Directory chain includes duplicate sector"),
        // The reader itself fails of it.
        (
            compound(&[record(0x0809, &[]), record(0x000a, &[])].concat()),
            "could not be read: the reader broke off",
        ),
        (
            workbook(&label(1, 65_535, "x")),
            "line 2: is damaged: it has a cell in column 65536 of 256",
        ),
        (compound(&records(&[], 5_000, &many)), "has more than 4096 sheets"),
        (compound(&records(&formats, 1, &[])), "has more than 16384 formats"),
        (
            compound(&records(&pieces, 1, &[])),
            "has more than 32768 pieces of its texts",
        ),
        (
            compound(&records(&texts, 1, &often)),
            "there is more text in it than 268435456 bytes",
        ),
    ] {
        place.file("list.xls", &bomb);
        let refused = looked(&listed).await;
        assert!(
            matches!(&refused, Looked::Refused(why) if why.contains(expected)),
            "{expected}: {refused:?}"
        );
        assert_eq!(
            found_in(&listed.table().await.unwrap()).await,
            ["1|-|-"],
            "what was there stays"
        );
    }
}
