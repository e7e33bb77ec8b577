//! Waiting for something to become true. This is the one place that polls; everything else waits on a signal. It never
//! waits for a time to pass: a test that needs that has nothing to look at.

use std::panic::Location;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

/// First pause between two looks. Most of what a test waits for is there within a few milliseconds.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
/// Pauses double up to this one, so that a long wait does not load the two cores everything shares.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Looks until `look` finds something and returns it; panics with `what` and the caller's place when `timeout` is over,
/// even while a look is still under way.
///
/// ```no_run
/// # async fn example(store: &Vec<u32>) {
/// let first = testkit::wait_for("a first payment", std::time::Duration::from_secs(5), async || {
///     store.first().copied()
/// })
/// .await;
/// # }
/// ```
#[track_caller]
pub fn wait_for<T>(what: &str, timeout: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> impl Future<Output = T> {
    let place = Location::caller();
    async move {
        let deadline = Instant::now() + timeout;
        let mut pause = FIRST_PAUSE;
        let mut looks = 0_u32;
        loop {
            looks += 1;
            match timeout_at(deadline, look()).await {
                Ok(Some(found)) => return found,
                Ok(None) if Instant::now() < deadline => {}
                Ok(None) | Err(_) => {
                    panic!("waited {timeout:?} for {what} ({looks} looks) at {place}")
                }
            }
            sleep(pause.min(deadline - Instant::now())).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// The same without polling, for what announces its changes: looks now and after each change of `signal`.
#[track_caller]
pub fn wait_on<T, S>(
    what: &str,
    timeout: Duration,
    mut signal: watch::Receiver<S>,
    mut look: impl FnMut() -> Option<T>,
) -> impl Future<Output = T> {
    let place = Location::caller();
    async move {
        let found = tokio::time::timeout(timeout, async {
            loop {
                signal.mark_unchanged();
                if let Some(found) = look() {
                    return Some(found);
                }
                if signal.changed().await.is_err() {
                    // Whoever could have changed it is gone, so this was the last look.
                    return look();
                }
            }
        })
        .await;
        match found {
            Ok(Some(found)) => found,
            Ok(None) => panic!("nobody is left to bring {what}, waited for at {place}"),
            Err(_) => panic!("waited {timeout:?} for {what} at {place}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn what_is_found_is_returned() {
        let mut looks = 0;
        let found = wait_for("the third look", LONG, async || {
            looks += 1;
            (looks == 3).then_some(looks)
        })
        .await;
        assert_eq!(found, 3);
    }

    #[tokio::test]
    #[should_panic(expected = "for a thing that never comes")]
    async fn a_timeout_names_what_was_missing() {
        wait_for("a thing that never comes", SOON, async || None::<()>).await;
    }

    #[tokio::test]
    #[should_panic(expected = "for a look that hangs (1 looks)")]
    async fn a_look_that_hangs_is_cut_off() {
        wait_for("a look that hangs", SOON, async || {
            std::future::pending::<Option<()>>().await
        })
        .await;
    }

    #[tokio::test]
    async fn a_signal_wakes_the_waiter() {
        let (change, signal) = watch::channel(0);
        let waiter = wait_on("the number 2", LONG, signal.clone(), || {
            (*signal.borrow() == 2).then_some(())
        });
        tokio::join!(waiter, async {
            change.send_replace(1);
            tokio::task::yield_now().await;
            change.send_replace(2);
        });
    }

    #[tokio::test]
    #[should_panic(expected = "nobody is left to bring the number 2")]
    async fn a_signal_that_ended_is_not_waited_for() {
        let (change, signal) = watch::channel(0);
        drop(change);
        wait_on("the number 2", LONG, signal, || None::<()>).await;
    }
}
