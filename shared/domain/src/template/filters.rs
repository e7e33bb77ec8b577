//! What a template can do to a value: digits in groups, money and dates as people write them, capitals, something
//! else where there is nothing. None of them makes much of little: a result is at most a few times what went in.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use minijinja::value::Object;
use minijinja::{Environment, Error, ErrorKind, State, Value};

use crate::declaration::Zone;
use crate::money::{Currency, format_minor};

/// Where the zone stands that moments are shown in when the template names none: a name that no template can write.
pub(crate) const ZONE: &str = "time zone";

/// From how many digits on the plain receipt prints them in groups.
const GROUPED_FROM: usize = 7;
/// How many digits a group has, unless said otherwise.
const GROUP: usize = 4;
/// The longest separator and the longest pattern of a date, in characters.
const SEPARATOR_MAX: usize = 3;
const PATTERN_MAX: usize = 40;
/// The widest that `pad` makes anything, in characters.
const PAD_MAX: usize = 40;

pub(super) fn add_to(engine: &mut Environment<'static>) {
    engine.add_filter("groups", groups);
    engine.add_filter("money", money);
    engine.add_filter("date", date);
    engine.add_filter("pad", pad);
    engine.add_filter("upper", |text: &str| text.to_uppercase());
    engine.add_filter("lower", |text: &str| text.to_lowercase());
    engine.add_filter("trim", |text: &str| text.trim().to_owned());
    engine.add_filter("default", |value: &Value, instead: Value| {
        if value.is_undefined() || value.is_none() {
            instead
        } else {
            value.clone()
        }
    });
    engine.add_test("defined", |value: &Value| !value.is_undefined() && !value.is_none());
}

/// A long number in groups a person can read off; anything else as it is.
pub fn in_groups(value: &str) -> String {
    let mut text = String::with_capacity(2 * value.len());
    group_into(&mut text, value);
    text
}

pub(crate) fn group_into(text: &mut String, value: &str) {
    if value.len() < GROUPED_FROM || !is_digits(value) {
        return text.push_str(value);
    }
    separate(text, value, GROUP, " ");
}

fn is_digits(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_digit())
}

fn separate(text: &mut String, digits: &str, size: usize, separator: &str) {
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && at % size == 0 {
            text.push_str(separator);
        }
        text.push(digit);
    }
}

fn wrong(why: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, why.to_owned())
}

/// `{{ pin | groups }}`, `{{ pin | groups(3, "-") }}`: what is not all digits stays as it is.
fn groups(value: &str, size: Option<usize>, separator: Option<&str>) -> Result<String, Error> {
    let (size, separator) = (size.unwrap_or(GROUP), separator.unwrap_or(" "));
    if !(1..=100).contains(&size) || separator.chars().count() > SEPARATOR_MAX {
        return Err(wrong(
            "groups: from 1 to 100 digits, and a separator of at most 3 characters",
        ));
    }
    if !is_digits(value) {
        return Ok(value.to_owned());
    }
    let mut text = String::with_capacity(2 * value.len());
    separate(&mut text, value, size, separator);
    Ok(text)
}

/// `{{ price | money }}` is `1 234.50`, `{{ price | money(",") }}` is `1 234,50`: without the currency.
fn money(value: &Value, point: Option<&str>) -> Result<String, Error> {
    let Some(Money { minor, currency }) = value.downcast_object_ref::<Money>() else {
        return Err(wrong("money: is for amounts"));
    };
    let point = point.unwrap_or(".");
    if point.chars().count() > SEPARATOR_MAX {
        return Err(wrong("money: the sign between the two parts has at most 3 characters"));
    }
    let text = format_minor(*minor, *currency);
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let mut printed = String::with_capacity(2 * text.len());
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            printed.push(' ');
        }
        printed.push(digit);
    }
    if !part.is_empty() {
        printed.extend([point, part]);
    }
    Ok(printed)
}

/// `{{ expires_on | date("%d.%m.%Y") }}`, `{{ held_until | date("%H:%M", "Europe/Moscow") }}`. A date has no zone; a moment
/// is shown in the usual zone (UTC, where there is none) unless one is named. What is neither, in a field of the issuer's, is printed as it is.
fn date(state: &State<'_, '_>, value: &Value, pattern: Option<&str>, zone: Option<&str>) -> Result<String, Error> {
    let pattern = pattern.unwrap_or("%Y-%m-%d");
    if pattern.chars().count() > PATTERN_MAX {
        return Err(wrong("date: the pattern has at most 40 characters"));
    }
    let usual = state.lookup(ZONE);
    let zone = match zone.or(usual.as_ref().and_then(|usual| usual.as_str())) {
        None => TimeZone::UTC,
        Some(name) => Zone::parse(name)
            .map_err(|_| wrong("date: the time zone is unknown"))?
            .tz()
            .clone(),
    };
    let print =
        |moment: &jiff::Zoned| strtime::format(pattern, moment).map_err(|_| wrong("date: the pattern is wrong"));
    // Tried on any moment first, so that a wrong pattern is found before there is a date.
    print(&Timestamp::UNIX_EPOCH.to_zoned(zone.clone()))?;
    if value.is_none() {
        return Ok(String::new());
    }
    let text = value.as_str().ok_or_else(|| wrong("date: is for dates"))?;
    if let Ok(moment) = text.parse::<Timestamp>() {
        return print(&moment.to_zoned(zone));
    }
    let Ok(day) = text.parse::<DateTime>() else {
        return Ok(text.to_owned());
    };
    day.to_zoned(zone)
        .map_err(|_| wrong("date: is out of range"))
        .and_then(|moment| print(&moment))
}

/// `{{ sequence | pad(6) }}` is `000042`; what is longer stays as it is.
fn pad(value: &Value, width: usize) -> Result<String, Error> {
    if width > PAD_MAX {
        return Err(wrong("pad: to at most 40 characters"));
    }
    Ok(format!("{:0>width$}", value.to_string()))
}

/// An amount that prints with its currency; the filter `money` prints it in other ways.
#[derive(Debug)]
pub(crate) struct Money {
    pub(crate) minor: i64,
    pub(crate) currency: Currency,
}

impl Object for Money {
    fn repr(self: &std::sync::Arc<Self>) -> minijinja::value::ObjectRepr {
        minijinja::value::ObjectRepr::Plain
    }

    fn render(self: &std::sync::Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", format_minor(self.minor, self.currency), self.currency)
    }
}
