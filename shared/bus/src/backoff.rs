//! How long to wait before connecting again. The only place that knows the `backoff` crate, and only as a calculator:
//! it never sleeps and never gives up.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(15);
const FACTOR: f64 = 2.0;
/// Processes that lost the same broker must not come back in step.
const JITTER: f64 = 0.25;

/// The pause after `attempt` failures in a row (0 = the first): 100 ms, doubling to 15 s, give or take a quarter.
pub fn reconnect_delay(attempt: u32) -> Duration {
    delay(attempt, JITTER)
}

fn delay(attempt: u32, jitter: f64) -> Duration {
    let mut steps = ExponentialBackoff {
        current_interval: FIRST,
        initial_interval: FIRST,
        max_interval: LONGEST,
        multiplier: FACTOR,
        randomization_factor: jitter,
        // The default gives up after 15 minutes; a broker may be away for a night.
        max_elapsed_time: None,
        ..ExponentialBackoff::default()
    };
    // Twenty doublings are far past the longest pause: no need to walk further.
    for _ in 0..attempt.min(20) {
        steps.next_backoff();
    }
    steps.next_backoff().unwrap_or(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_a_ceiling_and_never_ends() {
        let plain = |attempt| delay(attempt, 0.0).as_millis();
        let pauses: Vec<_> = (0..10).map(plain).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 15_000, 15_000]);
        assert_eq!(plain(u32::MAX), 15_000);
    }

    #[test]
    fn jitter_stays_within_a_quarter() {
        for attempt in 0..12 {
            let plain = delay(attempt, 0.0).as_secs_f64();
            for _ in 0..50 {
                let jittered = reconnect_delay(attempt).as_secs_f64();
                assert!(
                    (plain * 0.74..=plain * 1.26).contains(&jittered),
                    "{attempt}: {jittered}"
                );
            }
        }
    }
}
