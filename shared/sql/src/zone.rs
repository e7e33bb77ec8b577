//! The time zone of the payee's dates and times. Many databases keep a date and a time and not where; the configuration
//! says it once, and the session of each database is told the same, so that its own conversions agree with ours.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use serde::{Deserialize, Deserializer, de};

/// A zone by its name, `Europe/Moscow`, or by its offset, `+03:00`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    name: String,
    zone: TimeZone,
    /// What the name says, when it is an offset.
    offset: Option<Offset>,
}

impl Default for Zone {
    fn default() -> Self {
        Self {
            name: "UTC".to_owned(),
            zone: TimeZone::UTC,
            offset: Some(Offset::UTC),
        }
    }
}

impl Zone {
    /// Reads a name or an offset; `None` for what is neither.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "UTC" {
            return Some(Self::default());
        }
        let offset = offset_of(text);
        let zone = match offset {
            Some(offset) => TimeZone::fixed(offset),
            None => TimeZone::get(text).ok()?,
        };
        Some(Self {
            name: text.to_owned(),
            zone,
            offset,
        })
    }

    /// The value of MySQL's `time_zone`. A name is known there only if the server has its tables of zones.
    pub fn for_mysql(&self) -> &str {
        if self.offset == Some(Offset::UTC) {
            "+00:00"
        } else {
            &self.name
        }
    }

    /// The value of PostgreSQL's `TimeZone`, where a bare offset would count the other way round.
    pub fn for_postgres(&self) -> String {
        match self.offset {
            Some(offset) => format!("<{offset}>{}", offset.negate()),
            None => self.name.clone(),
        }
    }

    /// What clocks of this zone say at a moment.
    #[cfg(feature = "odbc")]
    pub(crate) fn local(&self, moment: Timestamp) -> DateTime {
        self.zone.to_datetime(moment)
    }

    /// The moment of a date and time of this zone. One that a change of clocks leaves out is taken for the later one, one
    /// that it repeats for the first; `None` beyond the years that are counted.
    pub fn moment(&self, local: DateTime) -> Option<Timestamp> {
        self.zone.to_timestamp(local).ok()
    }
}

/// `+03:00` or `-09:30`: a sign, two digits, a colon, two digits.
fn offset_of(text: &str) -> Option<Offset> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let two_digits = |part: &str| -> Option<i32> {
        let digits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| part.parse().ok()).flatten()
    };
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    // What every database takes.
    if hours > 13 || minutes > 59 {
        return None;
    }
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            de::Error::custom("a time zone is a name such as Europe/Moscow, or an offset such as +03:00")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Zone;

    #[test]
    fn names_and_offsets_are_read_and_told_to_each_database() {
        for (text, mysql, postgres) in [
            ("UTC", "+00:00", "<+00>+00"),
            ("+00:00", "+00:00", "<+00>+00"),
            ("+03:00", "+03:00", "<+03>-03"),
            ("-09:30", "-09:30", "<-09:30>+09:30"),
            ("Europe/Moscow", "Europe/Moscow", "Europe/Moscow"),
        ] {
            let zone = Zone::parse(text).unwrap();
            assert_eq!((zone.for_mysql(), &*zone.for_postgres()), (mysql, postgres), "{text}");
        }
        for bad in [
            "",
            "+3",
            "+03",
            "+14:00",
            "+03:60",
            "03:00",
            "Europe/Moskau",
            "+0a:00",
            "+03:00'",
        ] {
            assert_eq!(Zone::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn local_times_become_moments() {
        let moment = |zone: &str, local: &str| {
            let zone = Zone::parse(zone).unwrap();
            zone.moment(local.parse().unwrap()).unwrap().to_string()
        };
        assert_eq!(moment("UTC", "2026-11-23 10:02:11"), "2026-11-23T10:02:11Z");
        assert_eq!(moment("+03:00", "2026-11-23 10:02:11.5"), "2026-11-23T07:02:11.5Z");
        assert_eq!(
            moment("Europe/Berlin", "2026-10-25 02:30:00"),
            "2026-10-25T00:30:00Z",
            "the first of two"
        );
        assert_eq!(
            moment("Europe/Berlin", "2026-03-29 02:30:00"),
            "2026-03-29T01:30:00Z",
            "the later, for one left out"
        );
    }
}
