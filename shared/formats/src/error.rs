//! Why a register cannot be written. What a payment is at fault for names its number and the column.

use std::io;

use domain::{Number, TemplateError};

/// A register that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The payee's version has no `[register]`.
    #[error("the payee has no [register]")]
    NoProfile,
    /// A template of the layout is wrong.
    #[error("{name}, {source}")]
    Template {
        /// Which one.
        name: &'static str,
        /// What is wrong with it.
        source: TemplateError,
    },
    /// What files would be called is too long, or not one register's alone.
    #[error("file_name: {0}")]
    Name(String),
    /// The encoding lacks a character, and the payee wants no substitute.
    #[error("{place}: {encoding} has no `{character}` (U+{:04X})", u32::from(*.character))]
    Unmappable {
        /// Where.
        place: Spot,
        /// What it cannot be written in.
        encoding: &'static str,
        /// The character.
        character: char,
    },
    /// A text is longer than its column, and must not be cut or is not to be.
    #[error("{place}: is longer than the {width} characters of its column")]
    TooLong {
        /// Where.
        place: Spot,
        /// How wide the column is.
        width: usize,
    },
    /// More rows than the format holds.
    #[error("more than {0} payments: a file of this format holds no more; let the payee's registers come in parts")]
    TooManyRows(u64),
    /// The text of a workbook is held in memory, and there is too much of it.
    #[error("more than {0} bytes of text: a workbook holds no more; let the payee's registers come in parts")]
    TooMuchText(usize),
    /// The head said another count of payments than came.
    #[error("{came} payments came where the head told of {told}")]
    Count {
        /// Rows written.
        came: i64,
        /// Rows told of.
        told: i64,
    },
    /// The workbook cannot be written.
    #[error(transparent)]
    Sheet(#[from] sheet::SheetError),
    /// The file cannot be written.
    #[error("file: {0}")]
    Write(#[from] io::Error),
}

/// A place in a register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// The payment's number; none in a header or a trailer.
    pub number: Option<Number>,
    /// The column's name, or `header` and the like.
    pub column: String,
}

impl std::fmt::Display for Spot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.number {
            Some(number) => write!(f, "payment {number}, column {}", self.column),
            None => f.write_str(&self.column),
        }
    }
}
