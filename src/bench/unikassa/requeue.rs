//! Failed deliveries requeued by a filter: how long until the last one is due again, and how much memory that takes.

use std::time::{Duration, Instant};

use anyhow::ensure;
use store::rehearsal::deliveries as rehearsal;

use super::payee::Payees;
use super::{NOBODY, declare, declared};
use crate::bench::ground::{Ground, Grounds};
use crate::bench::load::peak;

/// What they become.
const DUE: &str = "waiting";
const LIMIT: Duration = Duration::from_secs(600);

/// What one run took.
pub(super) struct Took {
    pub(super) seconds: f64,
    /// The command's peak, in MiB.
    pub(super) memory: f64,
}

/// `unigate deliveries requeue` of so many failed payments of one payee. Nobody delivers them.
pub(super) async fn measure(grounds: &Grounds, count: u32) -> anyhow::Result<Took> {
    let payees = Payees::start(Duration::ZERO).await?;
    let ground = grounds.make("requeue", None).await?;
    declare(&ground.store, &declared(&payees, false)?).await?;
    rehearsal::owe(&ground.store, 1, count, "failed", Duration::ZERO).await?;
    let took = requeue(&ground).await?;
    ground.clear().await?;
    Ok(took)
}

async fn requeue(ground: &Ground) -> anyhow::Result<Took> {
    let begun = Instant::now();
    let mut command = ground
        .command(&["deliveries", "requeue", "--payee", "bench-000", "--state", "failed"])?
        .spawn()?;
    let mut memory: f64 = 0.0;
    let status = loop {
        memory = memory.max(command.id().and_then(peak).unwrap_or(0.0));
        if let Some(status) = command.try_wait()? {
            break status;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    ensure!(status.success(), "`unigate deliveries requeue` ended with {status}");
    while rehearsal::count_not(&ground.store, DUE, NOBODY).await? > 0 {
        ensure!(begun.elapsed() < LIMIT, "payments are not due after {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(Took {
        seconds: begun.elapsed().as_secs_f64(),
        memory,
    })
}
