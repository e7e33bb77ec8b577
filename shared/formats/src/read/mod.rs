//! Reading: a register of somebody else's, by the same layout it could have been written with. Every line is read or
//! refused by itself; what the file tells of its own count and total is told beside.

mod dbf;
mod markup;
mod pattern;
mod template;
mod text;
mod xlsx;

use std::collections::BTreeMap;

use domain::declaration::{Fact, FormatKind, Formulas};
use domain::money::parse_major;
use domain::{Amount, Currency};
use jiff::civil::{Date, Time};
use jiff::fmt::strtime::BrokenDownTime;
use jiff::{Timestamp, Zoned};

use self::pattern::Pattern;
use crate::clean::FORMULA_SIGNS;
use crate::layout::Layout;

/// The largest file that is read: all of it is in memory.
pub const FILE_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Why a file is no register of this layout.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is larger than [`FILE_MAX_BYTES`].
    #[error("is larger than {FILE_MAX_BYTES} bytes")]
    TooLarge,
    /// It is not in the encoding of the layout.
    #[error("is not {0}")]
    Encoding(&'static str),
    /// The layout cannot tell a payment.
    #[error("the layout has no column {0}: a payment cannot be read without it")]
    NoColumn(&'static str),
    /// Something that is not a line is wrong.
    #[error("{0}")]
    Malformed(String),
}

/// A register as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received {
    /// In the order of the file.
    pub lines: Vec<Line>,
    /// What it tells of its own count.
    pub told_count: Option<i64>,
    /// What it tells of its own total, in minor units.
    pub told_total: Option<i64>,
    /// Whether nothing but the end of the file ends its last payment, as in one that was cut off on the way: what looks whole
    /// may be the beginning of an amount or an account.
    pub unended: bool,
}

/// A line with a payment, or what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where it stands: a line of text, a row, a record, or an element of the root, from 1.
    pub line: u64,
    /// The payment.
    pub payment: Result<ReceivedPayment, String>,
}

/// A payment that somebody else took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedPayment {
    /// What the other one knows it by.
    pub number: String,
    /// The payer's account.
    pub account: String,
    /// What the payee gets.
    pub amount: Amount,
    /// What the payer paid on top, in minor units.
    pub fee: i64,
    /// The currency, where the file says it.
    pub currency: Option<String>,
    /// When the payer paid.
    pub paid_at: Timestamp,
    /// As printed for the payer.
    pub receipt_number: Option<String>,
    /// What else the payer entered.
    pub fields: BTreeMap<String, String>,
}

impl Layout {
    /// Reads a register whose amounts are in `currency`.
    pub fn read(&self, bytes: &[u8], currency: Currency) -> Result<Received, ReadError> {
        if bytes.len() > FILE_MAX_BYTES {
            return Err(ReadError::TooLarge);
        }
        self.read_what(bytes, currency, Needs::All)
    }

    /// The same of a file of any size, as far as payments are recognised and counted: numbers and amounts. What the layout
    /// has not is empty.
    pub fn read_amounts(&self, bytes: &[u8], currency: Currency) -> Result<Received, ReadError> {
        self.read_what(bytes, currency, Needs::Amounts)
    }

    fn read_what(&self, bytes: &[u8], currency: Currency, needs: Needs) -> Result<Received, ReadError> {
        let reading = Reading {
            layout: self,
            row: template::row_of(self).transpose()?,
            currency,
            needs,
        };
        reading.check_columns()?;
        match self.format.kind() {
            FormatKind::Delimited => text::delimited(&reading, bytes),
            FormatKind::Fixed => text::fixed(&reading, bytes),
            FormatKind::Dbf => dbf::read(&reading, bytes),
            FormatKind::Xml => markup::xml(&reading, bytes),
            FormatKind::Jsonl => markup::json_lines(&reading, bytes),
            FormatKind::Xlsx => xlsx::read(&reading, bytes),
            FormatKind::Text => match &reading.row {
                Some(row) => template::read(&reading, row, bytes),
                None => Err(ReadError::NoColumn("row")),
            },
        }
    }
}

/// A file being read.
struct Reading<'l> {
    layout: &'l Layout,
    /// Where a payment is a template and no columns.
    row: Option<Pattern>,
    currency: Currency,
    needs: Needs,
}

/// What of a payment has to be there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// All that it takes to accept it.
    All,
    /// Number and amount.
    Amounts,
}

