//! Sums of sales by day and hour of a time zone and by whatever else was asked for, and their totals by currency.

use std::collections::BTreeMap;

use anyhow::{Context, anyhow};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use sheet::{Cell, Column};
use store::cards::{SaleRow, SaleSum, SumBy};

use super::{By, money};

/// What the store has to group by for these.
pub(super) fn needed(by: &[By]) -> SumBy {
    let has = |one| by.contains(&one);
    SumBy {
        quarter: has(By::Day) || has(By::Hour),
        product: has(By::Product),
        issuer: has(By::Issuer),
        terminal: has(By::Terminal),
        group: has(By::Group),
    }
}

/// How many, and how much in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) sold: i64,
    pub(super) late: i64,
    pub(super) amount: i64,
    pub(super) price: i64,
    pub(super) face_value: i64,
    pub(super) surplus: i64,
}

impl Sum {
    fn add(&mut self, more: Self) -> anyhow::Result<()> {
        for (sum, more) in [
            (&mut self.sold, more.sold),
            (&mut self.late, more.late),
            (&mut self.amount, more.amount),
            (&mut self.price, more.price),
            (&mut self.face_value, more.face_value),
            (&mut self.surplus, more.surplus),
        ] {
            *sum = sum.checked_add(more).context("a sum is larger than any number here")?;
        }
        Ok(())
    }
}

/// Sums by currency: money of several is not added up.
#[derive(Debug, Default)]
pub(super) struct Totals(BTreeMap<String, Sum>);

impl Totals {
    pub(super) fn add_sale(&mut self, sale: &SaleRow) -> anyhow::Result<()> {
        let sum = Sum {
            sold: 1,
            late: sale.late.into(),
            amount: sale.amount,
            price: sale.price,
            face_value: sale.face_value,
            surplus: sale.surplus,
        };
        self.add(&sale.currency, sum)
    }

    fn add(&mut self, currency: &str, sum: Sum) -> anyhow::Result<()> {
        self.0.entry(currency.to_owned()).or_default().add(sum)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Sum)> {
        self.0.iter().map(|(currency, sum)| (currency.as_str(), sum))
    }

    /// A row per currency, below rows with so many keys; nothing sold is a total too.
    pub(super) fn rows(&self, keys: usize) -> Vec<Vec<Cell>> {
        let row = |currency: Cell, code: &str, sum: &Sum| {
            let mut cells = vec![Cell::Empty; keys];
            cells.push(currency);
            cells.extend(numbers(code, sum));
            cells.push(Cell::Text("total".to_owned()));
            cells
        };
        if self.0.is_empty() {
            return vec![row(Cell::Empty, "", &Sum::default())];
        }
        self.iter()
            .map(|(currency, sum)| row(Cell::Text(currency.to_owned()), currency, sum))
            .collect()
    }
}

/// What a row is about, in the order in which rows are printed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Day(Date),
    /// When it began, its wall clock, and the offset of that.
    Hour(Timestamp, DateTime, Offset),
    Name(Option<String>),
}

/// Sums of a period.
#[derive(Debug)]
pub(super) struct Sums {
    rows: BTreeMap<(Vec<Key>, String), Sum>,
    pub(super) totals: Totals,
}

impl Sums {
    /// Adds up quarters of hours to what was asked for.
    pub(super) fn of(sums: &[SaleSum], by: &[By], zone: &TimeZone) -> anyhow::Result<Self> {
        let mut new = Self {
            rows: BTreeMap::new(),
            totals: Totals::default(),
        };
        for of in sums {
            let keys: anyhow::Result<Vec<Key>> = by.iter().map(|by| key(of, *by, zone)).collect();
            let sum = Sum {
                sold: of.sold,
                late: of.late,
                amount: of.amount,
                price: of.price,
                face_value: of.face_value,
                surplus: of.surplus,
            };
            new.rows.entry((keys?, of.currency.clone())).or_default().add(sum)?;
            new.totals.add(&of.currency, sum)?;
        }
        Ok(new)
    }

    /// The headings: what was asked for, then the numbers. `row` is `group`, or `total` below them.
    pub(super) fn columns(by: &[By]) -> Vec<Column<'static>> {
        let heading = |by: &By| match by {
            By::Product => Column::new("product", 20),
            By::Issuer => Column::new("issuer", 20),
            By::Terminal => Column::new("terminal", 18),
            By::Group => Column::new("group", 18),
            By::Day => Column::new("day", 12),
            By::Hour => Column::new("hour", 20),
        };
        let numbers = [
            Column::new("currency", 9),
            Column::new("sold", 10),
            Column::new("late", 10),
            Column::new("amount", 16),
            Column::new("price", 16),
            Column::new("face_value", 16),
            Column::new("surplus", 14),
            Column::new("row", 8),
        ];
        by.iter().map(heading).chain(numbers).collect()
    }

    pub(super) fn rows(&self, zone: &TimeZone) -> impl Iterator<Item = Vec<Cell>> {
        self.rows.iter().map(|((keys, currency), sum)| {
            let mut cells: Vec<Cell> = keys.iter().map(|key| cell(key, zone)).collect();
            cells.push(Cell::Text(currency.clone()));
            cells.extend(numbers(currency, sum));
            cells.push(Cell::Text("group".to_owned()));
            cells
        })
    }
}

fn numbers(currency: &str, sum: &Sum) -> [Cell; 6] {
    [
        Cell::Count(sum.sold),
        Cell::Count(sum.late),
        money(sum.amount, currency),
        money(sum.price, currency),
        money(sum.face_value, currency),
        money(sum.surplus, currency),
    ]
}

fn key(of: &SaleSum, by: By, zone: &TimeZone) -> anyhow::Result<Key> {
    let quarter = || {
        of.quarter
            .map(|at| at.to_zoned(zone.clone()))
            .ok_or_else(|| anyhow!("a sum without its time"))
    };
    Ok(match by {
        By::Product => Key::Name(of.product.clone()),
        By::Issuer => Key::Name(of.issuer.clone()),
        By::Terminal => Key::Name(of.terminal.clone()),
        By::Group => Key::Name(of.group.clone()),
        By::Day => Key::Day(quarter()?.date()),
        By::Hour => {
            let at = quarter()?;
            let clock = at.date().at(at.hour(), 0, 0, 0);
            // Where clocks jump within an hour its first minutes may not exist; it is named by them all the same.
            Key::Hour(at.offset().to_timestamp(clock)?, clock, at.offset())
        }
    })
}

fn cell(key: &Key, zone: &TimeZone) -> Cell {
    match key {
        Key::Day(day) => Cell::Day(*day),
        Key::Name(name) => Cell::text(name.as_deref()),
        Key::Hour(began, _, offset) => {
            let at = began.to_zoned(zone.clone());
            let named = at.offset() == *offset;
            Cell::Moment(if named {
                at
            } else {
                began.to_zoned(offset.to_time_zone())
            })
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
