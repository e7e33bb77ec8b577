//! `unigate contract`: the AsyncAPI document and JSON Schemas, generated from the types that speak the contract.

use std::path::PathBuf;

use anyhow::Context;
use clap::Subcommand;

use crate::ending::{Ending, Outcome};
use crate::output::{note, say};

/// What to do with the documents.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write them
    Write(Docs),
    /// Compare them with the types; exit 1 if they have fallen behind
    Check(Docs),
}

/// Where they lie.
#[derive(Debug, clap::Args)]
pub(crate) struct Docs {
    /// The directory of asyncapi.json and schemas/
    #[arg(long, value_name = "DIR", default_value = "docs")]
    docs: PathBuf,
}

/// Writes or compares.
pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Write(Docs { docs }) => {
            contract::schema::write_to(&docs).with_context(|| format!("writing below {}", docs.display()))?;
            say(format!("written below {}", docs.display()))?;
            Ok(Ending::Done)
        }
        Command::Check(Docs { docs }) => match contract::schema::check_against(&docs) {
            Ok(()) => {
                say(format!("{} says what the types say", docs.display()))?;
                Ok(Ending::Done)
            }
            Err(differences) => {
                for difference in differences {
                    note(&difference.to_string());
                }
                note("run `unigate contract write`");
                Ok(Ending::Failed)
            }
        },
    }
}
