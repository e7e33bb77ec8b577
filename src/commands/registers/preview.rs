//! `unigate registers preview`: the next register of a payee as its file would show it. Closes and builds nothing.

use std::path::PathBuf;

use anyhow::{Context, bail};
use domain::declaration::MAIN_SERIES;
use domain::ids::{PayeeId, RegisterId};
use registers::Preview;
use serde_json::json;
use store::audit::{self, Act};
use store::registers::{self as stored, Build};

use crate::ending::{Ending, Outcome};
use crate::operator::Operator;
use crate::output::{self, note, say};

/// What to look at.
#[derive(Debug, clap::Args)]
pub(crate) struct PreviewArgs {
    /// The payee
    #[arg(value_name = "PAYEE", value_parser = PayeeId::parse)]
    payee: PayeeId,
    /// A register of it that is closed, instead of what is open
    #[arg(long, value_name = "ID", value_parser = RegisterId::parse)]
    register: Option<RegisterId>,
    /// What is open of this series; the payee's only one, else main, unless told
    #[arg(long, value_name = "NAME", conflicts_with = "register")]
    series: Option<String>,
    /// At most so many payments
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    rows: i64,
    /// Save the file, instead of printing it as text
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

pub(super) async fn preview(operator: &Operator, args: PreviewArgs) -> Outcome {
    let found = match args.register {
        Some(id) => stored::look_at(&operator.store, id).await?,
        None => Some(open(operator, &args.payee, args.series.as_deref()).await?),
    };
    let Some(found) = found.filter(|build| build.summary.payee == args.payee) else {
        let id = args.register.map(|id| id.to_string()).unwrap_or_default();
        bail!("payee {} has no register {id}", args.payee)
    };
    let shown = registers::preview(&operator.store, &found, args.rows).await?;
    // Audited before anybody has seen it: it is payers' data.
    audit_look(operator, &args, &shown).await?;
    match (&args.save, &shown.text) {
        (Some(path), _) => {
            std::fs::write(path, &shown.bytes).with_context(|| path.display().to_string())?;
            say(format!("{}: {} bytes", path.display(), shown.bytes.len()))?;
        }
        (None, Some(text)) => output::text(&on_screen(text))?,
        (None, None) => bail!("{} is no text: save it with --save FILE", shown.name),
    }
    tell(&shown);
    Ok(Ending::Done)
}

/// What is open of a series: a payee that has only one of them need not name it.
async fn open(operator: &Operator, payee: &PayeeId, series: Option<&str>) -> anyhow::Result<Build> {
    let standings = stored::standings(&operator.store, Some(payee)).await?;
    let names: Vec<&str> = standings.iter().map(|standing| standing.series.as_str()).collect();
    let series = match (series, &names[..]) {
        (_, []) => bail!("payee {payee} has no registers"),
        (None, [only]) => only,
        (named, _) => named.unwrap_or(MAIN_SERIES),
    };
    if !names.contains(&series) {
        bail!("payee {payee} has no series {series}: it has {}", names.join(", "));
    }
    let open = stored::look_at_open(&operator.store, payee, series).await?;
    open.with_context(|| format!("payee {payee} has no open payments in series {series}"))
}

/// Nothing moves the cursor but what separates columns: of payers' text no tab is left.
fn on_screen(text: &str) -> String {
    let line = |line: &str| {
        let columns: Vec<String> = line.split('\t').map(output::printable).collect();
        columns.join("\t") + "\n"
    };
    text.lines().map(line).collect()
}

/// What the file itself does not say, beside it.
fn tell(shown: &Preview) {
    note(&format!("{}: {} of {} payments", shown.name, shown.shown, shown.of));
    for one in &shown.report.first {
        note(&one.to_string());
    }
    let (all, named) = (shown.report.total(), shown.report.first.len());
    if all > named as u64 {
        note(&format!("and {} more such places", all - named as u64));
    }
}

async fn audit_look(operator: &Operator, args: &PreviewArgs, shown: &Preview) -> anyhow::Result<()> {
    let tx = operator.store.begin().await?;
    let act = Act {
        who: &operator.who,
        act: "registers preview",
        subject_kind: "payee",
        subject: args.payee.as_str(),
        reason: None,
        before: None,
        after: Some(json!({ "register": args.register, "payments": shown.shown })),
    };
    audit::record(&tx, &act).await?;
    tx.commit().await?;
    Ok(())
}
