//! A register of one plain payment, written to nowhere: what is wrong with a layout shows when it is declared, and not in
//! the night.

use std::collections::BTreeMap;

use domain::declaration::Payee;
use domain::{Number, PaymentId};
use jiff::Timestamp;

use crate::{FormatError, Head, Layout, Row};

mod names;

impl Layout {
    /// Tries the layout of a payee's registers, and what the files of all its series are called; a payee without has
    /// nothing to try.
    pub fn try_out(payee: &Payee) -> Result<(), FormatError> {
        let Some(profile) = &payee.register else {
            return Ok(());
        };
        let layout = Self::of(payee)?;
        let at = Timestamp::UNIX_EPOCH;
        let head = Head {
            series: "main".to_owned(),
            sequence: 1,
            of_day: 1,
            of_year: 1,
            part: (1, 1),
            count: 1,
            total: 1,
            currency: payee.currency,
            is_copy: false,
            open: 0,
            first_at: at,
            last_at: at,
            cutoff: at,
        };
        let entered = layout.fields.iter().map(|field| (field.clone(), "1".to_owned()));
        let fields: BTreeMap<String, String> = entered.collect();
        let row = Row {
            number: Number::new(1).map_err(|_| FormatError::NoProfile)?,
            payment_id: PaymentId::random(),
            at,
            paid_at: at,
            account: "1",
            amount: 1,
            fee: 0,
            currency: payee.currency,
            receipt_number: Some("1"),
            terminal: "1",
            fields: &fields,
        };
        names::try_names(payee, profile)?;
        let mut writer = layout.begin(&head, std::io::sink())?;
        writer.row(&row)?;
        writer.finish().map(drop)
    }
}
