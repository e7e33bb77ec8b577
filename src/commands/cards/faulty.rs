//! `unigate cards faulty`: a card that does not work, out of stock or, if it was sold, on the list of cases, with another
//! card for its payer where that is asked for; and the list of them for the issuer.

use anyhow::bail;
use clap::Subcommand;
use domain::card::{CardState, Wanted};
use domain::ids::ProductId;
use jiff::tz::TimeZone;
use serde_json::json;
use store::StoreError;
use store::audit::{self, Act};
use store::cards::{FaultyFilter, FaultyRow, Reported};
use store::cases;

use super::cases::tell_given;
use crate::ending::{Ending, Outcome};
use crate::moment;
use crate::operator::{Operator, reason};
use crate::output::{self, Column, FormatArg, Row, note, say};

/// Which card, what is wrong with it, and whether its payer gets another.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct FaultyArgs {
    #[command(subcommand)]
    list: Option<FaultyCommand>,
    /// The card's serial
    #[arg(required = true)]
    serial: Option<String>,
    /// The product it is a card of
    #[arg(long, value_name = "ID", value_parser = ProductId::parse, required = true)]
    product: Option<ProductId>,
    /// What is wrong with it; for the issuer and the audit log
    #[arg(long, value_name = "TEXT", value_parser = reason, required = true)]
    reason: Option<String>,
    /// Give its payer the next card in stock: the terminal prints it by `card.reprint` of the sale
    #[arg(long)]
    replace: bool,
}

#[derive(Debug, Subcommand)]
enum FaultyCommand {
    /// List faulty cards by serial, for their issuer
    List(ListArgs),
}

/// Which faulty cards.
#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Only of this product
    #[arg(long, value_name = "ID", value_parser = ProductId::parse)]
    product: Option<ProductId>,
    /// Reported at this moment or later: RFC 3339, or a date, which is its midnight
    #[arg(long, value_name = "T")]
    from: Option<String>,
    /// Reported before this moment
    #[arg(long, value_name = "T")]
    to: Option<String>,
    /// Whose midnight a date is
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = moment::zone)]
    time_zone: TimeZone,
    #[command(flatten)]
    format: FormatArg,
}

/// Reports a card, or lists those that were.
pub(super) async fn faulty(args: FaultyArgs) -> Outcome {
    if let Some(FaultyCommand::List(args)) = args.list {
        return list(args).await;
    }
    let (Some(serial), Some(product), Some(reason)) = (args.serial, args.product, args.reason) else {
        bail!("a serial, its product and a reason are needed");
    };
    if reason.trim().is_empty() {
        bail!("the reason is empty");
    }
    let operator = Operator::new()?;
    match report(&operator, &product, &serial, &reason, args.replace).await {
        Ok(ending) => Ok(ending),
        Err(error) => match error.downcast::<StoreError>() {
            Ok(error) => Err(operator
                .denied(act(&operator, &product, &serial, &reason).act(), error)
                .await),
            Err(other) => Err(other),
        },
    }
}

async fn report(
    operator: &Operator,
    product: &ProductId,
    serial: &str,
    reason: &str,
    replace: bool,
) -> anyhow::Result<Ending> {
    let tx = operator.store.begin().await?;
    let reported = store::cards::report_faulty(&tx, product, serial, &operator.who, reason).await?;
    if replace && !matches!(reported, Reported::Sold { .. }) {
        let why = "it was not sold, so there is nobody to give another card to; leave --replace out";
        return Err(StoreError::Changed(why.into()).into());
    }
    let noted = act(operator, product, serial, reason);
    let after = match &reported {
        Reported::SetAside { was, is } => json!({ "state": is.as_str(), "was": was.as_str() }),
        Reported::Sold { case_id } => json!({ "state": "sold", "case_id": case_id }),
    };
    let done = Act {
        after: Some(after),
        ..noted.act()
    };
    audit::record(&tx, &done).await?;
    tx.commit().await?;
    let case_id = match reported {
        Reported::Sold { case_id } => case_id,
        Reported::SetAside { is, .. } => {
            let state = is.as_str();
            let stays = if is == CardState::Faulty {
                "and"
            } else {
                "noted as not working, and"
            };
            say(format!(
                "card {serial} of product {product} is {state}, {stays} out of stock"
            ))?;
            return Ok(Ending::Done);
        }
    };
    say(format!(
        "card {serial} of product {product} is faulty; it was sold: case {case_id}"
    ))?;
    if !replace {
        return Ok(Ending::Done);
    }
    // In a transaction of its own: the card is faulty whether or not there is another one.
    let wanted = cases::Act {
        who: &operator.who,
        wanted: Wanted::Replace,
        serial: None,
        method: None,
        reference: None,
        note: Some(reason),
    };
    match super::cases::carry_out(operator, case_id, &wanted).await {
        Ok(resolved) => {
            tell_given(&resolved)?;
            Ok(Ending::Done)
        }
        Err(error) => {
            note(&format!("{error:#}; case {case_id} stays open"));
            Ok(Ending::Failed)
        }
    }
}

/// What the audit log is told, with the texts it borrows.
struct Noted<'a> {
    who: &'a str,
    subject: String,
    reason: &'a str,
}

fn act<'a>(operator: &'a Operator, product: &ProductId, serial: &str, reason: &'a str) -> Noted<'a> {
    Noted {
        who: &operator.who,
        subject: format!("{product}/{serial}"),
        reason,
    }
}

impl Noted<'_> {
    fn act(&self) -> Act<'_> {
        Act {
            who: self.who,
            act: "cards faulty",
            subject_kind: "card",
            subject: &self.subject,
            reason: Some(self.reason),
            before: None,
            after: None,
        }
    }
}

async fn list(args: ListArgs) -> Outcome {
    let moment = |text: &Option<String>| {
        text.as_deref()
            .map(|text| moment::parse(text, &args.time_zone))
            .transpose()
    };
    let filter = FaultyFilter {
        product: args.product,
        from: moment(&args.from)?,
        to: moment(&args.to)?,
    };
    let rows = store::cards::list_faulty(&Operator::new()?.store, &filter).await?;
    output::list(args.format.format, &rows)?;
    Ok(Ending::Done)
}

impl Row for FaultyRow {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("reported_at", |row| json!(row.reported_at)),
        Column::new("product", |row| json!(row.product)),
        Column::new("serial", |row| json!(row.serial)),
        Column::new("reason", |row| json!(row.reason)),
        Column::new("reported_by", |row| json!(row.reported_by)),
        Column::new("state", |row| json!(row.state.as_str())),
        Column::new("sold_at", |row| json!(row.sold_at)),
        Column::new("terminal", |row| json!(row.terminal)),
        Column::new("receipt_number", |row| json!(row.receipt_number)),
        Column::new("case_id", |row| json!(row.case_id)),
        Column::new("resolution", |row| json!(row.resolution.map(|how| how.as_str()))),
        Column::new("replacement_serial", |row| json!(row.replacement_serial)),
    ];
}
