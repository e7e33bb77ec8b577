//! What is in a register's file that somebody brings back, as far as it can be opened without a key: archives without a
//! password, gzip, and text with a header that names `number` and `amount`, as the default register has it.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use domain::money::parse_major;
use domain::{Currency, Number};

/// The most that is unpacked.
const UNPACKED_MAX: u64 = 1024 * 1024 * 1024;
/// More wrappings than a register has.
const LAYERS_MAX: usize = 8;

/// What a file turned out to hold.
#[derive(Debug, PartialEq, Eq)]
pub enum Contents {
    /// Payments: number and amount in minor units. What one number has twice is summed up, and differs then.
    Payments(BTreeMap<i64, i64>),
    /// It cannot be looked into, and why.
    Closed(String),
}

/// Looks into a file.
pub fn contents(file: &[u8], currency: Currency) -> Contents {
    look(file.to_vec(), currency, LAYERS_MAX).unwrap_or_else(Contents::Closed)
}

fn look(file: Vec<u8>, currency: Currency, left: usize) -> Result<Contents, String> {
    if left == 0 {
        return Err(format!("it is wrapped more than {LAYERS_MAX} times"));
    }
    if file.starts_with(b"PK\x03\x04") {
        return look(unzipped(file)?, currency, left - 1);
    }
    if file.starts_with(b"\x1f\x8b") {
        let unpacked = whole(flate2::read::MultiGzDecoder::new(Cursor::new(file)));
        return look(unpacked.map_err(|why| format!("gzip: {why}"))?, currency, left - 1);
    }
    if file.starts_with(b"age-encryption.org/") {
        return Err("it is encrypted with age: only its bytes can be compared".to_owned());
    }
    let text =
        String::from_utf8(file).map_err(|_| "it is no text in UTF-8: only its bytes can be compared".to_owned())?;
    payments(&text, currency).map(Contents::Payments)
}

fn unzipped(file: Vec<u8>) -> Result<Vec<u8>, String> {
    let told = |error: zip::result::ZipError| format!("the archive: {error}");
    let mut archive = zip::ZipArchive::new(Cursor::new(file)).map_err(told)?;
    if archive.len() != 1 {
        return Err(format!("the archive holds {} files, not one", archive.len()));
    }
    let entry = archive.by_index(0).map_err(told)?;
    whole(entry).map_err(|why| format!("the archive: {why}"))
}

fn whole(source: impl Read) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = source.take(UNPACKED_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    if bytes.len() as u64 > UNPACKED_MAX {
        return Err(format!("it unpacks to more than {UNPACKED_MAX} bytes"));
    }
    Ok(bytes)
}

fn payments(text: &str, currency: Currency) -> Result<BTreeMap<i64, i64>, String> {
    let text = text.trim_start_matches('\u{feff}');
    let mut reader = csv::ReaderBuilder::new().delimiter(b';').from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| error.to_string())?;
    let column = |name: &str| header.iter().position(|column| column == name);
    let (Some(number), Some(amount)) = (column("number"), column("amount")) else {
        return Err("it is no text with columns `number` and `amount`: only its bytes can be compared".to_owned());
    };
    let mut found = BTreeMap::new();
    for (at, record) in reader.records().enumerate() {
        let line = at + 2;
        let record = record.map_err(|error| format!("line {line}: {error}"))?;
        let field = |column: usize| record.get(column).unwrap_or_default();
        let number = field(number).parse().ok().and_then(|number| Number::new(number).ok());
        let number = number.ok_or_else(|| format!("line {line}: the number cannot be read"))?;
        let amount =
            parse_major(field(amount), currency).ok_or_else(|| format!("line {line}: the amount cannot be read"))?;
        *found.entry(number.get()).or_insert(0) += amount.minor();
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const TEXT: &str = "number;accepted_at;amount;payer\r\n7;2026-11-23;150.00;\"a;b\"\r\n8;2026-11-23;0.50;x\r\n";

    fn rub(file: &[u8]) -> Contents {
        contents(file, Currency::parse("RUB").unwrap())
    }

    #[test]
    fn what_needs_no_key_is_opened() {
        let expected = Contents::Payments(BTreeMap::from([(7, 15_000), (8, 50)]));
        assert_eq!(rub(TEXT.as_bytes()), expected);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(TEXT.as_bytes()).unwrap();
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        archive
            .start_file("a.csv.gz", zip::write::SimpleFileOptions::default())
            .unwrap();
        archive.write_all(&gzip.finish().unwrap()).unwrap();
        assert_eq!(rub(archive.finish().unwrap().get_ref()), expected);
    }

    #[test]
    fn what_cannot_be_looked_into_says_why() {
        for (file, why) in [
            (&b"age-encryption.org/v1\n"[..], "encrypted with age"),
            (b"\xff\xfe\x00", "no text in UTF-8"),
            (b"a;b\n1;2\n", "no text with columns"),
            (b"number;amount\n1;many\n", "line 2: the amount cannot be read"),
            (b"number;amount\nx;1.00\n", "line 2: the number cannot be read"),
            (b"\x1f\x8bxx", "gzip: "),
            (b"PK\x03\x04", "the archive: "),
        ] {
            let Contents::Closed(told) = rub(file) else {
                panic!("{file:?}")
            };
            assert!(told.contains(why), "{told}");
        }
    }
}
