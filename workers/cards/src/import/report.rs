//! What is told about a file: how many rows, and for those left out or refused, which line and why. Never what a row holds,
//! not even its serial: a column in the wrong place would turn it into a secret.

use serde::Serialize;
use store::imports::Options;

/// The most lines that are named of a kind; the total counts them all.
pub(crate) const NOTES_MAX: usize = 1000;

/// What became of a file's rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Rows after the header.
    pub rows: u64,
    /// Cards that are now in stock.
    pub added: u64,
    /// Left out: the card is in stock, was sold, or stands in this file before.
    pub duplicates: Notes,
    /// Of these: stand in this file before.
    pub duplicates_in_file: u64,
    /// Of these: are in stock, or were.
    pub duplicates_known: u64,
    /// Left out: past their day, or too near to it to be sold.
    pub expired: Notes,
    /// Not to be read: because of them no card of the file was entered, unless the good rows were asked for.
    pub refused: Notes,
}

/// Lines, with a reason each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Notes {
    /// How many there are.
    pub total: u64,
    /// The first thousand.
    pub lines: Vec<Note>,
}

/// A line of the file, counted from 1, and why it is named. Line 0 is the file as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Where it begins.
    pub line: u64,
    /// What is wrong with it.
    pub why: String,
}

impl Notes {
    pub(crate) fn add(&mut self, line: u64, why: impl Into<String>) {
        self.total += 1;
        self.name(line, why);
    }

    /// Names a line that is counted already.
    pub(crate) fn name(&mut self, line: u64, why: impl Into<String>) {
        if self.lines.len() < NOTES_MAX {
            self.lines.push(Note { line, why: why.into() });
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }
}

impl Report {
    /// Whether a file of which this was found is taken, as its operator asked for it. One and the same judgement for an import
    /// and for a look before it.
    pub fn is_taken(&self, options: Options) -> bool {
        let rows_fit = self.refused.is_empty() || options.good_rows;
        let is_whole = self.expired.is_empty() && self.duplicates.is_empty();
        rows_fit && (is_whole || !options.strict) && self.has_a_good_row()
    }

    /// Not so where every row was refused, or some were and the others have expired: nothing that was asked for could be
    /// taken.
    fn has_a_good_row(&self) -> bool {
        let refused = self.refused.total;
        self.rows > 0 && (refused == 0 || refused + self.expired.total < self.rows)
    }

    /// A report that refuses the file as such.
    pub(crate) fn of_whole_file(why: &str) -> Self {
        let mut report = Self::default();
        report.refused.add(0, why);
        report
    }

    /// A file without a row is refused as such.
    pub(crate) fn or_empty(self) -> Self {
        if self.rows == 0 {
            Self::of_whole_file("the file has no rows")
        } else {
            self
        }
    }
}
