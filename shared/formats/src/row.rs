//! One payment as a register shows it, and what all of them come to.

use std::collections::BTreeMap;
use std::fmt::Debug;

use domain::{Currency, Number, PaymentId};
use jiff::Timestamp;

/// What a payer entered besides the account: a text by the name of its field.
pub trait Entered: Debug {
    /// The text of a field; none where nothing was entered.
    fn entered(&self, field: &str) -> Option<&str>;
}

impl Entered for BTreeMap<String, String> {
    fn entered(&self, field: &str) -> Option<&str> {
        self.get(field).map(String::as_str)
    }
}

/// A payment. Texts are as they came.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// What the payee knows it by.
    pub number: Number,
    /// What the terminal knows it by.
    pub payment_id: PaymentId,
    /// When it was accepted, or delivered where that is listed.
    pub at: Timestamp,
    /// When the payer paid.
    pub paid_at: Timestamp,
    /// The payer's account.
    pub account: &'a str,
    /// What the payee gets, in minor units.
    pub amount: i64,
    /// What the payer paid on top, in minor units.
    pub fee: i64,
    /// ISO 4217.
    pub currency: Currency,
    /// As printed for the payer.
    pub receipt_number: Option<&'a str>,
    /// Who took the money.
    pub terminal: &'a str,
    /// What else the payer entered.
    pub fields: &'a dyn Entered,
}

/// What was written, to be compared with what was frozen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Payments.
    pub count: i64,
    /// What the payee gets, in minor units.
    pub total: i64,
    /// What payers paid on top, in minor units.
    pub fees: i64,
}

impl Tally {
    pub(crate) fn add(&mut self, row: &Row<'_>) {
        self.count += 1;
        // Wrong at worst, and then different from what was frozen; never a panic.
        self.total = self.total.wrapping_add(row.amount);
        self.fees = self.fees.wrapping_add(row.fee);
    }
}
