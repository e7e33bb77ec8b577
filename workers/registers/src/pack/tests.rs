//! The default register, to the byte, through no stage and through the contract's two.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use age::x25519::Identity;
use domain::declaration::{AgeSeal, SealStage, ZipSeal};
use domain::{Currency, Number, PaymentId};
use formats::{Head, Layout, Row, Tally};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::*;
use crate::seal::prepare_all;

fn spec(stages: Vec<SealStage>) -> FileSpec {
    let plain = spec_of(json!({}));
    FileSpec { stages, ..plain }
}

/// The file of a payee whose `[register]` says this besides.
pub(crate) fn spec_of(register: Value) -> FileSpec {
    let mut declared = json!({
        "id": "gvk", "name": "Gorvodokanal", "gateway": "registers", "currency": "RUB",
        "account": { "pattern": ".*" }, "amount": { "min": 1, "max": 1_000_000 },
        "field": [{ "name": "meter_cold", "label": "Meter" }, { "name": "payer", "label": "Payer" }],
        "register": { "every_payments": 1, "time_zone": "Europe/Moscow" },
    });
    for (key, value) in register.as_object().unwrap() {
        declared["register"][key] = value.clone();
    }
    let payee = serde_json::from_value(declared);
    let at = "2026-11-23T21:00:00Z".parse().unwrap();
    let head = Head {
        series: "main".to_owned(),
        sequence: 1,
        of_day: 1,
        of_year: 1,
        part: (1, 1),
        count: 0,
        total: 0,
        currency: Currency::parse("RUB").unwrap(),
        is_copy: false,
        open: 0,
        first_at: at,
        last_at: at,
        cutoff: at,
    };
    FileSpec {
        inner_name: "gvk-main-000001.csv".to_owned(),
        name: String::new(),
        layout: Layout::of(&payee.unwrap()).unwrap(),
        head,
        stages: Vec::new(),
        dated: "2026-11-24T00:00:00+03:00[Europe/Moscow]".parse().unwrap(),
    }
}

/// Payments of these numbers.
pub(crate) struct Payments(pub(crate) Vec<i64>);

impl Rows for Payments {
    fn each(&self, take: &mut dyn FnMut(&Row<'_>) -> Result<(), BuildError>) -> Result<(), BuildError> {
        let at: Timestamp = "2026-11-23T07:02:11.5Z".parse().unwrap();
        let fields = BTreeMap::from([("payer".to_owned(), "Иванов; И. \"И.\"".to_owned())]);
        self.0.iter().try_for_each(|number| {
            take(&Row {
                number: Number::new(*number).unwrap(),
                payment_id: PaymentId::from_uuid(uuid::Uuid::nil()),
                at,
                paid_at: at,
                account: "1920679795",
                amount: 15_000,
                fee: 300,
                terminal: "T-0001",
                currency: Currency::parse("RUB").unwrap(),
                receipt_number: Some("000124"),
                fields: &fields,
            })
        })
    }
}

/// Packs rows and returns the file with what was said about it.
fn packed(spec: FileSpec, rows: i64) -> Result<(Vec<u8>, Tally, Finished), BuildError> {
    let (pages_in, pages) = tokio::sync::mpsc::channel(1);
    let (chunks_in, mut chunks) = tokio::sync::mpsc::channel::<Bytes>(1);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for first in (1..=rows).step_by(100) {
                let page = Payments((first..=rows.min(first + 99)).collect());
                if pages_in.blocking_send(Page::Rows(Box::new(page))).is_err() {
                    return;
                }
            }
            let _ = pages_in.blocking_send(Page::End);
        });
        let file = scope.spawn(move || {
            let mut file = Vec::new();
            while let Some(chunk) = chunks.blocking_recv() {
                file.extend_from_slice(&chunk);
            }
            file
        });
        let (written, finished) = pack(&spec, prepare_all(&spec.stages)?, pages, chunks_in)?;
        Ok((file.join().unwrap(), written.tally, finished))
    })
}

fn csv(rows: i64) -> String {
    let mut text = "number;accepted_at;paid_at;account;amount;currency;receipt_number;meter_cold;payer\r\n".to_owned();
    for number in 1..=rows {
        text.push_str(&format!(
            "{number};2026-11-23T10:02:11+03:00;2026-11-23T10:02:11+03:00;1920679795;150.00;RUB;000124;;\"Иванов; И. \"\"И.\"\"\"\r\n"
        ));
    }
    text
}

fn unzipped(file: Vec<u8>) -> String {
    let mut archive = zip::ZipArchive::new(Cursor::new(file)).unwrap();
    assert_eq!(archive.len(), 1);
    let mut entry = archive.by_index(0).unwrap();
    assert_eq!(entry.name().unwrap(), "gvk-main-000001.csv");
    assert_eq!(entry.last_modified().unwrap().to_string(), "2026-11-24 00:00:00");
    let mut text = String::new();
    entry.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn the_default_register() {
    let (file, tally, finished) = packed(spec(vec![]), 2).unwrap();
    assert_eq!(String::from_utf8(file.clone()).unwrap(), csv(2));
    assert_eq!(
        tally,
        Tally {
            count: 2,
            total: 30_000,
            fees: 600
        }
    );
    assert_eq!(finished.sha256, <[u8; 32]>::from(Sha256::digest(&file)));
    assert_eq!(finished.bytes, file.len() as i64);
}

#[test]
fn an_archive_encrypted_is_opened_by_every_recipient_and_nobody_else() {
    let (one, two, other) = (Identity::generate(), Identity::generate(), Identity::generate());
    let to = AgeSeal {
        recipients: [&one, &two].map(|identity| identity.to_public().to_string()).to_vec(),
        passphrase: None,
    };
    let stages = vec![SealStage::Zip(ZipSeal::default()), SealStage::Age(to)];
    let (file, tally, _) = packed(spec(stages), 3).unwrap();
    assert_eq!(tally.count, 3);
    for identity in [one, two] {
        assert_eq!(unzipped(age::decrypt(&identity, &file).unwrap()), csv(3));
    }
    assert!(age::decrypt(&other, &file).is_err());
}

#[test]
fn large_files_are_cut_into_whole_chunks() {
    let (file, tally, finished) = packed(spec(vec![]), 20_000).unwrap();
    assert_eq!(tally.count, 20_000);
    assert!(file.len() > 2 * store::artifacts::CHUNK_BYTES);
    assert_eq!(file, csv(20_000).into_bytes());
    assert_eq!(finished.sha256, <[u8; 32]>::from(Sha256::digest(&file)));
}

#[test]
fn rows_that_break_off_make_no_file() {
    let (pages_in, pages) = tokio::sync::mpsc::channel(1);
    let (chunks_in, _chunks) = tokio::sync::mpsc::channel(1);
    pages_in.blocking_send(Page::Rows(Box::new(Payments(vec![1])))).unwrap();
    drop(pages_in);
    let broken_off = pack(&spec(vec![]), vec![], pages, chunks_in);
    assert!(matches!(broken_off, Err(BuildError::BrokenOff)), "{broken_off:?}");
}
