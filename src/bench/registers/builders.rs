//! Real `unigate run registers` processes, and how long after midnight the last register is built.

use std::time::{Duration, Instant};

use anyhow::ensure;
use store::rehearsal::registers as rehearsal;
use tokio::process::Child;

use super::ground::Source;
use crate::bench::ground::Ground;
use crate::bench::load::peak;

/// How long processes may take to start before it is midnight, in seconds.
const START: f64 = 4.0;
/// How long they may build.
const LIMIT: Duration = Duration::from_secs(600);

/// What a run took.
pub(super) struct Took {
    /// From midnight until the last register was recorded.
    pub(super) seconds: f64,
    /// The most memory that one of the processes had, in MiB.
    pub(super) memory: f64,
}

/// So many processes, on a copy of their own.
pub(super) async fn measure(source: &Source, processes: usize) -> anyhow::Result<Took> {
    let ground = source.copy().await?;
    let took = measure_on(&ground, source, processes).await?;
    ground.clear().await?;
    Ok(took)
}

/// The same on this ground.
pub(super) async fn measure_on(ground: &Ground, source: &Source, processes: usize) -> anyhow::Result<Took> {
    let midnight = rehearsal::due_in(&ground.store, START).await?;
    let mut children = (0..processes)
        .map(|_| start(ground))
        .collect::<anyhow::Result<Vec<Child>>>()?;
    let begun = Instant::now();
    let seconds = loop {
        for child in &mut children {
            ensure!(child.try_wait()?.is_none(), "`unigate run registers` ended");
        }
        let so_far = rehearsal::built(&ground.store, midnight).await?;
        if so_far.registers == i64::from(source.payees) {
            let all = so_far.payments == i64::from(source.payments);
            ensure!(all, "not all payments are in registers: {so_far:?}");
            tracing::info!(
                processes,
                closed = so_far.closed,
                built = so_far.built,
                "seconds after midnight"
            );
            break so_far.built;
        }
        ensure!(begun.elapsed() < LIMIT, "after {LIMIT:?}: {so_far:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let memory = children.iter().filter_map(|child| child.id().and_then(peak));
    let memory = memory.fold(0.0, f64::max);
    for child in &mut children {
        child.kill().await?;
    }
    Ok(Took { seconds, memory })
}

fn start(ground: &Ground) -> anyhow::Result<Child> {
    let mut command = ground.command(&["run", "registers"])?;
    Ok(command.env("UNIGATE_LOG", "warn").spawn()?)
}
