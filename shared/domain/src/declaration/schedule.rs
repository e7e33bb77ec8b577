//! When a register is due: a cron expression of five fields, read in a time zone. Both are parsed once, where the
//! declaration is read. A time that a clock change skips is taken at the first moment after it; one that comes twice is
//! taken once when the expression names a single time of day.

use std::fmt;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::invalid::Invalid;
use crate::text::{deserialize_with, no_control};

/// A time zone of the IANA database, by its name.
#[derive(Clone)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

impl Zone {
    /// Looks a zone up.
    pub fn parse(name: &str) -> Result<Self, Invalid> {
        let zone = TimeZone::get(name).map_err(|_| {
            Invalid::new(
                "time_zone",
                "must be a time zone of the IANA database, such as Europe/Moscow",
            )
        })?;
        Ok(Self {
            name: name.to_owned(),
            zone,
        })
    }

    /// Coordinated universal time, the default everywhere.
    pub fn utc() -> Self {
        Self {
            name: "UTC".to_owned(),
            zone: TimeZone::UTC,
        }
    }

    /// Whether it is the default.
    pub(crate) fn is_utc(&self) -> bool {
        self.name == "UTC"
    }

    /// The name as declared.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The zone itself.
    pub fn tz(&self) -> &TimeZone {
        &self.zone
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::utc()
    }
}

/// A cron expression: minute, hour, day of month, month, day of week.
#[derive(Clone)]
pub struct Schedule {
    written: String,
    cron: Cron,
}

impl Schedule {
    /// Parses an expression and makes sure that it ever comes.
    pub fn parse(written: &str) -> Result<Self, Invalid> {
        let refused = |why: String| Invalid::new("schedule", why);
        no_control("schedule", written, WRITTEN_MAX)?;
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let cron = parser
            .parse(written)
            .map_err(|why| refused(format!("is not a cron expression of five fields: {why}")))?;
        let schedule = Self {
            written: written.to_owned(),
            cron,
        };
        // Universal time skips nothing, so one search is proof.
        if schedule.search(Timestamp::UNIX_EPOCH, &TimeZone::UTC).is_none() {
            return Err(refused("never comes: there is no such day".to_owned()));
        }
        Ok(schedule)
    }

    /// The expression as declared.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// The first moment strictly after `after` that the expression names in the zone.
    pub fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut from = after;
        // The search gives up on a civil day that a zone skips as a whole (it has happened); once past it, it does not.
        for _ in 0..SKIPPED_HOURS_MAX {
            if let Some(found) = self.search(from, zone) {
                if found > after {
                    return Some(found);
                }
                from = from.checked_add(SignedDuration::from_secs(1)).ok()?;
            } else {
                from = from.checked_add(SignedDuration::from_hours(1)).ok()?;
            }
        }
        None
    }

    fn search(&self, from: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let found = self.cron.find_next_occurrence(&from.to_zoned(zone.clone()), false);
        found.ok().map(|found| found.timestamp())
    }
}

/// The longest expression, in characters.
const WRITTEN_MAX: usize = 200;
/// How many times a search is begun anew, an hour later each time.
const SKIPPED_HOURS_MAX: u32 = 48;

macro_rules! as_text {
    ($name:ident, $written:ident, $expected:literal) => {
        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.$written == other.$written
            }
        }

        impl Eq for $name {}

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.$written, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.$written)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserialize_with(deserializer, $expected, Self::parse)
            }
        }
    };
}

as_text!(Zone, name, "the name of a time zone");
as_text!(Schedule, written, "a cron expression");

#[cfg(test)]
mod tests {
    use super::*;

    fn next(cron: &str, zone: &str, after: &str) -> String {
        let zone = Zone::parse(zone).unwrap();
        Schedule::parse(cron)
            .unwrap()
            .next_after(after.parse().unwrap(), zone.tz())
            .unwrap()
            .to_string()
    }

    #[test]
    fn midnight_is_the_zones_midnight() {
        assert_eq!(
            next("0 0 * * *", "Europe/Moscow", "2026-11-23T10:00:00Z"),
            "2026-11-23T21:00:00Z"
        );
        assert_eq!(next("0 0 * * *", "UTC", "2026-11-23T00:00:00Z"), "2026-11-24T00:00:00Z");
        assert_eq!(
            next("0 0 * * *", "UTC", "2026-11-22T23:59:59.999Z"),
            "2026-11-23T00:00:00Z"
        );
        assert_eq!(next("@daily", "UTC", "2026-11-23T00:00:00Z"), "2026-11-24T00:00:00Z");
    }

    #[test]
    fn clock_changes_neither_skip_nor_repeat_a_daily_time() {
        // 29 March 2026: 02:00 to 03:00 does not exist in Berlin. 25 October: 02:00 to 03:00 comes twice.
        assert_eq!(
            next("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z"),
            "2026-03-29T01:00:00Z"
        );
        assert_eq!(
            next("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z"),
            "2026-10-25T00:30:00Z"
        );
        assert_eq!(
            next("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z"),
            "2026-10-26T01:30:00Z"
        );
        // Midnight itself is skipped in Cairo on 24 April 2026.
        assert_eq!(
            next("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00:00Z"),
            "2026-04-23T22:00:00Z"
        );
        // Samoa had no 30 December 2011 at all.
        assert_eq!(
            next("0 12 * * *", "Pacific/Apia", "2011-12-29T22:30:00Z"),
            "2011-12-30T22:00:00Z"
        );
    }

    #[test]
    fn what_never_comes_or_has_other_fields_is_refused() {
        for bad in [
            "",
            "0 0 * *",
            "0 0 0 * * *",
            "0 0 30 2 *",
            "61 * * * *",
            "daily",
            "0 0 * * * 2026",
            "0 0\n* * *",
        ] {
            assert_eq!(Schedule::parse(bad).unwrap_err().field, "schedule", "{bad:?}");
        }
        assert!(Schedule::parse("0 0 29 2 *").is_ok());
        assert!(Zone::parse("Mars/Olympus").unwrap_err().why.contains("Europe/Moscow"));
    }
}
