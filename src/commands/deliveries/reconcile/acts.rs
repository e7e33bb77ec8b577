//! What is done about what was found: each payment in a transaction of its own, with its line in the audit log. One that
//! moved since it was looked at is left alone and said so.

use contract::event::{Events, PaymentEvent};
use domain::delivery::Flag;
use domain::payment::{Act as PayAct, PaymentState};
use domain::reconciliation::{Finding, Ours, Remedy};
use runtime::{emit, payment_row_item};
use serde_json::json;
use store::Tx;
use store::audit::{self, Act};
use store::payments;
use store::reconciliation::{self, Becomes, Run};
use uuid::Uuid;

use super::found::Found;
use super::{Online, ReconcileArgs};
use crate::operator::Operator;
use crate::output::note;

/// Acts as far as it was told to, and what became of all of them.
pub(super) struct Acts<'a> {
    operator: &'a Operator,
    args: &'a ReconcileArgs,
    give_up_hours: i32,
    idempotent: bool,
    run: Uuid,
    delivered: u64,
    paid: u64,
    asked: u64,
    marked: u64,
    changed: u64,
}

impl<'a> Acts<'a> {
    pub(super) fn new(operator: &'a Operator, online: &Online, args: &'a ReconcileArgs, run: &Run) -> Self {
        Self {
            operator,
            args,
            give_up_hours: online.give_up_hours,
            idempotent: online.terms.idempotent,
            run: run.reconciliation_id,
            delivered: 0,
            paid: 0,
            asked: 0,
            marked: 0,
            changed: 0,
        }
    }

    /// Does about a difference what may be done and was asked for. Where a file counts in other units than we do, no amount is in
    /// question.
    pub(super) async fn carry_out(&mut self, found: &Found, other_units: bool) -> anyhow::Result<()> {
        let Some(ours) = &found.compared.ours else {
            return Ok(());
        };
        if other_units && found.finding == Finding::AmountDiffers {
            return Ok(());
        }
        let (resolve, requeue) = (self.args.resolve, self.args.requeue_missing);
        let (becomes, count) = match found.remedy {
            Remedy::Deliver if resolve => {
                let theirs = found.compared.theirs.first();
                let reference = theirs.and_then(|theirs| theirs.provider_reference.as_deref());
                (Becomes::Delivered(reference), &mut self.delivered)
            }
            Remedy::Pay if requeue => (self.due(PayAct::Pay, self.idempotent), &mut self.paid),
            Remedy::Ask if requeue => (self.due(PayAct::Status, false), &mut self.asked),
            Remedy::Look(_) if resolve => {
                self.marked += mark(self.operator, self.args, found, ours).await?;
                return Ok(());
            }
            _ => return Ok(()),
        };
        if act(self.operator, self.args, found.finding, ours, becomes).await? {
            *count += 1;
        } else {
            note(&format!("payment {} changed meanwhile: look again", ours.payment_id));
            self.changed += 1;
        }
        Ok(())
    }

    fn due(&self, act: PayAct, once: bool) -> Becomes<'static> {
        let (give_up_hours, run) = (self.give_up_hours, self.run);
        Becomes::Due {
            act,
            give_up_hours,
            run,
            once,
        }
    }

    /// Differences that are none any more, or are being seen to.
    pub(super) fn remedied(&self) -> u64 {
        self.delivered + self.paid + self.asked
    }

    /// Nothing where nothing was asked for.
    pub(super) fn line(&self) -> Option<String> {
        (self.args.resolve || self.args.requeue_missing).then(|| {
            format!(
                "{} made delivered, {} to be paid, {} to be asked about, {} marked for a person, {} changed meanwhile",
                self.delivered, self.paid, self.asked, self.marked, self.changed
            )
        })
    }
}

async fn act(
    operator: &Operator,
    args: &ReconcileArgs,
    finding: Finding,
    ours: &Ours,
    becomes: Becomes<'_>,
) -> anyhow::Result<bool> {
    let what = match becomes {
        Becomes::Delivered(reference) => json!({ "state": "delivered", "provider_reference": reference }),
        Becomes::Due { act, .. } => json!({ "next": act }),
    };
    let tx = operator.store.begin().await?;
    if !reconciliation::act(&tx, ours, becomes).await? {
        tx.rollback().await?;
        let denied = json!({ "denied": "changed meanwhile" });
        audit::record_denied(
            &operator.store,
            &written(operator, args, finding, ours, &id(ours), denied),
        )
        .await?;
        return Ok(false);
    }
    if let Becomes::Delivered(_) = becomes {
        tell_delivered(operator, &tx, ours).await?;
    }
    audit::record(&tx, &written(operator, args, finding, ours, &id(ours), what)).await?;
    tx.commit().await?;
    Ok(true)
}

/// A flag stays on the payment until somebody has looked.
async fn mark(operator: &Operator, args: &ReconcileArgs, found: &Found, ours: &Ours) -> anyhow::Result<u64> {
    use Finding as F;
    let flag = match (found.finding, ours.state) {
        (F::MissingThere, PaymentState::Delivered) => Flag::PayeeDenies,
        (F::MissingThere | F::MissingHere | F::Matched, _) => return Ok(0),
        // However it was credited, it was not to be.
        (_, PaymentState::Revoked | PaymentState::Revoking) => Flag::CreditedAfterRevoke,
        (_, state) if ours.settled && state != PaymentState::Delivered => Flag::CreditedAfterSettlement,
        (F::AmountDiffers | F::CurrencyDiffers, _) => Flag::EchoedAmountDiffers,
        (F::DoubleThere, _) => Flag::CreditedTwice,
        (F::NotDelivered, _) => return Ok(0),
    };
    let tx = operator.store.begin().await?;
    let marked = match flag {
        Flag::EchoedAmountDiffers | Flag::CreditedTwice => {
            reconciliation::flag_once(&tx, &[ours.payment_id], flag.as_str()).await?
        }
        _ => reconciliation::flag(&tx, &[ours.payment_id], flag.as_str()).await?,
    };
    let what = json!({ "flag": flag.as_str() });
    if marked > 0 {
        audit::record(&tx, &written(operator, args, found.finding, ours, &id(ours), what)).await?;
    }
    tx.commit().await?;
    Ok(marked)
}

fn id(ours: &Ours) -> String {
    ours.payment_id.to_string()
}

fn written<'a>(
    operator: &'a Operator,
    args: &'a ReconcileArgs,
    finding: Finding,
    ours: &Ours,
    subject: &'a str,
    after: serde_json::Value,
) -> Act<'a> {
    Act {
        who: &operator.who,
        act: "deliveries reconcile",
        subject_kind: "payment",
        subject,
        reason: args.reason.as_deref(),
        before: Some(json!({
            "state": ours.state, "generation": ours.generation, "finding": finding.as_str(),
        })),
        after: Some(after),
    }
}

async fn tell_delivered(operator: &Operator, tx: &Tx, ours: &Ours) -> anyhow::Result<()> {
    let row = payments::find(&operator.store, ours.payment_id).await?;
    let Some(row) = row else { return Ok(()) };
    let mut events = Events::new(domain::clock::now());
    events.push(
        PaymentEvent::Delivered,
        &payment_row_item(&row, PaymentState::Delivered)?,
    );
    Ok(emit(tx, events, row.traceparent.as_deref()).await?)
}
