//! `unigate deliveries reconcile`: the payee's list beside our payments. A look changes nothing; `--resolve` and
//! `--requeue-missing` act on what was found, each payment in a transaction of its own with its line in the audit log.

mod acts;
mod file;
mod found;
mod list;

use std::path::PathBuf;

use anyhow::Context as _;
use domain::declaration::Payee;
use domain::ids::{Number, PayeeId};
use domain::reconciliation::{Compared, Comparison, Finding, Remedy, Terms, remedy};
use futures::TryStreamExt;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};
use serde_json::json;
use store::audit::{self, Act};
use store::declarations;
use store::reconciliation::{self, Item, Run, Source};
use uuid::Uuid;

use self::acts::Acts;
pub(crate) use self::found::Found;
use self::found::Tally;
use crate::ending::{Ending, Outcome};
use crate::moment;
use crate::operator::{Operator, reason};
use crate::output::{self, Format, FormatArg, note, say};

/// Entries stored together.
const CHUNK: usize = 5000;

/// Whose list, about when, and what is to follow from it.
#[derive(Debug, clap::Args)]
pub(crate) struct ReconcileArgs {
    /// The payee
    #[arg(value_name = "PAYEE", value_parser = PayeeId::parse)]
    payee: PayeeId,
    /// Its list: CSV with a header that names number, amount, and perhaps currency, credited_at, provider_reference. Amounts
    /// in it are major units (150.00 or 150,00), unlike those of our own lists. Without it the payee is asked
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Delivered at this moment or later: RFC 3339, or a date, which is its midnight in the payee's zone; yesterday's unless
    /// told
    #[arg(long, value_name = "T", requires = "to")]
    from: Option<String>,
    /// Delivered before this moment
    #[arg(long, value_name = "T", requires = "from")]
    to: Option<String>,
    /// Whose midnight a date is, instead of the payee's
    #[arg(long, value_name = "ZONE", value_parser = moment::zone)]
    time_zone: Option<TimeZone>,
    /// How the file is written
    #[arg(long, value_enum, default_value_t, requires = "file")]
    encoding: file::Encoding,
    /// Make delivered what the payee's list has, and mark what it should not have or lack
    #[arg(long)]
    resolve: bool,
    /// Make due what the payee's list lacks, where paying it again is safe, or ask the payee about it
    #[arg(long)]
    requeue_missing: bool,
    /// Why; for the audit log
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
    /// Print at most so many differences; 0 = all
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
    #[command(flatten)]
    format: FormatArg,
}

impl ReconcileArgs {
    /// Says a line that is none of the list, which programs read.
    fn tell(&self, line: &str) -> anyhow::Result<()> {
        if self.format.format == Format::Table {
            return say(line);
        }
        note(line);
        Ok(())
    }
}

/// A payee that is called online.
struct Online {
    payee: Payee,
    terms: Terms,
    give_up_hours: i32,
    zone: TimeZone,
}

impl Online {
    async fn find(operator: &Operator, args: &ReconcileArgs) -> anyhow::Result<Self> {
        let all = declarations::load(&operator.store).await?;
        let declared = all.payees.get(&args.payee);
        let payee = Payee::clone(
            &declared
                .with_context(|| format!("no payee {} is declared", args.payee))?
                .value,
        );
        let online = payee.online();
        let online = online.with_context(|| format!("payee {} is not delivered to online", args.payee))?;
        Ok(Self {
            terms: Terms {
                idempotent: online.idempotent,
                offers_status: online.offers_status,
                timeout: std::time::Duration::from_secs(online.timeout_seconds.into()),
            },
            give_up_hours: i32::try_from(online.give_up_hours).unwrap_or(i32::MAX),
            zone: args.time_zone.clone().unwrap_or_else(|| online.time_zone.tz().clone()),
            payee,
        })
    }
}

