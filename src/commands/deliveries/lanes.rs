//! `unigate deliveries lanes|pause|unpause`: how payees stand, and holding one back.

use domain::ids::PayeeId;
use serde_json::json;
use store::audit::{self, Act};
use store::lanes::{self, LaneRow};

use crate::ending::{Ending, Outcome};
use crate::operator::{Operator, reason};
use crate::output::{self, Column, FormatArg, Row, say};

/// How to list.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    format: FormatArg,
}

/// Which payee, and why.
#[derive(Debug, clap::Args)]
pub(crate) struct Switch {
    /// The payee
    #[arg(value_name = "PAYEE", value_parser = PayeeId::parse)]
    payee: PayeeId,
    /// Why; for the audit log
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
}

pub(super) async fn list(args: Args) -> Outcome {
    let operator = Operator::new()?;
    let mut rows = lanes::list(&operator.store).await?;
    for row in rows.iter_mut().filter(|row| row.suspended && !row.held) {
        tell_who_suspended(&operator, row).await?;
    }
    output::list(args.format.format, &rows.into_iter().map(Listed).collect::<Vec<_>>())?;
    Ok(Ending::Done)
}

/// Who, when and why, where it was done by the command: a declaration may say that its payee is suspended, and gives no reason.
async fn tell_who_suspended(operator: &Operator, row: &mut LaneRow) -> anyhow::Result<()> {
    let mut acts = audit::of(&operator.store, "payee", &row.lane).await?;
    acts.retain(|act| act.allowed && matches!(&*act.act, "payees suspend" | "payees resume"));
    if let Some(last) = acts.pop().filter(|act| act.act == "payees suspend") {
        (row.held_by, row.held_at, row.held_reason) = (Some(last.who), Some(last.at), last.reason);
    }
    Ok(())
}

/// Why nothing is sent.
fn why(row: &LaneRow) -> Option<&'static str> {
    match (row.suspended, row.held) {
        (true, true) => Some("suspended, paused"),
        (true, false) => Some("suspended"),
        (false, true) => Some("paused"),
        (false, false) => None,
    }
}

pub(super) async fn pause(args: Switch) -> Outcome {
    let operator = Operator::new()?;
    let lane = args.payee.as_str();
    let held = lanes::hold(&operator.store, lane, &operator.who, &args.reason).await;
    if let Err(error) = held {
        return Err(operator.denied(act(&operator, "deliveries pause", &args), error).await);
    }
    say(format!("payee {lane} is paused: nothing is sent; calls under way end"))?;
    Ok(Ending::Done)
}

pub(super) async fn unpause(args: Switch) -> Outcome {
    let operator = Operator::new()?;
    let lane = args.payee.as_str();
    let released = lanes::release(&operator.store, lane, &operator.who, &args.reason).await;
    if let Err(error) = released {
        return Err(operator
            .denied(act(&operator, "deliveries unpause", &args), error)
            .await);
    }
    say(format!("payee {lane} is not paused any more"))?;
    Ok(Ending::Done)
}

fn act<'a>(operator: &'a Operator, act: &'a str, args: &'a Switch) -> Act<'a> {
    Act {
        who: &operator.who,
        act,
        subject_kind: "payee",
        subject: args.payee.as_str(),
        reason: Some(&args.reason),
        before: None,
        after: None,
    }
}

/// A lane as it is listed.
pub(crate) struct Listed(LaneRow);

impl Row for Listed {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("payee", |row| json!(row.0.lane)),
        Column::new("slots", |row| json!(row.0.slots)),
        Column::new("busy", |row| json!(row.0.busy)),
        Column::new("breaker", |row| json!(row.0.breaker)),
        Column::new("paused", |row| json!(row.0.paused)),
        Column::new("why", |row| json!(why(&row.0))),
        Column::new("paused_by", |row| json!(row.0.held_by)),
        Column::new("paused_at", |row| json!(row.0.held_at)),
        Column::new("paused_reason", |row| json!(row.0.held_reason)),
        Column::new("waiting", |row| json!(row.0.waiting)),
        Column::new("next_due_at", |row| json!(row.0.next_due_at)),
        Column::new("wait_until", |row| json!(row.0.wait_until)),
        Column::new("opened_at", |row| json!(row.0.opened_at)),
        Column::new("probe_at", |row| json!(row.0.probe_at)),
        Column::new("last_error", |row| json!(row.0.last_error)),
    ];
}
