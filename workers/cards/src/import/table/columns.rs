//! Which column of a table is what, and a row made into a card. Reasons name fields and never repeat values.

use std::borrow::Cow;
use std::sync::LazyLock;

use contract::answer::SecretFields;
use domain::date_format::DateFormat;
use domain::declaration::{AmountUnit, CardFileProfile, Place, TableFormat};
use domain::limits::{FIELD_VALUE_MAX, FIELDS_MAX, SERIAL_MAX};
use domain::money::{Amount, Currency, parse_major};
use domain::text::is_field_key;
use jiff::civil::Date;
use regex::Regex;
use secrecy::SecretString;

/// From this on a number of a sheet may have been rounded.
const EXACT_BELOW: f64 = 1e15;

/// What a file of UTF-8 may begin with.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// One card of a file.
pub(in crate::import) struct Row {
    /// Where it begins.
    pub(in crate::import) line: u64,
    pub(in crate::import) serial: String,
    pub(in crate::import) expires_on: Option<Date>,
    pub(in crate::import) face_value: Option<i64>,
    pub(in crate::import) price: Option<i64>,
    pub(in crate::import) public: Vec<(String, String)>,
    pub(in crate::import) details: SecretFields,
}

/// A row that cannot be read.
pub(in crate::import) struct BadRow {
    pub(in crate::import) line: u64,
    pub(in crate::import) why: String,
}

/// What stands in a cell.
pub(super) enum Cell<'c> {
    Text(Cow<'c, str>),
    Number(f64),
    Day(Date),
    /// Something of a sheet that no card has: an error, a truth value.
    Other,
}

/// What a column is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Role {
    Serial,
    ExpiresOn,
    FaceValue,
    Price,
    Secret(String),
    Public(String),
}

/// The columns of a file, in its order.
pub(super) struct Columns {
    /// The cell, and what it is.
    roles: Vec<(usize, Role)>,
    /// The header, where there is one: as many cells has every row, and none repeats it.
    header: Option<Vec<String>>,
    /// A sheet leaves out empty cells at the end of a row.
    ragged: bool,
    dates: DateFormat,
    amounts: Option<AmountUnit>,
    currency: Currency,
    numbers_are_exact: bool,
    /// Secret fields that may be empty.
    optional: Vec<String>,
}

impl Columns {
    /// The columns as a header names them: for the product's declaration, or for themselves.
    pub(super) fn of_header(profile: &CardFileProfile, currency: Currency, names: Vec<String>) -> Result<Self, String> {
        for (at, name) in names.iter().enumerate() {
            if !name.is_empty() && names[..at].contains(name) {
                return Err(format!("column {} of the header names a column twice", at + 1));
            }
        }
        let roles = if profile.names_columns() {
            declared(profile, Some(&names))?
        } else {
            self_named(&names)?
        };
        Ok(Self::new(profile, currency, roles, Some(names)))
    }

    /// The columns where there is no header.
    pub(super) fn of_places(profile: &CardFileProfile, currency: Currency) -> Result<Self, String> {
        Ok(Self::new(profile, currency, declared(profile, None)?, None))
    }

    fn new(
        profile: &CardFileProfile,
        currency: Currency,
        roles: Vec<(usize, Role)>,
        header: Option<Vec<String>>,
    ) -> Self {
        Self {
            roles,
            header,
            ragged: profile.format == TableFormat::Xlsx,
            dates: profile.date_format.clone(),
            amounts: profile.amounts,
            currency,
            numbers_are_exact: profile.numbers_are_exact,
            optional: profile.optional.clone(),
        }
    }

