//! What a column holds, and how text and amounts are read from it, whatever the database calls its type.

use domain::limits::AMOUNT_MAX;
use jiff::Timestamp;
use jiff::civil::DateTime;

use super::DatabaseError;
use crate::AmountAs;
use crate::zone::Zone;

/// A value of a row. A decimal number is text: no digit of it is lost on the way.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Null.
    Null,
    /// An integer of any size that fits.
    Integer(i64),
    /// A binary floating-point number.
    Real(f64),
    /// Text, or a decimal number.
    Text(String),
    /// A date and time that says where.
    Moment(Timestamp),
    /// A date and time of the zone that the configuration says.
    Local(DateTime),
    /// Of this type, which is not read.
    Unread(String),
}

/// What becomes of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readable {
    /// It is there to be read.
    Taken,
    /// It is of no matter.
    LeftOut,
    /// It counts, and is of this type, which is not read.
    Refused(String),
}

/// A row by the names of its columns, in small letters.
#[derive(Debug, Clone, Default)]
pub struct Row(Vec<(String, Cell)>);

impl Cell {
    /// The value as text; `None` for null and for what is not read.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Null | Self::Unread(_) => None,
            Self::Integer(integer) => Some(integer.to_string()),
            Self::Real(real) => Some(real.to_string()),
            Self::Text(text) => Some(text.clone()),
            Self::Moment(moment) => Some(moment.to_string()),
            Self::Local(local) => Some(local.to_string()),
        }
    }

    /// The value as minor units of a currency with so many digits; `None` for what is no such amount.
    pub fn minor(&self, amount_as: AmountAs, digits: u32) -> Option<i64> {
        let digits = match amount_as {
            AmountAs::Minor => 0,
            AmountAs::Decimal => digits,
        };
        match self {
            Self::Null | Self::Moment(_) | Self::Local(_) | Self::Unread(_) => None,
            Self::Integer(integer) => integer.checked_mul(10_i64.checked_pow(digits)?),
            // Databases without decimal numbers keep money in these; at the currency's digits they are exact enough.
            Self::Real(real) => parse_decimal(&format!("{real:.*}", digits as usize), digits),
            Self::Text(text) => parse_decimal(text.trim(), digits),
        }
    }
}

impl Row {
    /// Takes a column.
    pub fn push(&mut self, name: &str, cell: Cell) {
        self.0.push((name.to_lowercase(), cell));
    }

    /// Leaves out what is not read, unless it is a column that counts: `returning *` may bring any.
    pub fn readable(mut self, counts: impl Fn(&str, &Cell) -> Readable) -> Result<Self, DatabaseError> {
        let mut refused = None;
        self.0.retain(|(name, cell)| match counts(name, cell) {
            Readable::Taken => true,
            Readable::LeftOut => false,
            Readable::Refused(type_name) => {
                let column = name.clone();
                refused.get_or_insert(DatabaseError::Column { column, type_name });
                false
            }
        });
        refused.map_or(Ok(self), Err)
    }

    /// Takes the columns of another row; where both have one, the other's counts.
    pub fn merge(&mut self, other: Self) {
        self.0.retain(|(name, _)| other.get(name).is_none());
        self.0.extend(other.0);
    }

    /// The column as it is; `None` when it is not there.
    pub fn get(&self, name: &str) -> Option<&Cell> {
        self.0.iter().find(|(column, _)| column == name).map(|(_, cell)| cell)
    }

    /// The column as text; `None` when it is not there, null or empty.
    pub fn text(&self, name: &str) -> Option<String> {
        self.get(name)?.text().filter(|text| !text.is_empty())
    }

    /// The column as an integer.
    pub fn integer(&self, name: &str) -> Option<i64> {
        self.get(name)?.minor(AmountAs::Minor, 0)
    }

    /// The column as an amount: `Ok(None)` when it is not there or null, `Err` with the value's text when it is no
    /// amount. A negative one (a credit) is none due.
    pub fn amount(&self, name: &str, amount_as: AmountAs, digits: u32) -> Result<Option<i64>, String> {
        let Some(cell) = self.get(name).filter(|cell| **cell != Cell::Null) else {
            return Ok(None);
        };
        match cell.minor(amount_as, digits).map(|minor| minor.max(0)) {
            Some(minor) if minor <= AMOUNT_MAX => Ok(Some(minor)),
            _ => Err(format!("column {name} is no amount")),
        }
    }

    /// The column as a moment; text without an offset is of the payee's zone. `Err` says what is wrong with it.
    pub fn moment(&self, name: &str, zone: &Zone) -> Result<Timestamp, String> {
        let local = |local: DateTime| zone.moment(local);
        let moment = match self.get(name) {
            None => return Err(format!("there is no column {name}")),
            Some(Cell::Moment(moment)) => Some(*moment),
            Some(Cell::Local(given)) => local(*given),
            Some(Cell::Text(text)) => text.parse().ok().or_else(|| local(text.parse().ok()?)),
            Some(_) => None,
        };
        moment.ok_or_else(|| format!("column {name} is no date and time"))
    }

