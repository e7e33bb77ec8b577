//! `unigate registers`: files of payments, closed now instead of at their time, copied for a period, saved to disk.

mod explain;
mod preview;
mod requeue;
mod resend;
mod save;
pub(crate) mod schedule;
pub(crate) mod statement;
mod verify;

use anyhow::bail;
use clap::Subcommand;
use domain::ids::{PayeeId, RegisterId};
use serde_json::{Value, json};
use store::audit::{self, Act};
use store::registers::{self, Listed, ListedPart, Summary};
use store::{StoreError, mailings};

use super::payments::act;
use crate::ending::{Ending, Outcome};
use crate::operator::Operator;
use crate::output::{self, Column, FormatArg, Row, ShowFormatArg, say};

/// What to do with registers.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List registers, the oldest first
    List(ListArgs),
    /// Show all that is known of one: its range, and why it could not be built or mailed, or not yet
    Show {
        /// The register
        #[arg(value_name = "ID", value_parser = RegisterId::parse)]
        register: RegisterId,
        #[command(flatten)]
        format: ShowFormatArg,
    },
    /// Close a payee's open payments into a register now
    Build {
        /// The payee
        #[arg(value_name = "PAYEE", value_parser = PayeeId::parse)]
        payee: PayeeId,
    },
    /// Show when ranges are closed next, by each payee's clock, and how many payments are open
    Schedule(schedule::Args),
    /// Explain in which register a payment is and why not in an earlier one, or when it will be in one
    Explain(explain::Args),
    /// State what a payee was paid in a period: sums by day and register, with fees
    Statement(statement::Args),
    /// Show what the next register would be like, or what one was like; closes and builds nothing
    Preview(preview::PreviewArgs),
    /// Send a payee the payments of a period once more, as a copy; or mail the identical file of a register again
    Resend(resend::Args),
    /// Build, or mail, a register once more that failed; the file it had is mailed again as it is
    Requeue(requeue::Args),
    /// Do not wait any longer for a recipient that does not get a register; the others have to have it
    Forgo(requeue::ForgoArgs),
    /// Save a register's file, or the files it has
    Save(save::Args),
    /// Find the register that a file is, and compare the two: bytes, payments, totals
    Verify(verify::Args),
}

/// Which registers.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Of this payee
    #[arg(long, value_name = "ID", value_parser = PayeeId::parse)]
    payee: Option<PayeeId>,
    #[command(flatten)]
    format: FormatArg,
}

/// Lists, builds, re-sends or saves.
pub(crate) async fn run(command: Command) -> Outcome {
    let operator = Operator::new()?;
    match command {
        Command::List(args) => {
            output::list(
                args.format.format,
                &registers::list(&operator.store, args.payee.as_ref()).await?,
            )?;
            Ok(Ending::Done)
        }
        Command::Show { register, format } => show(&operator, register, format).await,
        Command::Preview(args) => preview::preview(&operator, args).await,
        Command::Build { payee } => build(&operator, &payee).await,
        Command::Schedule(args) => schedule::run(&operator, args).await,
        Command::Explain(args) => explain::run(&operator, args).await,
        Command::Statement(args) => statement::run(&operator, args).await,
        Command::Resend(args) => resend::run(&operator, args).await,
        Command::Requeue(args) => requeue::run(&operator, &args).await,
        Command::Forgo(args) => requeue::forgo(&operator, &args).await,
        Command::Save(args) => save::run(&operator, args).await,
        Command::Verify(args) => verify::run(&operator, args).await,
    }
}

