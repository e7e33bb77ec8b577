//! `payment.revoke`: take a payment back.

use contract::answer::{PaymentRevokeAnswer, Revocation};
use contract::event::PaymentEvent;
use contract::message::PaymentRevoke;
use contract::{Reason, Refusal};
use domain::declaration::Gateway;
use domain::payment::PaymentState;
use runtime::{Outcome, payment_row_item};
use store::payments::{PaymentRow, Revoked, revoke as store_revocation};
use store::{StoreError, Tx};

use crate::facts::Work;

/// Revokes a payment, or says why not.
pub(crate) async fn revoke(
    work: &mut Work<'_>,
    tx: &Tx,
    message: &PaymentRevoke,
    traceparent: Option<&str>,
) -> Result<Outcome, StoreError> {
    let declarations = work.declarations;
    let online = |row: &PaymentRow| declarations.payees.get(row.payee.as_str())?.value.online();
    let named = Revocation {
        payment_id: message.payment_id,
    };
    Ok(
        match store_revocation(
            tx,
            message.payment_id,
            &message.terminal,
            message.reason.as_deref(),
            online,
        )
        .await?
        {
            Revoked::Now(row) => {
                let item = payment_row_item(&row, PaymentState::Revoked)?;
                let traceparent = traceparent.or(row.traceparent.as_deref());
                work.events.push_traced(PaymentEvent::Revoked, &item, traceparent);
                Outcome::answered(&PaymentRevokeAnswer::Revoked(named))
            }
            Revoked::InAdvance => Outcome::answered(&PaymentRevokeAnswer::Revoked(named)),
            Revoked::Already => Outcome::answered(&PaymentRevokeAnswer::AlreadyRevoked(named)),
            Revoked::Underway => {
                work.wake(Gateway::Unikassa);
                work.wake(Gateway::Databases);
                Outcome::answered(&PaymentRevokeAnswer::Revoking(named))
            }
            Revoked::Delivered => refused(
                Reason::AlreadyDelivered,
                "the payee has credited it, and a revocation takes back nothing that was delivered",
            ),
            Revoked::Closed => refused(
                Reason::NotRevocable,
                "it is in a closed register, or its payee cannot take it back",
            ),
            Revoked::NotYours => refused(Reason::NotYourTerminal, "another terminal took this payment"),
            Revoked::Settled => refused(Reason::SettledByOperator, "an operator has settled it by hand"),
        },
    )
}

fn refused(reason: Reason, why: &str) -> Outcome {
    Refusal::new(reason, format!("payment_id: {why}")).into()
}
