//! Days on which no register is closed: days of the week, dates, dates of every year, and days that are worked all the same.

use std::fmt;

use jiff::civil::Date;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::super::{Day, Declaration, Findings, check_name, has_repeats};
use crate::invalid::Invalid;
use crate::text::deserialize_with;

/// The most dates of one list.
const DATES_MAX: usize = 1000;
/// The longest way from a day off to the next working day: longer than any year's holidays, and an end of every search.
const OFF_DAYS_MAX: usize = 400;

/// The `[register.calendar]` of a payee, or a `[[calendar]]` that several payees name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calendar {
    /// What payees name it by; needed only in a `[[calendar]]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Days of the week that are off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weekdays: Vec<Day>,
    /// Dates that are off: `YYYY-MM-DD`, or `MM-DD` of every year.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dates: Vec<DayOff>,
    /// Dates that are worked all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub working: Vec<Date>,
}

impl Calendar {
    /// Whether nothing is closed on this day.
    pub fn is_off(&self, day: Date) -> bool {
        let off = || self.weekdays.iter().any(|weekday| weekday.is(day.weekday()));
        !self.working.contains(&day) && (off() || self.dates.iter().any(|date| date.is(day)))
    }

    /// This day if it is a working one, else the next that is. None where there is none for more than a year.
    pub fn working_from(&self, day: Date) -> Option<Date> {
        let days = std::iter::successors(Some(day), |day| day.tomorrow().ok());
        days.take(OFF_DAYS_MAX).find(|day| !self.is_off(*day))
    }

    pub(super) fn check(&self) -> Findings {
        let mut found = Findings::default();
        found.refuse_if(has_repeats(&self.weekdays), "weekdays", "names a day twice");
        found.refuse_if(
            self.weekdays.len() >= 7,
            "weekdays",
            "leave no working day: nothing would ever be closed",
        );
        for (list, len) in [("dates", self.dates.len()), ("working", self.working.len())] {
            found.refuse_if(len > DATES_MAX, list, "are more than 1000");
        }
        found
    }
}

impl Declaration for Calendar {
    const KIND: &'static str = "calendar";

    fn id(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    fn check(&self) -> Result<(), Vec<Invalid>> {
        let mut found = Calendar::check(self);
        found.take(check_name("name", self.id()));
        found.finish()
    }
}

/// A day off of a list.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum DayOff {
    /// On that date.
    Once(Date),
    /// On that date of every year.
    Yearly {
        /// 1 to 12.
        month: i8,
        /// 1 to 31.
        day: i8,
    },
}

impl DayOff {
    /// Reads `YYYY-MM-DD` or `MM-DD`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let is_written = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        // Any leap year will do to see whether there is such a day.
        let parsed = match text.len() {
            10 if is_written => text.parse().ok().map(Self::Once),
            5 if is_written => format!("2000-{text}").parse().ok().map(|date: Date| Self::Yearly {
                month: date.month(),
                day: date.day(),
            }),
            _ => None,
        };
        parsed.ok_or_else(|| Invalid::new("dates", "must be a date, 2027-01-08, or one of every year, 01-08"))
    }

    fn is(self, on: Date) -> bool {
        match self {
            Self::Once(date) => date == on,
            Self::Yearly { month, day } => (month, day) == (on.month(), on.day()),
        }
    }
}

impl fmt::Display for DayOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Once(date) => date.fmt(f),
            Self::Yearly { month, day } => write!(f, "{month:02}-{day:02}"),
        }
    }
}

impl fmt::Debug for DayOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for DayOff {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DayOff {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_with(deserializer, "a date", Self::parse)
    }
}

/// Which calendar a payee goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CalendarChoice {
    /// One declared under this name beside the payees; what is applied holds the calendar itself in its place.
    Named(String),
    /// Its own; boxed, as payees without one are many.
    Own(Box<Calendar>),
}

impl Serialize for CalendarChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Named(name) => serializer.serialize_str(name),
            Self::Own(calendar) => calendar.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for CalendarChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Chosen)
    }
}

struct Chosen;

impl<'de> Visitor<'de> for Chosen {
    type Value = CalendarChoice;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a calendar or the name of one")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<CalendarChoice, E> {
        Ok(CalendarChoice::Named(name.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<CalendarChoice, A::Error> {
        Calendar::deserialize(MapAccessDeserializer::new(map)).map(|own| CalendarChoice::Own(Box::new(own)))
    }
}

/// What becomes of a cut-off that falls on a day off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDayOff {
    /// It comes at the same time of the next working day; with that day's own, if they are at one time, it is one.
    #[default]
    Move,
    /// It does not come: what it would have closed goes with the next one on a working day.
    Skip,
}
