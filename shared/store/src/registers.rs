//! Registers: a series' payments in ranges of positions, each closed once, built into a file, mailed, and copied on
//! request.
//!
//! Closing, building and recording are separate short transactions. What a range holds is settled when it is closed:
//! positions up to the series' `last_hi` can neither be revoked nor land in another range, so a build may read them in
//! pages, days later and more than once, and always find the same.

mod again;
mod building;
mod closing;
mod copies;
mod delivered;
mod listing;
mod membership;
mod numbering;
mod parts;
mod preview;
mod rebuild;
mod rows;
mod series;
mod standing;
mod statement;
mod verify;

use domain::{PayeeId, RegisterId};
use jiff::Timestamp;
use tokio_postgres::Row;

use crate::StoreError;

pub use again::{look_at_mail_again, mail_again};
pub use building::{Build, BuildsDue, builds_due, claim_builds, record_build_failed, release_build, renew_builds};
pub use closing::{Closing, advance_clock, close_before_change, close_due, close_now, series_due, series_due_in};
pub use copies::{CopyRequest, look_at_resend, resend};
pub use delivered::{close_delivered, deliveries_due, deliveries_due_in};
pub use listing::{Listed, count_failed, find, list};
pub use membership::{Closed, Membership, Recipient, Version, membership};
pub use numbering::Numbering;
pub use parts::{BuiltPart, ListedPart, Part, parts_of, record_built};
pub use preview::{look_at, look_at_open};
pub use rebuild::{requeue_build, requeue_build_as_declared};
pub use rows::{Page, Place, RegisterRow, Shown, page_after};
pub use standing::{Standing, count_open, note_late, perhaps_late, standings};
#[cfg(feature = "scratch")]
pub(crate) use statement::delivered_sums;
pub use statement::{StatedRegister, StatedSum, StatementPeriod, statement_registers, statement_sums};
pub use verify::{Found, files_like, payments_of, register_of};

/// What everybody is told about a register: events, mails, lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its id.
    pub register_id: RegisterId,
    /// Whose payments it holds.
    pub payee: PayeeId,
    /// The series' name, `main` unless configured.
    pub series: String,
    /// Whether it is a copy, a re-send of payments that are in regular registers.
    pub is_copy: bool,
    /// Counted from 1 within the series; copies are counted apart.
    pub sequence: i32,
    /// Acceptance of its first payment; in a series of what was delivered, when it was.
    pub first_accepted_at: Timestamp,
    /// The same of its last payment.
    pub last_accepted_at: Timestamp,
    /// Payments in it, revoked ones not counted.
    pub count: i64,
    /// Their sum in minor units.
    pub total: i64,
    /// Their currency's code.
    pub currency: String,
    /// Of those in a copy, how many were in no regular register when it was frozen.
    pub open: i64,
}

impl Summary {
    /// `regular` or `copy`.
    pub fn kind(&self) -> &'static str {
        if self.is_copy { "copy" } else { "regular" }
    }
}

/// The columns of [`Summary`], of `register r` joined with `series s`; [`summary_of`] reads them from the row's start.
pub(crate) const SUMMARY_COLUMNS: &str = "r.register_id, r.payee_id, s.name, r.kind = 'copy', r.sequence, \
     r.first_accepted_at, r.last_accepted_at, r.payment_count, r.total, r.currency, r.open_count";
/// How many columns [`SUMMARY_COLUMNS`] has.
pub(crate) const SUMMARY_WIDTH: usize = 11;

pub(crate) fn summary_of(row: &Row) -> Result<Summary, StoreError> {
    Ok(Summary {
        register_id: RegisterId::from_uuid(row.get(0)),
        payee: PayeeId::parse(row.get(1))?,
        series: row.get(2),
        is_copy: row.get(3),
        sequence: row.get(4),
        first_accepted_at: row.get(5),
        last_accepted_at: row.get(6),
        count: row.get(7),
        total: row.get(8),
        currency: row.get(9),
        open: row.get(10),
    })
}
