//! The orderly end: stop taking, finish what is in hand, acknowledge, close.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::Context;

/// Longest an end may take; a supervisor that waits 30 s never has to kill.
const PATIENCE: Duration = Duration::from_secs(22);

/// Cancels `shutdown` on SIGTERM or SIGINT.
pub fn on_signal(shutdown: CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: finishing what is in hand"),
            _ = interrupt.recv() => tracing::info!("interrupted: finishing what is in hand"),
        }
        shutdown.cancel();
    });
    Ok(())
}

/// Waits until everything in hand is finished, but never longer than orchestrators wait. What is cut off is safe:
/// deliveries come again, leases run out.
pub async fn end_within(context: &Context) {
    context.tasks.close();
    if tokio::time::timeout(PATIENCE, context.tasks.wait()).await.is_err() {
        tracing::warn!("some work did not end in time; it will be taken up again");
    }
    context.bus.close().await;
}
