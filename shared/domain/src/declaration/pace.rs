//! When an online payee may be called: how many calls in how many seconds, and the hours in which it is left alone.

use std::fmt;
use std::time::Duration;

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Findings, has_repeats};
use crate::invalid::Invalid;
use crate::text::deserialize_with;

/// The most calls a rate may name.
const CALLS_MAX: u32 = 1000;
/// The longest stretch a rate may name: an hour.
const PER_SECONDS_MAX: u32 = 3600;
/// The most windows of quiet hours.
const WINDOWS_MAX: usize = 16;
/// Windows that follow one another are taken together up to here; longer than this there is nothing but quiet.
const LONGEST_QUIET: SignedDuration = SignedDuration::from_hours(8 * 24);
const MINUTES_A_DAY: u16 = 24 * 60;

/// No more than so many calls in any stretch of so many seconds, across all processes: calls begin at least
/// [`Rate::interval`] apart. Everything counts that goes to the payee: payments, questions, probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// How many, 1 to 1000.
    pub calls: u32,
    /// In how many seconds, 1 to 3600.
    #[serde(default = "one_second")]
    pub per_seconds: u32,
}

fn one_second() -> u32 {
    1
}

impl Rate {
    /// The least time from the beginning of one call to that of the next.
    pub fn interval(&self) -> Duration {
        Duration::from_secs(self.per_seconds.into()) / self.calls.max(1)
    }

    pub(super) fn check(&self) -> Findings {
        let mut found = Findings::default();
        found.refuse_if(
            !(1..=CALLS_MAX).contains(&self.calls),
            "calls",
            "must be from 1 to 1000",
        );
        found.refuse_if(
            !(1..=PER_SECONDS_MAX).contains(&self.per_seconds),
            "per_seconds",
            "must be from 1 to 3600",
        );
        found
    }
}

/// Hours of the day in the payee's time zone in which nothing is sent to it. `to` before `from` is on the next day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuietWindow {
    /// When it begins.
    pub from: TimeOfDay,
    /// When it is over; this moment is not quiet any more.
    pub to: TimeOfDay,
    /// On which days it begins; none = every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Day>,
}

/// A day of the week.
#[expect(missing_docs, reason = "their names say it")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Day {
    pub(in crate::declaration) fn is(self, weekday: Weekday) -> bool {
        let own = match self {
            Self::Mon => Weekday::Monday,
            Self::Tue => Weekday::Tuesday,
            Self::Wed => Weekday::Wednesday,
            Self::Thu => Weekday::Thursday,
            Self::Fri => Weekday::Friday,
            Self::Sat => Weekday::Saturday,
            Self::Sun => Weekday::Sunday,
        };
        own == weekday
    }
}

/// A time of day to the minute, `00:00` to `24:00`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay {
    minutes: u16,
}

impl TimeOfDay {
    /// Reads `HH:MM`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let two_digits = |part: &str| match part.len() {
            2 if part.bytes().all(|byte| byte.is_ascii_digit()) => part.parse::<u16>().ok(),
            _ => None,
        };
        let parts = text
            .split_once(':')
            .and_then(|(hours, minutes)| Some((two_digits(hours)?, two_digits(minutes)?)));
        parts
            .filter(|(_, minutes)| *minutes < 60)
            .map(|(hours, minutes)| Self {
                minutes: hours * 60 + minutes,
            })
            .filter(|time| time.minutes <= MINUTES_A_DAY)
            .ok_or_else(|| Invalid::new("time", "must be written HH:MM, from 00:00 to 24:00"))
    }

    /// This time of that day. A time that a clock change skips is the first moment after the gap.
    fn on(self, day: Date, zone: &TimeZone) -> Option<Timestamp> {
        let (day, minutes) = if self.minutes == MINUTES_A_DAY {
            (day.tomorrow().ok()?, 0)
        } else {
            (day, self.minutes)
        };
        let (hour, minute) = (i8::try_from(minutes / 60).ok()?, i8::try_from(minutes % 60).ok()?);
        Some(day.at(hour, minute, 0, 0).to_zoned(zone.clone()).ok()?.timestamp())
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.minutes / 60, self.minutes % 60)
    }
}

impl fmt::Debug for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for TimeOfDay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_with(deserializer, "a time of day", Self::parse)
    }
}

impl QuietWindow {
    /// Until when it is quiet by this window, begun on that day; `None` when it is not.
    fn holds(&self, now: Timestamp, day: Date, zone: &TimeZone) -> Option<Timestamp> {
        if !self.days.is_empty() && !self.days.iter().any(|one| one.is(day.weekday())) {
            return None;
        }
        let last = if self.to > self.from { day } else { day.tomorrow().ok()? };
        let (from, to) = (self.from.on(day, zone)?, self.to.on(last, zone)?);
        (from..to).contains(&now).then_some(to)
    }
}

/// Until when a payee is to be left alone, if it is to be now: the end of all windows that follow one another.
pub(super) fn quiet_until(windows: &[QuietWindow], zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
    let mut until = None;
    let mut at = now;
    while at < now.saturating_add(LONGEST_QUIET).unwrap_or(Timestamp::MAX) {
        let today = at.to_zoned(zone.clone()).date();
        let begun = [today.yesterday().ok(), Some(today)];
        let Some(end) = begun
            .into_iter()
            .flatten()
            .flat_map(|day| windows.iter().filter_map(move |window| window.holds(at, day, zone)))
            .max()
        else {
            return until;
        };
        until = Some(end);
        at = end;
    }
    until
}

