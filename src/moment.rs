//! Moments on the command line: an RFC 3339 time, or a date, which is its midnight in a time zone.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// Reads a moment. A day that has no midnight (clocks were moved over it) begins at its first moment.
pub(crate) fn parse(text: &str, zone: &TimeZone) -> anyhow::Result<Timestamp> {
    // A date alone is no timestamp, so the order does not matter.
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    let is_date = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    match text.parse::<Date>() {
        Ok(date) if is_date => Ok(date.to_zoned(zone.clone())?.timestamp()),
        _ => Err(BadMoment::Moment(text.to_owned()).into()),
    }
}

/// Reads a period: from the one moment on, before the other.
pub(crate) fn period(from: &str, to: &str, zone: &TimeZone) -> anyhow::Result<(Timestamp, Timestamp)> {
    let (from, to) = (parse(from, zone)?, parse(to, zone)?);
    if from >= to {
        return Err(BadMoment::Period.into());
    }
    Ok((from, to))
}

/// Arguments that name no moment or no period: wrong usage.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadMoment {
    #[error("`{0}` is neither an RFC 3339 time (2026-11-23T10:00:00+03:00) nor a date (2026-11-23)")]
    Moment(String),
    #[error("the period ends before it begins")]
    Period,
    #[error(
        "say since when these payments were accepted (--from): without it a list goes back a day, and this would go back for ever"
    )]
    Unbounded,
}

/// Reads a time zone's name, for arguments.
pub(crate) fn zone(name: &str) -> Result<TimeZone, String> {
    domain::declaration::Zone::parse(name)
        .map(|zone| zone.tz().clone())
        .map_err(|refused| refused.why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, zone_name: &str) -> String {
        parse(text, &zone(zone_name).unwrap()).unwrap().to_string()
    }

    #[test]
    fn a_time_is_itself_and_a_date_its_midnight() {
        assert_eq!(at("2026-11-23T10:00:00+03:00", "UTC"), "2026-11-23T07:00:00Z");
        assert_eq!(at("2026-11-23T10:00:00Z", "Europe/Moscow"), "2026-11-23T10:00:00Z");
        assert_eq!(at("2026-11-23", "UTC"), "2026-11-23T00:00:00Z");
        assert_eq!(at("2026-11-23", "Europe/Moscow"), "2026-11-22T21:00:00Z");
        // In Cairo that midnight does not exist.
        assert_eq!(at("2026-04-24", "Africa/Cairo"), "2026-04-23T22:00:00Z");
    }

    #[test]
    fn anything_else_is_refused_by_example() {
        for text in [
            "",
            "yesterday",
            "2026-11-23 10:00",
            "2026-11-23T10:00:00",
            "20261123",
            "2026-02-30",
            "2026-11",
        ] {
            let refused = parse(text, &TimeZone::UTC).unwrap_err().to_string();
            assert!(refused.contains("RFC 3339"), "{text}: {refused}");
        }
        assert!(zone("Mars/Olympus").is_err());
    }
}