    /// The card of a row.
    pub(super) fn row(&self, line: u64, cells: &[Cell<'_>]) -> Result<Row, String> {
        self.check_shape(cells)?;
        let mut row = Row {
            line,
            serial: String::new(),
            expires_on: None,
            face_value: None,
            price: None,
            public: Vec::new(),
            details: SecretFields::default(),
        };
        let mut details = Vec::with_capacity(self.roles.len());
        let empty = Cell::Text(Cow::Borrowed(""));
        for (at, role) in &self.roles {
            let cell = cells.get(*at).unwrap_or(&empty);
            let named = |why: String| format!("{}: {why}", role.name());
            match role {
                Role::Serial => row.serial = self.serial(cell).map_err(named)?,
                Role::ExpiresOn => row.expires_on = self.day(cell).map_err(named)?,
                Role::FaceValue => row.face_value = self.amount(cell).map_err(named)?,
                Role::Price => row.price = self.amount(cell).map_err(named)?,
                Role::Secret(name) => {
                    let value = value(cell, self.numbers_are_exact, FIELD_VALUE_MAX).map_err(named)?;
                    match value.is_empty() {
                        false => details.push((name.clone(), SecretString::from(value.as_ref()))),
                        true if self.optional.contains(name) => {}
                        true => return Err(named("is empty".into())),
                    }
                }
                Role::Public(name) => {
                    let value = value(cell, true, FIELD_VALUE_MAX).map_err(named)?;
                    if !value.is_empty() {
                        row.public.push((name.clone(), value.into_owned()));
                    }
                }
            }
        }
        if details.is_empty() {
            return Err("has no secret field with a value".into());
        }
        row.details = SecretFields::new(details);
        Ok(row)
    }

    fn check_shape(&self, cells: &[Cell<'_>]) -> Result<(), String> {
        let Some(header) = &self.header else {
            let last = self.roles.iter().map(|(at, _)| at + 1).max().unwrap_or(0);
            if cells.len() < last && !self.ragged {
                return Err(format!("has {} columns where {last} are named", cells.len()));
            }
            if self
                .roles
                .iter()
                .any(|(at, role)| self.is_named_by(cells.get(*at), role))
            {
                return Err("looks like a header: pass it over with card_file.skip_lines".into());
            }
            return Ok(());
        };
        if cells.len() != header.len() && !self.ragged {
            return Err(format!(
                "has {} columns where the header has {}",
                cells.len(),
                header.len()
            ));
        }
        let text = |cell: &Cell<'_>, name: &String| matches!(cell, Cell::Text(text) if bare(text) == name);
        if cells.len() == header.len() && cells.iter().zip(header).all(|(cell, name)| text(cell, name)) {
            return Err("is the header once more: are there two files in this one?".into());
        }
        Ok(())
    }

    /// Whether a serial or a secret is the name of a field, as in the header of a file that should have none.
    fn is_named_by(&self, cell: Option<&Cell<'_>>, role: &Role) -> bool {
        let (Some(Cell::Text(text)), Role::Serial | Role::Secret(_)) = (cell, role) else {
            return false;
        };
        let letters = || {
            bare(text)
                .chars()
                .filter(|c| !c.is_whitespace())
                .flat_map(char::to_lowercase)
        };
        self.roles.iter().any(|(_, field)| letters().eq(field.name().chars()))
    }

    fn serial(&self, cell: &Cell<'_>) -> Result<String, String> {
        let serial = value(cell, true, SERIAL_MAX)?;
        if serial.is_empty() {
            return Err("is empty".into());
        }
        Ok(serial.into_owned())
    }

    fn day(&self, cell: &Cell<'_>) -> Result<Option<Date>, String> {
        match cell {
            Cell::Day(day) => Ok(Some(*day)),
            Cell::Text(text) if text.trim().is_empty() => Ok(None),
            Cell::Text(text) => self.dates.read(text.trim()).map(Some).ok_or(()),
            Cell::Number(_) | Cell::Other => Err(()),
        }
        .map_err(|()| format!("is not a date written {}", self.dates))
    }

    fn amount(&self, cell: &Cell<'_>) -> Result<Option<i64>, String> {
        let text = match cell {
            Cell::Text(text) => Cow::Borrowed(text.trim()),
            // The shortest text that is this number: what the sheet shows, not what it is in binary.
            Cell::Number(number) => Cow::Owned(number.to_string()),
            Cell::Day(_) | Cell::Other => return Err("is not an amount".into()),
        };
        if text.is_empty() {
            return Ok(None);
        }
        let amount = match self.amounts {
            Some(AmountUnit::Minor) => whole(&text).and_then(|minor| Amount::new(minor).ok()),
            _ => parse_major(&text, self.currency),
        };
        let unit = if self.amounts == Some(AmountUnit::Minor) {
            "minor"
        } else {
            "major"
        };
        amount
            .map(|amount| Some(amount.minor()))
            .ok_or_else(|| format!("is not an amount in {unit} units of {}", self.currency))
    }
}

impl Role {
    fn name(&self) -> &str {
        match self {
            Self::Serial => "serial",
            Self::ExpiresOn => "expires_on",
            Self::FaceValue => "face_value",
            Self::Price => "price",
            Self::Secret(name) | Self::Public(name) => name,
        }
    }

    fn of_path(path: &str) -> Self {
        match path.split_once('.') {
            Some(("secret", name)) => Self::Secret(name.to_owned()),
            Some((_, name)) => Self::Public(name.to_owned()),
            None if path == "serial" => Self::Serial,
            None if path == "face_value" => Self::FaceValue,
            None if path == "price" => Self::Price,
            None => Self::ExpiresOn,
        }
    }
}

fn whole(text: &str) -> Option<i64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

/// The columns that the product's declaration names, in the order of the file.
fn declared(profile: &CardFileProfile, header: Option<&[String]>) -> Result<Vec<(usize, Role)>, String> {
    let mut roles = Vec::new();
    let mut spans: Vec<(u32, Role)> = Vec::new();
    for (path, place) in profile.places() {
        let role = Role::of_path(&path);
        match place {
            Place::Number(number) => roles.push((*number as usize - 1, role)),
            Place::Span { start, .. } => spans.push((*start, role)),
            Place::Name(name) => {
                let at = header.and_then(|names| names.iter().position(|known| known == name.trim()));
                // The declared name is the operator's own; what the header has instead is not repeated.
                let at = at.ok_or_else(|| format!("the header has no column `{name}` (card_file.{path})"))?;
                roles.push((at, role));
            }
        }
    }
    if let Some(count) = header.map(<[String]>::len)
        && let Some((at, _)) = roles.iter().find(|(at, _)| *at >= count)
    {
        return Err(format!(
            "the header has {count} columns, and number {} is declared",
            at + 1
        ));
    }
    // Cells of fixed columns come in their own order.
    spans.sort_by_key(|(start, _)| *start);
    roles.extend(spans.into_iter().enumerate().map(|(at, (_, role))| (at, role)));
    roles.sort_by_key(|(at, _)| *at);
    if let Some(pair) = roles.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(format!("{} and {} are one column", pair[0].1.name(), pair[1].1.name()));
    }
    Ok(roles)
}

/// The columns of the contract's CSV.
fn self_named(names: &[String]) -> Result<Vec<(usize, Role)>, String> {
    let mut roles = Vec::with_capacity(names.len());
    for (at, name) in names.iter().enumerate() {
        let role = match name.as_str() {
            "serial" => Role::Serial,
            "expires_on" => Role::ExpiresOn,
            key if is_field_key(key) => Role::Secret(key.to_owned()),
            // Not repeated: a file without a header has a card's details here.
            _ => {
                return Err(format!(
                    "column {} of the header is not a name such as `pin` (a-z, 0-9, _)",
                    at + 1
                ));
            }
        };
        roles.push((at, role));
    }
    let secrets = roles.iter().filter(|(_, role)| matches!(role, Role::Secret(_))).count();
    if !roles.iter().any(|(_, role)| *role == Role::Serial) {
        return Err("the header has no column `serial`".into());
    }
    if secrets == 0 {
        return Err("the header has no column besides `serial` and `expires_on`: there is nothing to sell".into());
    }
    if secrets > FIELDS_MAX {
        return Err(format!("the header has more than {FIELDS_MAX} secret fields"));
    }
    Ok(roles)
}

/// The text of a cell without the mark that a file begins with: where files were put together, one stands before each header.
fn bare(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text).trim()
}

