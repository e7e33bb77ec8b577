//! `unigate cards`: card files in, stock and sales out. Nothing here shows a card's details; people name cards by serial.

mod import;
mod vault;

use std::path::PathBuf;

use anyhow::bail;
use clap::Subcommand;
use domain::card::CardState;
use domain::ids::ProductId;
use jiff::tz::TimeZone;
use serde_json::json;
use store::audit::Act;
use store::cards::{SaleRow, Stock};
use store::imports::Import;

use crate::ending::{Ending, Outcome};
use crate::moment;
use crate::operator::Operator;
use crate::output::{self, Column, FormatArg, Row, say};

/// What to do with cards.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Hand a file of cards in, sealed, and wait until they are in stock
    Import(ImportArgs),
    /// List what became of files handed in, the latest first
    Imports(FormatArg),
    /// Count the cards of every product by where they are
    Stock(FormatArg),
    /// List the cards sold in a period
    Report(ReportArgs),
    /// Take a card out of stock, by its serial. Paid still beats it: one that a terminal has shown may be sold all the same
    Withdraw(WithdrawArgs),
    /// The only thing that opens cards
    #[command(subcommand)]
    Vault(vault::Command),
}

/// Which file, of what.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    /// The product they are cards of
    #[arg(long, value_name = "ID", value_parser = ProductId::parse)]
    product: ProductId,
    /// How long to wait for the result; 0 = hand in and leave
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
    /// CSV with a header: `serial`, `expires_on` (optional); every other column is a secret field of that name
    file: PathBuf,
}

/// Which period.
#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// Sold at this moment or later: RFC 3339, or a date, which is its midnight
    #[arg(long, value_name = "T")]
    from: String,
    /// Sold before this moment
    #[arg(long, value_name = "T")]
    to: String,
    /// Whose midnight a date is
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = moment::zone)]
    time_zone: TimeZone,
    #[command(flatten)]
    format: FormatArg,
}

/// Which card, and why.
#[derive(Debug, clap::Args)]
pub(crate) struct WithdrawArgs {
    /// The product it is a card of
    #[arg(long, value_name = "ID", value_parser = ProductId::parse)]
    product: ProductId,
    /// Its serial
    #[arg(long, value_name = "S")]
    serial: String,
    /// Why; for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The card does not work; otherwise it is only not to be sold
    #[arg(long)]
    faulty: bool,
}

/// Does what was asked for.
pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::Import(args) => import::import(args).await,
        Command::Imports(FormatArg { format }) => {
            output::list(format, &store::imports::list(&Operator::new()?.store).await?)?;
            Ok(Ending::Done)
        }
        Command::Stock(FormatArg { format }) => {
            output::list(format, &store::cards::stock(&Operator::new()?.store).await?)?;
            Ok(Ending::Done)
        }
        Command::Report(args) => report(args).await,
        Command::Withdraw(args) => withdraw(args).await,
        Command::Vault(command) => vault::run(command).await,
    }
}

async fn report(args: ReportArgs) -> Outcome {
    let from = moment::parse(&args.from, &args.time_zone)?;
    let to = moment::parse(&args.to, &args.time_zone)?;
    if from >= to {
        bail!("the period ends before it begins");
    }
    output::list(
        args.format.format,
        &store::cards::report(&Operator::new()?.store, from, to).await?,
    )?;
    Ok(Ending::Done)
}

async fn withdraw(args: WithdrawArgs) -> Outcome {
    let WithdrawArgs {
        product,
        serial,
        reason,
        faulty,
    } = args;
    let operator = Operator::new()?;
    let state = if faulty {
        CardState::Faulty
    } else {
        CardState::Withdrawn
    };
    let act = Act {
        who: &operator.who,
        act: "cards set-aside",
        subject_kind: "card",
        subject: &format!("{product}/{serial}"),
        reason: Some(&reason),
        before: None,
        after: None,
    };
    if let Err(error) = store::cards::set_aside(&operator.store, &product, &serial, state, &operator.who, &reason).await
    {
        return Err(operator.denied(act, error).await);
    }
    say(format!(
        "card {serial} of product {product} is {state}",
        state = state.as_str()
    ))?;
    Ok(Ending::Done)
}

impl Row for Stock {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("product", |row| json!(row.product)),
        Column::new("fresh", |row| json!(row.fresh)),
        Column::new("returned", |row| json!(row.returned)),
        Column::new("held", |row| json!(row.held)),
        Column::new("lapsed", |row| json!(row.lapsed)),
        Column::new("sold", |row| json!(row.sold)),
    ];
}

impl Row for SaleRow {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("sold_at", |row| json!(row.sold_at)),
        Column::new("product", |row| json!(row.product)),
        Column::new("serial", |row| json!(row.serial)),
        Column::new("reservation_id", |row| json!(row.reservation_id)),
        Column::new("terminal", |row| json!(row.terminal)),
        Column::new("paid_at", |row| json!(row.paid_at)),
        Column::new("amount", |row| json!(row.amount)),
        Column::new("price", |row| json!(row.price)),
        Column::new("face_value", |row| json!(row.face_value)),
        Column::new("currency", |row| json!(row.currency)),
        Column::new("receipt_number", |row| json!(row.receipt_number)),
        Column::new("late", |row| json!(row.late)),
    ];
}

impl Row for Import {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("import_id", |row| json!(row.import_id)),
        Column::new("product", |row| json!(row.product)),
        Column::new("file", |row| json!(row.file_name)),
        Column::new("state", |row| json!(row.state)),
        Column::new("added", |row| json!(row.added)),
        Column::new("duplicates", |row| json!(row.duplicates)),
        Column::new("requested_by", |row| json!(row.requested_by)),
        Column::new("requested_at", |row| json!(row.requested_at)),
        Column::new("finished_at", |row| json!(row.finished_at)),
    ];
}