async fn show(operator: &Operator, id: RegisterId, format: ShowFormatArg) -> Outcome {
    let register = find(operator, id).await?;
    let mut all = output::object(&register);
    let mut add = |name: &str, value: Value| all[name] = value;
    add("first_accepted_at", json!(register.summary.first_accepted_at));
    add("last_accepted_at", json!(register.summary.last_accepted_at));
    add("cutoff", json!(register.cutoff));
    add("revoked", json!(register.revoked));
    add("format", json!(register.format));
    add("open", json!(register.summary.open));
    add("requested_by", json!(register.requested_by));
    add("payee_version", json!(register.payee_version));
    add("last_error", json!(register.last_error));
    let parts = registers::parts_of(&operator.store, id).await?;
    add("files", parts.iter().map(shown).collect());
    let mailings = mailings::of_register(&operator.store, id).await?;
    add("mailings", mailings.iter().map(mailing).collect());
    let acts = audit::of(&operator.store, "register", &id.to_string()).await?;
    add("audit", acts.iter().map(act).collect());
    output::show(format.format, &all)?;
    Ok(Ending::Done)
}

fn shown(part: &ListedPart) -> Value {
    json!({
        "part": part.part.part, "file": part.file_name, "sha256": hex::encode(&part.sha256), "bytes": part.bytes,
        "count": part.part.count, "total": part.part.total,
    })
}

fn mailing(of: &mailings::Listed) -> Value {
    json!({
        "recipient": of.recipient, "part": of.part, "state": of.state, "attempts": of.attempts, "maybes": of.maybes,
        "due_at": of.due_at, "give_up_at": of.give_up_at, "sent_at": of.sent_at,
        "first_sent_at": of.first_sent_at, "again": of.again, "last_error": of.last_error,
        "lane": of.lane, "message_id": of.message_id,
    })
}

async fn find(operator: &Operator, id: RegisterId) -> anyhow::Result<Listed> {
    match registers::find(&operator.store, id).await? {
        Some(register) => Ok(register),
        None => bail!("register {id} is unknown"),
    }
}

async fn build(operator: &Operator, payee: &PayeeId) -> Outcome {
    let closed = match schedule::closes_by_itself(operator, payee).await? {
        Some(why) => Err(StoreError::Changed(why)),
        None => registers::close_now(&operator.store, payee, &operator.who).await,
    };
    let closed = match closed {
        Ok(closed) => closed,
        Err(error) => {
            let act = Act {
                who: &operator.who,
                act: "registers build",
                subject_kind: "payee",
                subject: payee.as_str(),
                reason: None,
                before: None,
                after: None,
            };
            return Err(operator.denied(act, error).await);
        }
    };
    if closed.is_empty() {
        say(format!("payee {payee} has no open payments"))?;
    }
    tell_new(operator, &closed).await
}

/// Building and mailing are the workers' business, and begin at once where they run.
async fn tell_new(operator: &Operator, ids: &[RegisterId]) -> Outcome {
    for id in ids {
        let register = find(operator, *id).await?;
        say(format!("register {id}: {}", told(&register.summary)))?;
    }
    Ok(Ending::Done)
}

fn told(about: &Summary) -> String {
    format!(
        "{} {} of payee {}, {} payments, {} {} in minor units",
        about.kind(),
        about.sequence,
        about.payee,
        about.count,
        about.total,
        about.currency
    )
}

impl Row for Listed {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("register_id", |row| json!(row.summary.register_id)),
        Column::new("payee", |row| json!(row.summary.payee)),
        Column::new("series", |row| json!(row.summary.series)),
        Column::new("sequence", |row| json!(row.summary.sequence)),
        Column::new("kind", |row| json!(row.summary.kind())),
        Column::new("state", |row| json!(row.state)),
        Column::new("count", |row| json!(row.summary.count)),
        Column::new("total", |row| json!(row.summary.total)),
        Column::new("currency", |row| json!(row.summary.currency)),
        Column::new("file", |row| json!(row.file)),
        Column::new("sha256", |row| json!(row.sha256.as_ref().map(hex::encode))),
        Column::new("bytes", |row| json!(row.bytes)),
        Column::new("mailed_at", |row| json!(row.mailed_at)),
        Column::new("parts", |row| json!(row.parts)),
    ];
}