impl Reading<'_> {
    fn check_columns(&self) -> Result<(), ReadError> {
        let has = |facts: &[Fact]| match &self.row {
            Some(row) => facts.iter().any(|fact| row.tells(&template::name_of(fact))),
            None => {
                let mut columns = self.layout.columns.iter();
                columns.any(|column| column.fact.as_ref().is_some_and(|fact| facts.contains(fact)))
            }
        };
        for (name, facts) in [
            ("number", &[Fact::Number][..]),
            ("amount", &[Fact::Amount]),
            ("account", &[Fact::Account]),
            (
                "paid_at or paid_date",
                &[Fact::PaidAt, Fact::PaidDate, Fact::AcceptedAt, Fact::AcceptedDate],
            ),
        ] {
            let needed = self.needs == Needs::All || ["number", "amount"].contains(&name);
            if needed && !has(facts) {
                return Err(ReadError::NoColumn(name));
            }
        }
        Ok(())
    }

    /// A payment out of its cells, one per column of the layout.
    fn payment(&self, cells: &[&str]) -> Result<ReceivedPayment, String> {
        self.payment_of(|fact| {
            let columns = self.layout.columns.iter().zip(cells);
            let mut found = columns.filter(|(column, _)| column.fact.as_ref() == Some(fact));
            found.next().map(|(_, text)| *text).filter(|text| !text.is_empty())
        })
    }

    /// A payment out of the texts of its facts; none is empty.
    fn payment_of<'t>(&self, cell: impl Fn(&Fact) -> Option<&'t str> + Copy) -> Result<ReceivedPayment, String> {
        if self.needs == Needs::Amounts {
            return self.amounts_of(cell);
        }
        let needed = |fact: Fact| cell(&fact).ok_or_else(|| format!("{}: is missing", fact.word()));
        let fields = self.layout.fields.iter().filter_map(|field| {
            let text = cell(&Fact::Field(field.clone()))?;
            Some((field.clone(), self.undisarmed(text).to_owned()))
        });
        Ok(ReceivedPayment {
            number: needed(Fact::Number)?.to_owned(),
            account: self.undisarmed(needed(Fact::Account)?).to_owned(),
            amount: self.amount("amount", needed(Fact::Amount)?)?,
            fee: match cell(&Fact::Fee) {
                None => 0,
                Some(text) if text.bytes().all(|byte| matches!(byte, b'0' | b'.' | b',')) => 0,
                Some(text) => self.amount("fee", text)?.minor(),
            },
            currency: cell(&Fact::Currency).map(str::to_owned),
            paid_at: self.paid_at(cell)?,
            receipt_number: cell(&Fact::ReceiptNumber).map(|text| self.undisarmed(text).to_owned()),
            fields: fields.collect(),
        })
    }

    fn amounts_of<'t>(&self, cell: impl Fn(&Fact) -> Option<&'t str> + Copy) -> Result<ReceivedPayment, String> {
        let needed = |fact: Fact| cell(&fact).ok_or_else(|| format!("{}: is missing", fact.word()));
        Ok(ReceivedPayment {
            number: needed(Fact::Number)?.to_owned(),
            account: String::new(),
            amount: self.amount("amount", needed(Fact::Amount)?)?,
            fee: 0,
            currency: None,
            paid_at: Timestamp::UNIX_EPOCH,
            receipt_number: None,
            fields: BTreeMap::new(),
        })
    }

    /// Without what an agent that disarms formulas as we do has put in front; where nobody does, it is the payer's own.
    fn undisarmed<'t>(&self, text: &'t str) -> &'t str {
        if self.layout.style.formulas == Formulas::Keep {
            return text;
        }
        let bare = text.strip_prefix('\'').filter(|bare| bare.starts_with(FORMULA_SIGNS));
        bare.unwrap_or(text)
    }

    fn amount(&self, name: &str, text: &str) -> Result<Amount, String> {
        parse_major(text, self.currency).ok_or_else(|| format!("{name}: `{}` is no amount", shown(text)))
    }

    /// When the payer paid; where the file does not say, when the other one accepted it.
    fn paid_at<'t>(&self, cell: impl Fn(&Fact) -> Option<&'t str> + Copy) -> Result<Timestamp, String> {
        let style = &self.layout.style;
        for (at, date, time) in [
            (Fact::PaidAt, Fact::PaidDate, Fact::PaidTime),
            (Fact::AcceptedAt, Fact::AcceptedDate, Fact::AcceptedTime),
        ] {
            if let Some(text) = cell(&at) {
                return self
                    .moment(&style.moment, text)
                    .ok_or_else(|| format!("{}: `{}` is no moment", at.word(), shown(text)));
            }
            let Some(text) = cell(&date) else { continue };
            let wrong = |fact: &Fact, text: &str| format!("{}: `{}` is none", fact.word(), shown(text));
            let day = parsed(&style.date, text).and_then(|parts| parts.to_date().ok());
            let day: Date = day.ok_or_else(|| wrong(&date, text))?;
            let clock = match cell(&time) {
                None => Time::midnight(),
                Some(text) => {
                    let parts = parsed(&style.time, text);
                    parts
                        .and_then(|parts| parts.to_time().ok())
                        .ok_or_else(|| wrong(&time, text))?
                }
            };
            let zoned: Zoned = day
                .to_datetime(clock)
                .to_zoned(style.zone.tz().clone())
                .map_err(|_| wrong(&date, text))?;
            return Ok(zoned.timestamp());
        }
        Err("paid_at: is missing".to_owned())
    }

    fn moment(&self, pattern: &str, text: &str) -> Option<Timestamp> {
        let parts = parsed(pattern, text)?;
        if let Ok(at) = parts.to_timestamp() {
            return Some(at);
        }
        let zoned = parts.to_datetime().ok()?.to_zoned(self.layout.style.zone.tz().clone());
        zoned.ok().map(|zoned| zoned.timestamp())
    }
}

fn parsed(pattern: &str, text: &str) -> Option<BrokenDownTime> {
    BrokenDownTime::parse(pattern, text).ok()
}

/// So much of a value as helps to find it.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}
