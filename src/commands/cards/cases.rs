//! `unigate cards cases`: the worklist of what has to be settled after sales, and settling one: with another card, with a
//! note of the money that went back, or with a reason why nothing is owed.

use anyhow::bail;
use clap::builder::ArgPredicate;
use clap::{Subcommand, ValueEnum};
use contract::event::{CardEvent, CardItem, Events};
use domain::card::{CaseKind, Resolution, Wanted};
use domain::ids::{ProductId, TerminalId};
use domain::money::{Amount, Currency};
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use store::audit::{self, Act};
use store::cases::{self, CaseRow, CaseState, Filter, Resolved};
use uuid::Uuid;

use crate::commands::payments::act as act_of;
use crate::ending::{Ending, Outcome};
use crate::moment;
use crate::operator::{Operator, reason};
use crate::output::{self, Column, FormatArg, Row, ShowFormatArg, say};

/// What to do with cases.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List cases, the longest open first
    List(ListArgs),
    /// Show one with everything that was done about it
    Show(ShowArgs),
    /// Settle one: replaced, refunded or dismissed. A case is settled once
    Resolve(ResolveArgs),
}

/// Which cases.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Whether they are settled; unless it is given, those that are where --resolved-from or --resolved-to is
    #[arg(long, value_enum, default_value_t, default_value_ifs(["resolved_from", "resolved_to"].map(resolved_if)))]
    state: StateArg,
    /// Only of this kind: conflict, faulty, withdrawn or surplus
    #[arg(long, value_name = "KIND", value_parser = CaseKind::parse)]
    kind: Option<CaseKind>,
    /// Only about cards of this product
    #[arg(long, value_name = "ID", value_parser = ProductId::parse)]
    product: Option<ProductId>,
    /// Only about sales of this terminal
    #[arg(long, value_name = "ID", value_parser = TerminalId::parse)]
    terminal: Option<TerminalId>,
    /// Opened at this moment or later: RFC 3339, or a date, which is its midnight
    #[arg(long, value_name = "T")]
    from: Option<String>,
    /// Opened before this moment
    #[arg(long, value_name = "T")]
    to: Option<String>,
    /// Settled at this moment or later: what was given back in a period, whenever it was sold
    #[arg(long, value_name = "T")]
    resolved_from: Option<String>,
    /// Settled before this moment
    #[arg(long, value_name = "T")]
    resolved_to: Option<String>,
    /// Whose midnight a date is
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = moment::zone)]
    time_zone: TimeZone,
    #[command(flatten)]
    format: FormatArg,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum StateArg {
    /// Those that wait for somebody
    #[default]
    Open,
    /// Those that do not
    Resolved,
    /// All
    All,
}

/// Where this argument is given, the state is not the one that is usual.
fn resolved_if(given: &'static str) -> (&'static str, ArgPredicate, &'static str) {
    (given, ArgPredicate::IsPresent, "resolved")
}

/// Which one.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// Its case_id
    case_id: Uuid,
    #[command(flatten)]
    format: ShowFormatArg,
}

/// Which one, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct ResolveArgs {
    /// Its case_id
    case_id: Uuid,
    /// How it is settled
    #[arg(long = "as", value_name = "HOW", value_enum)]
    how: How,
    /// Replaced with this card of the stock, by its serial; otherwise with the next one
    #[arg(long, value_name = "S")]
    serial: Option<String>,
    /// Refunded so much, in minor units; otherwise all that was paid, or the whole surplus
    #[arg(long, value_name = "MINOR")]
    amount: Option<i64>,
    /// Refunded how: in cash, to the payer's card
    #[arg(long, value_name = "TEXT", required_if_eq("how", "refunded"))]
    method: Option<String>,
    /// By which document the refund can be found again
    #[arg(long, value_name = "TEXT", required_if_eq("how", "refunded"))]
    reference: Option<String>,
    /// Why; for the audit log
    #[arg(long, value_name = "TEXT", value_parser = reason, required_if_eq("how", "dismissed"))]
    reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum How {
    /// The payer gets another card, which the terminal prints by `card.reprint` of the sale; or one was given already
    Replaced,
    /// Money went back
    Refunded,
    /// Nothing is owed
    Dismissed,
}

