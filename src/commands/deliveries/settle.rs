//! `unigate deliveries settle`: an operator knows how a payment ended.

use anyhow::bail;
use clap::ValueEnum;
use contract::event::{Events, PaymentEvent};
use domain::delivery::operator::Settlement;
use domain::payment::PaymentState;
use runtime::{emit, payment_item};
use serde_json::json;
use store::audit::{self, Act};
use store::deliveries::{self, Due, Settle, Settled};

use super::named::Named;
use crate::ending::{Ending, Outcome};
use crate::operator::{Operator, reason};
use crate::output::say;

/// Which payment, how it ended, and how that is known.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The payment: its id, or its number
    #[arg(value_name = "PAYMENT", value_parser = Named::parse)]
    payment: Named,
    /// How it ended
    #[arg(long = "as", value_name = "HOW", value_enum)]
    to: How,
    /// How that is known; for the audit log, and for the payment's last error when it was refused
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// The payee's own id of it
    #[arg(long, value_name = "TEXT")]
    provider_reference: Option<String>,
}

/// How a payment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum How {
    /// The payee has it
    Delivered,
    /// The payee does not have it and never will
    Refused,
}

impl From<How> for Settlement {
    fn from(how: How) -> Self {
        match how {
            How::Delivered => Self::Delivered,
            How::Refused => Self::Refused,
        }
    }
}

pub(super) async fn run(args: Args) -> Outcome {
    let operator = Operator::new()?;
    let payment_id = args.payment.id(&operator).await?;
    let settle = Settle {
        payment_id,
        to: args.to.into(),
        reason: &args.reason,
        provider_reference: args.provider_reference.as_deref(),
    };
    let tx = operator.store.begin().await?;
    let subject = payment_id.to_string();
    match deliveries::settle(&tx, &settle).await? {
        Settled::Done(before, generation) => {
            let state = settle.to.state_after(before.state);
            let noted = Act {
                before: Some(json!({
                    "state": before.state, "generation": generation, "maybes": before.maybes,
                })),
                after: Some(json!({
                    "state": state, "provider_reference": settle.provider_reference,
                })),
                ..act(&operator, &subject, &args.reason)
            };
            audit::record(&tx, &noted).await?;
            emit(&tx, told(&settle, &before)?, before.traceparent.as_deref()).await?;
            tx.commit().await?;
            say(format!("payment {subject} is settled as {state}"))?;
            Ok(Ending::Done)
        }
        Settled::Confirmed(state, flags) => {
            let noted = Act {
                before: Some(json!({ "state": state, "in_question": flags })),
                after: Some(json!({
                    "state": state, "in_question": [], "provider_reference": settle.provider_reference,
                })),
                ..act(&operator, &subject, &args.reason)
            };
            audit::record(&tx, &noted).await?;
            tx.commit().await?;
            say(format!("payment {subject} stays {state}"))?;
            Ok(Ending::Done)
        }
        Settled::Refused(why) => {
            tx.rollback().await?;
            let denied = Act {
                after: Some(json!({ "denied": why })),
                ..act(&operator, &subject, &args.reason)
            };
            audit::record_denied(&operator.store, &denied).await?;
            bail!("payment {subject} {why}")
        }
        Settled::NotFound => bail!("payment {subject} is unknown, or is not delivered online"),
    }
}

fn told(settle: &Settle<'_>, before: &Due) -> Result<Events, store::StoreError> {
    let refused = || Some(settle.reason.to_owned());
    let (kind, error) = match (settle.to, before.state == PaymentState::Revoking) {
        (Settlement::Delivered, false) => (PaymentEvent::Delivered, None),
        (Settlement::Delivered, true) => (PaymentEvent::RevokeRefused, refused()),
        (Settlement::Refused, false) => (PaymentEvent::Refused, refused()),
        (Settlement::Refused, true) => (PaymentEvent::Revoked, None),
    };
    let mut events = Events::new(domain::clock::now());
    events.push(kind, &payment_item(before, settle.to.state_after(before.state), error)?);
    Ok(events)
}

fn act<'a>(operator: &'a Operator, subject: &'a str, reason: &'a str) -> Act<'a> {
    Act {
        who: &operator.who,
        act: "deliveries settle",
        subject_kind: "payment",
        subject,
        reason: Some(reason),
        before: None,
        after: None,
    }
}
