//! `unigate deliveries groups`: what is stuck, by payee, state and cause.

use serde_json::json;
use store::deliveries::{self, GroupRow};
use store::payments::Filter;

use super::search::Search;
use crate::ending::{Ending, Outcome};
use crate::operator::Operator;
use crate::output::{self, Column, FormatArg, Row};

/// Among which payments.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    search: Search,
    #[command(flatten)]
    format: FormatArg,
}

pub(super) async fn run(args: Args) -> Outcome {
    let operator = Operator::new()?;
    let filter = Filter {
        limit: args.search.limit.filter(|limit| *limit > 0).map(i64::from),
        ..args.search.filter(&operator).await?
    };
    let rows = deliveries::groups(&operator.store, &filter).await?;
    output::list(args.format.format, &rows.into_iter().map(Listed).collect::<Vec<_>>())?;
    Ok(Ending::Done)
}

/// A group as it is listed.
pub(crate) struct Listed(GroupRow);

impl Row for Listed {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("group", |row| json!(row.0.group)),
        Column::new("payee", |row| json!(row.0.group.payee)),
        Column::new("state", |row| json!(row.0.group.state)),
        Column::new("count", |row| json!(row.0.count)),
        Column::new("oldest_at", |row| json!(row.0.oldest_at)),
        Column::new("totals", |row| json!(row.0.totals)),
        Column::new("cause", |row| json!(row.0.cause)),
    ];
}
