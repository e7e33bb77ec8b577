//! `unigate payments`: finding payments and everything that is known about one, and taking those of other agents' registers.

pub(crate) mod import;

use anyhow::bail;
use clap::Subcommand;
use domain::ids::{Number, PayeeId, PaymentId, RegisterId, TerminalId};
use domain::payment::PaymentState;
use futures::StreamExt;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use store::acts;
use store::audit::{self, Recorded};
use store::declarations;
use store::deliveries::{self, AttemptRow};
use store::payments::{self, Filter, PaymentRow};

use self::import::ImportArgs;
use super::deliveries::item;
use crate::ending::{Ending, Outcome};
use crate::moment;
use crate::operator::Operator;
use crate::output::{self, Column, Format, FormatArg, Row, ShowFormatArg};

/// How many people are shown unless they ask for more.
const LIMIT: u32 = 10_000;

/// What to look at.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Find payments, the latest first
    ///
    /// Without --from, those accepted in the last 24 hours; all of them for an account or under a number, of those that are
    /// flagged, and in a state that somebody has to see to.
    List(ListArgs),
    /// Show all that is known of one: calls to the payee, register, operators' acts
    Show(ShowArgs),
    /// Take the payments of another agent's register; the same file again takes nothing twice
    Import(Box<ImportArgs>),
}

/// Which payments; everything given must match.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Of this payee
    #[arg(long, value_name = "ID", value_parser = PayeeId::parse)]
    payee: Option<PayeeId>,
    /// In this state
    #[arg(long, value_name = "S", value_parser = PaymentState::parse)]
    state: Option<PaymentState>,
    /// For this account
    #[arg(long, value_name = "TEXT")]
    account: Option<String>,
    /// Under this number
    #[arg(long, value_name = "N", value_parser = Number::parse)]
    number: Option<Number>,
    /// Taken by this terminal
    #[arg(long, value_name = "ID", value_parser = TerminalId::parse)]
    terminal: Option<TerminalId>,
    /// Only those with a flag that asks for a person, as `doctor` counts them; settling or confirming one answers it
    #[arg(long)]
    flagged: bool,
    /// Accepted at this moment or later: RFC 3339, or a date, which is its midnight. Unless it is given, 24 hours before --to
    /// or now, but for the few that are listed whole
    #[arg(long, value_name = "T")]
    from: Option<String>,
    /// Accepted before this moment
    #[arg(long, value_name = "T")]
    to: Option<String>,
    /// Whose midnight a date is; the payee's own zone unless given
    #[arg(long, value_name = "ZONE", value_parser = moment::zone)]
    time_zone: Option<TimeZone>,
    /// At most so many; 0 = all. Unless it is given, 10000 in a table, and all for programs
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    #[command(flatten)]
    format: FormatArg,
}

/// Which payment.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// Its payment_id, or the number the payee knows it by
    id: String,
    #[command(flatten)]
    format: ShowFormatArg,
}

/// Lists, shows or takes.
pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::List(args) => list(args).await,
        Command::Show(args) => show(args).await,
        Command::Import(args) => import::import(*args).await,
    }
}

async fn list(args: ListArgs) -> Outcome {
    let operator = Operator::new()?;
    let zone = zone_for(&operator, args.payee.as_ref(), args.time_zone).await?;
    let at = |text: &Option<String>| text.as_deref().map(|text| moment::parse(text, &zone)).transpose();
    let filter = Filter {
        payee: args.payee.map(|id| id.to_string()),
        state: args.state,
        account: args.account,
        number: args.number.map(Number::get),
        terminal: args.terminal.map(|id| id.to_string()),
        flagged: args.flagged,
        from: at(&args.from)?,
        to: at(&args.to)?,
        ..Filter::default()
    };
    print(&operator, args.format.format, filter, args.limit, |row| row).await
}

/// How far a list goes back unless it was told: all of history takes long to read and sort, and is seldom meant.
const RECENT: SignedDuration = SignedDuration::from_hours(24);

/// What is listed, and since when if nobody said so.
fn recent(filter: Filter) -> (Filter, Option<Timestamp>) {
    if filter.from.is_some() || filter.is_narrow() {
        return (filter, None);
    }
    let since = filter.to.unwrap_or_else(domain::clock::now) - RECENT;
    let from = Some(since);
    (Filter { from, ..filter }, from)
}

/// Prints payments as a list of `T`. A program takes what it gets for all there is: of the period that it asked for, or was
/// told of. A table that was cut says so.
pub(crate) async fn print<T: Row>(
    operator: &Operator,
    format: Format,
    filter: Filter,
    limit: Option<u32>,
    shown: impl Fn(PaymentRow) -> T,
) -> Outcome {
    let (filter, since) = recent(filter);
    if let Some(since) = since {
        output::note(&format!(
            "listed is what was accepted since {since:.0}; --from lists what came before"
        ));
    }
    let limit = limit.unwrap_or(if format == Format::Table { LIMIT } else { 0 });
    let filter = Filter {
        limit: (limit > 0).then(|| i64::from(limit)),
        ..filter
    };
    let rows = payments::each(&operator.store, &filter).await?;
    let listed = output::list_each(format, rows.map(|row| row.map(&shown))).await?;
    if limit > 0 && listed >= limit as usize {
        output::note(&format!("only the latest {limit} are listed; --limit 0 lists all"));
    }
    Ok(Ending::Done)
}

