//! Payments from acceptance to their end: identity, numbers, positions, revocation and what operators read.
//!
//! The order of locks is always the same: identities (sorted by id), then payments, then the ledger row or a series. A
//! batch therefore never waits for another one in a circle.

mod accept;
mod filter;
mod numbers;
mod read;
mod revoke;

pub use accept::{Acceptance, NewPayment, accept, known_identities};
pub(crate) use filter::{Conditions, STUCK, state_is};
pub use filter::{Filter, Group};
#[cfg(feature = "scratch")]
pub(crate) use numbers::FORGOTTEN;
pub use numbers::{Numbers, forget_dealt, number_at_check};
#[cfg(feature = "scratch")]
pub(crate) use read::stopped;
pub use read::{PaymentRow, Status, count_by_state, count_identities, each, find, list, status};
pub use revoke::{Revoked, revoke};
