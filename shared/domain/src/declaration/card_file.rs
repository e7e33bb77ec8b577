//! How an issuer writes the card files of a product: the `[card_file]` section of its declaration. Which column is what, in
//! which encoding, how dates and amounts are written, and where the password of an archive is to be had.
//!
//! Without the section, or without any column named in it, a file is the contract's CSV: its header says `serial`,
//! `expires_on`, and every other column is a secret field of that name. Nothing here reads a file or fetches a password.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::secret::{SecretRef, SecretSource};
use super::{Findings, NAME_MAX};
use crate::date_format::DateFormat;
use crate::limits::{FIELD_VALUE_MAX, FIELDS_MAX};
use crate::text::{is_field_key, no_control};

/// The last column or character position that may be named.
const PLACE_MAX: u32 = 10_000;
/// The most lines that may stand above the header.
const SKIP_MAX: u32 = 1_000;

/// How the card files of a product are written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CardFileProfile {
    /// What kind of table it is.
    pub format: TableFormat,
    /// How its text is encoded; a sheet has its own.
    pub encoding: TextEncoding,
    /// What stands between columns; none = whichever of comma, semicolon and tab the header has most of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// Whether a double quote has its meaning of CSV; false where it is a character like any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quotes: Option<bool>,
    /// Whether the first line names the columns; none = it does, unless the format is `fixed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// Lines above the header, or above the first row where there is none.
    #[serde(skip_serializing_if = "is_zero")]
    pub skip_lines: u32,
    /// Which sheet of a workbook; none = the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sheet: Option<String>,
    /// A number in a sheet is taken for a secret. Not unless said: a sheet drops the zeros in front of a number.
    #[serde(skip_serializing_if = "super::is_false")]
    pub numbers_are_exact: bool,
    /// Fixed positions: columns that are not named here follow the named ones without a blank. Not unless said: a secret that goes
    /// on behind its last character would be cut short, and sold.
    #[serde(skip_serializing_if = "super::is_false")]
    pub packed: bool,
    /// Where the serial stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<Place>,
    /// Where the secret fields stand, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub secret: BTreeMap<String, Place>,
    /// Secret fields that a card may be without. Of every other a row without a value is malformed: a payer who gets a card
    /// without its PIN has bought nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub optional: Vec<String>,
    /// Where the fields stand that are no secret, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub public: BTreeMap<String, Place>,
    /// Where the card's face value stands, if it is not the product's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub face_value: Option<Place>,
    /// Where the card's price stands, if it is not the product's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Place>,
    /// Where the last day stands on which the card is good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_on: Option<Place>,
    /// How that day is written: `YYYY`, `YY`, `MM`, `DD` and what stands between. Without `DD` it is the month's last.
    pub date_format: DateFormat,
    /// How face values and prices are written. There is no default: a hundredfold price is not to be guessed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amounts: Option<AmountUnit>,
    /// Where the password of an archive or an age file is to be had: `env:NAME` or `file:PATH`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
}

/// What kind of table a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableFormat {
    /// Text with something between columns.
    #[default]
    Csv,
    /// Text whose columns stand at fixed positions.
    Fixed,
    /// A sheet of an Excel workbook.
    Xlsx,
}

/// How text is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum TextEncoding {
    /// With or without a byte order mark.
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// Cyrillic of Windows.
    #[serde(rename = "windows-1251")]
    Windows1251,
    /// Cyrillic of DOS.
    #[serde(rename = "cp866")]
    Cp866,
}

/// How an amount is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AmountUnit {
    /// `10000`: kopecks, cents.
    Minor,
    /// `100`, `100.00`, `100,00`, `1 000.00`: roubles, euros.
    Major,
}

/// Where a column stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Under this name of the header.
    Name(String),
    /// The column of this number, from 1.
    Number(u32),
    /// From this character of a line (from 1), so many of them.
    Span {
        /// The first character's number, from 1.
        start: u32,
        /// How many characters.
        length: u32,
    },
}

impl CardFileProfile {
    /// Whether it says what the columns are. Otherwise the file's header does, as in the contract.
    pub fn names_columns(&self) -> bool {
        self.places().next().is_some()
    }

    /// Whether the first line after the skipped ones names the columns.
    pub fn has_header(&self) -> bool {
        self.header.unwrap_or(self.format != TableFormat::Fixed)
    }

    /// Every place that is named, with the path of its member.
    pub fn places(&self) -> impl Iterator<Item = (String, &Place)> {
        let single = [
            ("serial", &self.serial),
            ("face_value", &self.face_value),
            ("price", &self.price),
            ("expires_on", &self.expires_on),
        ];
        let single = single
            .into_iter()
            .filter_map(|(field, place)| Some((field.to_owned(), place.as_ref()?)));
        single
            .chain(
                self.secret
                    .iter()
                    .map(|(name, place)| (format!("secret.{name}"), place)),
            )
            .chain(
                self.public
                    .iter()
                    .map(|(name, place)| (format!("public.{name}"), place)),
            )
    }

    pub(super) fn check(&self) -> Findings {
        let mut found = Findings::default();
        self.check_table(&mut found);
        self.check_places(&mut found);
        self.check_fields(&mut found);
        let from_file = self.face_value.is_some() || self.price.is_some();
        found.refuse_if(
            from_file && self.amounts.is_none(),
            "amounts",
            "must say how face values and prices are written: \"minor\" (10000) or \"major\" (100.00)",
        );
        if let Some(password) = &self.password {
            found.refuse_if(
                matches!(password.source(), SecretSource::Value(_)),
                "password",
                "must be env:NAME or file:PATH: a password itself would be stored",
            );
        }
        found
    }

