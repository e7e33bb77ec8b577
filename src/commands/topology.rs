//! `unigate topology`: the queues and exchanges of this installation's namespace, declared or compared. Nothing that exists
//! is ever changed or deleted here: queue arguments never change under a name.

use bus::topology::{Report, apply, check};
use clap::Subcommand;

use crate::ending::{Ending, Outcome};
use crate::operator::load_settings;
use crate::output::{note, say};

/// What to do with the topology.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Declare what is missing; safe to run twice and at once
    Apply,
    /// Compare the broker with what this version needs, arguments and bindings included; exit 1 if anything differs
    Check,
}

/// Declares or compares.
pub(crate) async fn run(command: Command) -> Outcome {
    let settings = load_settings()?.bus;
    let report = match command {
        Command::Apply => apply(&settings).await?,
        Command::Check => check(&settings).await?,
    };
    tell(&settings.namespace, &report)?;
    Ok(Ending::done_if(report.in_order() && report.bindings_untried.is_none()))
}

fn tell(namespace: &str, report: &Report) -> anyhow::Result<()> {
    for difference in &report.differences {
        note(&difference.to_string());
    }
    if let Some(why) = &report.bindings_untried {
        note(&format!(
            "bindings were not looked at, run this as the operator's user of the broker: {why}"
        ));
    }
    let Report {
        items,
        broker,
        differences,
        ..
    } = report;
    match differences.len() {
        0 => say(format!(
            "{namespace}: {items} queues, exchanges and bindings in order ({broker})"
        )),
        wrong => say(format!(
            "{namespace}: {wrong} of {items} queues, exchanges and bindings are not in order ({broker})"
        )),
    }
}
