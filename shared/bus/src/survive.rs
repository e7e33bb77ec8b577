//! A panic is a bug of ours, but it must not end a worker for ever while the process looks healthy.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;

use crate::reconnect_delay;

/// Runs work to its end, or to its panic: `None` then, counted; the panic itself has been printed by the hook. What the
/// work held is dropped, as after an error: transactions roll back, messages go back to the broker.
pub async fn survive<T>(worker: &'static str, work: impl Future<Output = T>) -> Option<T> {
    // Nothing outlives the work but what is shared behind locks that are not held across an await.
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(done) => Some(done),
        Err(_) => {
            tracing::error!(worker, "a bug made this panic; it begins anew");
            metrics::counter!("unigate_invariant_violations_total", "kind" => "panic").increment(1);
            None
        }
    }
}

/// Does what has no end of its own again after every panic, a moment later; ends when it does.
pub async fn persist<F: Future<Output = ()>>(worker: &'static str, mut work: impl FnMut() -> F) {
    while survive(worker, work()).await.is_none() {
        tokio::time::sleep(reconnect_delay(0)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::{persist, survive};

    #[tokio::test]
    async fn a_panic_ends_the_work_and_not_its_task() {
        assert_eq!(survive("test", async { 7 }).await, Some(7));
        let broken = async {
            tokio::task::yield_now().await;
            assert!(std::hint::black_box(false), "on purpose");
        };
        assert_eq!(survive("test", broken).await, None);
    }
    #[tokio::test]
    async fn what_has_panicked_begins_anew() {
        let mut begun = 0;
        persist("test", || {
            begun += 1;
            let which = begun;
            async move { assert!(which > 2, "on purpose") }
        })
        .await;
        assert_eq!(begun, 3);
    }
}
