//! `unigate registers schedule`: when ranges are closed next, and what is open in them now.

use anyhow::bail;
use domain::declaration::RegisterProfile;
use domain::ids::PayeeId;
use domain::register::{Cutoff, cutoffs_due, upcoming};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;
use store::registers::{self, Standing};

use crate::ending::{Ending, Outcome};
use crate::operator::Operator;
use crate::output::{self, Column, FormatArg, Row};

/// Whose, and how many.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Of this payee only
    #[arg(value_name = "PAYEE", value_parser = PayeeId::parse)]
    payee: Option<PayeeId>,
    /// So many cut-offs of each series
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    next: u16,
    #[command(flatten)]
    format: FormatArg,
}

/// Lists what comes.
pub(super) async fn run(operator: &Operator, args: Args) -> Outcome {
    let standings = registers::standings(&operator.store, args.payee.as_ref()).await?;
    if let (Some(payee), true) = (&args.payee, standings.is_empty()) {
        bail!("payee {payee} has no registers");
    }
    let mut rows = Vec::new();
    for standing in &standings {
        let open = registers::count_open(&operator.store, standing).await?;
        rows.extend(rows_of(standing, open, usize::from(args.next)));
    }
    output::list(args.format.format, &rows)?;
    Ok(Ending::Done)
}

/// A cut-off that comes.
#[derive(Debug)]
pub(crate) struct Coming {
    payee: PayeeId,
    series: String,
    /// With the offset of the payee's zone; none = when there are enough payments.
    at: Option<String>,
    zone: String,
    cause: &'static str,
    open: i64,
    note: String,
}

impl Row for Coming {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("payee", |row| json!(row.payee)),
        Column::new("series", |row| json!(row.series)),
        Column::new("cutoff", |row| json!(row.at)),
        Column::new("time_zone", |row| json!(row.zone)),
        Column::new("cause", |row| json!(row.cause)),
        Column::new("open", |row| json!(row.open)),
        Column::new("note", |row| json!(row.note)),
    ];
}

fn rows_of(standing: &Standing, open: i64, next: usize) -> Vec<Coming> {
    let Some(profile) = standing.profile() else {
        // Of interest only while something is left in it.
        let left = (open > 0).then(|| Coming {
            payee: standing.payee.id.clone(),
            series: standing.series.clone(),
            at: None,
            zone: String::new(),
            cause: "change",
            open,
            note: "not declared any more: closed as soon as a worker looks".to_owned(),
        });
        return left.into_iter().collect();
    };
    let waits = if standing.payee.suspended {
        "the payee is suspended: nothing is closed until it is resumed"
    } else {
        ""
    };
    let row = |at: Option<Timestamp>, cause: &'static str, note: String| Coming {
        payee: standing.payee.id.clone(),
        series: standing.series.clone(),
        at: at.map(|at| local(at, profile.time_zone.tz())),
        zone: profile.time_zone.name().to_owned(),
        cause,
        open,
        note: if waits.is_empty() { note } else { waits.to_owned() },
    };
    let mut rows = Vec::new();
    if let Some(due) = standing.due_at().filter(|due| *due <= standing.now) {
        let note = format!(
            "due since {}, as soon as a worker looks",
            local(due, profile.time_zone.tz())
        );
        rows.push(row(Some(due), "due", note));
    }
    if let Some(every) = profile.every_payments {
        rows.push(row(None, "payments", format!("when {every} are open")));
    }
    let coming = coming(&profile, standing, next);
    rows.extend(
        coming
            .iter()
            .map(|cutoff| row(Some(cutoff.at), cutoff.cause.as_str(), String::new())),
    );
    rows
}

/// Cut-offs that have passed and closed nothing are none of what comes.
fn coming(profile: &RegisterProfile, standing: &Standing, next: usize) -> Vec<Cutoff> {
    let passed = cutoffs_due(profile, standing.last_cutoff, standing.now).last();
    upcoming(profile, passed.map_or(standing.last_cutoff, |cutoff| cutoff.at), next)
}

/// Why no register of a payee is closed by hand, where it gets nothing but lists of what was delivered: what is delivered just
/// now may still be on its way into the database, so that each is closed only when its time has settled.
pub(super) async fn closes_by_itself(operator: &Operator, payee: &PayeeId) -> anyhow::Result<Option<String>> {
    let standings = registers::standings(&operator.store, Some(payee)).await?;
    let [standing] = &standings[..] else {
        return Ok(None);
    };
    let Some(profile) = standing.profile().filter(|_| standing.delivered) else {
        return Ok(None);
    };
    let zone = profile.time_zone.tz();
    let next = coming(&profile, standing, 1).first().map(|cutoff| cutoff.at);
    let next = match next {
        _ if standing.payee.suspended => "which are not closed until it is resumed".to_owned(),
        Some(at) => format!("which are closed by themselves, the next at {}", local(at, zone)),
        None => "which are closed by themselves".to_owned(),
    };
    let since = local(standing.last_cutoff, zone);
    Ok(Some(format!(
        "payee {payee} gets lists of what was delivered, {next}: until then `unigate registers preview {payee}` shows what is open, \
         and `unigate registers resend --payee {payee} --from {since} --to {} --include-open` mails it",
        local(standing.now, zone)
    )))
}

/// A moment by a payee's clock.
pub(super) fn local(at: Timestamp, zone: &TimeZone) -> String {
    let offset = at.to_zoned(zone.clone()).offset();
    at.display_with_offset(offset).to_string()
}
