//! What is in a register's file that somebody brings back, as far as it can be opened without a key: archives without a
//! password, gzip, text with a header that names `number` and `amount`, as the default register has it, and whatever the
//! payee's layout can be read by.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use domain::money::parse_major;
use domain::{Currency, Number};
use formats::Layout;

/// The most that is unpacked.
const UNPACKED_MAX: u64 = 1024 * 1024 * 1024;
/// A file that every workbook has.
const WORKBOOK: &str = "[Content_Types].xml";
const NO_NUMBER: &str = "the number cannot be read";
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

/// Looks into a file of somebody whose registers have this layout, if that is known.
pub fn contents(file: &[u8], layout: Option<&Layout>, currency: Currency) -> Contents {
    let found = unwrapped(file.to_vec(), LAYERS_MAX).and_then(|inner| read(&inner, layout, currency));
    found.map_or_else(Contents::Closed, Contents::Payments)
}

/// The file itself, out of what needs no key.
fn unwrapped(file: Vec<u8>, left: usize) -> Result<Vec<u8>, String> {
    if left == 0 {
        return Err(format!("it is wrapped more than {LAYERS_MAX} times"));
    }
    if file.starts_with(b"PK\x03\x04") {
        return match unzipped(&file)? {
            Some(inner) => unwrapped(inner, left - 1),
            None => Ok(file),
        };
    }
    if file.starts_with(b"\x1f\x8b") {
        let unpacked = whole(flate2::read::MultiGzDecoder::new(Cursor::new(file)));
        return unwrapped(unpacked.map_err(|why| format!("gzip: {why}"))?, left - 1);
    }
    if file.starts_with(b"age-encryption.org/") {
        return Err("it is encrypted with age: only its bytes can be compared".to_owned());
    }
    Ok(file)
}

fn read(file: &[u8], layout: Option<&Layout>, currency: Currency) -> Result<BTreeMap<i64, i64>, String> {
    if let Some(found) = std::str::from_utf8(file).ok().and_then(|text| payments(text, currency)) {
        return found;
    }
    let unknown = "it is no text with columns `number` and `amount`: only its bytes can be compared";
    let layout = layout.ok_or_else(|| unknown.to_owned())?;
    let received = layout.read_amounts(file, currency);
    let received = received.map_err(|why| format!("it is not as the payee's registers are: {why}"))?;
    let mut found = BTreeMap::new();
    for line in received.lines {
        let told = |why: &str| format!("line {}: {why}", line.line);
        let payment = line.payment.as_ref().map_err(|why| told(why))?;
        add(&mut found, &payment.number, payment.amount.minor()).ok_or_else(|| told(NO_NUMBER))?;
    }
    Ok(found)
}

/// Sums up what one number has; none where it is no number.
fn add(found: &mut BTreeMap<i64, i64>, number: &str, amount: i64) -> Option<()> {
    let number = Number::parse(number).ok()?;
    *found.entry(number.get()).or_insert(0) += amount;
    Some(())
}

