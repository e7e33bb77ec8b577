//! The command line as people type it. Each group of commands declares its own arguments beside what it does.

use clap::{Parser, Subcommand};

use crate::commands::{
    cards, contract, databases, declared, deliveries, doctor, health, migrate, parked, payees, payments,
};
use crate::commands::{notices, registers, run, topology};

/// Takes payments and sells prepaid cards for terminals, over RabbitMQ and PostgreSQL.
///
/// Settings come from the environment (UNIGATE_…) and from unigate.toml; `unigate doctor` says which are used.
#[derive(Debug, Parser)]
#[command(name = "unigate", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run workers until SIGTERM
    Run(run::Args),
    /// Create the database if it is missing, and bring it up to this version
    Migrate(migrate::Args),
    /// Declare or compare the queues and exchanges
    #[command(subcommand)]
    Topology(topology::Command),
    /// Ask the process on this host whether it is ready (for container health checks)
    Health(health::Args),
    /// Write or compare the AsyncAPI document and JSON Schemas
    #[command(subcommand)]
    Contract(contract::Command),
    /// Who gets money
    #[command(subcommand)]
    Payees(payees::Command),
    /// What cards are sold
    #[command(subcommand)]
    Products(declared::Command),
    /// Who may speak
    #[command(subcommand)]
    Terminals(declared::Command),
    /// Stock of prepaid cards
    #[command(subcommand)]
    Cards(cards::Command),
    /// Look at payments
    #[command(subcommand)]
    Payments(payments::Command),
    /// Payments on their way to online payees
    #[command(subcommand)]
    Deliveries(deliveries::Command),
    /// Payees whose own data are worked with: set up and tried
    #[command(subcommand)]
    Databases(databases::Command),
    /// Files of payments for payees
    #[command(subcommand)]
    Registers(registers::Command),
    /// Facts without a home: refused, kept whole, to be settled by an operator
    #[command(subcommand)]
    Parked(parked::Command),
    /// Alerts, and who was mailed
    #[command(subcommand)]
    Notices(notices::Command),
    /// Check every connection, right and setting, and say what to do
    Doctor(doctor::Args),
    /// Play a day of a small operator against everything real, and check the invariants at its end
    Demo(crate::demo::DemoArgs),
    /// Measure this machine, beside what it can do at most
    Bench(crate::bench::BenchArgs),
}

impl Command {
    /// Whether it runs workers and should tell what it does as it goes.
    pub(crate) fn is_long_running(&self) -> bool {
        matches!(self, Self::Run(_))
    }

    /// Whether it starts a log of its own, in a file.
    pub(crate) fn keeps_its_own_log(&self) -> bool {
        matches!(self, Self::Demo(_))
    }
}

#[cfg(test)]
mod tests;
