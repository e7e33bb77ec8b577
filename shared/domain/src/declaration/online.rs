//! How an online payee is called, whatever its gateway: how many calls at a time, how long and how often, when not. Both
//! profiles say it in the same words; whoever claims, plans and probes reads it here and knows no gateway.

use jiff::Timestamp;

use super::pace::{self, QuietWindow, Rate};
use super::{Findings, Zone};
use crate::limits::{CONCURRENCY_MAX, TIMEOUT_MAX_SECONDS};

/// The longest step of a retry schedule: a day.
const RETRY_MAX_SECONDS: u32 = 86_400;
/// The most steps of a retry schedule; the last one repeats anyway.
const RETRY_STEPS_MAX: usize = 100;
/// The longest time before a delivery is given up: a year.
const GIVE_UP_MAX_HOURS: u32 = 8_760;
/// The longest first interval of the breaker's probes; it doubles up to this anyway.
const PROBE_MAX_SECONDS: u32 = 600;

/// What a payee's profile says about calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Online<'a> {
    /// A number is credited once however often it is sent: only then is a *maybe* sent again by itself.
    pub idempotent: bool,
    /// It is asked what became of a number before that is paid, in the same breath: one that it has denied may be paid again.
    pub asks_first: bool,
    /// It can be asked what became of a number.
    pub offers_status: bool,
    /// It can be asked to take a payment back.
    pub offers_cancel: bool,
    /// It can be asked about an account before it is paid; else its declaration answers.
    pub offers_check: bool,
    /// How many payments at a time, across all processes.
    pub concurrency: u32,
    /// How long an answer is waited for.
    pub timeout_seconds: u32,
    /// The waits between attempts; the last one repeats.
    pub retry_seconds: &'a [u32],
    /// How long after acceptance the last attempt is made.
    pub give_up_hours: u32,
    /// The breaker's first probe interval; it doubles up to ten minutes.
    pub probe_seconds: u32,
    /// How many calls in how many seconds; nothing = as many as `concurrency` allows.
    pub rate: Option<Rate>,
    /// When it is left alone, in its `time_zone`.
    pub quiet_hours: &'a [QuietWindow],
    /// The zone of times without one.
    pub time_zone: &'a Zone,
}

impl Online<'_> {
    /// Until when nothing is sent to the payee, if these are its quiet hours.
    pub fn quiet_until(&self, now: Timestamp) -> Option<Timestamp> {
        pace::quiet_until(self.quiet_hours, self.time_zone.tz(), now)
    }

    /// The same for whoever asks.
    pub fn quiet_in_words(&self, until: Timestamp) -> String {
        let until = until.to_zoned(self.time_zone.tz().clone());
        format!("the payee takes no calls until {}", until.strftime("%H:%M %Z"))
    }

    pub(super) fn check(&self) -> Findings {
        let mut found = Findings::default();
        let mut within = |value: u32, most: u32, field: &str, why: &str| {
            found.refuse_if(!(1..=most).contains(&value), field, why);
        };
        within(
            self.concurrency,
            CONCURRENCY_MAX,
            "concurrency",
            "must be from 1 to 1000",
        );
        within(
            self.timeout_seconds,
            TIMEOUT_MAX_SECONDS,
            "timeout_seconds",
            "must be from 1 to 60",
        );
        within(
            self.give_up_hours,
            GIVE_UP_MAX_HOURS,
            "give_up_hours",
            "must be from 1 to 8760",
        );
        within(
            self.probe_seconds,
            PROBE_MAX_SECONDS,
            "probe_seconds",
            "must be from 1 to 600",
        );
        found.0.extend(check_retries(self.retry_seconds).0);
        if let Some(rate) = &self.rate {
            found.within("rate", rate.check());
        }
        found.0.extend(pace::check_quiet(self.quiet_hours).0);
        found
    }
}

pub(super) fn default_timeout_seconds() -> u32 {
    30
}

pub(super) fn default_retry_seconds() -> Vec<u32> {
    vec![10, 30, 120, 600, 1800, 3600, 10_800, 21_600]
}

pub(super) fn default_give_up_hours() -> u32 {
    72
}

pub(super) fn default_probe_seconds() -> u32 {
    30
}

/// Checks `retry_seconds`: the waits before the second try, the third and so on, of which the last repeats.
pub(super) fn check_retries(seconds: &[u32]) -> Findings {
    let mut found = Findings::default();
    for (at, wait) in seconds.iter().enumerate() {
        let field = format!("retry_seconds[{at}]");
        found.refuse_if(
            !(1..=RETRY_MAX_SECONDS).contains(wait),
            &field,
            "must be from 1 to 86400",
        );
    }
    found.refuse_if(seconds.is_empty(), "retry_seconds", "is empty: say at least one wait");
    found.refuse_if(
        seconds.len() > RETRY_STEPS_MAX,
        "retry_seconds",
        "has more than 100 steps",
    );
    found
}
