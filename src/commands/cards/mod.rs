//! `unigate cards`: card files in, stock and sales out. Nothing here shows a card's details in the open; people name cards by serial.

mod disclose;
mod import;
pub(crate) mod report;
mod vault;

use std::path::PathBuf;

use clap::Subcommand;
use domain::card::CardState;
use domain::ids::ProductId;
use serde_json::json;
use store::audit::Act;
use store::cards::Stock;
use store::imports::Import;

use crate::ending::{Ending, Outcome};
use crate::operator::Operator;
use crate::output::{self, Column, FormatArg, Row, say};

/// What to do with cards.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Hand a file of cards in, sealed, and wait until they are in stock
    Import(ImportArgs),
    /// List what became of files handed in, the latest first
    Imports(FormatArg),
    /// Count the cards of every product by where they are, and say for how long they will do
    ///
    /// `expired` are those too near their last day to be sold, `lapsed` those in grace. `per_day` is the rate of selling: the
    /// sales of the last days, divided by as many days (or by those since the product's first file, if that is younger; one at
    /// least). `days_left` is what can still be sold at that rate. A product is low below `low_stock`; 0 = never.
    Stock(StockArgs),
    /// Tell what was sold in a period: sale by sale, summed up, or by serial for the issuer
    ///
    /// A sale counts by when it was recorded, by the database's clock. Money is in minor units, but for spreadsheets.
    Report(report::ReportArgs),
    /// Take a card out of stock, by its serial. Paid still beats it: one that a terminal has shown may be sold all the same
    Withdraw(WithdrawArgs),
    /// Show a card to yourself, for a reason, sealed to your own key
    Show(disclose::ShowArgs),
    /// Withdraw unsold cards and save them as a file for their issuer, sealed to its key
    Return(disclose::ReturnArgs),
    /// List who has asked to see cards or to return them, the latest first
    Disclosures(FormatArg),
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

/// At which rate.
#[derive(Debug, clap::Args)]
pub(crate) struct StockArgs {
    /// The days whose sales make the rate
    #[arg(long, value_name = "N", default_value_t = store::cards::RATE_DAYS, value_parser = clap::value_parser!(u32).range(1..=366))]
    rate_days: u32,
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
        Command::Stock(args) => {
            let stock = store::cards::stock_at_rate(&Operator::new()?.store, args.rate_days).await?;
            output::list(args.format.format, &stock)?;
            Ok(Ending::Done)
        }
        Command::Report(args) => report::report(args).await,
        Command::Withdraw(args) => withdraw(args).await,
        Command::Show(args) => disclose::show(args).await,
        Command::Return(args) => disclose::return_cards(args).await,
        Command::Disclosures(FormatArg { format }) => {
            output::list(format, &store::disclosures::list(&Operator::new()?.store).await?)?;
            Ok(Ending::Done)
        }
        Command::Vault(command) => vault::run(command).await,
    }
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

/// One digit is as much as a rate can tell.
fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

impl Row for Stock {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("product", |row| json!(row.product)),
        Column::new("fresh", |row| json!(row.fresh)),
        Column::new("returned", |row| json!(row.returned)),
        Column::new("held", |row| json!(row.held)),
        Column::new("lapsed", |row| json!(row.lapsed)),
        Column::new("sold", |row| json!(row.sold)),
        Column::new("expired", |row| json!(row.expired)),
        Column::new("faulty", |row| json!(row.faulty)),
        Column::new("withdrawn", |row| json!(row.withdrawn)),
        Column::new("per_day", |row| json!(tenths(row.per_day))),
        Column::new("days_left", |row| json!(row.days_left.map(tenths))),
        Column::new("low_stock", |row| json!(row.low_stock)),
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
