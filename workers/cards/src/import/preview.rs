//! A look at a file before it is handed in, by whoever has it in hand: read as an import would read it, its first rows shown
//! with every secret masked. Nothing is stored, and no key of the workers is needed or used; so duplicates of what is in
//! stock are not known here, and what only a worker can open is not shown.

use std::io::{Read, Seek, SeekFrom};

use domain::declaration::Product;
use jiff::civil::Date;
use secrecy::{ExposeSecret, SecretString};

use super::container::{Openers, open, told};
use super::enter::is_expired;
use super::report::Report;
use super::table::{self, Row};

/// The longest mask; beyond it the length is not shown.
const MASK_MAX: usize = 32;

/// What an import of the file would find, as far as the file itself can tell.
#[derive(Clone, Debug, Default)]
pub struct Preview {
    /// The first good rows.
    pub rows: Vec<Masked>,
    /// Counts and reasons; nothing is added, and duplicates are not looked for.
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
    /// The card's day is past: it would be left out.
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
    let mut preview = Preview::default();
    open(source, &openers, &mut |found| {
        table::read(found, &profile, product.currency, &mut |row| {
            preview.report.rows += 1;
            match row {
                Ok(row) => preview.take(&row, today, most),
                Err(bad) => preview.report.refused.add(bad.line, bad.why),
            }
            Ok(())
        })
    })?;
    preview.report = preview.report.or_empty();
    Ok(preview)
}

impl Preview {
    fn take(&mut self, row: &Row, today: Date, most: usize) {
        let expired = is_expired(row.expires_on, today);
        if expired {
            self.report.expired.add(row.line, "expires_on: is past");
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
                expired,
            });
        }
    }
}

fn masked(value: &str) -> String {
    "*".repeat(value.chars().count().min(MASK_MAX))
}
