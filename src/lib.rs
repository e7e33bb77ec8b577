//! The executable `unigate`: all workers in one process or each in its own, and the operator's commands.
//!
//! Everything that decides is elsewhere: workers in `workers/`, rules in `domain`, SQL in `store`. This package reads
//! arguments, calls those, and prints; it is the only one that prints. Commands and workers share the same functions of
//! the store, so they cannot disagree.

mod bench;
mod cli;
mod commands;
mod demo;
mod ending;
mod moment;
mod operator;
mod output;
pub mod workers;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use runtime::no_core_files;
use runtime::settings::{LogSettings, SettingsError};
use runtime::telemetry;

use crate::cli::{Cli, Command};
use crate::ending::Ending;

/// How long an ended process waits for threads that are still reading or writing a file.
const STRAGGLERS: Duration = Duration::from_secs(2);

/// Parses the arguments, runs the command and turns its end into an exit code: 0 done, 1 failed, 2 wrong usage, 64 bad
/// configuration.
pub fn main() -> ExitCode {
    // Before anything is in memory that must not be in a file: a command has cards, keys and passwords as workers do.
    let forbidden = no_core_files(None);
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(told) => {
            // Help and version are told on standard output and are no error.
            let _ = told.print();
            return ExitCode::from(u8::try_from(told.exit_code()).unwrap_or(ending::WRONG_USAGE));
        }
    };
    if !cli.command.keeps_its_own_log()
        && let Err(error) = start_log(&cli.command)
    {
        return ending::report(&error.into());
    }
    if let Err(error) = forbidden {
        tracing::warn!(%error, "core files of this process cannot be forbidden: see to it that the system writes none");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return ending::report(&error.into()),
    };
    let ended = runtime.block_on(Box::pin(commands::run(cli.command)));
    // All that was to be finished is: who is still away hangs, in a payee's file on a share that does not answer.
    runtime.shutdown_timeout(STRAGGLERS);
    match ended {
        Ok(Ending::Done) => ExitCode::SUCCESS,
        Ok(Ending::Failed) => ExitCode::from(ending::FAILED),
        Err(error) => ending::report(&error),
    }
}

/// A worker tells what it does; a command prints what it did, and logs only what is wrong. What lapin says about closed
/// channels is how a missing queue is found out.
fn start_log(command: &Command) -> Result<(), SettingsError> {
    let default = if command.is_long_running() {
        "info"
    } else {
        "warn,lapin::channel=off,lapin::channels=off"
    };
    let set = LogSettings::load()?;
    telemetry::start_log(Some(set.filter.as_deref().unwrap_or(default)), set.json);
    Ok(())
}
