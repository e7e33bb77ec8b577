//! Databases: payments entered straight into the data of payees, as they are.
//!
//! A gateway of `couriers`, which claim, record and probe; here is what a call is: a step of the payee's scenario, run as
//! statements with bound parameters in one transaction of the payee's database. What rows mean is said by `domain::scenario`.
//! A payee that sends a file is looked up in a table made of it, and paid by its register.

mod bind;
mod breaker;
mod catalogue;
mod check;
mod file;
pub mod first;
mod gateway;
mod known;
mod list;
mod pay;
mod settle;
mod source;
mod steps;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_replaced;
#[cfg(test)]
mod tests_slow;
#[cfg(test)]
mod tests_there;
pub mod trying;
mod watch;

use std::sync::Arc;

use runtime::Context;

pub use list::Lister;

/// Starts the worker.
pub fn start(context: &Context) {
    let gateway = Arc::new(gateway::Databases::new(context.clone()));
    couriers::start(context, &gateway);
    watch::spawn(context, &gateway);
}
