//! Checks of the invariants, for whoever doubts them: the demo runs all of them at the end of its day, `doctor` on request.
//!
//! [`check_all`] asks the database whether what must always hold does hold; it needs no knowledge of what was sent. The
//! rest reads what a check from outside compares with: what must have been told as events, what a register must hold,
//! what is still under way. Everything here only reads, and reads whole tables: it is for people, never for workers.

mod acts;
mod checks;
mod look;
mod secrets;

pub use checks::{Finding, check_all};
pub use look::{
    Member, ReservationFact, Underway, dump, longest_overdue_hold, members, must_have_been_told, payments_in_states,
    reservations, rows_of_shape, underway,
};
