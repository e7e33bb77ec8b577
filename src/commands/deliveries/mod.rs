//! `unigate deliveries`: payments of online payees, finding those that are stuck, and putting them back to work.

mod acts;
mod bulk;
mod groups;
mod lanes;
mod named;
mod reconcile;
mod search;
mod settle;

use clap::Subcommand;
use domain::ids::PaymentId;
use serde_json::json;
use store::payments::{self, PaymentRow};

pub(crate) use self::acts::item;
use self::search::Search;
#[cfg(test)]
pub(crate) use self::{acts::Listed as ListedAct, groups::Listed as ListedGroup, lanes::Listed as ListedLane};
use super::payments::ShowArgs;
use crate::ending::Outcome;
use crate::operator::Operator;
use crate::output::{Column, FormatArg, Row};

/// What to do with deliveries.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Find payments of online payees, the latest first
    ///
    /// Without --from, those accepted in the last 24 hours; all of them if they are named, or for an account, under a number, of
    /// a group, with an error, and in a state that somebody has to see to.
    List(ListArgs),
    /// Show a payment with every call to its payee, and every act about it
    Show(ShowArgs),
    /// Count what is stuck by payee, state and cause, the largest group first
    ///
    /// What payees have refused is over and not stuck: --state refused counts it.
    Groups(groups::Args),
    /// Make payments due now: named ones, or all that match
    ///
    /// What matches is written down as it is now, and carried out in parts by this command and by any unikassa or databases
    /// worker: should this command end early, it goes on. `deliveries acts` shows how far it is.
    Requeue(bulk::RequeueArgs),
    /// Compare a payee's list with ours, and act on what differs
    Reconcile(reconcile::ReconcileArgs),
    /// Say how a payment ended: the world is told, and no later answer overturns it
    Settle(settle::Args),
    /// Send nothing of these payments until they are resumed
    Stop(bulk::NamedArgs),
    /// Make stopped payments due now
    Resume(bulk::ResumeArgs),
    /// Send nothing to a payee; payments for it are taken and wait
    Pause(lanes::Switch),
    /// Send to a paused payee again
    Unpause(lanes::Switch),
    /// How each online payee stands: calls at a time, whether it is down or paused
    Lanes(lanes::Args),
    /// Acts on many payments: how far each is, and holding one up
    Acts(acts::Args),
}

/// Which deliveries.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// This payment; may be given several times
    #[arg(long, value_name = "ID", value_parser = PaymentId::parse)]
    payment: Vec<PaymentId>,
    #[command(flatten)]
    search: Search,
    #[command(flatten)]
    format: FormatArg,
}

/// Does what was asked for.
pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::List(args) => list(args).await,
        Command::Show(args) => super::payments::show(args).await,
        Command::Groups(args) => groups::run(args).await,
        Command::Requeue(args) => bulk::requeue(args).await,
        Command::Reconcile(args) => reconcile::run(args).await,
        Command::Settle(args) => settle::run(args).await,
        Command::Stop(args) => bulk::stop(args).await,
        Command::Resume(args) => bulk::resume(args).await,
        Command::Pause(args) => lanes::pause(args).await,
        Command::Unpause(args) => lanes::unpause(args).await,
        Command::Lanes(args) => lanes::list(args).await,
        Command::Acts(args) => acts::run(args).await,
    }
}

async fn list(args: ListArgs) -> Outcome {
    let operator = Operator::new()?;
    let limit = args.search.limit;
    let filter = payments::Filter {
        payments: args.payment,
        online: true,
        ..args.search.filter(&operator).await?
    };
    super::payments::print(&operator, args.format.format, filter, limit, Delivery).await
}

#[cfg(test)]
pub(crate) use reconcile::Found;

/// A payment as it stands before its payee.
pub(crate) struct Delivery(PaymentRow);

impl Row for Delivery {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("payment_id", |row| json!(row.0.payment_id)),
        Column::new("number", |row| json!(row.0.number.to_string())),
        Column::new("payee", |row| json!(row.0.payee)),
        Column::new("state", |row| json!(row.0.shown_state)),
        Column::new("attempts", |row| json!(row.0.attempts)),
        Column::new("next_attempt_at", |row| json!(row.0.due_at)),
        Column::new("last_error", |row| json!(row.0.last_error)),
    ];
}
