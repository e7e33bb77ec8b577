//! What registers look like: rows of payments as text, tables and workbooks, and back.
//!
//! One seam for every format: [`Layout::of`] a payee, [`Layout::begin`] with what the register tells about itself, a
//! [`Row`] per payment, [`Writer::finish`]. Pure: no database, no clock, no async; it writes into the `Write` it is given,
//! row by row in bounded memory, and what it wrote depends on nothing but layout, head and rows. Back the same way:
//! [`Layout::read`].
//!
//! Text from payers is hostile. It is made harmless for its format here and nowhere else, and nothing is changed in
//! silence: what an encoding lacks and what is too long for its column is an error that names payment and column, or is
//! visible in the file and in the [`Report`].

mod charset;
mod clean;
mod column;
mod error;
mod head;
mod layout;
mod name;
mod read;
mod report;
mod row;
mod trial;
mod values;
mod write;

pub use clean::begins_formula;
pub use error::{FormatError, Spot};
pub use head::Head;
pub use layout::Layout;
pub use read::{FILE_MAX_BYTES, Line, ReadError, Received, ReceivedPayment};
pub use report::{Change, Note, Report};
pub use row::{Entered, Row, Tally};
pub use write::{Writer, Written};