/// Compares, prints, and acts where it was told to. Fails while a difference is left.
pub(super) async fn run(args: ReconcileArgs) -> Outcome {
    let operator = Operator::new()?;
    let online = Online::find(&operator, &args).await?;
    let (from, to) = period(&args, &online.zone)?;
    let run = Run {
        reconciliation_id: Uuid::now_v7(),
        payee: args.payee.to_string(),
        from,
        to,
    };
    begin(&operator, &run, &args).await?;
    let mut taker = Taker::new(&operator, &run);
    match &args.file {
        Some(path) => file::read(path, args.encoding, &online, &mut taker).await?,
        None => list::ask(&operator, &online, &mut taker).await?,
    }
    let items = taker.complete().await?;
    let mut acts = Acts::new(&operator, &online, &args, &run);
    let (tally, found) = compare_all(&operator, &online, &run, &args, &mut acts).await?;
    print(&args, items, &run, &tally, &found)?;
    if let Some(line) = acts.line() {
        args.tell(&line)?;
    }
    Ok(Ending::done_if(tally.differences() == acts.remedied()))
}

/// Yesterday, unless told: whole days in the payee's time zone.
fn period(args: &ReconcileArgs, zone: &TimeZone) -> anyhow::Result<(Timestamp, Timestamp)> {
    if let (Some(from), Some(to)) = (&args.from, &args.to) {
        return moment::period(from, to, zone);
    }
    let today = Zoned::new(domain::clock::now(), zone.clone()).date();
    let midnight = |date: jiff::civil::Date| anyhow::Ok(date.to_zoned(zone.clone())?.timestamp());
    Ok((midnight(today.checked_sub(1.day())?)?, midnight(today)?))
}

async fn begin(operator: &Operator, run: &Run, args: &ReconcileArgs) -> anyhow::Result<()> {
    let source = if args.file.is_some() {
        Source::File
    } else {
        Source::List
    };
    let act = Act {
        who: &operator.who,
        act: "deliveries reconcile",
        subject_kind: "payee",
        subject: &run.payee,
        reason: args.reason.as_deref(),
        before: None,
        after: Some(json!({
            "reconciliation_id": run.reconciliation_id, "from": run.from, "to": run.to,
            "file": args.file.as_ref().map(|path| path.display().to_string()),
            "resolve": args.resolve, "requeue_missing": args.requeue_missing,
        })),
    };
    let tx = operator.store.begin().await?;
    reconciliation::begin(&tx, run, source, &operator.who).await?;
    audit::record(&tx, &act).await?;
    Ok(tx.commit().await?)
}

/// Takes entries down as they come.
struct Taker<'a> {
    operator: &'a Operator,
    run: &'a Run,
    waiting: Vec<Item>,
    stored: i64,
}

impl<'a> Taker<'a> {
    fn new(operator: &'a Operator, run: &'a Run) -> Self {
        let waiting = Vec::with_capacity(CHUNK);
        Self {
            operator,
            run,
            waiting,
            stored: 0,
        }
    }

    async fn take(&mut self, item: Item) -> anyhow::Result<()> {
        self.waiting.push(item);
        if self.waiting.len() >= CHUNK {
            self.store().await?;
        }
        Ok(())
    }

    async fn store(&mut self) -> anyhow::Result<()> {
        reconciliation::add(&self.operator.store, self.run, self.stored + 1, &self.waiting).await?;
        self.stored += self.waiting.len() as i64;
        self.waiting.clear();
        Ok(())
    }

    /// Returns how many there were.
    async fn complete(mut self) -> anyhow::Result<i64> {
        self.store().await?;
        reconciliation::complete(&self.operator.store, self.run, self.stored).await?;
        Ok(self.stored)
    }
}

/// Differences that are acted on together.
const AT_ONCE: usize = 50_000;

/// Compares everything: counts it, acts, and keeps what is printed. Acts take their time, and while a comparison is being read
/// nothing can be tidied up in the database. So it is read to its end, or up to so many differences, before anything is done
/// about them; what is beyond is compared afterwards, except that all of it says whether a file counts in other units.
async fn compare_all(
    operator: &Operator,
    online: &Online,
    run: &Run,
    args: &ReconcileArgs,
    acts: &mut Acts<'_>,
) -> anyhow::Result<(Tally, Vec<Found>)> {
    let (mut tally, mut kept) = (Tally::default(), Vec::new());
    let most = if args.limit == 0 { usize::MAX } else { args.limit };
    let (mut after, mut other_units) = (None, None);
    loop {
        let (differences, last) = compare(operator, run, after, &mut tally).await?;
        let other_units = match other_units {
            Some(known) => known,
            None => *other_units.insert(counts_in_other_units(operator, run, args, &tally, last).await?),
        };
        for (finding, compared) in differences {
            let remedy = judge(operator, online, finding, &compared).await?;
            let found = Found {
                finding,
                compared,
                remedy,
            };
            acts.carry_out(&found, other_units).await?;
            if kept.len() < most {
                kept.push(found);
            }
        }
        if last.is_none() {
            return Ok((tally, kept));
        }
        after = last;
    }
}

