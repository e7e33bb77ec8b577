//! `unigate deliveries`: payments of online payees, and putting them back to work.

mod judge;
mod reconcile;
mod requeue;

use clap::Subcommand;
use domain::ids::{PayeeId, PaymentId};
use domain::payment::PaymentState;
use serde_json::json;
use store::payments::{self, Filter, PaymentRow};

use super::payments::ShowArgs;
use crate::ending::{Ending, Outcome};
use crate::operator::Operator;
use crate::output::{self, Column, FormatArg, Row};

/// What to do with deliveries.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List payments of online payees, the latest first
    List(ListArgs),
    /// Show a payment with every call to its payee
    Show(ShowArgs),
    /// Make payments due now: named ones, or a payee's in a state
    Requeue(RequeueArgs),
    /// Compare a payee's list with ours, and act on what differs
    Reconcile(reconcile::ReconcileArgs),
}

/// Which deliveries.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// To this payee
    #[arg(long, value_name = "ID", value_parser = PayeeId::parse)]
    payee: Option<PayeeId>,
    /// In this state
    #[arg(long, value_name = "S", value_parser = PaymentState::parse)]
    state: Option<PaymentState>,
    /// At most so many; 0 = all
    #[arg(long, value_name = "N", default_value_t = super::payments::LIMIT)]
    limit: u32,
    #[command(flatten)]
    format: FormatArg,
}

/// Which payments to requeue, and how sure the operator is.
#[derive(Debug, clap::Args)]
pub(crate) struct RequeueArgs {
    /// These payments
    #[arg(value_name = "PAYMENT", value_parser = PaymentId::parse,
          required_unless_present_all = ["payee", "state"], conflicts_with_all = ["payee", "state"])]
    payments: Vec<PaymentId>,
    /// All payments of this payee in a state
    #[arg(long, value_name = "ID", value_parser = PayeeId::parse, requires = "state")]
    payee: Option<PayeeId>,
    /// The state
    #[arg(long, value_name = "S", value_parser = PaymentState::parse, requires = "payee")]
    state: Option<PaymentState>,
    /// Only say how many would be requeued, how many would not, and why
    #[arg(long)]
    dry_run: bool,
    /// It is certain that none of the named payments was credited: pay again, also where that could credit twice
    #[arg(long, requires = "payments", conflicts_with_all = ["payee", "state"])]
    certain: bool,
    /// Why; for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Lists, shows or requeues.
pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::List(args) => list(args).await,
        Command::Show(args) => super::payments::show(args).await,
        Command::Requeue(args) => requeue::requeue(args).await,
        Command::Reconcile(args) => reconcile::run(args).await,
    }
}

async fn list(args: ListArgs) -> Outcome {
    let filter = Filter {
        payee: args.payee.map(|id| id.to_string()),
        state: args.state.map(|state| state.to_string()),
        online: true,
        limit: (args.limit > 0).then(|| i64::from(args.limit)),
        ..Filter::default()
    };
    let rows = payments::list(&Operator::new()?.store, &filter).await?;
    let listed = rows.len();
    output::list(args.format.format, &rows.into_iter().map(Delivery).collect::<Vec<_>>())?;
    super::payments::note_limit(args.limit, listed);
    Ok(Ending::Done)
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
