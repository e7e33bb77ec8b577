//! How long to wait for a database that is away.

use std::time::Duration;

/// The last failure that makes the pause any longer.
const LAST_STEP: u32 = 4;

/// The pause after `attempt` failures in a row (0 = the first): the bus' own, but two seconds at most. Work is in hand
/// meanwhile, and readiness is green again a second after the database is there.
pub fn database_delay(attempt: u32) -> Duration {
    bus::reconnect_delay(attempt.min(LAST_STEP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_hand_goes_on_two_seconds_after_the_database_is_back() {
        for attempt in 0..100 {
            assert!(database_delay(attempt) <= Duration::from_millis(2020), "{attempt}");
        }
        assert!(
            database_delay(100) >= Duration::from_secs(1),
            "and it is not asked all the time"
        );
    }
}