/// Whether amounts that differ are those of a file in other units, by all that there is: what is counted so far, and what is beyond a
/// number. A payee's own list is in the units of its protocol, so that what differs there was credited so.
async fn counts_in_other_units(
    operator: &Operator,
    run: &Run,
    args: &ReconcileArgs,
    counted: &Tally,
    mut beyond: Option<Number>,
) -> anyhow::Result<bool> {
    if args.file.is_none() || !args.resolve {
        return Ok(false);
    }
    let mut all = counted.clone();
    while beyond.is_some() {
        (_, beyond) = compare(operator, run, beyond, &mut all).await?;
    }
    Ok(all.other_units().is_some())
}

/// Counts what is beyond a number, and returns what differs; with it the number up to which that is all, if it is not the end.
async fn compare(
    operator: &Operator,
    run: &Run,
    after: Option<Number>,
    tally: &mut Tally,
) -> anyhow::Result<(Vec<(Finding, Compared)>, Option<Number>)> {
    let mut differences = Vec::new();
    let mut comparison = Comparison::default();
    let mut rows = Box::pin(reconciliation::compare(&operator.store, run, after).await?);
    loop {
        let row = rows.try_next().await?;
        let ended = row.is_none();
        let compared = match row {
            Some((number, ours, theirs)) => comparison.push(number, ours, theirs),
            None => std::mem::take(&mut comparison).finish(),
        };
        let last = compared.as_ref().map(|compared| compared.number);
        if let Some((finding, compared)) = compared.and_then(|compared| relevant(compared, run)) {
            tally.count(finding, &compared);
            if finding != Finding::Matched {
                differences.push((finding, compared));
            }
        }
        if ended {
            return Ok((differences, None));
        }
        if differences.len() >= AT_ONCE && last.is_some() {
            return Ok((differences, last));
        }
    }
}

fn relevant(compared: Compared, run: &Run) -> Option<(Finding, Compared)> {
    let finding = compared.finding().filter(|_| is_about(&compared, run))?;
    Some((finding, compared))
}

/// A payee may be asked for a little more than the period, since clocks differ: what only its list has, at a moment outside
/// of the period, is another one's.
fn is_about(compared: &Compared, run: &Run) -> bool {
    compared.ours.is_some()
        || compared
            .theirs
            .iter()
            .any(|theirs| theirs.credited_at.is_none_or(|at| run.from <= at && at < run.to))
}

/// What earlier lists lack matters only where the payee would credit twice.
async fn judge(operator: &Operator, online: &Online, finding: Finding, compared: &Compared) -> anyhow::Result<Remedy> {
    let terms = online.terms;
    let lacking = if finding == Finding::MissingThere && !terms.idempotent {
        reconciliation::lacking(&operator.store, online.payee.id.as_str(), compared.number).await?
    } else {
        Vec::new()
    };
    Ok(remedy(finding, compared.ours.as_ref(), terms, &lacking))
}

fn print(args: &ReconcileArgs, items: i64, run: &Run, tally: &Tally, found: &[Found]) -> anyhow::Result<()> {
    let lines = tally.lines(items, run);
    if !found.is_empty() || args.format.format == Format::Csv {
        output::list(args.format.format, found)?;
    }
    lines.iter().try_for_each(|line| args.tell(line))?;
    if let Some(units) = tally.other_units() {
        let told = match args.file {
            Some(_) => "amounts in FILE are major units, 150.00 and not 15000",
            None => "one of the two may count in other units",
        };
        note(&format!(
            "every amount that differs is there {units} what it is here: {told}"
        ));
    }
    if tally.differences() > found.len() as u64 {
        note(&format!(
            "only the first {} differences are printed; --limit 0 prints all",
            found.len()
        ));
    }
    Ok(())
}
