//! `unigate payees`: declarations, suspending a payee without touching its file, and trying whether it can be called.

mod probe;

use anyhow::bail;
use clap::Subcommand;
use domain::declaration::Payee;
use domain::ids::PayeeId;
use serde_json::json;
use store::audit::{self, Act};
use store::declarations;

use super::declared;
use crate::ending::{Ending, Outcome};
use crate::operator::{Operator, reason};
use crate::output::say;

/// What to do with payees.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Declared(declared::Command),
    /// Take payments and let them wait: nothing goes out to the payee
    Suspend(Switch),
    /// Let everything that waits go out
    Resume(Switch),
    /// Try an online payee's profile step by step, from here; changes nothing
    Probe(probe::Args),
}

/// Which payee, and why.
#[derive(Debug, clap::Args)]
pub(crate) struct Switch {
    /// The payee
    #[arg(value_name = "ID", value_parser = PayeeId::parse)]
    payee: PayeeId,
    /// Why; for the audit log
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
}

/// Applies, lists, shows, suspends or resumes payees.
pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::Declared(command) => declared::run::<Payee>(command).await,
        Command::Suspend(args) => switch(args, true).await,
        Command::Resume(args) => switch(args, false).await,
        Command::Probe(args) => probe::run(args).await,
    }
}

/// Declares the payee as it is but for `suspended`. Its open range of payments is left open: nothing in a register
/// depends on that, and a suspended payee is to get nothing.
async fn switch(Switch { payee, reason }: Switch, suspended: bool) -> Outcome {
    let operator = Operator::new()?;
    let tx = operator.store.begin().await?;
    declarations::lock_for_apply(&tx).await?;
    let current = declarations::load_in(&tx).await?;
    let Some(found) = current.payees.get(&payee) else {
        bail!("no payee {payee} is declared")
    };
    let before = found.value.suspended;
    let changed = Payee {
        suspended,
        ..(*found.value).clone()
    };
    declarations::apply_payee(&tx, &changed, &operator.who).await?;
    let act = Act {
        who: &operator.who,
        act: if suspended { "payees suspend" } else { "payees resume" },
        subject_kind: "payee",
        subject: payee.as_str(),
        reason: Some(&reason),
        before: Some(json!({ "suspended": before })),
        after: Some(json!({ "suspended": suspended })),
    };
    audit::record(&tx, &act).await?;
    tx.commit().await?;
    let (done, state) = if suspended {
        ("suspended", "suspended")
    } else {
        ("resumed", "not suspended")
    };
    say(if before == suspended {
        format!("payee {payee} was {state} already")
    } else {
        format!("payee {payee}: {done}")
    })?;
    Ok(Ending::Done)
}