    fn check_table(&self, found: &mut Findings) {
        let format = self.format;
        if let Some(delimiter) = self.delimiter {
            found.refuse_if(
                !(delimiter == '\t' || delimiter.is_ascii_punctuation() || delimiter == ' ') || delimiter == '"',
                "delimiter",
                "must be a tab, a space or a punctuation mark of ASCII other than the double quote",
            );
        }
        let csv_only = "belongs to the format \"csv\" only";
        found.refuse_if(
            self.delimiter.is_some() && format != TableFormat::Csv,
            "delimiter",
            csv_only,
        );
        found.refuse_if(self.quotes.is_some() && format != TableFormat::Csv, "quotes", csv_only);
        let xlsx_only = "belongs to the format \"xlsx\" only";
        found.refuse_if(self.sheet.is_some() && format != TableFormat::Xlsx, "sheet", xlsx_only);
        found.refuse_if(
            self.numbers_are_exact && format != TableFormat::Xlsx,
            "numbers_are_exact",
            xlsx_only,
        );
        found.refuse_if(
            self.packed && format != TableFormat::Fixed,
            "packed",
            "belongs to the format \"fixed\" only",
        );
        found.refuse_if(
            self.encoding != TextEncoding::Utf8 && format == TableFormat::Xlsx,
            "encoding",
            "a workbook has its own: leave it out",
        );
        found.refuse_if(self.skip_lines > SKIP_MAX, "skip_lines", "must be at most 1000");
        found.refuse_if(
            self.header == Some(true) && format == TableFormat::Fixed,
            "header",
            "positions name the columns of the format \"fixed\"; pass a header over with skip_lines",
        );
        if let Some(sheet) = &self.sheet {
            found.take(super::check_name("sheet", sheet));
        }
    }

    fn check_places(&self, found: &mut Findings) {
        let (fixed, header) = (self.format == TableFormat::Fixed, self.has_header());
        found.refuse_if(
            !self.names_columns() && !header,
            "serial",
            "must say where the serial stands: there is no header to tell",
        );
        let mut seen: Vec<&Place> = Vec::new();
        for (field, place) in self.places() {
            let refused = match place {
                Place::Span { .. } if !fixed => Some("must be the name or the number of a column"),
                Place::Name(_) | Place::Number(_) if fixed => {
                    Some("must be a position: { start = 1, length = 12 }, counted in characters from 1")
                }
                Place::Name(_) if !header => Some("must be the number of a column: there is no header to name it"),
                Place::Name(name) if no_control("", name, NAME_MAX).is_err() || name.trim().is_empty() => {
                    Some("is not a column's name")
                }
                Place::Number(number) if !(1..=PLACE_MAX).contains(number) => Some("must be from 1 to 10000"),
                Place::Span { start, length } if !is_within(*start, *length) => {
                    Some("must start at 1 or later, have 1 to 500 characters and end by 10000")
                }
                _ if seen.contains(&place) => Some("names the place of another column"),
                _ => None,
            };
            found.refuse_if(refused.is_some(), &field, refused.unwrap_or_default());
            seen.push(place);
        }
    }

    fn check_fields(&self, found: &mut Findings) {
        if self.names_columns() {
            found.refuse_if(self.serial.is_none(), "serial", "must say where the serial stands");
            found.refuse_if(
                self.secret.is_empty(),
                "secret",
                "must name at least one field: there is nothing to sell",
            );
        }
        for (at, name) in self.optional.iter().enumerate() {
            let is_named = self.secret.contains_key(name) || !self.names_columns() && is_field_key(name);
            found.refuse_if(!is_named, &format!("optional[{at}]"), "is no secret field");
        }
        found.refuse_if(
            !self.secret.is_empty() && self.secret.keys().all(|name| self.optional.contains(name)),
            "optional",
            "must leave a secret field that every card has: there would be nothing to sell",
        );
        let count = self.secret.len() + self.public.len();
        found.refuse_if(count > FIELDS_MAX, "secret", "has, with public, more than 32 fields");
        for (kind, fields) in [("secret", &self.secret), ("public", &self.public)] {
            for name in fields.keys() {
                let field = format!("{kind}.{name}");
                found.refuse_if(!is_field_key(name), &field, "does not match ^[a-z][a-z0-9_]{0,31}$");
            }
        }
        for name in self.public.keys().filter(|name| self.secret.contains_key(*name)) {
            let field = format!("public.{name}");
            found.refuse_if(true, &field, "is a secret field too");
        }
    }
}

fn is_within(start: u32, length: u32) -> bool {
    (1..=PLACE_MAX).contains(&start)
        && (1..=FIELD_VALUE_MAX as u64).contains(&u64::from(length))
        && u64::from(start) + u64::from(length) - 1 <= u64::from(PLACE_MAX)
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// `{ start = 1, length = 12 }`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Span {
    start: u32,
    length: u32,
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Name(name) => serializer.serialize_str(name),
            Self::Number(number) => serializer.serialize_u32(*number),
            Self::Span { start, length } => Span {
                start: *start,
                length: *length,
            }
            .serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PlaceVisitor)
    }
}

struct PlaceVisitor;

impl<'de> de::Visitor<'de> for PlaceVisitor {
    type Value = Place;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a column's name, its number, or { start = 1, length = 12 }")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Place, E> {
        Ok(Place::Name(name.to_owned()))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Place, E> {
        // Out of u32 is out of the range that is checked as well.
        Ok(Place::Number(u32::try_from(number).unwrap_or(u32::MAX)))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Place, E> {
        Ok(Place::Number(u32::try_from(number).unwrap_or(0)))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Place, A::Error> {
        let Span { start, length } = Span::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Ok(Place::Span { start, length })
    }
}
