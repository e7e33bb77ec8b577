//! The worker: one loop closes, another builds. A build may take minutes; closing never waits for it.

use std::sync::Arc;
use std::time::Duration;

use artifacts::ArtifactError;
use bus::Queue;
use runtime::sweep::{self, Swept};
use runtime::{Context, Nudge};
use store::{StoreError, registers};
use tokio::sync::{Notify, Semaphore};

use crate::told::{tell_bare_place, tell_foreign_place};
use crate::{Builder, closer};

/// Claims in work in one process: a large register takes a core while it is built, and small ones do not wait for it.
const BUILDS_AT_ONCE: usize = 2;
/// How often leftovers of lost builds are looked for.
const ORPHANS_INTERVAL: Duration = Duration::from_secs(600);
/// How often somebody looks for payments that wait for a register for too long.
const LATE_INTERVAL: Duration = Duration::from_secs(60);

/// Starts the worker: woken by messages, by what closes here, and by sweep.
pub fn start(context: &Context) {
    let to_build = Arc::new(Notify::new());
    sweep::on_wake_up(context, Queue::RegistersWake, Nudge::Registers);
    let closed = to_build.clone();
    sweep::spawn(context, "registers", Nudge::Registers, move |context| {
        let closed = closed.clone();
        async move {
            let swept = close(&context).await;
            // Also when nothing closed here: a command may have frozen a register and woken us to build it.
            closed.notify_one();
            swept
        }
    });
    let builder = Builder::new(
        context.store.clone(),
        context.artifacts.clone(),
        context.settings.mail_from.clone(),
    )
    .until(context.shutdown.clone());
    let sweeper = builder.clone();
    sweep::every(context, "registers.orphans", ORPHANS_INTERVAL, move |context| {
        sweep_orphans(context, sweeper.clone())
    });
    context.tasks.spawn(build_all(context.clone(), builder, to_build));
    sweep::every(context, "registers.late", LATE_INTERVAL, |context| async move {
        if runtime::tell_late_registers(&context.store).await? > 0 {
            context.nudge(Nudge::Notices);
        }
        Ok(())
    });
}

/// By itself: a place that is away keeps no build waiting.
async fn sweep_orphans(context: Context, builder: Builder) -> Result<(), StoreError> {
    let swept = tokio::select! {
        () = context.shutdown.cancelled() => return Ok(()),
        swept = builder.sweep_orphans() => swept,
    };
    match swept {
        Ok(_) => {}
        Err(ArtifactError::Store(error)) => return Err(error),
        Err(ref error @ ArtifactError::Foreign { ref place, ref why }) => {
            tracing::error!(%error, "the place for large files belongs to another installation");
            tell_foreign_place(&context.store, place, why).await?;
            context.nudge(Nudge::Notices);
        }
        Err(ref error @ ArtifactError::Bare { ref place, .. }) => {
            tracing::error!(%error, "the place for large files holds none of them");
            tell_bare_place(&context.store, place, error).await?;
            context.nudge(Nudge::Notices);
        }
        Err(error) => tracing::warn!(%error, "files that are nobody's could not be swept away"),
    }
    Ok(())
}

async fn close(context: &Context) -> Result<Swept, StoreError> {
    let closed = closer::close_all_due(&context.store).await?;
    if !closed.is_empty() {
        runtime::checkpoint("registers", "after_freeze");
        // There may be more than one look takes.
        return Ok(Swept::More);
    }
    let next = [
        registers::series_due_in(&context.store).await?,
        registers::deliveries_due_in(&context.store).await?,
    ];
    let next = next.into_iter().flatten().min();
    // A cut-off that has passed and closed nothing is somebody else's at the moment.
    Ok(next.filter(|next| !next.is_zero()).map_or(Swept::Idle, Swept::Next))
}

async fn build_all(context: Context, builder: Builder, woken: Arc<Notify>) {
    let room = Arc::new(Semaphore::new(BUILDS_AT_ONCE));
    while !context.shutdown.is_cancelled() {
        let begun = begin_builds(&context, &builder, &room, &woken).await;
        let due_in = match begun {
            Ok(()) => note_due(&context).await,
            Err(error) => {
                if context.readiness.is_part_ready("database") || !error.is_retryable() {
                    tracing::warn!(%error, "looking for registers to build failed and will be repeated");
                }
                None
            }
        };
        // Due already, but not begun: others are at it, or there is no room; both end with a wake-up or a sweep.
        let longest = context.settings.sweep_interval;
        let wait = due_in
            .filter(|due| !due.is_zero())
            .map_or(longest, |due| due.min(longest));
        tokio::select! {
            () = context.shutdown.cancelled() => return,
            () = woken.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// How long until a build is due, if one is to come. How late the oldest is, is what tells an autoscaler that more builders
/// are needed.
async fn note_due(context: &Context) -> Option<Duration> {
    let due = registers::builds_due(&context.store).await.ok()?;
    metrics::gauge!("unigate_registers_build_due_seconds").set(due.late.as_secs_f64());
    due.next
}

/// Begins as many builds as there is room and work for.
async fn begin_builds(
    context: &Context,
    builder: &Builder,
    room: &Arc<Semaphore>,
    woken: &Arc<Notify>,
) -> Result<(), StoreError> {
    while let Ok(permit) = room.clone().try_acquire_owned() {
        let builds = builder.claim().await?;
        if builds.is_empty() {
            return Ok(());
        }
        let (context, builder, woken) = (context.clone(), builder.clone(), woken.clone());
        context.tasks.clone().spawn(async move {
            metrics::gauge!("unigate_registers_building").increment(builds.len() as f64);
            if let Err(error) = builder.build(&builds).await {
                tracing::warn!(builds = builds.len(), %error, "builds wait for their leases to run out");
            }
            metrics::gauge!("unigate_registers_building").decrement(builds.len() as f64);
            drop(permit);
            woken.notify_one();
            context.nudge(Nudge::Events);
            context.nudge(Nudge::Mails);
            context.nudge(Nudge::Notices);
            context.bus.wake(Queue::MailerWake, Vec::new());
        });
    }
    Ok(())
}