/// What an archive of one file holds; none where it is a workbook, which is an archive of many.
fn unzipped(file: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let told = |error: zip::result::ZipError| format!("the archive: {error}");
    let mut archive = zip::ZipArchive::new(Cursor::new(file)).map_err(told)?;
    if archive.index_for_name(WORKBOOK).is_some() {
        return Ok(None);
    }
    if archive.len() != 1 {
        return Err(format!("the archive holds {} files, not one", archive.len()));
    }
    let entry = archive.by_index(0).map_err(told)?;
    whole(entry).map(Some).map_err(|why| format!("the archive: {why}"))
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

/// Text by the names in its first line; none where it has no such names.
fn payments(text: &str, currency: Currency) -> Option<Result<BTreeMap<i64, i64>, String>> {
    let text = text.trim_start_matches('\u{feff}');
    let mut reader = csv::ReaderBuilder::new().delimiter(b';').from_reader(text.as_bytes());
    let header = reader.headers().ok()?;
    let column = |name: &str| header.iter().position(|column| column == name);
    let (number, amount) = (column("number")?, column("amount")?);
    let mut read = || {
        let mut found = BTreeMap::new();
        for (at, record) in reader.records().enumerate() {
            let told = |why: &str| format!("line {}: {why}", at + 2);
            let record = record.map_err(|error| told(&error.to_string()))?;
            let field = |column: usize| record.get(column).unwrap_or_default();
            let paid = parse_major(field(amount), currency).ok_or_else(|| told("the amount cannot be read"))?;
            add(&mut found, field(number), paid.minor()).ok_or_else(|| told(NO_NUMBER))?;
        }
        Ok(found)
    };
    Some(read())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const TEXT: &str = "number;accepted_at;amount;payer\r\n7;2026-11-23;150.00;\"a;b\"\r\n8;2026-11-23;0.50;x\r\n";

    fn rub(file: &[u8]) -> Contents {
        contents(file, None, Currency::parse("RUB").unwrap())
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
    fn what_the_payees_layout_says_is_read_by_it() {
        for register in [
            "format = \"xlsx\"",
            "format = \"jsonl\"",
            "format = \"xml\"\nencoding = \"windows-1251\"",
            "format = \"1c\"",
            "format = \"dbf\"\nlayout = { columns = [{ value = \"number\" }, { value = \"amount\" }] }",
        ] {
            let text = format!(
                "id = \"gvk\"\nname = \"ГВК\"\ngateway = \"registers\"\ncurrency = \"RUB\"\naccount = {{ pattern = \".*\" }}\n\
                 amount = {{ min = 1, max = 100 }}\n[register]\nevery_payments = 1\n{register}"
            );
            let layout = Layout::of(&toml::from_str(&text).unwrap()).unwrap();
            let file = written(&layout);
            let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
            let plain = zip::write::SimpleFileOptions::default();
            archive.start_file("a", plain).unwrap();
            archive.write_all(&file).unwrap();
            let archive = archive.finish().unwrap().into_inner();
            for bytes in [&file, &archive] {
                let found = contents(bytes, Some(&layout), Currency::parse("RUB").unwrap());
                assert_eq!(
                    found,
                    Contents::Payments(BTreeMap::from([(7, 15_000), (8, 50)])),
                    "{register}"
                );
            }
            let other = contents(b"\x00", Some(&layout), Currency::parse("RUB").unwrap());
            assert!(matches!(other, Contents::Closed(_)), "{register}: {other:?}");
        }
    }

    fn written(layout: &Layout) -> Vec<u8> {
        let at: jiff::Timestamp = "2026-11-23T21:00:00Z".parse().unwrap();
        let currency = Currency::parse("RUB").unwrap();
        let head = formats::Head {
            series: "main".to_owned(),
            sequence: 1,
            of_day: 1,
            of_year: 1,
            part: (1, 1),
            count: 2,
            total: 15_050,
            currency,
            is_copy: false,
            open: 0,
            first_at: at,
            last_at: at,
            cutoff: at,
        };
        let mut writer = layout.begin(&head, Vec::new()).unwrap();
        for (number, amount) in [(7, 15_000), (8, 50)] {
            let row = formats::Row {
                number: Number::new(number).unwrap(),
                payment_id: domain::PaymentId::from_uuid(uuid::Uuid::nil()),
                at,
                paid_at: at,
                account: "1",
                amount,
                fee: 0,
                currency,
                receipt_number: None,
                terminal: "T-1",
                fields: &BTreeMap::new(),
            };
            writer.row(&row).unwrap();
        }
        writer.finish().unwrap().0
    }

    #[test]
    fn what_cannot_be_looked_into_says_why() {
        for (file, why) in [
            (&b"age-encryption.org/v1\n"[..], "encrypted with age"),
            (b"\xff\xfe\x00", "no text with columns"),
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
