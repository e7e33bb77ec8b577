//! A panic is a bug of ours, but it must not end a worker for ever while the process looks healthy.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;

/// Runs work to its end, or to its panic: `None` then, counted; the panic itself has been printed by the hook. What the
/// work held is dropped, as after an error: transactions roll back, messages go back to the broker.
pub(crate) async fn survive<T>(worker: &'static str, work: impl Future<Output = T>) -> Option<T> {
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

#[cfg(test)]
mod tests {
    use super::survive;

    #[tokio::test]
    async fn a_panic_ends_the_work_and_not_its_task() {
        assert_eq!(survive("test", async { 7 }).await, Some(7));
        let broken = async {
            tokio::task::yield_now().await;
            assert!(std::hint::black_box(false), "on purpose");
        };
        assert_eq!(survive("test", broken).await, None);
    }
}
