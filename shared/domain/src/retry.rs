//! How long to wait before the next try. Pure arithmetic: the jitter is handed in, so a test can pin it. Delays between
//! connection attempts to the broker are not here but in `bus`.

use std::time::Duration;

/// The longest interval between probes of a payee whose breaker is open.
const PROBE_MAX_SECONDS: u32 = 600;
/// How far jitter may move a delay, as a share of it.
pub const JITTER: f64 = 0.2;

/// The wait before the try of this step (from 0); past the end of the schedule its last entry repeats. `jitter` is a share
/// of the delay, held to -0.2 to 0.2, so that payments that failed together do not come back together.
pub fn retry_delay(schedule: &[u32], step: u32, jitter: f64) -> Duration {
    jittered(step_seconds(schedule, step), jitter)
}

/// The wait before the probe of this count (from 0): the first interval, doubled each time up to ten minutes.
pub fn probe_delay(first_seconds: u32, count: u32, jitter: f64) -> Duration {
    let factor = 1_u32.checked_shl(count).unwrap_or(u32::MAX);
    jittered(first_seconds.saturating_mul(factor).min(PROBE_MAX_SECONDS), jitter)
}

/// The entry of the schedule for a step, without jitter.
pub(crate) fn step_seconds(schedule: &[u32], step: u32) -> u32 {
    let at = usize::try_from(step).unwrap_or(usize::MAX);
    schedule
        .get(at)
        .or(schedule.last())
        .copied()
        .unwrap_or(FALLBACK_SECONDS)
}

/// A schedule is never empty once checked; should one be, a minute hurts nobody.
const FALLBACK_SECONDS: u32 = 60;

fn jittered(seconds: u32, jitter: f64) -> Duration {
    // A jitter that is no number counts as none.
    let share = if jitter.is_nan() {
        0.0
    } else {
        jitter.clamp(-JITTER, JITTER)
    };
    Duration::from_secs(u64::from(seconds)).mul_f64(1.0 + share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_last_step_repeats() {
        let schedule = [10, 30, 120];
        let seconds: Vec<u64> = (0..6).map(|step| retry_delay(&schedule, step, 0.0).as_secs()).collect();
        assert_eq!(seconds, [10, 30, 120, 120, 120, 120]);
        assert_eq!(retry_delay(&schedule, u32::MAX, 0.0).as_secs(), 120);
    }

    #[test]
    fn probes_double_up_to_ten_minutes() {
        let seconds: Vec<u64> = (0..8).map(|count| probe_delay(30, count, 0.0).as_secs()).collect();
        assert_eq!(seconds, [30, 60, 120, 240, 480, 600, 600, 600]);
        assert_eq!(probe_delay(30, 4_000_000, 0.0).as_secs(), 600);
    }

    proptest! {
        #[test]
        fn jitter_moves_a_delay_by_a_fifth_at_most(
            schedule in proptest::collection::vec(1_u32..=86_400, 1..10), step in any::<u32>(), jitter in any::<f64>(),
        ) {
            let exact = f64::from(step_seconds(&schedule, step));
            let delay = retry_delay(&schedule, step, jitter).as_secs_f64();
            prop_assert!(delay >= exact * 0.8 - 1e-6 && delay <= exact * 1.2 + 1e-6);
        }
    }
}
