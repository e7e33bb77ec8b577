//! What a register tells about itself.

use domain::Currency;
use jiff::Timestamp;

/// A register's facts. Who the payee is, the layout knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The series' name, `main` unless configured.
    pub series: String,
    /// Counted from 1 within the series; copies are counted apart.
    pub sequence: i32,
    /// Its place among those of the series whose cut-off is on the same day of the payee's zone, from 1.
    pub of_day: i64,
    /// The same of the year.
    pub of_year: i64,
    /// Which part of how many, from 1; `(1, 1)` is the whole.
    pub part: (u32, u32),
    /// Payments in this file.
    pub count: i64,
    /// Their sum in minor units.
    pub total: i64,
    /// Their currency.
    pub currency: Currency,
    /// Whether it is a copy of payments that are in regular registers.
    pub is_copy: bool,
    /// Of those in a copy, how many were in no regular register: of all its files together.
    pub open: i64,
    /// Acceptance (or delivery) of its first payment.
    pub first_at: Timestamp,
    /// The same of its last payment.
    pub last_at: Timestamp,
    /// When the range ended.
    pub cutoff: Timestamp,
}