/// Lists, shows or settles.
pub(super) async fn run(command: Command) -> Outcome {
    match command {
        Command::List(args) => list(args).await,
        Command::Show(args) => show(args).await,
        Command::Resolve(args) => resolve(args).await,
    }
}

async fn list(args: ListArgs) -> Outcome {
    let moment = |text: &Option<String>| {
        text.as_deref()
            .map(|text| moment::parse(text, &args.time_zone))
            .transpose()
    };
    let filter = Filter {
        state: match args.state {
            StateArg::Open => CaseState::Open,
            StateArg::Resolved => CaseState::Resolved,
            StateArg::All => CaseState::All,
        },
        kind: args.kind,
        product: args.product.clone(),
        terminal: args.terminal.clone(),
        from: moment(&args.from)?,
        to: moment(&args.to)?,
        resolved_from: moment(&args.resolved_from)?,
        resolved_to: moment(&args.resolved_to)?,
    };
    output::list(
        args.format.format,
        &cases::list(&Operator::new()?.store, &filter).await?,
    )?;
    Ok(Ending::Done)
}

async fn show(args: ShowArgs) -> Outcome {
    let operator = Operator::new()?;
    let Some(row) = cases::find(&operator.store, args.case_id).await? else {
        bail!("there is no case {}", args.case_id);
    };
    let mut all = output::object(&row);
    let mut add = |name: &str, value: Value| all[name] = value;
    add("opened_by", json!(row.opened_by));
    add("paid_at", json!(row.paid_at));
    // In a conflict the sale that was first.
    add("card_is_with", json!(row.holder));
    add("replacement_reservation_id", json!(row.replacement_reservation_id));
    add("refund_method", json!(row.refund_method));
    add("refund_reference", json!(row.refund_reference));
    add("note", json!(row.note));
    let acts = audit::of(&operator.store, "case", &row.case_id.to_string()).await?;
    add("audit", acts.iter().map(act_of).collect());
    output::show(args.format.format, &all)?;
    Ok(Ending::Done)
}

async fn resolve(args: ResolveArgs) -> Outcome {
    let not_for = |given: bool, option: &str, how: How| match given && args.how != how {
        true => {
            let how = args.how.to_possible_value();
            let how = how.as_ref().map_or("", |how| how.get_name());
            Err(anyhow::anyhow!("{option} does not go with --as {how}"))
        }
        false => Ok(()),
    };
    not_for(args.serial.is_some(), "--serial", How::Replaced)?;
    not_for(args.amount.is_some(), "--amount", How::Refunded)?;
    not_for(args.method.is_some(), "--method", How::Refunded)?;
    not_for(args.reference.is_some(), "--reference", How::Refunded)?;
    for text in [&args.method, &args.reference, &args.reason].into_iter().flatten() {
        if text.trim().is_empty() {
            bail!("what is to be noted is empty");
        }
    }
    let operator = Operator::new()?;
    let act = cases::Act {
        who: &operator.who,
        wanted: match args.how {
            How::Replaced => Wanted::Replace,
            How::Refunded => Wanted::Refund(args.amount),
            How::Dismissed => Wanted::Dismiss,
        },
        serial: args.serial.as_deref(),
        method: args.method.as_deref(),
        reference: args.reference.as_deref(),
        note: args.reason.as_deref(),
    };
    let resolved = carry_out(&operator, args.case_id, &act).await?;
    match resolved.resolution {
        Resolution::Replaced => tell_given(&resolved)?,
        how => say(format!("case {} is {}", args.case_id, how.as_str()))?,
    }
    Ok(Ending::Done)
}

