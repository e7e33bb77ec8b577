//! Intake: the door for payments.
//!
//! It takes `payment.accepted` and `payment.revoke` (facts), `payment.check` and `payment.status` (questions), judges
//! them by the payee's declaration and stores what it accepts: identity, number, and for payees with registers a
//! position. It calls nobody: what an online payee has to be asked goes on to that gateway's worker. It also keeps the
//! parking lot, where messages end that no queue wanted.

mod accept;
mod check;
mod dealt;
mod facts;
mod questions;
mod revoke;
mod rules;

use runtime::{Context, batch, parking};

/// The worker of facts by itself, for whoever measures it.
pub fn facts() -> impl batch::BatchWorker {
    facts::Facts::default()
}

/// Starts the worker.
pub fn start(context: &Context) {
    batch::spawn(context, facts::Facts::default());
    batch::spawn(context, questions::Questions);
    parking::spawn(context);
    dealt::spawn(context);
}
