//! Unikassa: payments delivered online, at once, to payees that have no protocol of their own.
//!
//! A courier: it claims a payment and a slot of the payee's lane, calls with no transaction held, and records what came
//! of it. What it does next is never decided here but by `domain::delivery`, from three ends of an attempt: *not sent*,
//! *answered*, *maybe*. It also asks payees the questions that intake forwards (`payment.check`), and asks a payee that
//! is down whether it is back.

mod acts;
mod check;
mod client;
mod courier;
mod dialect;
mod expired;
mod list;
mod outage;
mod probe;
mod profiles;
mod question;
mod record;
pub mod rehearsal;
mod told;
mod trying;

use std::sync::Arc;

use bus::Queue;
use runtime::{Context, Nudge, courier as courier_shape, questions, sweep};

pub use client::{Caller, ClientError};
pub use list::{ListError, list};
pub use profiles::secrets_of;
pub use trying::{Question, Step, complete, steps};

/// Starts the worker.
pub fn start(context: &Context) -> Result<(), ClientError> {
    let caller = Arc::new(Caller::new()?);
    let unikassa = courier::Unikassa {
        context: context.clone(),
        caller: caller.clone(),
    };
    courier_shape::spawn(context, unikassa);
    sweep::on_wake_up(context, Queue::UnikassaWake, Nudge::Payments);
    questions::spawn(
        context,
        check::Checks {
            context: context.clone(),
            caller: caller.clone(),
        },
    );
    expired::spawn(context);
    acts::spawn(context);
    probe::spawn(context, caller);
    Ok(())
}
