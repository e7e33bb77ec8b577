//! The default register: UTF-8, `;`, CRLF, a header, no trailer; amounts with a point and the currency's digits; times in
//! the payee's time zone.

use std::io::Write;

use csv::{Terminator, WriterBuilder};
use domain::money::format_minor;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use store::registers::RegisterRow;

use crate::file::FileSpec;
use crate::{BuildError, clean};

const HEADER: [&str; 5] = ["paid_at", "account", "amount", "currency", "receipt_number"];

/// What was written, to be compared with what was frozen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) count: i64,
    pub(crate) total: i64,
}

/// Writes rows as they come.
pub(crate) struct CsvRegister<'a, W: Write> {
    out: csv::Writer<W>,
    spec: &'a FileSpec,
    tally: Tally,
}

impl<'a, W: Write> CsvRegister<'a, W> {
    pub(crate) fn begin(spec: &'a FileSpec, out: W) -> Result<Self, BuildError> {
        let mut out = WriterBuilder::new()
            .delimiter(b';')
            .terminator(Terminator::CRLF)
            .from_writer(out);
        let at = if spec.delivered { "delivered_at" } else { "accepted_at" };
        let own = ["number", at].into_iter().chain(HEADER);
        out.write_record(own.chain(spec.fields.iter().map(String::as_str)))?;
        Ok(Self {
            out,
            spec,
            tally: Tally::default(),
        })
    }

    pub(crate) fn add(&mut self, row: &RegisterRow) -> Result<(), BuildError> {
        let out = &mut self.out;
        out.write_field(row.number.to_string())?;
        out.write_field(local(row.at, &self.spec.zone))?;
        out.write_field(local(row.paid_at, &self.spec.zone))?;
        out.write_field(&*clean::text(&row.account))?;
        out.write_field(format_minor(row.amount, row.currency))?;
        out.write_field(row.currency.code())?;
        out.write_field(&*clean::text(row.receipt_number.as_deref().unwrap_or_default()))?;
        for field in &self.spec.fields {
            out.write_field(&*clean::text(
                row.fields.get(field).map(String::as_str).unwrap_or_default(),
            ))?;
        }
        out.write_record(None::<&[u8]>)?;
        self.tally.count += 1;
        // Wrong at worst, and then different from what was frozen; never a panic.
        self.tally.total = self.tally.total.wrapping_add(row.amount);
        Ok(())
    }

    /// Hands everything over to what it writes into.
    pub(crate) fn flush(&mut self) -> Result<(), BuildError> {
        self.out.flush().map_err(BuildError::Write)
    }

    pub(crate) fn finish(self) -> Result<(W, Tally), BuildError> {
        let out = self
            .out
            .into_inner()
            .map_err(|error| BuildError::Write(error.into_error()))?;
        Ok((out, self.tally))
    }
}

/// RFC 3339 to the second, with the zone's offset at that moment.
fn local(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}
