//! Nudge and sweep: work is woken by a message *and* found by a periodic scan that takes no input; one code path.

use std::time::Duration;

use bus::{Delivery, Queue, Tags};
use store::StoreError;

use crate::consume::consume;
use crate::{Context, Nudge};
use bus::survive;

/// What one round of a sweep found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swept {
    /// Nothing more to do until nudged or the interval is over.
    Idle,
    /// There is more: look again at once.
    More,
    /// Nothing now, but something falls due this far ahead; look again then if the interval is longer.
    Next(Duration),
}

/// Runs `round` whenever nudged, and at least once per sweep interval, until shutdown. A failed round is logged and
/// taken up again after the interval; rounds never overlap within a process.
pub fn spawn<F, R>(context: &Context, name: &'static str, nudge: Nudge, round: F)
where
    F: Fn(Context) -> R + Send + 'static,
    R: Future<Output = Result<Swept, StoreError>> + Send,
{
    let context = context.clone();
    context.tasks.clone().spawn(async move {
        while !context.shutdown.is_cancelled() {
            let wait = match survive(name, round(context.clone())).await {
                Some(Ok(Swept::More)) => continue,
                Some(Ok(Swept::Next(due))) => context.settings.sweep_interval.min(due),
                Some(Ok(Swept::Idle)) | None => context.settings.sweep_interval,
                Some(Err(error)) => {
                    report(&context, name, &error);
                    context.settings.sweep_interval
                }
            };
            tokio::select! {
                () = context.shutdown.cancelled() => return,
                () = context.nudged(nudge) => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    });
}

/// Runs `round` now and then until shutdown, on its own: nothing wakes it, and nothing it does is urgent.
pub fn every<F, R>(context: &Context, name: &'static str, pause: Duration, round: F)
where
    F: Fn(Context) -> R + Send + 'static,
    R: Future<Output = Result<(), StoreError>> + Send,
{
    let context = context.clone();
    context.tasks.clone().spawn(async move {
        loop {
            if let Some(Err(error)) = survive(name, round(context.clone())).await {
                report(&context, name, &error);
            }
            tokio::select! {
                () = context.shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    });
}

fn report(context: &Context, name: &'static str, error: &StoreError) {
    metrics::counter!("unigate_sweep_failures_total", "sweep" => name).increment(1);
    // While the database is away readiness says so once; a line per sweep and interval would bury it.
    if context.readiness.is_part_ready("database") || !error.is_retryable() {
        tracing::warn!(sweep = name, %error, "a sweep failed and will be repeated");
    }
}

/// Turns messages of a wake-up queue into nudges. They are acknowledged at once: a lost one costs a sweep interval.
pub fn on_wake_up(context: &Context, queue: Queue, nudge: Nudge) {
    let context = context.clone();
    context.tasks.clone().spawn(async move {
        let woken = |batch: Vec<Delivery>| {
            context.nudge(nudge);
            std::future::ready(Some(Tags::of(&batch)))
        };
        consume(&context, queue, 32, woken).await;
    });
}