pub(super) fn check_quiet(windows: &[QuietWindow]) -> Findings {
    let mut found = Findings::default();
    found.refuse_if(windows.len() > WINDOWS_MAX, "quiet_hours", "has more than 16 windows");
    for (at, window) in windows.iter().enumerate() {
        let field = format!("quiet_hours[{at}]");
        found.refuse_if(window.from == window.to, &field, "begins and ends at the same time");
        found.refuse_if(
            window.from.minutes == MINUTES_A_DAY,
            &format!("{field}.from"),
            "must be before 24:00",
        );
        found.refuse_if(has_repeats(&window.days), &format!("{field}.days"), "names a day twice");
    }
    // The windows of one week are those of every week.
    let always = quiet_until(windows, &TimeZone::UTC, Timestamp::UNIX_EPOCH)
        .is_some_and(|until| until.duration_since(Timestamp::UNIX_EPOCH) >= LONGEST_QUIET);
    found.refuse_if(always, "quiet_hours", "leave no time in which anything can be sent");
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(from: &str, to: &str, days: &[Day]) -> QuietWindow {
        QuietWindow {
            from: TimeOfDay::parse(from).unwrap(),
            to: TimeOfDay::parse(to).unwrap(),
            days: days.to_vec(),
        }
    }

    fn until(windows: &[QuietWindow], zone: &str, now: &str) -> Option<String> {
        let zone = TimeZone::get(zone).unwrap();
        quiet_until(windows, &zone, now.parse().unwrap()).map(|until| until.to_string())
    }

    #[test]
    fn quiet_hours_are_the_payees_and_may_pass_midnight() {
        let night = [window("23:30", "06:00", &[])];
        // Moscow is three hours ahead.
        for (now, quiet) in [
            ("2026-11-23T20:29:59Z", None),
            ("2026-11-23T20:30:00Z", Some("2026-11-24T03:00:00Z")),
            ("2026-11-24T02:59:59.999Z", Some("2026-11-24T03:00:00Z")),
            ("2026-11-24T03:00:00Z", None),
        ] {
            assert_eq!(until(&night, "Europe/Moscow", now).as_deref(), quiet, "{now}");
        }
    }

    #[test]
    fn a_window_belongs_to_the_day_on_which_it_begins() {
        // 2026-11-27 is a Friday.
        let weekend = [window("22:00", "02:00", &[Day::Fri])];
        assert_eq!(until(&weekend, "UTC", "2026-11-26T23:00:00Z"), None);
        assert_eq!(
            until(&weekend, "UTC", "2026-11-28T01:00:00Z").as_deref(),
            Some("2026-11-28T02:00:00Z")
        );
        assert_eq!(until(&weekend, "UTC", "2026-11-28T23:00:00Z"), None);
    }

    #[test]
    fn windows_that_follow_one_another_are_one() {
        let days = [
            window("00:00", "24:00", &[Day::Sat, Day::Sun]),
            window("00:00", "07:30", &[Day::Mon]),
        ];
        assert_eq!(
            until(&days, "UTC", "2026-11-28T12:00:00Z").as_deref(),
            Some("2026-11-30T07:30:00Z")
        );
    }

    #[test]
    fn a_clock_change_moves_the_end_with_the_clock() {
        // Berlin, 25 October 2026: 03:00 is an hour later than it looks; 29 March: 02:30 does not exist.
        let night = [window("01:00", "03:00", &[])];
        assert_eq!(
            until(&night, "Europe/Berlin", "2026-10-24T23:30:00Z").as_deref(),
            Some("2026-10-25T02:00:00Z")
        );
        let gap = [window("01:00", "02:30", &[])];
        assert_eq!(
            until(&gap, "Europe/Berlin", "2026-03-29T00:30:00Z").as_deref(),
            Some("2026-03-29T01:30:00Z")
        );
    }

    #[test]
    fn quiet_hours_without_end_are_refused() {
        let refused = |windows: &[QuietWindow]| check_quiet(windows).finish().err().map(|found| found[0].to_string());
        assert_eq!(refused(&[]), None);
        assert_eq!(refused(&[window("00:01", "00:00", &[])]), None);
        let all = refused(&[window("00:00", "24:00", &[])]).unwrap();
        assert!(all.contains("leave no time"), "{all}");
        let halves = refused(&[window("00:00", "12:00", &[]), window("12:00", "00:00", &[])]).unwrap();
        assert!(halves.contains("leave no time"), "{halves}");
        let same = refused(&[window("05:00", "05:00", &[])]).unwrap();
        assert!(same.starts_with("quiet_hours[0]"), "{same}");
        for bad in ["", "5:00", "24:01", "12:60", "+1:00", "12:00:00", "12"] {
            assert!(TimeOfDay::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn calls_are_spaced_so_that_no_stretch_has_more() {
        for (calls, per_seconds, millis) in [(1, 1, 1000), (5, 1, 200), (30, 60, 2000), (1000, 1, 1)] {
            let rate = Rate { calls, per_seconds };
            assert_eq!(rate.interval(), Duration::from_millis(millis));
        }
    }
}
