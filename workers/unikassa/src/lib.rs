//! Unikassa: payments delivered online, at once, to payees that have no protocol of their own.
//!
//! A gateway of `couriers`, which claim, record and probe; here is how a payee is called: one hardened HTTP client, and a
//! dialect that makes requests and reads answers.

mod client;
mod dialect;
mod gateway;
mod heard;
mod list;
mod mask;
mod profiles;
pub mod rehearsal;
mod trying;

use std::sync::Arc;

use runtime::Context;

pub use client::{Caller, ClientError};
pub use list::list;
pub use profiles::secrets_of;
pub use trying::{Question, Step, complete, steps};

/// Starts the worker.
pub fn start(context: &Context) -> Result<(), ClientError> {
    let gateway = gateway::Unikassa {
        context: context.clone(),
        caller: Arc::new(Caller::new()?),
    };
    couriers::start(context, &Arc::new(gateway));
    Ok(())
}
