//! Benchmarks of the whole system, each beside a bound measured in the same run on the same machine.
//!
//! Machines are shared and noisy, so nothing is quoted alone: ours and its bound are measured in turn, several pairs,
//! and what counts is the median of the ratios. Every benchmark works in databases and broker namespaces of its own
//! and takes them away at the end, also after a failure and when it is interrupted.

mod bounds;
mod cards;
mod databases;
mod figure;
mod ground;
mod idle;
mod intake;
mod load;
mod registers;
mod unikassa;

use std::panic::AssertUnwindSafe;

use anyhow::anyhow;
use clap::builder::RangedI64ValueParser;
use clap::{Args, Subcommand, ValueEnum};
use futures::FutureExt as _;
use runtime::{Settings, on_signal};
use tokio_util::sync::CancellationToken;

use self::ground::Grounds;
use crate::ending::{Ending, Outcome};
use crate::output::note;

/// What `unigate bench` is told.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    bench: Bench,
    /// Only figures whose names begin so; what begins none of them lists them
    #[arg(long, global = true, default_value = "")]
    only: String,
    /// How the figures are printed
    #[arg(long, global = true, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// How fast payments are taken: stored, woken on, event written, acknowledged
    Intake {
        /// Pairs of measurements per figure
        #[arg(long, default_value_t = 7, value_parser = between(1, 99))]
        pairs: u32,
        /// Payments per measurement; the first second of a new database says little about the hours after it
        #[arg(long, default_value_t = 60_000, value_parser = between(1_000, 1_000_000))]
        payments: u32,
    },
    /// How fast cards are reserved, sold, released, given back and imported, and what a large stock does to it
    Cards {
        /// Pairs of measurements per figure
        #[arg(long, default_value_t = 3, value_parser = between(1, 99))]
        pairs: u32,
        /// Cards in stock; the holds, the backlog and the card file are as large as that allows, up to 100000, 100000 and all
        #[arg(long, default_value_t = 1_000_000, value_parser = between(10_000, 10_000_000))]
        cards: u32,
    },
    /// How fast payments are delivered to online payees, and what one that hangs costs the others
    Unikassa {
        /// Pairs of measurements per figure
        #[arg(long, default_value_t = 5, value_parser = between(1, 99))]
        pairs: u32,
        /// Payments per measurement
        #[arg(long, default_value_t = 20_000, value_parser = between(1_000, 1_000_000))]
        payments: u32,
    },
    /// How fast registers are built: a large one beside psql, zip and age, and many small ones that are due together
    Registers {
        /// Pairs of measurements per figure
        #[arg(long, default_value_t = 3, value_parser = between(1, 99))]
        pairs: u32,
        /// Payments, in one register and in many
        #[arg(long, default_value_t = 1_000_000, value_parser = between(1_000, 10_000_000))]
        payments: u32,
        /// Payees that the many small registers are of
        #[arg(long, default_value_t = 10_000, value_parser = between(1, 100_000))]
        payees: u32,
    },
    /// How fast accounts are looked up and payments entered in a payee's database, and what one that hangs costs the others
    Databases {
        /// Pairs of measurements per figure
        #[arg(long, default_value_t = 5, value_parser = between(1, 99))]
        pairs: u32,
        /// Checks or payments per measurement
        #[arg(long, default_value_t = 20_000, value_parser = between(1_000, 1_000_000))]
        payments: u32,
    },
}

fn between(least: i64, most: i64) -> RangedI64ValueParser<u32> {
    RangedI64ValueParser::new().range(least..=most)
}

/// How figures are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// One JSON object.
    Json,
}

/// Runs a benchmark and prints its figures. Fails when a goal is missed.
pub(crate) async fn run(args: &BenchArgs) -> Outcome {
    let grounds = Grounds::new(Settings::load()?)?;
    let stop = CancellationToken::new();
    on_signal(stop.clone())?;
    let measuring = AssertUnwindSafe(measure(&args.bench, &grounds, &args.only)).catch_unwind();
    let measured = tokio::select! {
        () = stop.cancelled() => Err(anyhow!("interrupted")),
        measured = measuring => measured.unwrap_or_else(|_| Err(anyhow!("the benchmark itself broke off"))),
    };
    // Whatever came of it: what a measurement had no time to take away is taken away here.
    let cleared = grounds.clear().await;
    if let Err(error) = &cleared {
        note(&format!("not everything could be taken away: {error:#}"));
    }
    let (name, figures) = measured?;
    match args.format {
        Format::Table => figure::print_table(name, &figures),
        Format::Json => figure::print_json(name, &figures),
    }
    Ok(Ending::done_if(cleared.is_ok() && figure::all_hold(&figures)))
}

async fn measure(bench: &Bench, grounds: &Grounds, only: &str) -> anyhow::Result<(&'static str, Vec<figure::Figure>)> {
    Ok(match *bench {
        Bench::Intake { pairs, payments } => (
            "intake",
            intake::measure(grounds, pairs, payments as usize, only).await?,
        ),
        Bench::Cards { pairs, cards } => ("cards", cards::measure(grounds, pairs, cards as usize, only).await?),
        Bench::Unikassa { pairs, payments } => ("unikassa", unikassa::measure(grounds, pairs, payments, only).await?),
        Bench::Registers {
            pairs,
            payments,
            payees,
        } => (
            "registers",
            registers::measure(grounds, pairs, payments, payees, only).await?,
        ),
        Bench::Databases { pairs, payments } => {
            ("databases", databases::measure(grounds, pairs, payments, only).await?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_is_found_by_its_own_name_and_a_slip_of_the_pen_by_none() {
        let all: [&[figure::Planned]; 5] = [
            &intake::FIGURES,
            &cards::FIGURES,
            &unikassa::FIGURES,
            &registers::FIGURES,
            &databases::FIGURES,
        ];
        for figures in all {
            for (name, ..) in figures {
                let found = figure::wanted(figures, name).unwrap();
                assert!(figure::wants(&found, &[name]), "{name}");
                assert!(found.iter().all(|figure| figure.name.starts_with(name)), "{name}");
            }
            assert_eq!(figure::wanted(figures, "").unwrap().len(), figures.len());
            let refused = figure::wanted(figures, "typo").unwrap_err().to_string();
            assert!(figures.iter().all(|(name, ..)| refused.contains(name)), "{refused}");
        }
    }
}
