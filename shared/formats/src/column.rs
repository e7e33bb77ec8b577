//! What stands in a column of a row: a typed cell, and how text formats write it.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};

use domain::declaration::{Align, ColumnProfile, DecimalMark, Fact, Formulas, Zone};
use domain::money::append_minor;
use domain::{Number, PaymentId, moment};
use jiff::Timestamp;

use crate::head::Head;
use crate::layout::{Layout, PayeeFacts};
use crate::row::Row;
use crate::{FormatError, Spot, clean};

/// A column of a layout.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) fact: Option<Fact>,
    pub(crate) constant: String,
    pub(crate) width: Option<usize>,
    pub(crate) align: Option<Align>,
}

/// What stands in one cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cell<'a> {
    Empty,
    /// What a payer wrote.
    Hostile(&'a str),
    /// What is ours or the operator's.
    Own(&'a str),
    Number(Number),
    Id(PaymentId),
    Count(i64),
    Money(i64),
    Day(Timestamp),
    Time(Timestamp),
    Moment(Timestamp),
}

/// How text formats write cells.
#[derive(Debug, Clone)]
pub(crate) struct Style {
    pub(crate) formulas: Formulas,
    pub(crate) decimal: DecimalMark,
    pub(crate) date: String,
    pub(crate) time: String,
    pub(crate) moment: String,
    pub(crate) zone: Zone,
}

impl Column {
    pub(crate) fn of(profile: &ColumnProfile, default_name: Option<&str>) -> Self {
        let own = profile.name.as_deref().or(default_name);
        let name = own.or(profile.value.as_ref().map(Fact::word)).unwrap_or_default();
        Self {
            name: name.to_owned(),
            fact: profile.value.clone(),
            constant: profile.constant.clone().unwrap_or_default(),
            width: profile.width.map(usize::from),
            align: profile.align,
        }
    }

    pub(crate) fn plain(fact: Fact, name: &str) -> Self {
        let profile = ColumnProfile {
            value: Some(fact),
            ..ColumnProfile::default()
        };
        Self::of(&profile, Some(name))
    }

    /// What stands in this column of the row.
    pub(crate) fn cell<'a>(&'a self, layout: &'a Layout, head: &Head, row: &Row<'a>, line: i64) -> Cell<'a> {
        let Some(fact) = &self.fact else {
            return match self.constant.as_str() {
                "" => Cell::Empty,
                constant => Cell::Own(constant),
            };
        };
        let PayeeFacts {
            id, name, requisites, ..
        } = &layout.payee;
        let own = |text: &'a str| {
            if text.is_empty() { Cell::Empty } else { Cell::Own(text) }
        };
        let optional = |text: &'a Option<String>| own(text.as_deref().unwrap_or_default());
        let hostile = |text: Option<&'a str>| match text {
            None | Some("") => Cell::Empty,
            Some(text) => Cell::Hostile(text),
        };
        match fact {
            Fact::Number => Cell::Number(row.number),
            Fact::PaymentId => Cell::Id(row.payment_id),
            Fact::AcceptedAt => Cell::Moment(row.at),
            Fact::AcceptedDate => Cell::Day(row.at),
            Fact::AcceptedTime => Cell::Time(row.at),
            Fact::PaidAt => Cell::Moment(row.paid_at),
            Fact::PaidDate => Cell::Day(row.paid_at),
            Fact::PaidTime => Cell::Time(row.paid_at),
            Fact::Account => hostile(Some(row.account)),
            Fact::Amount => Cell::Money(row.amount),
            Fact::Fee => Cell::Money(row.fee),
            Fact::Paid => Cell::Money(row.amount.wrapping_add(row.fee)),
            Fact::Currency => Cell::Own(row.currency.code()),
            Fact::ReceiptNumber => hostile(row.receipt_number),
            Fact::Terminal => own(row.terminal),
            Fact::Line => Cell::Count(line),
            Fact::Payee => own(id),
            Fact::PayeeName => own(name),
            Fact::Inn => optional(&requisites.inn),
            Fact::Kpp => optional(&requisites.kpp),
            Fact::SettlementAccount => optional(&requisites.account),
            Fact::Bik => optional(&requisites.bik),
            Fact::Sequence => Cell::Count(head.sequence.into()),
            Fact::Field(field) => hostile(row.fields.entered(field)),
        }
    }

    /// Whether what stands here may be cut where it is too long: never what a payment is recognised or counted by.
    pub(crate) fn may_be_cut(&self) -> bool {
        matches!(
            self.fact,
            Some(Fact::Field(_) | Fact::ReceiptNumber | Fact::PayeeName | Fact::Terminal)
        )
    }

    pub(crate) fn spot(&self, row: &Row<'_>) -> Spot {
        Spot {
            number: Some(row.number),
            column: self.name.clone(),
        }
    }

    pub(crate) fn too_long(&self, row: &Row<'_>, width: usize) -> FormatError {
        FormatError::TooLong {
            place: self.spot(row),
            width,
        }
    }
}

