//! The payments of a closed range, page by page. What a range holds does not change any more, so every page and every build
//! sees the same, and none needs a snapshot to be held.
//!
//! A page is a COPY of the columns that the register shows, kept as it came over the line: a million payments are read
//! where they lie, and none becomes an object of its own.

use std::fmt::Write as _;
use std::sync::Arc;

use domain::{Currency, Number, PaymentId};
use jiff::Timestamp;
use uuid::Uuid;

use super::Build;
use crate::copied::{Copied, literal};
use crate::{Store, StoreError};

/// What of its payments a register shows besides what all do. Everything more would be read for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Whether [`RegisterRow::fee`] is; else it is 0.
    pub fee: bool,
    /// Whether [`RegisterRow::payment_id`] is; else it is nil.
    pub payment_id: bool,
    /// Whether [`RegisterRow::terminal`] is; else it is empty.
    pub terminal: bool,
    /// The fields of [`RegisterRow::fields`], in their order.
    pub fields: Vec<String>,
}

/// One payment as a register shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterRow<'p> {
    /// What the payee knows it by.
    pub number: Number,
    /// What the terminal knows it by.
    pub payment_id: PaymentId,
    /// When we took it, or when it was delivered, where that is listed.
    pub at: Timestamp,
    /// When the payer paid.
    pub paid_at: Timestamp,
    /// The payer's account, as it came.
    pub account: &'p str,
    /// In minor units.
    pub amount: i64,
    /// What the payer paid on top, in minor units.
    pub fee: i64,
    /// Who took the money.
    pub terminal: &'p str,
    /// Its currency.
    pub currency: Currency,
    /// The number on the payer's receipt, as it came.
    pub receipt_number: Option<&'p str>,
    /// What else the payer entered, as it came.
    pub fields: &'p [Option<&'p str>],
}

/// Where a page ends: the next one begins after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the ledger.
    Position(i64),
    /// In the order of delivery.
    Delivered(Timestamp, i64),
}

/// Payments as they came over the line.
#[derive(Debug)]
pub struct Page {
    rows: Copied,
    shown: Arc<Shown>,
}

impl Page {
    /// How many.
    pub fn count(&self) -> i64 {
        self.rows.count()
    }

    /// How much memory they take.
    pub fn bytes(&self) -> usize {
        self.rows.bytes()
    }

    /// The names of their fields.
    pub fn fields(&self) -> &[String] {
        &self.shown.fields
    }

    /// Where it ends; none when it is empty.
    pub fn end(&self) -> Result<Option<Place>, StoreError> {
        let mut row = self.rows.last();
        if !row.next_row()? {
            return Ok(None);
        }
        let (position, number, at) = (row.int8_or_null()?, row.int8()?, row.moment()?);
        Ok(Some(position.map_or(Place::Delivered(at, number), Place::Position)))
    }

    /// Hands over the payments one by one, in their order.
    pub fn each<E: From<StoreError>>(&self, mut take: impl FnMut(&RegisterRow<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut fields = Vec::with_capacity(self.shown.fields.len());
        let mut currency = None;
        let mut row = self.rows.rows();
        while row.next_row()? {
            row.int8_or_null()?;
            let (number, at, paid_at) = (row.int8()?, row.moment()?, row.moment()?);
            let account = row.text()?;
            let amount = row.int8()?;
            let currency = currency_of(row.text()?, &mut currency)?;
            let receipt_number = row.text_or_null()?;
            let fee = if self.shown.fee { row.int8()? } else { 0 };
            let payment_id = if self.shown.payment_id {
                row.uuid()?
            } else {
                Uuid::nil()
            };
            let terminal = if self.shown.terminal { row.text()? } else { "" };
            fields.clear();
            for _ in &self.shown.fields {
                fields.push(row.text_or_null()?);
            }
            take(&RegisterRow {
                number: Number::new(number).map_err(StoreError::from)?,
                payment_id: PaymentId::from_uuid(payment_id),
                at,
                paid_at,
                account,
                amount,
                fee,
                terminal,
                currency,
                receipt_number,
                fields: &fields,
            })?;
        }
        Ok(())
    }
}

/// Payments of a register are of one currency, or nearly: what was read of the one before holds for the next.
fn currency_of<'p>(code: &'p str, last: &mut Option<(&'p str, Currency)>) -> Result<Currency, StoreError> {
    match last {
        Some((same, currency)) if *same == code => Ok(*currency),
        _ => {
            let currency = Currency::parse(code)?;
            *last = Some((code, currency));
            Ok(currency)
        }
    }
}

/// The next payments of the range after a place (none = from the start), in the order of positions, or of delivery. Fewer
/// than `most` of them are the last.
pub async fn page_after(
    store: &Store,
    build: &Build,
    shown: &Arc<Shown>,
    after: Option<Place>,
    most: i64,
) -> Result<Page, StoreError> {
    let columns = columns(build.delivered.is_some(), shown);
    let from = match build.delivered {
        None => {
            let position = match after {
                Some(Place::Position(position)) => position,
                _ => build.lo - 1,
            };
            // What of a copy is open may be revoked after it was frozen, and is told as it was.
            let as_of = match build.summary.open {
                0 => String::new(),
                _ => format!(" OR updated_at > {}", literal(build.closed_at)),
            };
            format!(
                "series_id = {} AND position > {position} AND position <= {} AND (state <> 'revoked'{as_of}) ORDER BY position",
                build.series_id, build.hi
            )
        }
        Some((from, to)) => {
            let (at, number) = match after {
                Some(Place::Delivered(at, number)) => (at, number),
                _ => (from, 0),
            };
            format!(
                "payee_id = {} AND (delivered_at, number) > ({}, {number}) AND delivered_at < {} ORDER BY delivered_at, number",
                literal(&build.summary.payee),
                literal(at),
                literal(to)
            )
        }
    };
    let sql = format!("SELECT {columns} FROM payment WHERE {from} LIMIT {most}");
    Ok(Page {
        rows: store.copied(&sql).await?,
        shown: shown.clone(),
    })
}

/// In the order in which [`Page::end`] and [`Page::each`] read them.
fn columns(delivered: bool, shown: &Shown) -> String {
    let place = if delivered {
        "NULL::int8, number, delivered_at"
    } else {
        "position, number, accepted_at"
    };
    let mut columns = format!("{place}, paid_at, account, amount, currency, receipt_number");
    for (is_shown, column) in [
        (shown.fee, ", fee"),
        (shown.payment_id, ", payment_id"),
        (shown.terminal, ", terminal_id"),
    ] {
        if is_shown {
            columns.push_str(column);
        }
    }
    for field in &shown.fields {
        // A string takes everything.
        let _ = write!(columns, ", fields ->> {}", literal(field));
    }
    columns
}