/// Settles a case, with its line in the audit log and the event of the card that was given.
pub(super) async fn carry_out(operator: &Operator, case_id: Uuid, act: &cases::Act<'_>) -> anyhow::Result<Resolved> {
    let subject = case_id.to_string();
    let noted = |after| Act {
        who: &operator.who,
        act: "cards cases resolve",
        subject_kind: "case",
        subject: &subject,
        reason: act.note,
        before: None,
        after,
    };
    let tx = operator.store.begin().await?;
    let resolved = match cases::resolve(&tx, case_id, act).await {
        Ok(resolved) => resolved,
        Err(error) => {
            drop(tx);
            return Err(operator.denied(noted(None), error).await);
        }
    };
    let after = json!({
        "resolution": resolved.resolution.as_str(), "serial": resolved.given.as_ref().map(|given| &given.serial),
        "replacement_reservation_id": resolved.replacement, "refunded": resolved.refunded, "method": act.method,
        "reference": act.reference,
    });
    audit::record(&tx, &noted(Some(after))).await?;
    if let Some(given) = &resolved.given {
        let mut events = Events::new(domain::clock::now());
        events.push_traced(CardEvent::Sold, &told(given)?, given.traceparent.as_deref());
        runtime::emit(&tx, events, None).await?;
    }
    tx.commit().await?;
    Ok(resolved)
}

/// A card given for nothing brings no money: the event of its sale names none.
fn told(given: &cases::Given) -> anyhow::Result<CardItem> {
    let amount = given.amount.map(Amount::new).transpose()?;
    Ok(CardItem {
        reservation_id: given.reservation_id,
        product: given.product.clone(),
        serial: given.serial.clone(),
        terminal: given.terminal.clone(),
        amount,
        currency: amount.map(|_| Currency::parse(&given.currency)).transpose()?,
        late: None,
        other_reservation_id: Some(given.instead_of),
    })
}

pub(super) fn tell_given(resolved: &Resolved) -> anyhow::Result<()> {
    match &resolved.given {
        Some(given) => say(format!(
            "replaced with card {} of product {}: terminal {} prints it by card.reprint of {}",
            given.serial, given.product, given.terminal, given.instead_of
        )),
        None => say("settled by the card that was given before"),
    }
}

/// Two of its largest units: `3d 4h`, `12m`.
fn age(seconds: i64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes}m"),
        (0, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

impl Row for CaseRow {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("case_id", |row| json!(row.case_id)),
        Column::new("opened_at", |row| json!(row.opened_at)),
        Column::new("age", |row| json!(age(row.age_seconds))),
        Column::new("kind", |row| json!(row.kind.as_str())),
        Column::new("state", |row| json!(row.resolution.map_or("open", Resolution::as_str))),
        Column::new("product", |row| json!(row.product)),
        Column::new("serial", |row| json!(row.serial)),
        Column::new("terminal", |row| json!(row.terminal)),
        Column::new("reservation_id", |row| json!(row.reservation_id)),
        Column::new("receipt_number", |row| json!(row.receipt_number)),
        Column::new("amount", |row| json!(row.amount)),
        Column::new("surplus", |row| json!(row.surplus)),
        Column::new("currency", |row| json!(row.currency)),
        Column::new("replacement_serial", |row| json!(row.replacement_serial)),
        Column::new("refund_amount", |row| json!(row.refund_amount)),
        Column::new("resolved_at", |row| json!(row.resolved_at)),
        Column::new("resolved_by", |row| json!(row.resolved_by)),
    ];
}

#[cfg(test)]
mod tests {
    use super::age;

    #[test]
    fn an_age_is_read_at_a_glance() {
        for (seconds, text) in [(59, "0m"), (754, "12m"), (7_500, "2h 5m"), (273_600, "3d 4h")] {
            assert_eq!(age(seconds), text);
        }
    }
}