/// Characters that format text and are not seen: zero-width ones, marks of direction, the byte order mark, the soft hyphen. A
/// payer who types in what is printed cannot type one in.
fn is_formatted(text: &str) -> bool {
    static UNSEEN: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\p{Cf}").expect("it is a regular expression"));
    !text.is_ascii() && UNSEEN.is_match(text)
}

/// The text of a cell, held to a length and free of characters that are not seen.
fn value<'c>(cell: &'c Cell<'_>, numbers: bool, most: usize) -> Result<Cow<'c, str>, String> {
    let value = match cell {
        Cell::Text(text) => Cow::Borrowed(text.trim()),
        Cell::Number(_) if !numbers => {
            return Err(
                "is a number in the sheet, which drops zeros in front: have the column formatted as text, or declare \
                 card_file.numbers_are_exact"
                    .into(),
            );
        }
        Cell::Number(number) if number.fract() == 0.0 && number.abs() < EXACT_BELOW => Cow::Owned(number.to_string()),
        Cell::Number(_) => return Err("is a number that the sheet may have rounded: have it formatted as text".into()),
        Cell::Day(_) => return Err("is a date in the sheet: have it formatted as text".into()),
        Cell::Other => return Err("is neither text nor number in the sheet".into()),
    };
    if value.chars().any(char::is_control) {
        return Err("holds a control character".into());
    }
    if is_formatted(&value) {
        return Err("holds a character that is not seen, such as a zero-width space or a byte order mark".into());
    }
    if value.len() > most && value.chars().count() > most {
        return Err(format!("is longer than {most} characters"));
    }
    Ok(value)
}
