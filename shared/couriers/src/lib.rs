//! What all online gateways have in common: payments are claimed, the payee is called, and what came of it is recorded.
//!
//! A gateway is a [`Gateway`]: how a payee is paid, asked and greeted. Everything that must be the same whatever stands on the
//! other side is here, once: attempts and their three ends (*not sent*, *answered*, *maybe*), lanes, breakers and probes,
//! calls whose process vanished, checks, the acts of operators. What follows from an end is decided by `domain::delivery`.
//!
//! It knows neither HTTP nor a payee's SQL.

mod acts;
mod alarm;
mod check;
mod courier;
mod expired;
mod gauges;
mod list;
mod outage;
mod probe;
pub mod question;
mod record;
mod told;

use std::sync::Arc;

use bus::Queue;
use contract::message::PaymentCheck;
use contract::unikassa::CheckAnswer;
use domain::declaration::{Gateway as Word, Payee};
use domain::ids::Number;
use domain::payment::Act;
use runtime::{Context, Nudge, courier as courier_shape, questions, sweep};
use store::StoreError;
use store::deliveries::Due;

pub use list::ListError;
pub use outage::note_question;
pub use told::{Ours, Told, kept};

/// What a gateway's parts are called in logs and metrics.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    /// The courier: `unikassa`.
    pub courier: &'static str,
    /// The checks: `unikassa.questions`.
    pub questions: &'static str,
    /// Calls whose process vanished: `unikassa.expired`.
    pub expired: &'static str,
    /// Payees that are down: `unikassa.probe`.
    pub probe: &'static str,
    /// Acts of operators: `unikassa.acts`.
    pub acts: &'static str,
    /// What is measured of the whole gateway: `unikassa.gauges`.
    pub gauges: &'static str,
}

/// What was asked in a call, and what came of it.
#[derive(Debug)]
pub struct Report {
    /// What operators may read of the request; `None` when none was made.
    pub request: Option<String>,
    /// What came of it.
    pub told: Told,
}

impl Report {
    /// No call was made, or none that anybody could see.
    pub fn without_request(told: Told) -> Self {
        Self { request: None, told }
    }
}

/// How payees of one kind are called. The functions make one call each, hold neither a transaction nor a connection of our
/// database while they do, and end by themselves within the payee's timeout.
pub trait Gateway: Send + Sync + 'static {
    /// Its names.
    const NAMES: Names;
    /// The word of its payees' declarations: it calls no others.
    const WORD: Word;
    /// Where intake forwards checks to.
    const QUESTIONS: Queue;
    /// Where intake says that payments are due.
    const WAKE: Queue;
    /// The same within a process.
    const NUDGE: Nudge;

    /// Pays, asks what became of a payment, or takes it back.
    fn act(&self, payee: &Payee, act: Act, due: &Due) -> impl Future<Output = Report> + Send;

    /// Asks whether an account may be paid. The inner error says, to whoever asks, why the payee cannot say now.
    fn check(
        &self,
        payee: &Payee,
        asked: &PaymentCheck,
        traceparent: Option<&str>,
    ) -> impl Future<Output = Result<Result<CheckAnswer, String>, StoreError>> + Send;

    /// Looks whether a payee that was down is back, with a number that waits if there is one. Only whether it is there
    /// counts. It moves no payment.
    fn probe(&self, payee: &Payee, number: Option<Number>) -> impl Future<Output = Told> + Send;
}

/// Starts the worker of a gateway.
pub fn start<G: Gateway>(context: &Context, gateway: &Arc<G>) {
    courier_shape::spawn(
        context,
        courier::Payments {
            context: context.clone(),
            gateway: gateway.clone(),
        },
    );
    sweep::on_wake_up(context, G::WAKE, G::NUDGE);
    questions::spawn(
        context,
        check::Checks {
            context: context.clone(),
            gateway: gateway.clone(),
        },
    );
    expired::spawn(context, G::NAMES.expired);
    acts::spawn(context, G::NAMES.acts);
    gauges::spawn(context, G::NAMES.gauges, G::WORD);
    probe::spawn(context, gateway);
}

/// Payments may be due, of whatever gateway.
fn nudge_all(context: &Context) {
    context.nudge(Nudge::Payments);
    context.nudge(Nudge::Entries);
}
