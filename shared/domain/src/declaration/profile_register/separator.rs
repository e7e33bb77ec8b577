//! What a separator would split where nothing is quoted: our own amounts and times. There it would be replaced, and the payee
//! read another amount or none.

use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

use super::layout::{DecimalMark, Fact, LayoutProfile};
use crate::declaration::Findings;

/// Moments with one digit and with two wherever there can be either, and with fractions.
const SAMPLES: [Timestamp; 2] = [
    Timestamp::constant(1_767_589_323, 0),
    Timestamp::constant(1_795_467_599, 123_456_789),
];

pub(super) fn check(layout: &LayoutProfile, found: &mut Findings) {
    if layout.quotes != Some(false) {
        return;
    }
    let separator = layout.separator_or_usual();
    let usual = Fact::USUAL;
    let own: Vec<&Fact> = layout
        .columns
        .iter()
        .filter_map(|column| column.value.as_ref())
        .collect();
    let shown = if layout.columns.is_empty() {
        usual.iter().collect()
    } else {
        own
    };
    let shows = |facts: &[Fact]| shown.iter().any(|fact| facts.contains(fact));
    found.refuse_if(
        separator == "," && layout.decimal == Some(DecimalMark::Comma) && shows(&[Fact::Amount, Fact::Fee, Fact::Paid]),
        "separator",
        "is layout.decimal too, and without quotes amounts would be split or changed",
    );
    for (key, pattern, facts) in [
        ("date", layout.date_or_usual(), [Fact::AcceptedDate, Fact::PaidDate]),
        ("time", layout.time_or_usual(), [Fact::AcceptedTime, Fact::PaidTime]),
        ("moment", layout.moment_or_usual(), [Fact::AcceptedAt, Fact::PaidAt]),
    ] {
        let why = format!("stands in what layout.{key} makes of a moment, and without quotes would be replaced there");
        found.refuse_if(shows(&facts) && writes(pattern, separator), "separator", &why);
    }
}

/// Whether something written by this pattern has the separator in it. What is no pattern is found elsewhere.
fn writes(pattern: &str, separator: &str) -> bool {
    let written = SAMPLES.map(|at| strtime::format(pattern, &at.to_zoned(TimeZone::UTC)));
    written.into_iter().flatten().any(|text| text.contains(separator))
}
