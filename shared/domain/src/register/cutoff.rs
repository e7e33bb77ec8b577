//! When ranges are closed. Missed cut-offs (the worker was down, the payee was suspended) are due one by one, each at its own
//! time, so a payee's registers look the same whether or not somebody slept. Days off move a cut-off or skip it
//! (`days_off`).

use jiff::{SignedDuration, Timestamp};

use super::days_off::WorkingDays;
use crate::declaration::RegisterProfile;

/// A moment at which a range is closed: what was accepted before it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cutoff {
    /// The moment.
    pub at: Timestamp,
    /// What made it due.
    pub cause: CutoffCause,
}

/// What made a cut-off due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutoffCause {
    /// The cron expression.
    Schedule,
    /// So many seconds since the last cut-off.
    Interval,
}

impl CutoffCause {
    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Interval => "interval",
        }
    }
}

/// The earliest cut-off after the last one that has come by now. Called again with the one it returned, it gives the next
/// missed one, until there is none.
pub fn next_cutoff(profile: &RegisterProfile, last_cutoff: Timestamp, now: Timestamp) -> Option<Cutoff> {
    following(profile, last_cutoff).filter(|cutoff| cutoff.at <= now)
}

/// Every cut-off after the last one that has come by now, earliest first.
pub fn cutoffs_due(profile: &RegisterProfile, last_cutoff: Timestamp, now: Timestamp) -> impl Iterator<Item = Cutoff> {
    let first = next_cutoff(profile, last_cutoff, now);
    std::iter::successors(first, move |cutoff| next_cutoff(profile, cutoff.at, now))
}

/// The next `n` cut-offs after a moment, for showing and for knowing how long to sleep.
pub fn upcoming(profile: &RegisterProfile, after: Timestamp, n: usize) -> Vec<Cutoff> {
    std::iter::successors(following(profile, after), |cutoff| following(profile, cutoff.at))
        .take(n)
        .collect()
}

/// Whether `every_payments` closes the range: as many are open as it says. The cut-off is then the moment of looking.
pub fn count_due(open_count: u64, every: u64) -> bool {
    open_count >= every
}

/// The first cut-off that closes what was accepted at this moment, if the series was closed up to `last_cutoff`.
pub fn cutoff_of(profile: &RegisterProfile, last_cutoff: Timestamp, accepted_at: Timestamp) -> Option<Cutoff> {
    // Schedules are the same from wherever one looks; intervals are counted from the last cut-off.
    let from = if profile.interval().is_some() {
        last_cutoff
    } else {
        last_cutoff.max(accepted_at)
    };
    std::iter::successors(following(profile, from), |cutoff| following(profile, cutoff.at))
        .find(|cutoff| cutoff.at > accepted_at)
}

/// Whichever comes first; at the same moment the schedule is named, being what people know.
fn following(profile: &RegisterProfile, last_cutoff: Timestamp) -> Option<Cutoff> {
    let zone = profile.time_zone.tz();
    let working = profile.days_off().map(|calendar| WorkingDays {
        calendar,
        on_day_off: profile.on_day_off,
        zone,
    });
    let scheduled = profile.schedule.as_ref().and_then(|schedule| match &working {
        Some(days) => days.scheduled(schedule, last_cutoff),
        None => schedule.next_after(last_cutoff, zone),
    });
    let elapsed = profile.interval().and_then(|seconds| match &working {
        Some(days) => days.elapsed(seconds, last_cutoff),
        None => last_cutoff
            .checked_add(SignedDuration::from_secs(i64::from(seconds)))
            .ok(),
    });
    let scheduled = scheduled.map(|at| Cutoff {
        at,
        cause: CutoffCause::Schedule,
    });
    let elapsed = elapsed.map(|at| Cutoff {
        at,
        cause: CutoffCause::Interval,
    });
    [scheduled, elapsed]
        .into_iter()
        .flatten()
        .min_by_key(|cutoff| cutoff.at)
}