    /// The names of the columns.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Columns whose names begin with a prefix, without it.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Cell)> {
        self.0
            .iter()
            .filter_map(move |(name, cell)| Some((name.strip_prefix(prefix)?, cell)))
    }
}

/// `1250.4` with two digits is 125040. More digits are allowed as long as they are zeros: nothing is rounded.
fn parse_decimal(text: &str, digits: u32) -> Option<i64> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let digits = digits as usize;
    let (kept, dropped) = fraction.split_at(fraction.len().min(digits));
    if dropped.bytes().any(|byte| byte != b'0') {
        return None;
    }
    let minor: i64 = format!("{whole}{kept:0<digits$}").parse().ok()?;
    Some(if negative { -minor } else { minor })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_exactly_or_not_at_all() {
        for (text, minor) in [
            ("1250.4", 125_040),
            ("1250.40", 125_040),
            ("1250", 125_000),
            ("0.05", 5),
            ("-1.05", -105),
            ("1.5000", 150),
            ("1.", 100),
        ] {
            assert_eq!(parse_decimal(text, 2), Some(minor), "{text}");
        }
        for bad in [
            "",
            ".5",
            "1,5",
            "1.005",
            "1e3",
            "+1",
            "--1",
            " 1",
            "1.-5",
            "9999999999999999999",
            "x",
        ] {
            assert_eq!(parse_decimal(bad, 2), None, "{bad}");
        }
        assert_eq!(parse_decimal("150.00", 0), Some(150));
    }

    #[test]
    fn amounts_are_read_from_any_column() {
        let cell = |cell: Cell, amount_as| {
            let mut row = Row::default();
            row.push("Due", cell);
            row.amount("due", amount_as, 2)
        };
        assert_eq!(cell(Cell::Integer(15_000), AmountAs::Minor), Ok(Some(15_000)));
        assert_eq!(cell(Cell::Integer(150), AmountAs::Decimal), Ok(Some(15_000)));
        assert_eq!(cell(Cell::Real(1250.4), AmountAs::Decimal), Ok(Some(125_040)));
        assert_eq!(
            cell(Cell::Text("1250.40".to_owned()), AmountAs::Decimal),
            Ok(Some(125_040))
        );
        assert_eq!(cell(Cell::Text("-3".to_owned()), AmountAs::Decimal), Ok(Some(0)));
        assert_eq!(cell(Cell::Null, AmountAs::Minor), Ok(None));
        assert!(cell(Cell::Text("much".to_owned()), AmountAs::Minor).is_err());
        assert!(cell(Cell::Integer(i64::MAX), AmountAs::Decimal).is_err());
    }

    #[test]
    fn rows_merge_by_name() {
        let mut row = Row::default();
        row.push("display", Cell::Text("old".to_owned()));
        row.push("field_name", Cell::Integer(7));
        let mut other = Row::default();
        other.push("DISPLAY", Cell::Text("new".to_owned()));
        row.merge(other);
        assert_eq!(row.text("display").as_deref(), Some("new"));
        assert_eq!(
            row.with_prefix("field_").collect::<Vec<_>>(),
            [("name", &Cell::Integer(7))]
        );
        assert_eq!(row.text("absent"), None);
    }

    #[test]
    fn moments_are_read_from_what_says_where_and_what_does_not() {
        let zone = Zone::parse("+03:00").unwrap();
        let read = |cell: Cell| {
            let mut row = Row::default();
            row.push("credited_at", cell);
            row.moment("credited_at", &zone).map(|moment| moment.to_string())
        };
        let text = |text: &str| read(Cell::Text(text.to_owned()));
        assert_eq!(text("2026-11-23T07:02:11Z").unwrap(), "2026-11-23T07:02:11Z");
        assert_eq!(text("2026-11-23T12:02:11+05:00").unwrap(), "2026-11-23T07:02:11Z");
        assert_eq!(text("2026-11-23 10:02:11").unwrap(), "2026-11-23T07:02:11Z");
        let local = Cell::Local("2026-11-23T10:02:11".parse().unwrap());
        assert_eq!(read(local.clone()).unwrap(), "2026-11-23T07:02:11Z");
        assert_eq!(text("yesterday").unwrap_err(), "column credited_at is no date and time");
        assert!(read(Cell::Integer(5)).is_err());
        assert!(
            Row::default()
                .moment("credited_at", &zone)
                .unwrap_err()
                .starts_with("there is no column")
        );
    }
}
