//! Values in the binary forms of PostgreSQL and MySQL that the driver reads only into types we do not use.

use jiff::Timestamp;
use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime, date};
use jiff::tz::TimeZone;

/// The first moment of the year 2000, from which PostgreSQL counts, in microseconds since 1970.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// PostgreSQL's binary `numeric`: groups of four decimal digits, the weight of the first, a sign, the digits shown.
pub(super) fn numeric_text(bytes: &[u8]) -> Option<String> {
    let word = |index: usize| -> Option<[u8; 2]> { bytes.get(2 * index..2 * index + 2)?.try_into().ok() };
    let groups = usize::from(u16::from_be_bytes(word(0)?));
    let weight = i32::from(i16::from_be_bytes(word(1)?));
    let sign = match u16::from_be_bytes(word(2)?) {
        0x0000 => "",
        0x4000 => "-",
        _ => return None, // not a number, or infinite
    };
    let scale = usize::from(u16::from_be_bytes(word(3)?));
    let group = |position: i32| -> Option<u16> {
        match usize::try_from(weight - position) {
            Ok(index) if index < groups => word(4 + index).map(u16::from_be_bytes),
            _ => Some(0),
        }
    };
    let mut whole = String::new();
    for position in (0..=weight.max(0)).rev() {
        whole.push_str(&format!("{:04}", group(position)?));
    }
    let whole = whole.trim_start_matches('0');
    let mut fraction = String::new();
    let mut position = -1;
    while fraction.len() < scale {
        fraction.push_str(&format!("{:04}", group(position)?));
        position -= 1;
    }
    fraction.truncate(scale);
    let point = if scale > 0 { "." } else { "" };
    Some(format!(
        "{sign}{}{point}{fraction}",
        if whole.is_empty() { "0" } else { whole }
    ))
}

/// PostgreSQL's binary `timestamptz`: microseconds since 2000; `None` for the infinite ones.
pub(super) fn postgres_moment(bytes: &[u8]) -> Option<Timestamp> {
    let since_2000 = i64::from_be_bytes(bytes.try_into().ok()?);
    Timestamp::from_microsecond(since_2000.checked_add(POSTGRES_EPOCH)?).ok()
}

/// PostgreSQL's binary `timestamp`: the same count, without saying where.
pub(super) fn postgres_datetime(bytes: &[u8]) -> Option<DateTime> {
    postgres_moment(bytes).map(|moment| TimeZone::UTC.to_datetime(moment))
}

/// PostgreSQL's binary `date`: days since 2000; `None` for the infinite ones.
pub(super) fn postgres_date(bytes: &[u8]) -> Option<Date> {
    let days = i32::from_be_bytes(bytes.try_into().ok()?);
    date(2000, 1, 1).checked_add(i64::from(days).days()).ok()
}

/// Whether MySQL's binary `DATETIME` is of no day: a date of zeros, which the driver takes for null where no time stands with it.
pub(super) fn mysql_of_no_day(bytes: &[u8]) -> bool {
    bytes.get(1..5) == Some(&[0; 4])
}

/// MySQL's binary `DATETIME` and `TIMESTAMP`: year, month, day, then the time and microseconds unless they are zero.
pub(super) fn mysql_datetime(bytes: &[u8]) -> Option<DateTime> {
    // The first byte is the length of the rest, which the driver has left in place.
    let bytes = match bytes.split_first() {
        Some((&length, rest)) if usize::from(length) == rest.len() => rest,
        _ => return None,
    };
    let byte = |index: usize| bytes.get(index).map_or(Some(0), |&byte| i8::try_from(byte).ok());
    let year = i16::from_le_bytes(bytes.get(..2)?.try_into().ok()?);
    let micros = match bytes.get(7..11) {
        Some(micros) => i32::from_le_bytes(micros.try_into().ok()?),
        None => 0,
    };
    DateTime::new(
        year,
        byte(2)?,
        byte(3)?,
        byte(4)?,
        byte(5)?,
        byte(6)?,
        micros.checked_mul(1000)?,
    )
    .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_numerics_are_read() {
        let numeric = |weight: i16, sign: u16, scale: u16, groups: &[u16]| {
            let mut bytes = Vec::new();
            bytes.extend((groups.len() as u16).to_be_bytes());
            bytes.extend(weight.to_be_bytes());
            bytes.extend(sign.to_be_bytes());
            bytes.extend(scale.to_be_bytes());
            groups.iter().for_each(|group| bytes.extend(group.to_be_bytes()));
            numeric_text(&bytes).unwrap()
        };
        assert_eq!(numeric(0, 0, 2, &[1250, 4000]), "1250.40");
        assert_eq!(numeric(1, 0, 0, &[12, 3]), "120003");
        assert_eq!(numeric(1, 0, 0, &[12]), "120000");
        assert_eq!(numeric(-1, 0x4000, 2, &[500]), "-0.05");
        assert_eq!(numeric(-2, 0, 6, &[1200]), "0.000012");
        assert_eq!(numeric(0, 0, 0, &[]), "0");
        assert_eq!(numeric_text(&[0, 0, 0, 0, 0xc0, 0, 0, 0]), None, "not a number");
        assert_eq!(numeric_text(&[0, 1]), None);
    }

    #[test]
    fn binary_dates_and_times_are_read() {
        let count = |moment: &str| {
            let moment: Timestamp = moment.parse().unwrap();
            (moment.as_microsecond() - POSTGRES_EPOCH).to_be_bytes()
        };
        let read = postgres_moment(&count("2026-11-23T07:02:11.5Z")).unwrap();
        assert_eq!(read.to_string(), "2026-11-23T07:02:11.5Z");
        let read = postgres_datetime(&count("1999-12-31T23:59:59Z")).unwrap();
        assert_eq!(read.to_string(), "1999-12-31T23:59:59");
        assert_eq!(postgres_moment(&i64::MAX.to_be_bytes()), None, "infinity");
        let mysql = |bytes: &[u8]| mysql_datetime(bytes).map(|read| read.to_string());
        assert_eq!(mysql(&[7, 0xea, 7, 11, 23, 10, 2, 11]).unwrap(), "2026-11-23T10:02:11");
        assert_eq!(mysql(&[4, 0xea, 7, 11, 23]).unwrap(), "2026-11-23T00:00:00");
        assert_eq!(
            mysql(&[11, 0xea, 7, 11, 23, 10, 2, 11, 0x20, 0xa1, 7, 0]).unwrap(),
            "2026-11-23T10:02:11.5"
        );
        assert_eq!(mysql(&[7, 0xea, 7, 13, 23, 10, 2, 11]), None);
        assert_eq!(mysql(&[]), None);
    }
}
