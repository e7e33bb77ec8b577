//! `unigate registers statement`: what a payee was paid in a period, by day and register, with the payers' fees. Its sums
//! are those of the registers: where they are not, it says so and fails.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, bail};
use domain::declaration::Gateway;
use domain::ids::PayeeId;
use domain::money::Currency;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use sheet::{Cell, Column};
use store::declarations;
use store::registers::{StatedRegister, StatedSum, StatementPeriod, statement_registers, statement_sums};
use store::{Recorded, settled};

use crate::commands::payments::zone_for;
use crate::ending::{Ending, Outcome};
use crate::moment;
use crate::operator::Operator;
use crate::output::{FormatArg, Sheet};

/// Whose, and of which period.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The payee
    #[arg(value_name = "PAYEE", value_parser = PayeeId::parse)]
    payee: PayeeId,
    /// Accepted (for an online payee: delivered) at this moment or later: RFC 3339, or a date, which is its midnight in the
    /// payee's zone
    #[arg(long, value_name = "T")]
    from: String,
    /// Before this moment
    #[arg(long, value_name = "T")]
    to: String,
    /// Whose days are counted, instead of the payee's
    #[arg(long, value_name = "ZONE", value_parser = moment::zone)]
    time_zone: Option<TimeZone>,
    /// Write a spreadsheet instead of printing; money in it is in major units
    #[arg(long, value_name = "FILE", conflicts_with = "format")]
    xlsx: Option<PathBuf>,
    #[command(flatten)]
    format: FormatArg,
}

pub(crate) const COLUMNS: [Column; 10] = [
    Column::new("day", 12),
    Column::new("series", 14),
    Column::new("sequence", 10),
    Column::new("register_id", 37),
    Column::new("state", 10),
    Column::new("payments", 10),
    Column::new("amount", 16),
    Column::new("fee", 14),
    Column::new("currency", 9),
    Column::new("row", 8),
];

/// Prints the statement.
pub(super) async fn run(operator: &Operator, args: Args) -> Outcome {
    let zone = zone_for(operator, Some(&args.payee), args.time_zone).await?;
    let (from, to) = moment::period(&args.from, &args.to, &zone)?;
    let period = StatementPeriod {
        from,
        to,
        payee: args.payee,
    };
    let Some(card) = declarations::payee_card(&operator.store, &period.payee).await? else {
        bail!("no payee {} is declared", period.payee)
    };
    if !settled(&operator.store, Recorded::Payments, to).await? {
        bail!(
            "the period has not settled: payments before {} are still being recorded; try again in a minute",
            args.to
        );
    }
    let statement = Statement::read(operator, card.gateway, &period, &zone).await?;
    let mut sheet = Sheet::begin("Statement", COLUMNS.to_vec(), args.format.format, args.xlsx.as_deref())?;
    for row in statement.rows() {
        sheet.row(&row)?;
    }
    for total in statement.totals()? {
        sheet.total(&total)?;
    }
    sheet.finish()?;
    let differing = statement.differing(&period);
    if !differing.is_empty() {
        bail!(
            "registers that say otherwise than their payments: {}",
            differing.join("; ")
        );
    }
    Ok(Ending::Done)
}

/// How many, how much and what on top, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    payments: i64,
    amount: i64,
    fee: i64,
}

impl Sum {
    fn add(&mut self, more: Self) -> anyhow::Result<()> {
        for (sum, more) in [
            (&mut self.payments, more.payments),
            (&mut self.amount, more.amount),
            (&mut self.fee, more.fee),
        ] {
            *sum = sum.checked_add(more).context("a sum is larger than any number here")?;
        }
        Ok(())
    }
}

/// A row: the day, the series, the register (by its place among those of the statement; what is in none comes last), the
/// currency.
type Key = (Date, Option<String>, usize, String);

#[derive(Debug, Default)]
struct Statement {
    registers: Vec<StatedRegister>,
    rows: BTreeMap<Key, Sum>,
}

impl Statement {
    async fn read(
        operator: &Operator,
        gateway: Gateway,
        period: &StatementPeriod,
        zone: &TimeZone,
    ) -> anyhow::Result<Self> {
        let tx = operator.store.begin_report().await?;
        let registers = statement_registers(&tx, period).await?;
        let sums = statement_sums(&tx, gateway, period).await?;
        tx.commit().await?;
        Self::of(registers, &sums, period, zone)
    }

