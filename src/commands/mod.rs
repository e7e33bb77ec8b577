//! The commands, a file per group: its arguments, and what it does with them. To add one, add its file here and its line in
//! `cli.rs` and in [`run`].

pub(crate) mod cards;
pub(crate) mod contract;
pub(crate) mod databases;
pub(crate) mod declared;
pub(crate) mod deliveries;
pub(crate) mod doctor;
pub(crate) mod health;
pub(crate) mod migrate;
pub(crate) mod notices;
pub(crate) mod parked;
pub(crate) mod payees;
pub(crate) mod payments;
pub(crate) mod registers;
pub(crate) mod run;
pub(crate) mod topology;

use domain::declaration::{Product, Terminal};

use crate::cli::Command;
use crate::ending::Outcome;

/// Does what was asked for.
pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::Run(args) => run::run(args).await,
        Command::Migrate(args) => migrate::run(args).await,
        Command::Topology(command) => topology::run(command).await,
        Command::Health(args) => health::run(args).await,
        Command::Contract(command) => contract::run(command),
        Command::Payees(command) => payees::run(command).await,
        Command::Products(command) => declared::run::<Product>(command).await,
        Command::Terminals(command) => declared::run::<Terminal>(command).await,
        Command::Cards(command) => cards::run(command).await,
        Command::Payments(command) => payments::run(command).await,
        Command::Deliveries(command) => deliveries::run(command).await,
        Command::Databases(command) => databases::run(command).await,
        Command::Registers(command) => registers::run(command).await,
        Command::Parked(command) => parked::run(command).await,
        Command::Notices(command) => notices::run(command).await,
        Command::Doctor(args) => doctor::run(args).await,
        Command::Demo(args) => crate::demo::run(args).await,
        Command::Bench(args) => Box::pin(crate::bench::run(&args)).await,
    }
}

#[cfg(test)]
mod tests;
