//! What tests and the demo stand on: scripted outsiders (a payee, a mail server), a network that breaks on command,
//! and the one sanctioned way to wait. Everything here is the other side of a wire: it shares no code with what it
//! plays against, and it never decides what is right; tests do.

mod door;
pub mod leak;
pub mod mail;
pub mod payee;
pub mod process;
pub mod proxy;
pub mod register_file;
pub mod stand;
#[cfg(feature = "tls")]
pub mod tls;
mod wait;

pub use wait::{wait_for, wait_on};

/// The content of a mutex, also after a panic elsewhere: a test that failed must not fail its helpers as well.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
