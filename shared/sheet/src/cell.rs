//! What stands in a cell, with its type.

use jiff::Zoned;
use jiff::civil::Date;

/// A value of a report. Who prints it elsewhere than in a spreadsheet decides how.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Nothing.
    Empty,
    /// Text, also of digits: serials and receipt numbers keep their zeros.
    Text(String),
    /// How many.
    Count(i64),
    /// Money in minor units, with the number of digits its currency has after the point.
    Money {
        /// In minor units.
        minor: i64,
        /// Digits after the point, 0 to 4.
        digits: u8,
    },
    /// A moment, as it is told in a time zone.
    Moment(Zoned),
    /// A day.
    Day(Date),
    /// Yes or no.
    Flag(bool),
}

impl Cell {
    /// Text, or nothing.
    pub fn text(text: Option<impl Into<String>>) -> Self {
        text.map_or(Self::Empty, |text| Self::Text(text.into()))
    }
}
