//! `unigate registers preview`: the next register of a payee as its file would show it. Closes and builds nothing.

use std::path::PathBuf;

use anyhow::{Context, bail};
use domain::ids::{PayeeId, RegisterId};
use registers::Preview;
use serde_json::json;
use store::audit::{self, Act};
use store::registers as stored;

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
    /// What is open of this series
    #[arg(long, value_name = "NAME", default_value = "main", conflicts_with = "register")]
    series: String,
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
        None => stored::look_at_open(&operator.store, &args.payee, &args.series).await?,
    };
    let Some(found) = found.filter(|build| build.summary.payee == args.payee) else {
        match args.register {
            Some(id) => bail!("payee {} has no register {id}", args.payee),
            None => bail!("payee {} has no open payments in series {}", args.payee, args.series),
        }
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
