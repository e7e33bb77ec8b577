//! Cut-offs and days off. No register is closed on a day off by schedule or interval: a cut-off that would be is moved to the
//! same time of the next working day, or skipped, as the payee says. A full count closes on any day.

use jiff::civil::{Date, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use crate::declaration::{Calendar, OnDayOff, Schedule};

/// How many days off in a row are looked back over, and how many cut-offs in a row may be skipped.
const STEPS_MAX: usize = 400;
/// By more than this no clock is ever put forward or back.
const LONGEST_CHANGE: SignedDuration = SignedDuration::from_hours(26);

/// The working days of a zone.
pub(super) struct WorkingDays<'a> {
    pub(super) calendar: &'a Calendar,
    pub(super) on_day_off: OnDayOff,
    pub(super) zone: &'a TimeZone,
}

impl WorkingDays<'_> {
    /// The first cut-off of a schedule after a moment.
    pub(super) fn scheduled(&self, schedule: &Schedule, after: Timestamp) -> Option<Timestamp> {
        match self.on_day_off {
            OnDayOff::Move => self.scheduled_or_moved(schedule, after),
            OnDayOff::Skip => self.scheduled_or_skipped(schedule, after),
        }
    }

    /// The cut-off so many seconds after a moment.
    pub(super) fn elapsed(&self, seconds: u32, after: Timestamp) -> Option<Timestamp> {
        let step = i64::from(seconds.max(1));
        let mut found = after.checked_add(SignedDuration::from_secs(step)).ok()?;
        for _ in 0..STEPS_MAX {
            let day = self.day_of(found);
            let working = self.calendar.working_from(day)?;
            if working == day {
                return Some(found);
            }
            if self.on_day_off == OnDayOff::Move {
                return self.at(working, self.time_of(found));
            }
            // So many whole intervals further that the day off is over.
            let missing = self.begin(working)?.duration_since(found).as_secs().max(1);
            let steps = (missing - 1) / step + 1;
            found = found
                .checked_add(SignedDuration::from_secs(steps.checked_mul(step)?))
                .ok()?;
        }
        None
    }

    fn scheduled_or_skipped(&self, schedule: &Schedule, after: Timestamp) -> Option<Timestamp> {
        let mut from = after;
        for _ in 0..STEPS_MAX {
            let found = schedule.next_after(from, self.zone)?;
            let day = self.day_of(found);
            let working = self.calendar.working_from(day)?;
            if working == day {
                return Some(found);
            }
            from = just_before(self.begin(working)?)?;
        }
        None
    }

    /// Moved cut-offs come among the day's own, in the order of their times.
    fn scheduled_or_moved(&self, schedule: &Schedule, after: Timestamp) -> Option<Timestamp> {
        let first = self.calendar.working_from(self.day_of(after))?;
        if let Some(found) = self.of_day(schedule, first, after) {
            return Some(found);
        }
        // Nothing more on that day: the next time that the schedule names leads to the next day that has any.
        let own = schedule.next_after(just_before(self.begin(first.tomorrow().ok()?)?)?, self.zone)?;
        let next = self.calendar.working_from(self.day_of(own))?;
        self.of_day(schedule, next, after)
    }

    /// The first cut-off after a moment on a working day: its own, and those of the days off right before it.
    fn of_day(&self, schedule: &Schedule, working: Date, after: Timestamp) -> Option<Timestamp> {
        let mut earliest: Option<Timestamp> = None;
        let mut day = working;
        for _ in 0..STEPS_MAX {
            let found = self.of_day_on(schedule, day, working, after);
            earliest = [earliest, found].into_iter().flatten().min();
            day = day.yesterday().ok()?;
            if !self.calendar.is_off(day) {
                break;
            }
        }
        earliest
    }

    /// The first time that the schedule names on `day` which comes, at that time of `working`, after a moment.
    fn of_day_on(&self, schedule: &Schedule, day: Date, working: Date, after: Timestamp) -> Option<Timestamp> {
        let (begin, end) = (self.begin(day)?, self.begin(day.tomorrow().ok()?)?);
        let days = self.begin(working)?.duration_since(begin);
        // Nothing earlier can come after the moment, whatever the clocks did in between.
        let near = after.checked_sub(days.checked_add(LONGEST_CHANGE)?).ok()?;
        let mut from = just_before(begin)?.max(near);
        loop {
            let named = schedule.next_after(from, self.zone).filter(|named| *named < end)?;
            let moved = if day == working {
                named
            } else {
                self.at(working, self.time_of(named))?
            };
            if moved > after {
                return Some(moved);
            }
            from = named;
        }
    }

    fn day_of(&self, at: Timestamp) -> Date {
        at.to_zoned(self.zone.clone()).date()
    }

    fn time_of(&self, at: Timestamp) -> Time {
        at.to_zoned(self.zone.clone()).time()
    }

    /// The first moment of a day.
    fn begin(&self, day: Date) -> Option<Timestamp> {
        day.to_zoned(self.zone.clone()).ok().map(|begin| begin.timestamp())
    }

    /// This time of that day; one that a clock change skips is the first moment after it, as in schedules, and one that
    /// comes twice is the first of the two.
    fn at(&self, day: Date, time: Time) -> Option<Timestamp> {
        let ambiguous = self.zone.to_ambiguous_timestamp(day.to_datetime(time));
        let skipped = matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. });
        let earlier = ambiguous.earlier().ok()?;
        if skipped {
            return self.zone.following(earlier).next().map(|change| change.timestamp());
        }
        Some(earlier)
    }
}

/// Searches are for what comes strictly after.
fn just_before(at: Timestamp) -> Option<Timestamp> {
    at.checked_sub(SignedDuration::from_nanos(1)).ok()
}
