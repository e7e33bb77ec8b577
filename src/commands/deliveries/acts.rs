//! `unigate deliveries acts`: what operators asked to be done about many payments, how far it is, and holding it up.

use anyhow::bail;
use clap::Subcommand;
use domain::ids::ActId;
use serde_json::{Value, json};
use store::acts::{self, ActRow, ItemRow, Steer};
use store::audit::{self, Act};

use super::bulk::drive;
use crate::ending::{Ending, Outcome};
use crate::operator::{Operator, reason};
use crate::output::{self, Column, FormatArg, Row, ShowFormatArg, say};

/// Lists acts, or does something about one.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: ListArgs,
}

/// What to do with acts.
#[derive(Debug, Subcommand)]
enum Command {
    /// List acts, the latest first (as without a word)
    List(ListArgs),
    /// Show an act, and the payments for which nothing was done
    Show(ShowArgs),
    /// Do nothing more of it for now
    Pause(SteerArgs),
    /// Go on with it, also with one whose command is gone
    Resume(SteerArgs),
    /// End it here: what was done stays done
    Cancel(SteerArgs),
}

/// Which acts.
#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Only those that are not over
    #[arg(long)]
    open: bool,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=100_000))]
    limit: i64,
    #[command(flatten)]
    format: FormatArg,
}

/// Which act.
#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// The act
    #[arg(value_name = "ACT", value_parser = ActId::parse)]
    act: ActId,
    #[command(flatten)]
    format: ShowFormatArg,
}

/// Which act, and why.
#[derive(Debug, clap::Args)]
struct SteerArgs {
    /// The act
    #[arg(value_name = "ACT", value_parser = ActId::parse)]
    act: ActId,
    /// Why; for the audit log
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
}

pub(super) async fn run(args: Args) -> Outcome {
    match args.command {
        None => list(args.list).await,
        Some(Command::List(args)) => list(args).await,
        Some(Command::Show(args)) => show(args).await,
        Some(Command::Pause(args)) => steer(args, Steer::Pause).await,
        Some(Command::Resume(args)) => resume(args).await,
        Some(Command::Cancel(args)) => steer(args, Steer::Cancel).await,
    }
}

async fn list(args: ListArgs) -> Outcome {
    let rows = acts::list(&Operator::new()?.store, args.open, Some(args.limit)).await?;
    output::list(args.format.format, &rows.into_iter().map(Listed).collect::<Vec<_>>())?;
    Ok(Ending::Done)
}

/// Payments shown of an act for which nothing was done.
const SHOWN: i64 = 1000;

async fn show(args: ShowArgs) -> Outcome {
    let operator = Operator::new()?;
    let row = find(&operator, args.act).await?;
    let items = acts::set_aside(&operator.store, args.act, SHOWN).await?;
    let mut all = output::object(&Listed(row));
    all["set_aside"] = items.iter().map(item).collect();
    let audited = audit::of(&operator.store, "act", &args.act.to_string()).await?;
    all["audit"] = audited.iter().map(crate::commands::payments::act).collect();
    output::show(args.format.format, &all)?;
    Ok(Ending::Done)
}

async fn find(operator: &Operator, act: ActId) -> anyhow::Result<ActRow> {
    match acts::find(&operator.store, act).await? {
        Some(row) => Ok(row),
        None => bail!("there is no act {act}"),
    }
}

async fn steer(args: SteerArgs, how: Steer) -> Outcome {
    let operator = Operator::new()?;
    change(&operator, &args, how).await?;
    let row = find(&operator, args.act).await?;
    say(format!(
        "act {} is {}: {} of {} done",
        row.act_id, row.state, row.done, row.matched
    ))?;
    Ok(Ending::Done)
}

async fn change(operator: &Operator, args: &SteerArgs, how: Steer) -> anyhow::Result<()> {
    let reason = args.reason.as_deref();
    let steered = acts::steer(&operator.store, args.act, how, &operator.who, reason).await;
    let Err(error) = steered else { return Ok(()) };
    let subject = args.act.to_string();
    let act = Act {
        who: &operator.who,
        act: how.audited_as(),
        subject_kind: "act",
        subject: &subject,
        reason,
        before: None,
        after: None,
    };
    Err(operator.denied(act, error).await)
}

/// One that runs is only helped along: its command may be gone, and no worker may run.
async fn resume(args: SteerArgs) -> Outcome {
    let operator = Operator::new()?;
    if find(&operator, args.act).await?.state != "running" {
        change(&operator, &args, Steer::Resume).await?;
    }
    let row = drive(&operator, args.act).await?;
    say(format!(
        "act {} is {}: {} of {} done",
        row.act_id, row.state, row.done, row.matched
    ))?;
    Ok(Ending::done_if(row.state == "done"))
}

/// What became of a payment in an act.
pub(crate) fn item(row: &ItemRow) -> Value {
    json!({
        "act_id": row.act_id, "payment_id": row.payment_id, "kind": row.kind, "who": row.who, "state": row.state,
        "outcome": row.outcome, "did": row.did, "why": row.why, "ended_at": row.ended_at,
    })
}

/// An act as it is listed.
pub(crate) struct Listed(ActRow);

impl Row for Listed {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("act_id", |row| json!(row.0.act_id)),
        Column::new("kind", |row| json!(row.0.kind)),
        Column::new("who", |row| json!(row.0.who)),
        Column::new("state", |row| json!(row.0.state)),
        Column::new("matched", |row| json!(row.0.matched)),
        Column::new("waiting", |row| json!(row.0.waiting())),
        Column::new("done", |row| json!(row.0.done)),
        Column::new("done_as", |row| json!(row.0.done_as)),
        Column::new("changed", |row| json!(row.0.changed)),
        Column::new("refused", |row| json!(row.0.refused)),
        Column::new("reasons", |row| json!(row.0.reasons)),
        Column::new("filter", |row| json!(row.0.filter)),
        Column::new("certain", |row| json!(row.0.certain)),
        Column::new("rate", |row| json!(row.0.rate)),
        Column::new("reason", |row| json!(row.0.reason)),
        Column::new("created_at", |row| json!(row.0.created_at)),
        Column::new("carried_by", |row| json!(row.0.carried_by)),
        Column::new("carried_at", |row| json!(row.0.carried_at)),
        Column::new("finished_at", |row| json!(row.0.finished_at)),
        Column::new("ended_by", |row| json!(row.0.ended_by)),
    ];
}
