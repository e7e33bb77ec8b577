//! `unigate deliveries requeue|stop|resume`: an act begun, and carried out to its end. Payments that moved since it was begun
//! are left alone and said so; so are those for which it would not be safe.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use anyhow::bail;
use clap::ArgGroup;
use domain::delivery::operator::ActKind;
use domain::ids::{ActId, PaymentId};
use runtime::checkpoint;
use store::acts::{self, ActRow, Counts, NewAct, Step, Which};
use store::payments::{self, Filter};

use super::named::Named;
use super::search::Search;
use crate::ending::{Ending, Outcome};
use crate::moment::BadMoment;
use crate::operator::{Operator, reason};
use crate::output::{note, say};

/// Which payments to requeue, and how sure the operator is.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("which").required(true).multiple(true)
    .args(["payments", "state", "group", "error", "number", "account"]))]
pub(crate) struct RequeueArgs {
    /// These payments: their ids, or their numbers
    #[arg(value_name = "PAYMENT", value_parser = Named::parse, conflicts_with = "Search")]
    payments: Vec<Named>,
    #[command(flatten)]
    search: Search,
    /// Only say how many would be requeued, how many would not, and why
    #[arg(long)]
    dry_run: bool,
    /// It is certain that none of the named payments was credited: pay again, also where that could credit twice
    #[arg(long, requires = "payments", conflicts_with = "Search")]
    certain: bool,
    /// At most so many a second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=100_000))]
    rate: Option<i32>,
    /// Why; for the audit log
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
}

/// Which payments, and why.
#[derive(Debug, clap::Args)]
pub(crate) struct NamedArgs {
    /// These payments: their ids, or their numbers
    #[arg(value_name = "PAYMENT", value_parser = Named::parse, required = true)]
    payments: Vec<Named>,
    /// Why; for the audit log
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
}

/// Which stopped payments to send again, why, and how sure the operator is.
#[derive(Debug, clap::Args)]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    named: NamedArgs,
    /// It is certain that none of them was credited: pay, also where that could credit twice
    #[arg(long)]
    certain: bool,
}

pub(super) async fn requeue(args: RequeueArgs) -> Outcome {
    let operator = Operator::new()?;
    let filter = Filter {
        limit: args.search.limit.filter(|limit| *limit > 0).map(i64::from),
        online: true,
        ..args.search.filter(&operator).await?
    };
    let payments = Named::ids(&args.payments, &operator).await?;
    let which = if payments.is_empty() {
        // What is over has perhaps been paid back long ago: nobody means all of it.
        if filter.from.is_none() && !filter.is_narrow() {
            return Err(BadMoment::Unbounded.into());
        }
        Which::Filter(&filter)
    } else {
        Which::Named {
            payments: &payments,
            certain: args.certain,
        }
    };
    let new = NewAct {
        kind: ActKind::Requeue,
        who: &operator.who,
        reason: args.reason.as_deref(),
        which,
        rate: args.rate,
    };
    if args.dry_run {
        return preview(&operator, &new).await;
    }
    act(&operator, &new).await
}

pub(super) async fn stop(args: NamedArgs) -> Outcome {
    on_named(args, ActKind::Stop, false).await
}

pub(super) async fn resume(ResumeArgs { named, certain }: ResumeArgs) -> Outcome {
    on_named(named, ActKind::Resume, certain).await
}

async fn on_named(NamedArgs { payments, reason }: NamedArgs, kind: ActKind, certain: bool) -> Outcome {
    let operator = Operator::new()?;
    let payments = Named::ids(&payments, &operator).await?;
    let which = Which::Named {
        payments: &payments,
        certain,
    };
    let new = NewAct {
        kind,
        who: &operator.who,
        reason: Some(&reason),
        which,
        rate: None,
    };
    act(&operator, &new).await
}

async fn preview(operator: &Operator, new: &NewAct<'_>) -> Outcome {
    let preview = acts::preview(&operator.store, new.kind, new.which).await?;
    if preview.matched == 0 {
        bail!("no such payment");
    }
    let named = named(operator, new.which).await?;
    if named > 0 {
        for (why, refusal) in &preview.refused {
            for id in &refusal.examples {
                note(&format!("payment {id} {why}"));
            }
        }
    }
    let reasons = preview
        .refused
        .iter()
        .map(|(why, refusal)| (why.to_string(), refusal.count));
    Tally {
        done_as: preview.done_as,
        changed: 0,
        reasons: reasons.collect(),
    }
    .tell(new.kind, "would be ", named)
}

