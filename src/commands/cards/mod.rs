//! `unigate cards`: card files in, stock and sales out. Nothing here shows a card's details in the open; people name cards by serial.

mod cases;
mod disclose;
mod faulty;
mod files;
mod import;
mod preview;
pub(crate) mod report;
mod vault;

#[cfg(test)]
pub(crate) use files::LeftOut;

use clap::Subcommand;
use domain::card::CardState;
use domain::ids::ProductId;
use serde_json::json;
use store::audit::Act;
use store::cards::Stock;

use crate::ending::{Ending, Outcome};
use crate::operator::{Operator, reason};
use crate::output::{self, Column, FormatArg, Row, say};

/// What to do with cards.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Hand a file of cards in, sealed, and wait until they are in stock.
    ///
    /// All or nothing: a row that cannot be read refuses the file. Duplicates (of the file itself, of what is in stock and of
    /// what was ever sold) and cards that expired, or are too near it to be sold, never come in; they are left out and named,
    /// and refuse the file with --strict.
    #[command(verbatim_doc_comment)]
    Import(import::Args),
    /// List files handed in and how far they are, the latest first; with an ID, the rows of that file that were left out
    Imports(files::ListArgs),
    /// Take a file back whose cards are not in stock yet, or of whose cards none was ever reserved, shown or set aside by somebody
    CancelImport(files::CancelArgs),
    /// Count the cards of every product by where they are, and say for how long they will do
    ///
    /// `expired` are those too near their last day to be sold, `lapsed` those in grace. `per_day` is the rate of selling: the
    /// sales of the last days, divided by as many days (or by those since the product's first file, if that is younger; one at
    /// least). `days_left` is what can still be sold at that rate. A product is low below `low_stock`; 0 = never.
    Stock(StockArgs),
    /// Tell what was sold in a period: sale by sale, summed up, or by serial for the issuer
    ///
    /// A sale counts by when it was recorded, by the database's clock. Money is in minor units, but for spreadsheets. It is what was
    /// paid: what was given back is in `cards cases list --state resolved --resolved-from T`.
    Report(report::ReportArgs),
    /// Take a card out of stock, by its serial. Paid still beats it: one that a terminal has shown may be sold all the same
    Withdraw(WithdrawArgs),
    /// Show a card to yourself, for a reason, sealed to your own key
    Show(disclose::ShowArgs),
    /// Withdraw unsold cards and save them, with those withdrawn before, as a file for their issuer, sealed to its key
    Return(disclose::ReturnArgs),
    /// List who has asked to see cards or to return them, the latest first
    Disclosures(FormatArg),
    /// Report a card that does not work, or list those for their issuer
    Faulty(faulty::FaultyArgs),
    /// What has to be settled after sales
    #[command(subcommand)]
    Cases(cases::Command),
    /// The only thing that opens cards
    #[command(subcommand)]
    Vault(vault::Command),
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
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// The card does not work; otherwise it is only not to be sold
    #[arg(long)]
    faulty: bool,
}

/// Does what was asked for.
pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::Import(args) => import::import(args).await,
        Command::Imports(args) => files::list(args).await,
        Command::CancelImport(args) => files::cancel(args).await,
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
        Command::Faulty(args) => faulty::faulty(args).await,
        Command::Cases(command) => cases::run(command).await,
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
