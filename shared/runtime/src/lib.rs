//! What a worker must not write itself.
//!
//! A worker is a declaration: which queue or lane it serves and what it does with one batch or one job. Everything
//! that must be the same everywhere is here, once: settings, telemetry, the two worker shapes ([`batch`]: works inside
//! a database transaction; [`courier`]: claims, calls with no transaction held, records), sweeps, wake-ups, the events
//! relay, parking, readiness and the orderly end.
//!
//! It knows no payee, no card and no register.

pub mod aside;
mod away;
pub mod batch;
mod checkpoint;
mod clock;
mod consume;
mod context;
mod core_files;
pub mod courier;
mod declarations;
pub mod declared;
mod http;
mod incoming;
mod late;
mod outcome;
pub mod parking;
pub mod questions;
mod readiness;
mod relay;
mod retry_parked;
pub mod secret;
pub mod settings;
mod shutdown;
pub mod sweep;
pub mod telemetry;
mod told;
mod transact;

pub use away::database_delay;
pub use checkpoint::checkpoint;
pub use consume::consume;
pub use context::{Context, Nudge};
pub use core_files::no_core_files;
pub use late::tell_late_registers;
pub use outcome::{Effect, Handled, Outcome, Reply, emit};
pub use readiness::Readiness;
pub use settings::Settings;
pub use shutdown::{end_within, on_signal};
pub use told::{payment_item, payment_row_item, tell_register, tell_registers};
