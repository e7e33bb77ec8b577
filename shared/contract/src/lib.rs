//! The wire: what terminals, payees and other systems see, and nothing of what is behind it.
//!
//! - [`message`]: what terminals send, read by the strict JSON of the contract into checked types;
//! - [`answer`]: what they are answered; [`event`]: what everybody is told;
//! - [`schema`]: JSON Schemas and the AsyncAPI document, generated from these types;
//! - [`webhook`] and [`unikassa`]: signatures and bodies of the protocol for payees that have none of their own.
//!
//! Everything here is pure but the writing of its own documents: it reads and writes bytes, and decides nothing about
//! cards or money.

pub mod answer;
pub mod event;
mod json;
pub mod message;
pub mod schema;
mod time;
pub mod unikassa;
mod unreadable;
pub mod webhook;
mod words;

pub use answer::{Answer, Reason, Refusal};
pub use message::{Message, RoutingKey};
pub use unreadable::Unreadable;

/// The version of the contract that is spoken here; a message without the header speaks it too.
pub const VERSION: i64 = 1;
/// The header of a message that names the version it speaks.
pub const VERSION_HEADER: &str = "unigate-version";
