//! Lists as payees send them: a workbook of fines, and balances as a dBase table in cp866.

use std::path::Path;

use anyhow::Context as _;
use encoding_rs::IBM866;
use sheet::{Cell, Column, Xlsx};

use super::{Debtor, decimal};

/// As the example calls the sheet.
const SHEET: &str = "Постановления";
const HEADING: [Column<'_>; 4] = [
    Column::new("Номер постановления", 24),
    Column::new("ФИО", 30),
    Column::new("Статья", 12),
    Column::new("Сумма", 12),
];

/// The names of the table's fields and their lengths; all of them are text, as old bookkeeping writes them.
const FIELDS: [(&str, usize); 5] = [("LS", 6), ("FIO", 40), ("KV", 4), ("SALDO", 12), ("MES", 7)];
/// Bytes of the table's head, and of the description of one field.
const HEAD: usize = 32;
/// Version, and the day of the last change.
const BEGINNING: [u8; 4] = [0x03, 126, 11, 23];
const END_OF_FIELDS: u8 = 0x0d;
const END_OF_FILE: u8 = 0x1a;

pub(super) fn write_fines<'a>(path: &Path, fined: impl Iterator<Item = &'a Debtor>) -> anyhow::Result<()> {
    let mut book = Xlsx::new(SHEET, &HEADING)?;
    for debtor in fined {
        book.row(&[
            Cell::Text(debtor.account.clone()),
            Cell::Text(debtor.name.clone()),
            Cell::Text("12.9 ч.2".to_owned()),
            Cell::Money {
                minor: debtor.due,
                digits: 2,
            },
        ])?;
    }
    book.save(path).context("the workbook of fines")
}

pub(super) fn write_housing<'a>(path: &Path, tenants: impl Iterator<Item = &'a Debtor>) -> anyhow::Result<()> {
    let records: Vec<Vec<u8>> = tenants.zip(1..).map(|(debtor, flat)| record(debtor, flat)).collect();
    let length = 1 + FIELDS.iter().map(|(_, length)| length).sum::<usize>();
    let begin = HEAD + HEAD * FIELDS.len() + 1;
    let mut bytes = BEGINNING.to_vec();
    bytes.extend(u32::try_from(records.len())?.to_le_bytes());
    bytes.extend(u16::try_from(begin)?.to_le_bytes());
    bytes.extend(u16::try_from(length)?.to_le_bytes());
    bytes.resize(HEAD, 0);
    for (name, length) in FIELDS {
        let mut field = name.as_bytes().to_vec();
        field.resize(HEAD, 0);
        (field[11], field[16]) = (b'C', u8::try_from(length)?);
        bytes.extend(field);
    }
    bytes.push(END_OF_FIELDS);
    bytes.extend(records.concat());
    bytes.push(END_OF_FILE);
    std::fs::write(path, bytes).context("the table of balances")
}

fn record(debtor: &Debtor, flat: usize) -> Vec<u8> {
    let values = [
        debtor.account.clone(),
        debtor.name.clone(),
        flat.to_string(),
        decimal(debtor.due),
        "2026-11".to_owned(),
    ];
    let mut bytes = vec![b' '];
    for (value, (_, length)) in values.iter().zip(FIELDS) {
        let mut field = IBM866.encode(value).0.into_owned();
        field.resize(length, b' ');
        bytes.extend(field);
    }
    bytes
}
