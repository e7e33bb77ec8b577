//! A register's place among those of its day and its year, for the names of files.

use jiff::Timestamp;
use tokio_postgres::Row;

/// When a register's range ended, and which of its day and year it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbering {
    /// When the range ended.
    pub cutoff: Timestamp,
    /// Its place among those of the series (and kind) whose cut-off is on the same day of the payee's zone, from 1.
    pub of_day: i64,
    /// The same of the year.
    pub of_year: i64,
}

/// What [`numbering_at`] reads, where a query of `register r` and `payee_version v` ends with [`NUMBERING`].
pub(super) const NUMBERING_COLUMNS: &str = "r.cutoff, n.of_day, n.of_year";
/// Counted in frozen rows: sequences of a series rise in the order of closing, under the series' lock, so a register that is
/// built again finds the same.
pub(super) const NUMBERING: &str = "
    CROSS JOIN coalesce(v.declaration #>> '{register,time_zone}', 'UTC') AS zone
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE date_trunc('day', o.cutoff, zone) = date_trunc('day', r.cutoff, zone)) AS of_day,
               count(*) AS of_year
        FROM register o WHERE o.series_id = r.series_id AND o.kind = r.kind AND o.sequence <= r.sequence
            AND date_trunc('year', o.cutoff, zone) = date_trunc('year', r.cutoff, zone)) n";

pub(super) fn numbering_at(row: &Row, at: usize) -> Numbering {
    Numbering {
        cutoff: row.get(at),
        of_day: row.get(at + 1),
        of_year: row.get(at + 2),
    }
}