    fn of(
        registers: Vec<StatedRegister>,
        sums: &[StatedSum],
        period: &StatementPeriod,
        zone: &TimeZone,
    ) -> anyhow::Result<Self> {
        let mut new = Self {
            registers,
            rows: BTreeMap::new(),
        };
        let day = |at: Timestamp| at.to_zoned(zone.clone()).date();
        for sum in sums {
            let place = new
                .registers
                .iter()
                .position(|register| Some(register.register_id) == sum.register);
            // A quarter may begin before the period; its payments do not.
            let key = (
                day(sum.quarter.max(period.from)),
                sum.series.clone(),
                place.unwrap_or(usize::MAX),
                sum.currency.clone(),
            );
            let more = Sum {
                payments: sum.payments,
                amount: sum.amount,
                fee: sum.fee,
            };
            new.rows.entry(key).or_default().add(more)?;
        }
        for (place, empty) in new
            .registers
            .iter()
            .enumerate()
            .filter(|(_, register)| register.count == 0)
        {
            // Of the day that its cut-off ended.
            let last = empty.last - SignedDuration::from_nanos(1);
            if last >= period.from && last < period.to {
                let key = (day(last), Some(empty.series.clone()), place, empty.currency.clone());
                new.rows.entry(key).or_default();
            }
        }
        Ok(new)
    }

    fn rows(&self) -> impl Iterator<Item = Vec<Cell>> {
        self.rows.iter().map(|((day, series, place, currency), sum)| {
            let register = self.registers.get(*place);
            let mut cells = vec![
                Cell::Day(*day),
                Cell::text(series.as_deref()),
                register.map_or(Cell::Empty, |register| Cell::Count(i64::from(register.sequence))),
                register.map_or(Cell::Empty, |register| Cell::Text(register.register_id.to_string())),
                Cell::Text(register.map_or("open", |register| register.state.as_str()).to_owned()),
            ];
            cells.extend(numbers(sum, currency));
            cells.push(Cell::Text("day".to_owned()));
            cells
        })
    }

    /// A row per currency; nothing paid is a total too.
    fn totals(&self) -> anyhow::Result<Vec<Vec<Cell>>> {
        let mut totals: BTreeMap<&str, Sum> = BTreeMap::new();
        for ((_, _, _, currency), sum) in &self.rows {
            totals.entry(currency).or_default().add(*sum)?;
        }
        if totals.is_empty() {
            totals.insert("", Sum::default());
        }
        let total = |(currency, sum): (&str, Sum)| {
            let mut cells = vec![Cell::Empty; 5];
            cells.extend(numbers(&sum, currency));
            cells.push(Cell::Text("total".to_owned()));
            cells
        };
        Ok(totals.into_iter().map(total).collect())
    }

    /// Registers that lie in the period as a whole and were frozen with another count or sum than their payments have.
    fn differing(&self, period: &StatementPeriod) -> Vec<String> {
        let mut sums = vec![Sum::default(); self.registers.len()];
        for ((_, _, place, _), sum) in &self.rows {
            if let Some(of) = sums.get_mut(*place) {
                of.payments += sum.payments;
                of.amount += sum.amount;
            }
        }
        let whole = |register: &StatedRegister| register.first >= period.from && register.last < period.to;
        let differs = |(register, sum): &(&StatedRegister, Sum)| {
            register.count > 0 && whole(register) && (register.count, register.total) != (sum.payments, sum.amount)
        };
        let told = |(register, sum): (&StatedRegister, Sum)| {
            format!(
                "{} has {} payments of {}, and holds {} of {}",
                register.register_id, register.count, register.total, sum.payments, sum.amount
            )
        };
        self.registers.iter().zip(sums).filter(differs).map(told).collect()
    }
}

fn numbers(sum: &Sum, currency: &str) -> [Cell; 4] {
    // A currency that is none was stored by nobody; two digits are the usual.
    let digits = Currency::parse(currency).map_or(2, |currency| u8::try_from(currency.digits()).unwrap_or(2));
    let money = |minor| Cell::Money { minor, digits };
    let code = if currency.is_empty() {
        Cell::Empty
    } else {
        Cell::Text(currency.to_owned())
    };
    [Cell::Count(sum.payments), money(sum.amount), money(sum.fee), code]
}

#[cfg(test)]
mod tests;
