//! Spreadsheets: rows of typed cells, written one by one into an XLSX file in bounded memory, or held in memory where
//! nothing may be on a disk; and whether somebody else's can be read, by what it says of itself and what it unpacks to. The
//! only crate that names rust_xlsxwriter.
//!
//! Numbers are numbers, dates are dates, and text is text whatever it begins with: no cell is ever a formula. It knows no
//! card and no payment; what a column means is its caller's business.

mod cell;
mod directory;
mod unpacked;
mod xlsx;

pub use cell::Cell;
pub use directory::check_directory;
pub use unpacked::{ArchiveError, UnpackError, check_unpacked};
pub use xlsx::{SheetError, Xlsx};

/// A column: its heading, and how wide it is in characters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Column<'n> {
    /// The heading.
    pub name: &'n str,
    /// In characters of the usual font.
    pub width: u16,
}

impl<'n> Column<'n> {
    /// Declares a column.
    pub const fn new(name: &'n str, width: u16) -> Self {
        Self { name, width }
    }
}
