//! `unigate notices`: what needed somebody's attention, and whether anybody was told by mail. It changes nothing.

use clap::Subcommand;
use serde_json::json;
use store::notices::Notice;

use crate::ending::{Ending, Outcome};
use crate::operator::Operator;
use crate::output::{self, Column, FormatArg, Row};

/// What to do with notices.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List alerts, the latest first
    ///
    /// `waiting`: there is no recipient yet (UNIGATE_ALERT_MAIL_TO, or the product's alert_mail_to), no relay
    /// (UNIGATE_SMTP_URL), or mails went out a moment ago and it will go with the next ones. `failed`: a relay refused it.
    List(ListArgs),
}

/// Which.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Only those that were not mailed to everybody
    #[arg(long)]
    open: bool,
    /// So many at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=100_000))]
    limit: i64,
    #[command(flatten)]
    format: FormatArg,
}

/// Does what was asked for.
pub(crate) async fn run(command: Command) -> Outcome {
    let Command::List(args) = command;
    let notices = store::notices::list(&Operator::new()?.store, args.open, args.limit).await?;
    output::list(args.format.format, &notices)?;
    Ok(Ending::Done)
}

impl Row for Notice {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("notice_id", |row| json!(row.notice_id)),
        Column::new("kind", |row| json!(row.kind)),
        Column::new("subject", |row| json!(row.subject)),
        Column::new("title", |row| json!(row.title)),
        Column::new("times", |row| json!(row.times)),
        Column::new("first_at", |row| json!(row.first_at)),
        Column::new("last_at", |row| json!(row.last_at)),
        Column::new("state", |row| json!(row.state)),
        Column::new("recipients", |row| json!(row.recipients)),
        Column::new("mailed_at", |row| json!(row.mailed_at)),
        Column::new("last_error", |row| json!(row.last_error)),
    ];
}