async fn act(operator: &Operator, new: &NewAct<'_>) -> Outcome {
    let named = named(operator, new.which).await?;
    let Some(frozen) = acts::freeze(&operator.store, new).await? else {
        bail!("no such payment");
    };
    if named == 0 {
        note(&format!("act {}: {} payments", frozen.act_id, frozen.matched));
    }
    let row = drive(operator, frozen.act_id).await?;
    if named > 0 {
        tell_set_aside(operator, frozen.act_id).await?;
    }
    if row.state != "done" {
        note(&format!("act {} is {}", row.act_id, row.state));
    }
    Tally::from(row).tell(new.kind, "", named)
}

/// How many payments were named; those that there are not are said. 0 = a filter.
async fn named(operator: &Operator, which: Which<'_>) -> anyhow::Result<usize> {
    let Which::Named { payments, .. } = which else {
        return Ok(0);
    };
    let named: HashSet<&PaymentId> = payments.iter().collect();
    let filter = Filter {
        payments: payments.to_vec(),
        ..Filter::default()
    };
    let rows = payments::list(&operator.store, &filter).await?;
    let found: HashSet<_> = rows.iter().map(|row| row.payment_id).collect();
    for id in named.iter().filter(|id| !found.contains(id)) {
        note(&format!("payment {id} is unknown"));
    }
    Ok(named.len())
}

/// Payments of an act that are named one by one when it was about named ones.
const SET_ASIDE: i64 = 1000;

async fn tell_set_aside(operator: &Operator, act_id: ActId) -> anyhow::Result<()> {
    for item in acts::set_aside(&operator.store, act_id, SET_ASIDE).await? {
        match item.why {
            Some(why) => note(&format!("payment {} {why}", item.payment_id)),
            None => note(&format!("payment {} changed meanwhile: look again", item.payment_id)),
        }
    }
    Ok(())
}

/// How often an operator who waits is told how far it is, and looks at what others do about it.
const LOOK: Duration = Duration::from_secs(1);
/// Failures in a row after which the act is left to the workers.
const PATIENCE: u32 = 5;

/// Carries an act on until it is over or held up, together with whoever else does.
pub(super) async fn drive(operator: &Operator, act_id: ActId) -> anyhow::Result<ActRow> {
    let worker = format!("command/{}", std::process::id());
    let mut failures = 0;
    let mut told = tokio::time::Instant::now();
    loop {
        let pause = match acts::carry_out(&operator.store, &worker, Some(act_id)).await {
            Ok(Step::Carried(_)) => {
                checkpoint("deliveries", "between_parts");
                failures = 0;
                Duration::ZERO
            }
            Ok(Step::Later(pause)) => pause.min(LOOK),
            Ok(Step::Idle) => match acts::find(&operator.store, act_id).await? {
                Some(row) if row.state != "running" => return Ok(row),
                Some(_) => Duration::ZERO,
                None => bail!("act {act_id} is gone"),
            },
            Err(error) if error.is_retryable() && failures < PATIENCE => {
                failures += 1;
                bus::reconnect_delay(failures)
            }
            Err(error) => {
                note(&format!(
                    "act {act_id} is not over: a unikassa or databases worker goes on with it, or `deliveries acts resume`"
                ));
                return Err(error.into());
            }
        };
        tokio::time::sleep(pause).await;
        if told.elapsed() >= LOOK
            && let Some(row) = acts::find(&operator.store, act_id).await?
        {
            told = tokio::time::Instant::now();
            note(&format!("{} of {} left", row.waiting(), row.matched));
        }
    }
}

/// What became of the payments, or would become of them.
#[derive(Default)]
pub(super) struct Tally {
    done_as: Counts,
    changed: i64,
    reasons: BTreeMap<String, i64>,
}

impl From<ActRow> for Tally {
    fn from(row: ActRow) -> Self {
        Self {
            done_as: row.done_as,
            changed: row.changed,
            reasons: row.reasons,
        }
    }
}

impl Tally {
    /// By a filter some may stay behind; of payments that were named one left behind is a failure.
    pub(super) fn tell(&self, kind: ActKind, would_be: &str, named: usize) -> Outcome {
        let done: i64 = self.done_as.values().sum();
        let count = |remedy: &str| self.done_as.get(remedy).copied().unwrap_or(0);
        let verb = match kind {
            ActKind::Requeue => "requeued",
            ActKind::Stop => "stopped",
            ActKind::Resume => "resumed",
        };
        if kind == ActKind::Stop {
            say(format!("{done} {would_be}{verb}"))?;
        } else {
            let (paid, asked) = (count("pay"), count("status"));
            say(format!(
                "{done} {would_be}{verb}: {paid} to be paid, {asked} to be asked about"
            ))?;
        }
        if self.changed > 0 {
            say(format!("{} changed meanwhile", self.changed))?;
        }
        for (why, count) in &self.reasons {
            say(format!("{count} not: {why}"))?;
        }
        let named = i64::try_from(named).unwrap_or(i64::MAX);
        Ok(Ending::done_if(done > 0 && done >= named))
    }
}
