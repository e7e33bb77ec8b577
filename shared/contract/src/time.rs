//! Times on the wire: RFC 3339 with an offset, exactly. It refuses what readers of ISO 8601 let through besides: a space
//! for the `T`, a missing offset, week dates, a time zone in brackets.

use jiff::Timestamp;

/// Reads a time. A leap second is the second before it, `-00:00` is UTC, digits beyond nanoseconds are dropped.
pub(crate) fn parse(text: &str) -> Result<Timestamp, &'static str> {
    const WHY: &str = "must be an RFC 3339 time with an offset, for example 2026-11-23T10:02:11+03:00";
    let (fraction_end, offset) = split(text).ok_or(WHY)?;
    let exact = if fraction_end > NANOSECONDS_END {
        format!("{}{offset}", &text[..NANOSECONDS_END]).parse()
    } else {
        text.parse::<Timestamp>()
    };
    let time = exact.map_err(|_| WHY)?;
    // An offset can move a time out of the four-digit years, where it could not be written again.
    if time < year_zero() {
        return Err(WHY);
    }
    Ok(time)
}

/// `YYYY-MM-DDTHH:MM:SS`: a digit where there is `0`.
const SHAPE: &[u8] = b"0000-00-00T00:00:00";
/// Where a fraction of nine digits ends.
const NANOSECONDS_END: usize = SHAPE.len() + 1 + 9;

/// Checks the grammar; where the fraction ends and the offset that follows it.
fn split(text: &str) -> Option<(usize, &str)> {
    let bytes = text.as_bytes();
    let (head, mut rest) = bytes.split_at_checked(SHAPE.len())?;
    if !head.iter().zip(SHAPE).all(|(&byte, &shape)| match shape {
        b'0' => byte.is_ascii_digit(),
        b'T' => byte.eq_ignore_ascii_case(&b'T'),
        _ => byte == shape,
    }) {
        return None;
    }
    let mut end = SHAPE.len();
    if let Some(fraction) = rest.strip_prefix(b".") {
        let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        rest = &fraction[digits..];
        end += 1 + digits;
    }
    is_offset(rest).then(|| (end, &text[end..]))
}

fn is_offset(bytes: &[u8]) -> bool {
    match bytes {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', h1, h2, b':', m1 @ b'0'..=b'5', m2] => {
            let hours = [*h1, *h2];
            [h1, h2, m1, m2].iter().all(|b| b.is_ascii_digit()) && hours <= *b"23"
        }
        _ => false,
    }
}

fn year_zero() -> Timestamp {
    /// 0000-01-01T00:00:00Z.
    const SECOND: i64 = -62_167_219_200;
    Timestamp::constant(SECOND, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_times() {
        for (text, same) in [
            ("2026-11-23T10:02:11+03:00", "2026-11-23T07:02:11Z"),
            ("2026-11-23T10:02:11Z", "2026-11-23T10:02:11Z"),
            ("2026-11-23t10:02:11z", "2026-11-23T10:02:11Z"),
            ("2026-11-23T10:02:11-00:00", "2026-11-23T10:02:11Z"),
            ("2026-11-23T10:02:11-09:30", "2026-11-23T19:32:11Z"),
            ("2026-11-23T10:02:11.5Z", "2026-11-23T10:02:11.5Z"),
            (
                "2026-11-23T10:02:11.123456789987654321+00:00",
                "2026-11-23T10:02:11.123456789Z",
            ),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
        ] {
            assert_eq!(parse(text).map(|t| t.to_string()), Ok(same.into()), "{text}");
        }
    }

    #[test]
    fn bad_times() {
        for text in [
            "",
            "2026-11-23",
            "2026-11-23T10:02:11",
            "2026-11-23 10:02:11Z",
            "2026-11-23T10:02Z",
            "2026-11-23T10:02:11+03",
            "2026-11-23T10:02:11+0300",
            "2026-11-23T10:02:11+24:00",
            "2026-11-23T10:02:11+03:60",
            "2026-11-23T10:02:11.Z",
            "2026-11-23T10:02:11,5Z",
            "2026-11-23T10:02:11Z[Europe/Moscow]",
            "2026-11-23T10:02:11+03:00[Europe/Moscow]",
            "2026-11-23T24:00:00Z",
            "2026-02-30T10:02:11Z",
            "2026-11-23T10:02:61Z",
            "+002026-11-23T10:02:11Z",
            "20261123T100211Z",
            "2026-W48-1T10:02:11Z",
            "9999-12-31T23:59:59Z",
            "0000-01-01T00:00:00+01:00",
            "1796022131",
            "2026-11-23T10:02:11Zя",
            "2026-11-23T10:02:1я+03:00",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
