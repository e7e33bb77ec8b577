//! A payee's list as a file: CSV with a header, read row by row.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, bail};
use clap::ValueEnum;
use csv::{ReaderBuilder, StringRecord};
use domain::ids::Number;
use domain::money::{Currency, parse_major};
use domain::reconciliation::Theirs;
use encoding_rs::WINDOWS_1251;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use store::reconciliation::Item;

use super::{Online, Taker};

/// How a file's characters are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Encoding {
    #[default]
    #[value(name = "utf-8")]
    Utf8,
    #[value(name = "windows-1251")]
    Windows1251,
}

/// The longest header that is looked at for its separator.
const HEADER_MAX: u64 = 64 * 1024;
/// What the columns may be called, beside their own names.
const COLUMNS: [(&str, &[&str]); 5] = [
    ("number", &["txn_id", "номер"]),
    ("amount", &["sum", "сумма"]),
    ("currency", &["валюта"]),
    ("credited_at", &["date", "дата", "txn_date"]),
    ("provider_reference", &["prv_txn", "reference"]),
];

/// Reads it all. An error names the line.
pub(super) async fn read(
    path: &Path,
    encoding: Encoding,
    online: &Online,
    taker: &mut Taker<'_>,
) -> anyhow::Result<()> {
    let place = || path.display().to_string();
    let separator = separator(&header(path).with_context(place)?);
    let mut csv = ReaderBuilder::new()
        .delimiter(separator)
        .trim(csv::Trim::All)
        .from_reader(File::open(path).with_context(place)?);
    let mut record = csv::ByteRecord::new();
    let names = decoded(csv.byte_headers().with_context(place)?, encoding).with_context(place)?;
    let columns = Columns::of(&names, online).with_context(place)?;
    while csv.read_byte_record(&mut record).with_context(place)? {
        let line = record.position().map_or(0, csv::Position::line);
        let here = || format!("{}: line {line}", path.display());
        let item = on_one_line(&record)
            .and_then(|()| decoded(&record, encoding))
            .and_then(|row| columns.item(&row));
        taker.take(item.with_context(here)?).await?;
    }
    Ok(())
}

fn header(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut line = Vec::new();
    BufReader::new(File::open(path)?)
        .take(HEADER_MAX)
        .read_until(b'\n', &mut line)?;
    Ok(line)
}

/// Whichever stands in the header most often.
fn separator(header: &[u8]) -> u8 {
    let count = |separator: &u8| header.iter().filter(|byte| *byte == separator).count();
    [b';', b',', b'\t'].into_iter().max_by_key(count).unwrap_or(b';')
}

/// A quote that nobody closed makes one field of every line that follows: the rest of the list would be missing without a word.
fn on_one_line(record: &csv::ByteRecord) -> anyhow::Result<()> {
    if record.iter().any(|field| field.contains(&b'\n')) {
        bail!("a quoted field goes on in the next line; is its quote closed?");
    }
    Ok(())
}

/// All three separators are what they are in either encoding, so a field can be decoded by itself.
fn decoded(record: &csv::ByteRecord, encoding: Encoding) -> anyhow::Result<StringRecord> {
    match encoding {
        Encoding::Utf8 => StringRecord::from_byte_record(record.clone())
            .map_err(|_| anyhow::anyhow!("is not UTF-8; perhaps --encoding windows-1251")),
        Encoding::Windows1251 => Ok(record
            .iter()
            .map(|field| WINDOWS_1251.decode_without_bom_handling(field).0)
            .collect()),
    }
}

/// Where things stand in a row.
struct Columns {
    place: HashMap<&'static str, usize>,
    currency: Currency,
    zone: TimeZone,
}

impl Columns {
    fn of(header: &StringRecord, online: &Online) -> anyhow::Result<Self> {
        let mut place = HashMap::new();
        for (nth, name) in header.iter().enumerate() {
            let name = name.trim_start_matches('\u{feff}').to_lowercase();
            let known = COLUMNS
                .iter()
                .find(|(own, others)| *own == name || others.contains(&name.as_str()));
            if let Some((own, _)) = known
                && place.insert(*own, nth).is_some()
            {
                bail!("the header names {own} twice");
            }
        }
        for needed in ["number", "amount"] {
            if !place.contains_key(needed) {
                bail!("the header does not name {needed}");
            }
        }
        Ok(Self {
            place,
            currency: online.payee.currency,
            zone: online.zone.clone(),
        })
    }

    fn item(&self, row: &StringRecord) -> anyhow::Result<Item> {
        let cell = |name: &str| {
            let text = self.place.get(name).and_then(|nth| row.get(*nth));
            text.filter(|text| !text.is_empty())
        };
        let number = cell("number").context("number: is missing")?;
        let number = Number::parse(number).with_context(|| format!("number: `{number}` is none of ours"))?;
        let currency = match cell("currency") {
            None => self.currency,
            Some(code) => Currency::parse(code).with_context(|| format!("currency: `{code}`"))?,
        };
        let amount = cell("amount").context("amount: is missing")?;
        let minor = parse_major(amount, currency)
            .with_context(|| format!("amount: `{amount}` is no amount of {currency}, as 150.00 is one of RUB"))?;
        let credited_at = cell("credited_at").map(|text| moment(text, &self.zone)).transpose()?;
        Ok(Item {
            number,
            theirs: Theirs {
                amount: minor.minor(),
                currency: currency.code().to_owned(),
                credited_at,
                provider_reference: cell("provider_reference").map(shortened),
            },
        })
    }
}

/// As of what a payee says over the wire: nothing that a database or a terminal would choke on.
fn shortened(reference: &str) -> String {
    reference.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// RFC 3339, or a local time of the payee's: 2026-11-23 10:00:00, 23.11.2026 10:00[:00], 20261123100000.
fn moment(text: &str, zone: &TimeZone) -> anyhow::Result<Timestamp> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    let forms = [
        "%Y-%m-%d %H:%M:%S",
        "%Y-%m-%dT%H:%M:%S",
        "%d.%m.%Y %H:%M:%S",
        "%d.%m.%Y %H:%M",
        "%Y%m%d%H%M%S",
    ];
    let local = forms.iter().find_map(|form| DateTime::strptime(form, text).ok());
    let local = local.with_context(|| format!("credited_at: `{text}` is no time as 2026-11-23 10:00:00 is one"))?;
    Ok(local.to_zoned(zone.clone())?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> String {
        moment(text, &crate::moment::zone("Europe/Moscow").unwrap())
            .unwrap()
            .to_string()
    }

    #[test]
    fn separators_are_seen_in_the_header() {
        assert_eq!(separator(b"number;amount;currency\r\n"), b';');
        assert_eq!(separator(b"number,amount\n"), b',');
        assert_eq!(separator(b"number\tamount\n"), b'\t');
    }

    #[test]
    fn times_without_an_offset_are_the_payees() {
        let same = "2026-11-23T07:00:00Z";
        for text in [
            "2026-11-23T10:00:00+03:00",
            "2026-11-23 10:00:00",
            "23.11.2026 10:00:00",
            "23.11.2026 10:00",
            "20261123100000",
        ] {
            assert_eq!(at(text), same, "{text}");
        }
        assert!(moment("yesterday", &TimeZone::UTC).is_err());
    }
}