/// The zone in which a date's midnight is meant: as given, else that of the payee's registers, else UTC.
pub(crate) async fn zone_for(
    operator: &Operator,
    payee: Option<&PayeeId>,
    given: Option<TimeZone>,
) -> anyhow::Result<TimeZone> {
    let (None, Some(payee)) = (&given, payee) else {
        return Ok(given.unwrap_or(TimeZone::UTC));
    };
    let Some(card) = declarations::payee_card(&operator.store, payee).await? else {
        bail!("no payee {payee} is declared")
    };
    Ok(card.time_zone)
}

/// Shows a payment.
pub(crate) async fn show(args: ShowArgs) -> Outcome {
    let operator = Operator::new()?;
    let row = find(&operator, &args.id).await?;
    let mut all = output::object(&row);
    let mut add = |name: &str, value: Value| all[name] = value;
    add("gateway", json!(row.gateway));
    add("stored_state", json!(row.state));
    add("fields", row.fields.clone());
    add("provider_reference", json!(row.provider_reference));
    add("maybes", json!(row.maybes));
    add("next_attempt_at", json!(row.due_at));
    add("position", json!(row.position));
    add("generation", json!(row.generation));
    add("traceparent", json!(row.traceparent));
    if let Some(id) = row.register_id {
        let register = store::registers::find(&operator.store, RegisterId::from_uuid(id)).await?;
        add("register", json!(register.as_ref().map(output::object)));
    }
    let calls = deliveries::attempts(&operator.store, row.payment_id).await?;
    add("calls", calls.iter().map(call).collect());
    let acts = acts::of_payment(&operator.store, row.payment_id).await?;
    add("acts", acts.iter().map(item).collect());
    let audited = audit::of(&operator.store, "payment", &row.payment_id.to_string()).await?;
    add("audit", audited.iter().map(act).collect());
    output::show(args.format.format, &all)?;
    Ok(Ending::Done)
}

/// A payment by its id, or by the number its payee knows it by.
pub(crate) async fn find(operator: &Operator, id: &str) -> anyhow::Result<PaymentRow> {
    let Ok(payment_id) = PaymentId::parse(id) else {
        let number = Number::parse(id).map_err(|_| anyhow::anyhow!("`{id}` is neither a payment_id nor a number"))?;
        let filter = Filter {
            number: Some(number.get()),
            ..Filter::default()
        };
        let Some(row) = payments::list(&operator.store, &filter).await?.pop() else {
            bail!("no payment has number {id}")
        };
        return Ok(row);
    };
    if let Some(row) = payments::find(&operator.store, payment_id).await? {
        return Ok(row);
    }
    let tx = operator.store.begin().await?;
    let known = payments::status(&tx, &[payment_id]).await?;
    tx.commit().await?;
    match known.first() {
        Some(status) => bail!("payment {id} never came; its id is {} in advance", status.state),
        None => bail!("payment {id} is unknown; `unigate parked list` shows what was refused"),
    }
}

/// One call to the payee.
fn call(row: &AttemptRow) -> Value {
    json!({
        "attempt_id": row.attempt_id, "ordinal": row.ordinal, "act": row.act, "worker": row.worker,
        "automatic": row.automatic, "who": row.who, "act_id": row.act_id, "started_at": row.started_at,
        "ended_at": row.ended_at, "seconds": row.seconds, "ending": row.ending,
        "late": row.late, "result": row.result, "http_status": row.http_status, "error": row.error,
        "request": row.request, "response": row.response,
    })
}

/// One operator's act.
pub(crate) fn act(row: &Recorded) -> Value {
    json!({
        "at": row.at, "who": row.who, "login": row.login, "act": row.act, "reason": row.reason, "allowed": row.allowed,
        "before": row.before, "after": row.after,
    })
}

impl Row for PaymentRow {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("payment_id", |row| json!(row.payment_id)),
        Column::new("number", |row| json!(row.number.to_string())),
        Column::new("payee", |row| json!(row.payee)),
        Column::new("terminal", |row| json!(row.terminal)),
        Column::new("account", |row| json!(row.account)),
        Column::new("amount", |row| json!(row.amount)),
        Column::new("fee", |row| json!(row.fee)),
        Column::new("currency", |row| json!(row.currency)),
        Column::new("state", |row| json!(row.shown_state)),
        Column::new("attempts", |row| json!(row.attempts)),
        Column::new("last_error", |row| json!(row.last_error)),
        Column::new("flags", |row| json!(row.flags)),
        Column::new("receipt_number", |row| json!(row.receipt_number)),
        Column::new("paid_at", |row| json!(row.paid_at)),
        Column::new("accepted_at", |row| json!(row.accepted_at)),
        Column::new("updated_at", |row| json!(row.updated_at)),
        Column::new("register_id", |row| json!(row.register_id)),
    ];
}
