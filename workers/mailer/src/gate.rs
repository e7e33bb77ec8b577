//! What keeps a dead relay, or a directory that is away, from being asked for every mail that waits: while it is down, one
//! mail knocks now and then.
//!
//! It is this process's own view of one lane, so it lives in memory; what it costs at worst is a connection per process
//! and minute.

use std::time::{Duration, Instant};

/// Waits after so many failures in a row, in seconds; the last one repeats.
const RESTS_SECONDS: [u32; 6] = [1, 2, 5, 15, 30, 60];
/// People are told of what has been down for so long, unless it is already clear that it will not come back by itself.
const TOLD_AFTER: Duration = Duration::from_secs(15 * 60);

/// Whoever has not knocked for so long after it might have knows nothing of now: meanwhile others may have been answered.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(5 * 60);

/// Open, or shut until a moment.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    failures: u32,
    shut_until: Option<Instant>,
    down_since: Option<Instant>,
    told: bool,
    /// Instead of [`RESTS_SECONDS`], in tests.
    rest: Option<Duration>,
}

impl Gate {
    /// One that is shut for this long after each failure, if that is said.
    pub(crate) fn resting(rest: Option<Duration>) -> Self {
        Self {
            rest,
            ..Self::default()
        }
    }

    /// How long the relay is left alone from now on.
    pub(crate) fn shut_for(&self, now: Instant) -> Duration {
        self.shut_until
            .map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    /// How many mails may knock: one while nobody has answered since the last failure.
    pub(crate) fn admits(&self, most: usize, now: Instant) -> usize {
        match (self.shut_for(now).is_zero(), self.failures) {
            (false, _) => 0,
            (true, 0) => most,
            (true, _) => most.min(1),
        }
    }

    /// The relay answered, whatever it said. Returns whether it had been down.
    pub(crate) fn answered(&mut self) -> bool {
        let was_down = self.failures > 0;
        *self = Self::resting(self.rest);
        was_down
    }

    /// The relay could not be reached. Returns whether that is news: a failure long after the last is of another outage.
    pub(crate) fn failed(&mut self, now: Instant) -> bool {
        if self.shut_until.is_some_and(|until| now > until + FORGOTTEN_AFTER) {
            *self = Self::resting(self.rest);
        }
        let is_news = self.failures == 0;
        self.down_since.get_or_insert(now);
        // Mails that were under way together failed together: that is one failure.
        if self.shut_for(now).is_zero() {
            let rest = || domain::retry::retry_delay(&RESTS_SECONDS, self.failures, 0.0);
            self.shut_until = Some(now + self.rest.unwrap_or_else(rest));
            self.failures += 1;
        }
        is_news
    }

    /// Whether people should be told that it is down: once per outage, when it has lasted or needs somebody.
    pub(crate) fn takes_notice(&mut self, needs_somebody: bool, now: Instant) -> bool {
        let lasts = self
            .down_since
            .is_some_and(|since| now.saturating_duration_since(since) >= TOLD_AFTER);
        let tell = !self.told && self.down_since.is_some() && (lasts || needs_somebody);
        self.told |= tell;
        tell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_relay_is_knocked_at_more_and_more_rarely() {
        let mut now = Instant::now();
        let mut gate = Gate::default();
        assert_eq!(gate.admits(8, now), 8);
        assert!(gate.failed(now));
        assert!(!gate.failed(now), "failed together: once");
        assert_eq!((gate.admits(8, now), gate.shut_for(now)), (0, Duration::from_secs(1)));
        now += Duration::from_secs(1);
        assert_eq!(gate.admits(8, now), 1);
        gate.failed(now);
        assert_eq!(gate.shut_for(now), Duration::from_secs(2));
        for _ in 0..10 {
            now += Duration::from_secs(60);
            gate.failed(now);
        }
        assert_eq!(gate.shut_for(now), Duration::from_secs(60));
        assert!(gate.answered());
        assert_eq!(gate.admits(8, now), 8);
        assert!(!gate.answered());
    }

    #[test]
    fn an_outage_is_told_once_when_it_lasts_or_needs_somebody() {
        let now = Instant::now();
        let mut gate = Gate::default();
        assert!(!gate.takes_notice(true, now), "nothing is wrong");
        gate.failed(now);
        assert!(!gate.takes_notice(false, now));
        assert!(gate.takes_notice(false, now + TOLD_AFTER));
        assert!(!gate.takes_notice(true, now + 2 * TOLD_AFTER), "told already");
        gate.answered();
        gate.failed(now);
        assert!(gate.takes_notice(true, now), "another outage");
    }

    #[test]
    fn a_failure_long_ago_is_of_another_outage() {
        let mut now = Instant::now();
        let mut gate = Gate::default();
        gate.failed(now);
        // Others were at it meanwhile, and were answered for all that this process knows.
        now += 3 * 24 * HOUR;
        assert!(gate.failed(now), "news");
        assert!(!gate.takes_notice(false, now), "it was not away for three days");
        assert_eq!(gate.shut_for(now), Duration::from_secs(1));
        // Knocked at over and over, it is the same one.
        for _ in 0..30 {
            now += Duration::from_secs(60);
            assert!(!gate.failed(now));
        }
        assert!(gate.takes_notice(false, now));
    }

    const HOUR: Duration = Duration::from_secs(3600);
}
