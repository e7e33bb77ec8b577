//! What templates of mails can speak of, and registers to try them on.

use jiff::Timestamp;
use minijinja::Value;

use super::{Letter, Part};
use crate::declaration::Zone;
use crate::ids::RegisterId;
use crate::line::one_line;
use crate::money::Currency;
use crate::template::{Money, ZONE};

/// The longest name in a mail, in characters.
const NAME_MAX: usize = 120;

/// What is always there. `part` and `parts` are empty in a register that is one file.
pub(super) const NAMES: [&str; 18] = [
    "payee",
    "name",
    "series",
    "sequence",
    "kind",
    "copy",
    "open",
    "part",
    "parts",
    "count",
    "total",
    "currency",
    "accepted_from",
    "accepted_to",
    "file",
    "bytes",
    "register_id",
    "empty",
];

/// A name as it is put in.
pub(super) fn cleaned(name: &str) -> String {
    one_line(name, NAME_MAX)
}

/// A sequence as it is put in: six digits, as in the file's name.
pub(super) fn sequence(letter: &Letter<'_>) -> String {
    format!("{:06}", letter.sequence)
}

pub(super) fn of(letter: &Letter<'_>) -> Value {
    let part = |pick: fn(Part) -> i32| letter.part.map_or(Value::from(()), |part| Value::from(pick(part)));
    let moment = |at: Timestamp| Value::from(at.to_string());
    let total = Money {
        minor: letter.total,
        currency: letter.currency,
    };
    let kind = if letter.is_copy { "copy" } else { "regular" };
    let values = [
        ("payee", Value::from(letter.payee)),
        ("name", Value::from(cleaned(letter.name))),
        ("series", Value::from(cleaned(letter.series))),
        ("sequence", Value::from(sequence(letter))),
        ("kind", Value::from(kind)),
        ("copy", Value::from(letter.is_copy)),
        ("open", Value::from(letter.open)),
        ("part", part(|part| part.number)),
        ("parts", part(|part| part.of)),
        ("count", Value::from(letter.count)),
        ("total", Value::from_object(total)),
        ("currency", Value::from(letter.currency.code())),
        ("accepted_from", moment(letter.accepted.0)),
        ("accepted_to", moment(letter.accepted.1)),
        ("file", Value::from(cleaned(letter.file_name))),
        ("bytes", Value::from(letter.file_bytes)),
        ("register_id", Value::from(letter.register_id.to_string())),
        ("empty", Value::from(letter.count == 0)),
        (ZONE, Value::from(letter.zone.name())),
    ];
    values
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// Registers differ: many payments, one, none; a copy, a part; with numbers that cannot be taken for one another.
pub(super) fn samples(zone: &Zone) -> Vec<Letter<'_>> {
    let Ok(currency) = Currency::parse("RUB") else {
        return Vec::new();
    };
    let usual = Letter {
        payee: "payee-7",
        name: "Горводоканал",
        series: "main",
        sequence: 408,
        is_copy: false,
        open: 0,
        part: None,
        count: 1_953,
        total: 274_618_035,
        currency,
        accepted: (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH),
        zone,
        file_name: "payee-7-main-000408.csv",
        file_bytes: 60_512,
        register_id: RegisterId::from_uuid(uuid::Uuid::nil()),
    };
    let one = Letter {
        count: 1,
        total: 9_207,
        ..usual.clone()
    };
    let none = Letter {
        count: 0,
        total: 0,
        ..usual.clone()
    };
    let copy = Letter {
        is_copy: true,
        ..usual.clone()
    };
    let open = Letter {
        open: 36,
        ..copy.clone()
    };
    let part = Letter {
        part: Some(Part { number: 2, of: 5 }),
        series: "night",
        ..usual.clone()
    };
    vec![usual, one, none, copy, open, part]
}
