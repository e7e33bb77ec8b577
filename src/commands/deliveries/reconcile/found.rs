//! What was found, as it is printed and counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use domain::money::Currency;
use domain::reconciliation::{Compared, Finding, Remedy};
use serde_json::{Value, json};
use store::reconciliation::Run;

use crate::output::{Column, Row};

/// A difference, and what may be done about it.
pub(crate) struct Found {
    pub(super) finding: Finding,
    pub(super) compared: Compared,
    pub(super) remedy: Remedy,
}

impl Found {
    fn ours<T: serde::Serialize>(&self, of: impl Fn(&domain::reconciliation::Ours) -> T) -> Value {
        json!(self.compared.ours.as_ref().map(of))
    }

    fn theirs<T: serde::Serialize>(&self, of: impl Fn(&domain::reconciliation::Theirs) -> T) -> Value {
        match &self.compared.theirs[..] {
            [] => Value::Null,
            [one] => json!(of(one)),
            several => several.iter().map(|one| json!(of(one))).collect(),
        }
    }
}

impl Row for Found {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("number", |row| json!(row.compared.number)),
        Column::new("finding", |row| json!(row.finding.as_str())),
        Column::new("state", |row| row.ours(|ours| ours.state.as_str())),
        Column::new("amount", |row| row.ours(|ours| ours.amount)),
        Column::new("amount_there", |row| row.theirs(|theirs| theirs.amount)),
        Column::new("currency", |row| row.ours(|ours| ours.currency.clone())),
        Column::new("currency_there", |row| row.theirs(|theirs| theirs.currency.clone())),
        Column::new("credited_at", |row| row.theirs(|theirs| theirs.credited_at)),
        Column::new("provider_reference", |row| {
            row.theirs(|theirs| theirs.provider_reference.clone())
        }),
        Column::new("payment_id", |row| row.ours(|ours| ours.payment_id)),
        Column::new("remedy", |row| json!(advice(row.remedy))),
    ];
}

fn advice(remedy: Remedy) -> &'static str {
    match remedy {
        Remedy::Deliver => "--resolve makes it delivered",
        Remedy::Pay => "--requeue-missing pays it again",
        Remedy::Ask => "--requeue-missing asks the payee about it",
        Remedy::Look(why) => why,
    }
}

/// How many of each, and how much on either side, in minor units.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    of: BTreeMap<Finding, Sum>,
    /// How amounts that differ stand to ours: in other units, or otherwise.
    units: BTreeSet<Option<Units>>,
}

/// What a major unit is in minor ones, where an amount is so many times ours, or so many of it are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Units {
    Times(i64),
    Parts(i64),
}

impl Units {
    fn of(compared: &Compared) -> Option<Self> {
        let (ours, theirs) = (compared.ours.as_ref()?, compared.theirs.first()?);
        let unit = 10_i64.checked_pow(Currency::parse(&ours.currency).ok()?.digits())?;
        match (ours.amount, theirs.amount) {
            _ if unit == 1 => None,
            (here, there) if here.checked_mul(unit) == Some(there) => Some(Self::Times(unit)),
            (here, there) if there.checked_mul(unit) == Some(here) => Some(Self::Parts(unit)),
            _ => None,
        }
    }
}

impl fmt::Display for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Times(unit) => write!(f, "{unit} times"),
            Self::Parts(unit) => write!(f, "a {unit}th of"),
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Sum {
    count: u64,
    ours: i128,
    theirs: i128,
}

impl Tally {
    pub(super) fn count(&mut self, finding: Finding, compared: &Compared) {
        if finding == Finding::AmountDiffers {
            self.units.insert(Units::of(compared));
        }
        let sum = self.of.entry(finding).or_default();
        sum.count += 1;
        let ours = compared.ours.as_ref().filter(|ours| ours.of_payee);
        sum.ours += i128::from(ours.map_or(0, |ours| ours.amount));
        sum.theirs += compared
            .theirs
            .iter()
            .map(|theirs| i128::from(theirs.amount))
            .sum::<i128>();
    }

    /// In which units there is counted what differs in amount, where that explains it: several amounts differ, all of them in the one
    /// way, and none is there what it is here. A single one may as well have been credited so.
    pub(super) fn other_units(&self) -> Option<Units> {
        let count = |of: Finding| self.of.get(&of).map_or(0, |sum| sum.count);
        let agree = count(Finding::Matched) + count(Finding::NotDelivered);
        let mut units = self.units.iter();
        let only = units.next().copied().flatten().filter(|_| units.next().is_none());
        only.filter(|_| agree == 0 && count(Finding::AmountDiffers) > 1)
    }

    pub(super) fn differences(&self) -> u64 {
        let differing = self.of.iter().filter(|(finding, _)| **finding != Finding::Matched);
        differing.map(|(_, sum)| sum.count).sum()
    }

    pub(super) fn lines(&self, items: i64, run: &Run) -> Vec<String> {
        let mut lines = vec![format!(
            "{}: {items} on the payee's list, compared from {} to {}",
            run.payee, run.from, run.to
        )];
        for finding in Finding::ALL {
            let none = Sum::default();
            let Sum { count, ours, theirs } = self.of.get(&finding).unwrap_or(&none);
            lines.push(format!(
                "{}: {count}, {ours} here and {theirs} there in minor units",
                finding.as_str()
            ));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use domain::ids::{Number, PaymentId};
    use domain::payment::PaymentState;
    use domain::reconciliation::{Ours, Theirs};

    use super::*;

    fn other_units(amounts: &[(i64, i64)]) -> Option<Units> {
        let mut tally = Tally::default();
        for (number, (here, there)) in (1..).zip(amounts) {
            let ours = Ours {
                payment_id: PaymentId::from_uuid(uuid::Uuid::nil()),
                of_payee: true,
                state: PaymentState::Delivered,
                generation: 0,
                amount: *here,
                currency: "RUB".to_owned(),
                first_call_at: None,
                last_call_at: None,
                reached: true,
                settled: false,
                number_conflict: false,
            };
            let theirs = Theirs {
                amount: *there,
                currency: "RUB".to_owned(),
                credited_at: None,
                provider_reference: None,
            };
            let compared = Compared {
                number: Number::new(number).unwrap(),
                ours: Some(ours),
                theirs: vec![theirs],
            };
            tally.count(compared.finding().unwrap(), &compared);
        }
        tally.other_units()
    }

    #[test]
    fn units_are_others_where_nothing_else_explains_what_differs() {
        let (times, parts) = (Some(Units::Times(100)), Some(Units::Parts(100)));
        assert_eq!(other_units(&[(500, 50_000), (700, 70_000)]), times);
        assert_eq!(other_units(&[(50_000, 500), (70_000, 700)]), parts);
        let not: [&[(i64, i64)]; 5] = [
            &[],
            &[(500, 50_000)],
            &[(500, 50_000), (700, 70_000), (900, 900)],
            &[(500, 50_000), (70_000, 700)],
            &[(500, 50_000), (700, 70_001)],
        ];
        for amounts in not {
            assert_eq!(other_units(amounts), None, "{amounts:?}");
        }
    }
}
