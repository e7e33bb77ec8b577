//! Registers: closes ranges of payments at their cut-offs and builds each into a file.
//!
//! Closing, building and recording are three short transactions (`store::registers`); in between rows are read in pages
//! and become text, archive, ciphertext and chunks in bounded memory, one register by itself or many at a time. The file must hold exactly what was frozen: a
//! build that disagrees fails loudly and is never mailed. This crate sends no mail and knows no broker's message but
//! wake-ups.

mod beside;
mod builder;
mod chunks;
mod closer;
mod contents;
mod error;
mod file;
mod pack;
mod parts;
mod preview;
mod seal;
mod told;
mod worker;
mod write;

pub use builder::{Builder, Built};
pub use closer::close_all_due;
pub use contents::{Contents, contents};
pub use error::BuildError;
pub use preview::{Preview, preview};
pub use seal::{look_at_stages, unusable_keys};
pub use worker::start;
