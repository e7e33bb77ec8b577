//! `unigate run`: workers until SIGTERM. A database or broker that is away is waited for, with readiness red.

use runtime::{Context, end_within, on_signal};
use tokio_util::sync::CancellationToken;

use crate::ending::{Ending, Outcome};
use crate::operator::load_settings;
use crate::workers::{self, Worker};

/// Which workers.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which; without a name all of them, in this one process
    #[arg(value_enum, value_name = "WORKER")]
    workers: Vec<Worker>,
}

/// Runs until told to end.
pub(crate) async fn run(args: Args) -> Outcome {
    let settings = load_settings()?;
    let shutdown = CancellationToken::new();
    on_signal(shutdown.clone())?;
    if settings.terminals_open {
        tracing::warn!(
            "UNIGATE_TERMINALS_OPEN: whoever reaches the broker is served, as any terminal; for demonstrations and tests"
        );
    }
    let context = Context::start(settings, shutdown.clone()).await?;
    let chosen = if args.workers.is_empty() {
        &Worker::ALL[..]
    } else {
        &args.workers
    };
    let started = workers::start(&context, chosen).await;
    if started.is_ok() {
        shutdown.cancelled().await;
    }
    // Also what was started before a worker that could not be: it may have taken something in hand.
    shutdown.cancel();
    end_within(&context).await;
    started?;
    Ok(Ending::Done)
}
