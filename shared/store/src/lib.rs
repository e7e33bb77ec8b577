//! The truth: PostgreSQL. The only crate that names tokio-postgres and deadpool.
//!
//! A file per aggregate, each a set of functions named by what they promise (`claim_due_payments`, not
//! `select_for_update`). Workers, the command line and the tests share them, so they cannot disagree. A function that
//! takes a [`Tx`] takes part in its caller's transaction; one that takes a [`Store`] runs in a short one of its own.
//!
//! Nothing here decides: the plans are in `domain`, the CHECKs that forbid what the plans must never do are in
//! `migrations/`.

pub mod acts;
pub mod artifacts;
pub mod audit;
pub mod cards;
pub mod cases;
mod copied;
pub mod declarations;
pub mod deliveries;
pub mod disclosures;
mod error;
pub mod events;
pub mod imports;
pub mod installation;
pub mod invariants;
pub mod lanes;
mod lent;
pub mod mailings;
mod migrate;
pub mod notices;
mod paged;
pub mod parked;
pub mod payments;
mod pool;
pub mod reconciliation;
pub mod registers;
pub mod rehearsal;
pub mod reservations;
#[cfg(feature = "scratch")]
pub mod scratch;
pub mod server;
mod settled;
mod tx;
pub mod vault;

pub use error::StoreError;
pub use migrate::{create_database, create_from_template, drop_database, migrate, pending_migrations};
pub use pool::{Store, StoreSettings};
pub use settled::{Recorded, SETTLES_WITHIN, settled};
pub use tx::Tx;
