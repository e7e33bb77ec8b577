//! The usual moment as text: RFC 3339 to the second, with a zone's offset at that moment. Registers have two of it in each of
//! a million rows, so it is written by hand.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The same as a pattern of jiff's.
pub const PATTERN: &str = "%Y-%m-%dT%H:%M:%S%:z";

/// `2026-11-23T10:02:11+03:00`.
pub fn rfc3339(at: Timestamp, zone: &TimeZone) -> String {
    by_hand(at, zone).unwrap_or_else(|| at.to_zoned(zone.clone()).strftime(PATTERN).to_string())
}

/// None for years and offsets that have not the usual width.
fn by_hand(at: Timestamp, zone: &TimeZone) -> Option<String> {
    let offset = zone.to_offset(at);
    let local = offset.to_datetime(at);
    if !(0..=9999).contains(&local.year()) || offset.seconds() % 60 != 0 {
        return None;
    }
    let year = local.year().unsigned_abs();
    let away = u16::try_from(offset.seconds().unsigned_abs() / 60).ok()?;
    let two = |text: &mut String, value: u16| {
        for digit in [value / 10, value % 10] {
            text.push(char::from_digit(digit.into(), 10).unwrap_or('0'));
        }
    };
    let mut text = String::with_capacity(PATTERN.len() + 5);
    two(&mut text, year / 100);
    two(&mut text, year % 100);
    for (mark, value) in [
        ('-', local.month()),
        ('-', local.day()),
        ('T', local.hour()),
        (':', local.minute()),
        (':', local.second()),
    ] {
        text.push(mark);
        two(&mut text, value.unsigned_abs().into());
    }
    text.push(if offset.is_negative() { '-' } else { '+' });
    two(&mut text, away / 60);
    text.push(':');
    two(&mut text, away % 60);
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_by_hand_is_what_jiff_writes() {
        for zone in [
            "UTC",
            "Europe/Moscow",
            "Asia/Kolkata",
            "America/St_Johns",
            "Pacific/Chatham",
            "Africa/Monrovia",
        ] {
            let zone = TimeZone::get(zone).unwrap();
            // From 1900 to beyond 2100, at odd times of day: summer time comes and goes, offsets have seconds at first.
            for step in 0..4000_i64 {
                let at = Timestamp::from_second(-2_200_000_000 + step * 1_654_321).unwrap();
                let by_jiff = at.to_zoned(zone.clone()).strftime(PATTERN).to_string();
                assert_eq!(rfc3339(at, &zone), by_jiff);
            }
        }
        for at in [Timestamp::MIN, Timestamp::MAX] {
            let by_jiff = at.to_zoned(TimeZone::UTC).strftime(PATTERN).to_string();
            assert_eq!(rfc3339(at, &TimeZone::UTC), by_jiff);
        }
    }
}
