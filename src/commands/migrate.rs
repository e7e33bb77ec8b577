//! `unigate migrate`: the database brought up to this program's schema. Safe to run twice and at once.

use crate::ending::{Ending, Outcome};
use crate::operator::load_settings;
use crate::output::{note, say};

/// How.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only say what would be applied; exit 1 if there is anything
    #[arg(long)]
    check: bool,
}

/// Applies what is missing, and names it.
pub(crate) async fn run(args: Args) -> Outcome {
    let settings = load_settings()?;
    if args.check {
        let pending = store::pending_migrations(&settings.store).await?;
        for name in &pending {
            note(&format!("{name} is not applied yet"));
        }
        return Ok(Ending::done_if(pending.is_empty()));
    }
    let applied = store::migrate(&settings.store).await?;
    for name in &applied {
        say(format!("applied {name}"))?;
    }
    if applied.is_empty() {
        say("nothing to do")?;
    }
    Ok(Ending::Done)
}
