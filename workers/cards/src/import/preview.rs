//! A look at a file before it is handed in, by whoever has it in hand: read as an import would read it, its first rows shown
//! with every secret masked. Nothing is stored, and no key of the workers is needed or used; so duplicates within the file are
//! found and those of what is in stock are not, and what only a worker can open is not shown.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, Hash, RandomState};
use std::io::{Read, Seek, SeekFrom};

use domain::declaration::Product;
use jiff::civil::Date;
use secrecy::{ExposeSecret, SecretString};
use store::imports::{Duplicate, Twin};

use super::container::{Openers, open, told};
use super::enter::{reason_of, too_late};
use super::report::Report;
use super::table::{self, Row};
use crate::vault::IndexKey;

/// The longest mask; beyond it the length is not shown.
const MASK_MAX: usize = 32;

/// What an import of the file would find, as far as the file itself can tell.
#[derive(Clone, Debug, Default)]
pub struct Preview {
    /// The first good rows.
    pub rows: Vec<Masked>,
    /// Counts and reasons; nothing is added, and duplicates are those within the file.
    pub report: Report,
}

/// A row as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Masked {
    /// Where it stands.
    pub line: u64,
    /// The serial, which is no secret.
    pub serial: String,
    /// The last day on which the card is good.
    pub expires_on: Option<Date>,
    /// What it is worth, if the file says so; in minor units.
    pub face_value: Option<i64>,
    /// What it costs, if the file says so; in minor units.
    pub price: Option<i64>,
    /// Fields that are no secret.
    pub public: Vec<(String, String)>,
    /// Secret fields: a star for every character.
    pub secret: Vec<(String, String)>,
    /// The card's day is past, or too near to be sold: it would be left out.
    pub expired: bool,
}

/// Reads a file as an import would. An error is about the file as a whole. Blocks.
pub fn preview(
    source: &mut (impl Read + Seek + Send),
    product: &Product,
    password: Option<SecretString>,
    today: Date,
    most: usize,
) -> Result<Preview, String> {
    let bytes = source.seek(SeekFrom::End(0)).map_err(|error| told(&error))?;
    source.rewind().map_err(|error| told(&error))?;
    let profile = product.card_file.clone().unwrap_or_default();
    let declared = profile.password.as_ref().map(runtime::secret::password);
    let openers = Openers {
        password: password.map(Ok).or(declared),
        bytes,
        ..Openers::default()
    };
    let (mut preview, mut seen) = (Preview::default(), Seen::new()?);
    open(source, &openers, &mut |found| {
        table::read(found, &profile, product.currency, &mut |row| {
            preview.report.rows += 1;
            match row {
                Ok(row) => {
                    let late = too_late(row.expires_on, today, product);
                    preview.take(&row, &mut seen, late, most);
                }
                Err(bad) => preview.report.refused.add(bad.line, bad.why),
            }
            Ok(())
        })
    })?;
    preview.report = preview.report.or_empty();
    Ok(preview)
}

/// What the file had before, by hashes under a key of this look alone: some ten bytes a row, and nothing to guess a card from.
struct Seen {
    details: IndexKey,
    hasher: RandomState,
    lines: HashMap<u64, u64>,
}

impl Seen {
    fn new() -> Result<Self, String> {
        Ok(Self {
            details: IndexKey::random().map_err(|error| error.to_string())?,
            hasher: RandomState::new(),
            lines: HashMap::new(),
        })
    }

    /// The line on which the row's serial stood first, or else its details.
    fn duplicate_of(&mut self, row: &Row) -> Option<Duplicate> {
        let serial = self.first((true, &row.serial), row.line);
        let details = self.first((false, self.details.of_card(&row.details)), row.line);
        let duplicate = |first, by_serial| Duplicate {
            line: i64::try_from(row.line).unwrap_or(i64::MAX),
            of: Twin::Line(i64::try_from(first).unwrap_or(i64::MAX)),
            by_serial,
        };
        serial
            .map(|first| duplicate(first, true))
            .or_else(|| details.map(|first| duplicate(first, false)))
    }

    fn first(&mut self, what: impl Hash, line: u64) -> Option<u64> {
        match self.lines.entry(self.hasher.hash_one(what)) {
            Entry::Occupied(first) => Some(*first.get()),
            Entry::Vacant(place) => {
                place.insert(line);
                None
            }
        }
    }
}

impl Preview {
    fn take(&mut self, row: &Row, seen: &mut Seen, late: Option<&'static str>, most: usize) {
        if let Some(why) = late {
            self.report.expired.add(row.line, why);
        } else if let Some(duplicate) = seen.duplicate_of(row) {
            self.report.duplicates.add(row.line, reason_of(&duplicate));
            self.report.duplicates_in_file += 1;
        }
        if self.rows.len() < most {
            let secret = row.details.iter();
            self.rows.push(Masked {
                line: row.line,
                serial: row.serial.clone(),
                expires_on: row.expires_on,
                face_value: row.face_value,
                price: row.price,
                public: row.public.clone(),
                secret: secret
                    .map(|(name, value)| (name.to_owned(), masked(value.expose_secret())))
                    .collect(),
                expired: late.is_some(),
            });
        }
    }
}

fn masked(value: &str) -> String {
    "*".repeat(value.chars().count().min(MASK_MAX))
}