/// What writes the texts of one column, row after row, in one place. Payments follow each other by the hundred within a
/// second: a moment that stands there already is not written again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pen {
    text: String,
    /// The moment that stands there, as far as its pattern shows it.
    moment: Option<Timestamp>,
}

impl Pen {
    /// One for every column.
    pub(crate) fn of(columns: &[Column]) -> Vec<Self> {
        vec![Self::default(); columns.len()]
    }

    fn anew(&mut self, write: impl FnOnce(&mut String)) -> &str {
        self.text.clear();
        self.moment = None;
        write(&mut self.text);
        &self.text
    }

    fn show(&mut self, shown: impl Display) -> &str {
        // A string takes everything.
        self.anew(|text| {
            let _ = write!(text, "{shown}");
        })
    }

    fn moment(&mut self, at: Timestamp, pattern: &str, style: &Style) -> &str {
        let fractions = pattern.contains(['f', 'N']);
        let told = Timestamp::from_second(at.as_second())
            .ok()
            .filter(|_| !fractions)
            .unwrap_or(at);
        if self.moment != Some(told) {
            self.text = style.at(at, pattern);
            self.moment = Some(told);
        }
        &self.text
    }
}

impl Style {
    /// A cell as text, written with the pen of its column where it is no text yet.
    pub(crate) fn text<'a>(&self, cell: Cell<'a>, row: &Row<'_>, pen: &'a mut Pen) -> &'a str {
        match cell {
            Cell::Empty => "",
            Cell::Own(text) => text,
            Cell::Hostile(raw) => match clean::text(raw, self.formulas) {
                Cow::Borrowed(text) => text,
                Cow::Owned(text) => pen.anew(|own| *own = text),
            },
            Cell::Number(number) => pen.show(number),
            Cell::Id(id) => pen.show(id),
            Cell::Count(count) => pen.show(count),
            Cell::Money(minor) => pen.anew(|text| append_minor(text, minor, row.currency, self.mark())),
            Cell::Day(at) => pen.moment(at, &self.date, self),
            Cell::Time(at) => pen.moment(at, &self.time, self),
            Cell::Moment(at) => pen.moment(at, &self.moment, self),
        }
    }

    fn mark(&self) -> char {
        match self.decimal {
            DecimalMark::Point => '.',
            DecimalMark::Comma => ',',
        }
    }

    /// An amount without its currency.
    pub(crate) fn money(&self, minor: i64, currency: domain::Currency) -> String {
        let mut text = String::new();
        append_minor(&mut text, minor, currency, self.mark());
        text
    }

    /// A moment as a clock on the payee's wall shows it. The pattern was tried when it was declared.
    pub(crate) fn at(&self, at: Timestamp, pattern: &str) -> String {
        match pattern {
            moment::PATTERN => moment::rfc3339(at, self.zone.tz()),
            other => at.to_zoned(self.zone.tz().clone()).strftime(other).to_string(),
        }
    }
}
