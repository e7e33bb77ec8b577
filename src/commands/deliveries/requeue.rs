//! `unigate deliveries requeue`: each payment judged, then made due in a transaction of its own with its line in the audit
//! log. One that moved since it was looked at is left alone and said so; so is one for which it would not be safe.

use std::collections::{BTreeMap, HashSet};

use anyhow::bail;
use domain::ids::PayeeId;
use domain::payment::Act as PayAct;
use serde_json::json;
use store::StoreError;
use store::audit::{self, Act};
use store::declarations::{self, Declarations};
use store::deliveries::{self, Requeue, Requeued};
use store::payments::PaymentRow;

use super::RequeueArgs;
use super::judge::{Case, judge};
use crate::ending::{Ending, Outcome};
use crate::operator::Operator;
use crate::output::{note, say};

/// A payment that may be requeued.
struct Plan {
    row: PaymentRow,
    how: Requeue,
    give_up_hours: i32,
}

/// What became of all of them.
#[derive(Default)]
struct Tally {
    paid: u64,
    asked: u64,
    changed: u64,
    not: BTreeMap<&'static str, u64>,
}

pub(super) async fn requeue(args: RequeueArgs) -> Outcome {
    let operator = Operator::new()?;
    let all = declarations::load(&operator.store).await?;
    let (payee, state) = (
        args.payee.as_ref().map(PayeeId::as_str),
        args.state.map(|state| state.as_str()),
    );
    let rows = deliveries::requeue_candidates(&operator.store, &args.payments, payee, state).await?;
    tell_missing(&args, &rows)?;
    let mut tally = Tally::default();
    for row in rows {
        let id = row.payment_id;
        match plan(&operator, row, &all, args.certain).await? {
            Err((row, why)) => {
                *tally.not.entry(why).or_default() += 1;
                if !args.payments.is_empty() {
                    note(&format!("payment {id} {why}"));
                }
                if !args.dry_run {
                    audit::record_denied(&operator.store, &act(&operator, &row, &args, Err(why), &id.to_string()))
                        .await?;
                }
            }
            Ok(plan) => {
                let requeued = if args.dry_run {
                    Requeued::Done
                } else {
                    carry_out(&operator, &plan, &args).await?
                };
                tally.count(plan.how, requeued);
                if requeued == Requeued::Changed {
                    note(&format!("payment {id} changed meanwhile: look again"));
                }
            }
        }
    }
    let named: HashSet<_> = args.payments.iter().collect();
    tally.tell(args.dry_run, named.len() as u64)
}

fn tell_missing(args: &RequeueArgs, rows: &[PaymentRow]) -> anyhow::Result<()> {
    let found: HashSet<_> = rows.iter().map(|row| row.payment_id).collect();
    for id in args.payments.iter().filter(|id| !found.contains(id)) {
        note(&format!("payment {id} is unknown"));
    }
    if rows.is_empty() {
        bail!("no such payment");
    }
    Ok(())
}

type Planned = Result<Plan, (Box<PaymentRow>, &'static str)>;

async fn plan(operator: &Operator, row: PaymentRow, all: &Declarations, certain: bool) -> Result<Planned, StoreError> {
    let payee = PayeeId::parse(&row.payee).ok().and_then(|id| all.payees.get(&id));
    let Some(profile) = payee.and_then(|payee| payee.value.unikassa.as_ref()) else {
        return Ok(Err((Box::new(row), "is not delivered online")));
    };
    let idempotent = profile.idempotent();
    let case = Case {
        state: row.state,
        // Only there does it matter.
        reached: !idempotent && has_reached_payee(operator, &row).await?,
        idempotent,
        offers_status: profile.offers_status(),
        certain,
    };
    let give_up_hours = i32::try_from(profile.give_up_hours).unwrap_or(i32::MAX);
    Ok(match judge(case) {
        Ok(how) => Ok(Plan {
            row,
            how,
            give_up_hours,
        }),
        Err(why) => Err((Box::new(row), why)),
    })
}

async fn has_reached_payee(operator: &Operator, row: &PaymentRow) -> Result<bool, StoreError> {
    if row.maybes > 0 || row.attempts == 0 {
        return Ok(row.maybes > 0);
    }
    let calls = deliveries::attempts(&operator.store, row.payment_id).await?;
    Ok(calls
        .iter()
        .any(|call| call.act == PayAct::Pay && call.ending != "not_sent"))
}

async fn carry_out(operator: &Operator, plan: &Plan, args: &RequeueArgs) -> anyhow::Result<Requeued> {
    let subject = plan.row.payment_id.to_string();
    let tx = operator.store.begin().await?;
    let requeued = deliveries::requeue(&tx, &plan.row, plan.how, plan.give_up_hours).await?;
    if requeued == Requeued::Done {
        audit::record(&tx, &act(operator, &plan.row, args, Ok(plan.how), &subject)).await?;
        tx.commit().await?;
    } else {
        tx.rollback().await?;
        let denied = act(operator, &plan.row, args, Err("changed meanwhile"), &subject);
        audit::record_denied(&operator.store, &denied).await?;
    }
    Ok(requeued)
}

fn act<'a>(
    operator: &'a Operator,
    row: &PaymentRow,
    args: &'a RequeueArgs,
    outcome: Result<Requeue, &'static str>,
    subject: &'a str,
) -> Act<'a> {
    let after = match outcome {
        Ok(how) => json!({ "next": word(how), "certain": args.certain }),
        Err(why) => json!({ "denied": why }),
    };
    Act {
        who: &operator.who,
        act: "deliveries requeue",
        subject_kind: "payment",
        subject,
        reason: args.reason.as_deref(),
        before: Some(json!({ "state": row.state, "generation": row.generation, "maybes": row.maybes })),
        after: Some(after),
    }
}

fn word(how: Requeue) -> &'static str {
    match how {
        Requeue::Pay => "pay",
        Requeue::Status => "status",
    }
}

impl Tally {
    fn count(&mut self, how: Requeue, requeued: Requeued) {
        match (requeued, how) {
            (Requeued::Changed, _) => self.changed += 1,
            (Requeued::Done, Requeue::Pay) => self.paid += 1,
            (Requeued::Done, Requeue::Status) => self.asked += 1,
        }
    }

    /// By a filter some may stay behind; of payments that were named one left behind is a failure.
    fn tell(self, dry_run: bool, named: u64) -> Outcome {
        let verb = if dry_run { "would be requeued" } else { "requeued" };
        let requeued = self.paid + self.asked;
        say(format!(
            "{requeued} {verb}: {} to be paid, {} to be asked about",
            self.paid, self.asked
        ))?;
        if self.changed > 0 {
            say(format!("{} changed meanwhile", self.changed))?;
        }
        for (why, count) in &self.not {
            say(format!("{count} not: {why}"))?;
        }
        Ok(Ending::done_if(requeued > 0 && requeued >= named))
    }
}
