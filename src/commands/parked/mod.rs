//! `unigate parked`: facts without a home. An operator sees each whole, corrects it and puts it back, or discards it with a
//! reason. Putting back never publishes anything: the worker it belongs to handles the parked row itself.

mod put_back;

use std::path::PathBuf;

use anyhow::bail;
use clap::Subcommand;
use domain::ids::ParkedId;
use serde_json::{Value, json};
use store::audit::{self, Act};
use store::parked::{self, Filter, Parked};

use super::payments::act;
use crate::ending::{Ending, Outcome};
use crate::operator::{Operator, reason};
use crate::output::{self, Column, FormatArg, Row, ShowFormatArg, note, say};

/// What to do with parked facts.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List what waits for an operator, the oldest first
    List(ListArgs),
    /// Show one whole: bytes, headers, reason, what was done to it
    Show(ShowArgs),
    /// Have it handled again, as it came or corrected; its id never changes
    PutBack(PutBackArgs),
    /// Settle it by hand: it is not handled any more, and its id is refused from now on
    Discard(DiscardArgs),
}

/// Which parked facts.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Also those that were resolved or discarded
    #[arg(long)]
    all: bool,
    /// Only those refused for this reason
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    #[command(flatten)]
    format: FormatArg,
}

/// Which one.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// Its parked_id
    #[arg(value_parser = ParkedId::parse)]
    id: ParkedId,
    #[command(flatten)]
    format: ShowFormatArg,
}

/// Which one, and what instead of its body.
#[derive(Debug, clap::Args)]
pub(crate) struct PutBackArgs {
    /// Its parked_id
    #[arg(value_parser = ParkedId::parse)]
    id: ParkedId,
    /// A corrected body, as a terminal would have sent it
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// Whoever sent it may speak for the terminal that it names, which is declared
    #[arg(long, requires = "reason")]
    speaks_for_terminal: bool,
    /// Why; for the audit log
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
}

/// Which one, and why.
#[derive(Debug, clap::Args)]
pub(crate) struct DiscardArgs {
    /// Its parked_id
    #[arg(value_parser = ParkedId::parse)]
    id: ParkedId,
    /// How it was settled; for the audit log
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
}

/// Lists, shows, puts back or discards.
pub(crate) async fn run(command: Command) -> Outcome {
    let operator = Operator::new()?;
    match command {
        Command::List(args) => {
            let filter = Filter {
                all: args.all,
                reason: args.reason,
            };
            output::list(args.format.format, &parked::list(&operator.store, &filter).await?)?;
            Ok(Ending::Done)
        }
        Command::Show(args) => show(&operator, &args).await,
        Command::PutBack(args) => put_back::put_back(&operator, args).await,
        Command::Discard(args) => discard(&operator, &args).await,
    }
}

async fn find(operator: &Operator, id: ParkedId) -> anyhow::Result<Parked> {
    match parked::find(&operator.store, id.as_uuid()).await? {
        Some(row) => Ok(row),
        None => bail!("nothing is parked as {id}"),
    }
}

async fn show(operator: &Operator, args: &ShowArgs) -> Outcome {
    let row = find(operator, args.id).await?;
    let mut all = output::object(&row);
    let mut add = |name: &str, value: Value| all[name] = value;
    add("speaks_for_terminal", json!(row.vouched));
    add("state", json!(row.state));
    add("resolved_by", json!(row.resolved_by));
    add("resolution", json!(row.resolution));
    add("properties", row.properties.clone());
    add("body", body_of(&row.body));
    add(
        "corrected_body",
        row.corrected_body.as_deref().map_or(Value::Null, body_of),
    );
    let acts = audit::of(&operator.store, "parked", &args.id.to_string()).await?;
    add("audit", acts.iter().map(act).collect());
    output::show(args.format.format, &all)?;
    Ok(Ending::Done)
}

/// As text where it is one; else its bytes, two digits each.
fn body_of(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({ "hex": hex::encode(bytes) }),
    }
}

async fn discard(operator: &Operator, args: &DiscardArgs) -> Outcome {
    let row = find(operator, args.id).await?;
    let subject = args.id.to_string();
    let act = |after| Act {
        who: &operator.who,
        act: "parked discard",
        subject_kind: "parked",
        subject: &subject,
        reason: Some(&args.reason),
        before: Some(json!({ "state": row.state, "reason": row.reason })),
        after: Some(after),
    };
    let tx = operator.store.begin().await?;
    audit::record(&tx, &act(json!({ "state": "discarded" }))).await?;
    if let Err(error) = parked::discard(&tx, row.parked_id, &operator.who, &args.reason).await {
        drop(tx);
        audit::record_denied(&operator.store, &act(json!({ "denied": error.to_string() }))).await?;
        return Err(error.into());
    }
    tx.commit().await?;
    say(format!("{} is discarded", args.id))?;
    if matches!(row.reason.as_str(), "not_your_terminal" | "unknown_terminal") {
        note("its sender had no right to its id, which stays open to other content; just this content is refused");
    }
    Ok(Ending::Done)
}

impl Row for Parked {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("parked_id", |row| json!(row.parked_id)),
        Column::new("parked_at", |row| json!(row.parked_at)),
        Column::new("routing_key", |row| json!(row.routing_key)),
        Column::new("reason", |row| json!(row.reason)),
        Column::new("detail", |row| json!(row.detail)),
        Column::new("payment_id", |row| json!(row.payment_id)),
        Column::new("reservation_id", |row| json!(row.reservation_id)),
    ];
}
