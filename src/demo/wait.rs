//! Waiting for something to become true, for so long and no longer.

use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(400);

/// Looks until it holds, or the time is over; says which.
pub(super) async fn until(
    limit: Duration,
    mut holds: impl AsyncFnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<bool> {
    let deadline = Instant::now() + limit;
    let mut pause = FIRST_PAUSE;
    loop {
        if holds().await? {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_says_which() {
        let mut looks = 0;
        let found = until(Duration::from_secs(10), async || {
            looks += 1;
            Ok(looks == 2)
        });
        assert!(found.await.unwrap());
        assert!(!until(Duration::ZERO, async || Ok(false)).await.unwrap());
        assert!(
            until(Duration::from_secs(10), async || anyhow::bail!("no"))
                .await
                .is_err()
        );
    }
}
