//! The workers of an installation, started by name in one process: by `run`, the demo, the benchmark and the tests.

use clap::ValueEnum;
use runtime::Context;

/// A worker that can be started by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Worker {
    /// Takes payments in, and keeps the parking lot
    Intake,
    /// Holds, sells and expires cards; the only one that opens them
    Cards,
    /// Delivers payments online
    Unikassa,
    /// Enters payments into payees' own data
    Databases,
    /// Closes and builds registers
    Registers,
    /// Mails registers
    Mailer,
}

impl Worker {
    /// Every worker: a whole installation.
    pub const ALL: [Self; 6] = [
        Self::Intake,
        Self::Cards,
        Self::Unikassa,
        Self::Databases,
        Self::Registers,
        Self::Mailer,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Intake => "intake",
            Self::Cards => "cards",
            Self::Unikassa => "unikassa",
            Self::Databases => "databases",
            Self::Registers => "registers",
            Self::Mailer => "mailer",
        }
    }
}

/// Why a worker cannot be started at all. A database or broker that is away is no such reason: it waits.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The vault's identity, or the OpenPGP key, cannot be used.
    #[error("cards: {0}")]
    Cards(#[source] cards::StartError),
    /// No HTTP client could be made.
    #[error("unikassa: {0}")]
    Unikassa(#[source] unikassa::ClientError),
    /// The settings of the mail relay cannot be used.
    #[error("{0}")]
    Mailer(#[source] mailer::StartError),
}

/// Starts these workers; a name given twice counts once. They run until the context's shutdown.
pub async fn start(context: &Context, workers: &[Worker]) -> Result<(), WorkerError> {
    for worker in Worker::ALL.into_iter().filter(|worker| workers.contains(worker)) {
        match worker {
            Worker::Intake => intake::start(context),
            Worker::Cards => cards::start(context).await.map_err(WorkerError::Cards)?,
            Worker::Unikassa => unikassa::start(context).map_err(WorkerError::Unikassa)?,
            Worker::Databases => databases::start(context),
            Worker::Registers => registers::start(context),
            Worker::Mailer => mailer::start(context).map_err(WorkerError::Mailer)?,
        }
        tracing::info!(worker = worker.as_str(), "started");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_knows_workers_by_the_same_names() {
        for worker in Worker::ALL {
            let value = worker.to_possible_value().expect("none is hidden");
            assert_eq!(value.get_name(), worker.as_str());
        }
    }
}
