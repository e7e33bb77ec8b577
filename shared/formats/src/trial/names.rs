//! Names of files, tried before there are any: the longest there can be, and those of a year with several registers on a
//! day, which must all differ. What a template speaks of says neither: `{{ series }}{{ sequence }}` calls register 11 of
//! `a` what it calls register 1 of `a1`.

use std::collections::BTreeMap;

use domain::Currency;
use domain::declaration::{DELIVERED_SERIES, Payee, RegisterProfile};
use jiff::Timestamp;
use jiff::civil::date;
use jiff::tz::TimeZone;

use crate::name::NAME_BYTES_MAX;
use crate::{FormatError, Head, Layout};

/// Months and days on which registers are closed, all at once: none of what a template can say of a moment tells them apart.
const DAYS: [(i8, i8); 4] = [(1, 1), (1, 11), (11, 1), (11, 11)];
const ON_A_DAY: i32 = 12;
/// Every second one is so many parts; these of them are looked at.
const PARTS: u32 = 11;
const PARTS_LOOKED_AT: [u32; 3] = [1, 2, PARTS];
/// A day whose month and weekday have the longest names, and the most parts of a register.
const LONGEST_DAY: (i8, i8) = (9, 30);
const PARTS_MAX: u32 = 9999;

/// One series with what its files are called by.
struct Series<'p> {
    name: &'p str,
    profile: RegisterProfile,
    layout: Layout,
    currency: Currency,
}

/// Refuses names that are too long or not one register's.
pub(super) fn try_names(payee: &Payee, profile: &RegisterProfile) -> Result<(), FormatError> {
    let names: Vec<&str> = if payee.gateway.is_online() {
        vec![DELIVERED_SERIES]
    } else {
        profile.series_names().collect()
    };
    let mut all = Vec::with_capacity(names.len());
    for name in names {
        let own = payee.clone().for_series(name);
        let layout = Layout::of(&own)?;
        let profile = own.register.ok_or(FormatError::NoProfile)?;
        all.push(Series {
            name,
            profile,
            layout,
            currency: own.currency,
        });
    }
    all.iter().try_for_each(Series::is_short)?;
    // The usual names need no trial.
    if all.iter().any(|series| series.layout.file_name.is_some()) {
        all_differ(&all)?;
    }
    Ok(())
}

fn all_differ(all: &[Series<'_>]) -> Result<(), FormatError> {
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for series in all {
        for head in series.a_year() {
            let name = series.layout.sealed_name(&series.profile, &head)?;
            let told = told(&head);
            if let Some(before) = known.get(&name) {
                return Err(FormatError::Name(format!("{before} and {told} would both be `{name}`")));
            }
            known.insert(name, told);
        }
    }
    Ok(())
}

fn told(head: &Head) -> String {
    let copy = if head.is_copy { "copy " } else { "" };
    let (part, parts) = head.part;
    format!("{} {copy}{} (part {part} of {parts})", head.series, head.sequence)
}

impl Series<'_> {
    fn is_short(&self) -> Result<(), FormatError> {
        for is_copy in [false, true] {
            for part in [(1, 1), (PARTS_MAX, PARTS_MAX)] {
                let head = Head {
                    sequence: i32::MAX,
                    of_day: 9_999_999,
                    of_year: 9_999_999,
                    part,
                    count: 9_999_999_999,
                    total: 999_999_999_999_999,
                    is_copy,
                    open: i64::from(is_copy),
                    ..self.head(LONGEST_DAY)
                };
                let name = self.layout.sealed_name(&self.profile, &head)?;
                if name.len() > NAME_BYTES_MAX {
                    let why = format!(
                        "may have {} bytes with its extensions, and {NAME_BYTES_MAX} at most: `{name}`",
                        name.len()
                    );
                    return Err(FormatError::Name(why));
                }
            }
        }
        Ok(())
    }

    /// Registers as they may be closed within a year, and some copies.
    fn a_year(&self) -> impl Iterator<Item = Head> {
        let regular = (0..).zip(DAYS).flat_map(move |(nth, day)| {
            (1..=ON_A_DAY).flat_map(move |of_day| {
                let sequence = nth * ON_A_DAY + of_day;
                let parts = if sequence % 2 == 1 { PARTS } else { 1 };
                let looked_at = PARTS_LOOKED_AT.into_iter().filter(move |part| *part <= parts);
                looked_at.map(move |part| Head {
                    part: (part, parts),
                    ..self.nth(day, sequence, of_day)
                })
            })
        });
        let copies = (1..=ON_A_DAY).map(|nth| Head {
            is_copy: true,
            ..self.nth(DAYS[0], nth, nth)
        });
        regular.chain(copies)
    }

    fn nth(&self, day: (i8, i8), sequence: i32, of_day: i32) -> Head {
        Head {
            sequence,
            of_day: of_day.into(),
            of_year: sequence.into(),
            ..self.head(day)
        }
    }

    fn head(&self, (month, day): (i8, i8)) -> Head {
        let noon = noon(month, day, self.layout.style.zone.tz());
        Head {
            series: self.name.to_owned(),
            sequence: 1,
            of_day: 1,
            of_year: 1,
            part: (1, 1),
            count: 1,
            total: 1,
            currency: self.currency,
            is_copy: false,
            open: 0,
            first_at: noon,
            last_at: noon,
            cutoff: noon,
        }
    }
}

/// The noon of a day of the year 2026, by that clock.
fn noon(month: i8, day: i8, zone: &TimeZone) -> Timestamp {
    let noon = date(2026, month, day).at(12, 0, 0, 0);
    noon.to_zoned(zone.clone())
        .map_or(Timestamp::UNIX_EPOCH, |noon| noon.timestamp())
}
