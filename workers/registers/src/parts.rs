//! Parts: a register whose payee limits the rows or the bytes of a file is several files, `1 of 3`, each with its own count
//! and total. Which payments are in which is worked out before the first is written, from nothing but the rows and the
//! layout, so every build of a register makes the same parts. What sealing adds to a file shows when it is written: where
//! one comes out too large, it is worked out again, with less text to each.

use std::cell::Cell;
use std::io::{self, Write};
use std::rc::Rc;

use formats::{Head, Layout, Row, Tally, Writer};
use jiff::Timestamp;
use store::registers::{Build, Part};
use tokio::sync::mpsc::Receiver;

use crate::BuildError;
use crate::file::FileSpec;
use crate::pack::Page;

/// A register of more parts than this is a mistake in its limits.
const PARTS_MAX: i32 = 9999;
/// More than the fees of any register come to, in minor units.
const FEES_MOST: i64 = 9_007_199_254_740_991;

/// What sealing adds to one file may differ from what it adds to the next by so many bytes: an age file has a line of noise.
const NOISE_BYTES: u64 = 256;

/// What a payee takes in one file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    rows: Option<i64>,
    /// Of a file, before it is compressed and encrypted, and after.
    bytes: Option<u64>,
    /// What of these the text has at most: all, until what sealing adds is known.
    text: Option<u64>,
}

impl Limits {
    /// None where the payee takes files of any size.
    pub(crate) fn of(build: &Build) -> Option<Self> {
        let profile = build.payee.register.as_ref()?;
        // What the payee takes, and what a file of its format holds.
        let held = Layout::of(&build.payee).ok().and_then(|layout| layout.rows_max());
        let rows = profile.max_rows.into_iter().chain(held).min();
        let rows = rows.map(|rows| i64::try_from(rows).unwrap_or(i64::MAX));
        let bytes = profile.max_bytes;
        let limited = bytes.is_some() || rows.is_some_and(|rows| rows < build.summary.count);
        // What holds nothing is one file.
        (limited && build.summary.count > 0).then_some(Self {
            rows,
            bytes,
            text: bytes,
        })
    }

    /// The same with less text to a file, since one of `text` bytes came to `sealed`.
    pub(crate) fn shrunk(self, text: u64, sealed: u64) -> Self {
        let shrunk = self.bytes.map(|most| {
            // What is added grows with the text, as base64 does, or else is the same for any, as keys are.
            let share = u128::from(text) * u128::from(most) / u128::from(sealed.max(1));
            let mut shrunk = u64::try_from(share).unwrap_or(u64::MAX);
            if self.text != self.bytes {
                shrunk = shrunk.min(text.saturating_sub(sealed.saturating_sub(most)));
            }
            shrunk.saturating_sub(NOISE_BYTES)
        });
        Self { text: shrunk, ..self }
    }
}

/// A part before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) part: Part,
    /// When its first payment was accepted, or delivered where that is listed; of its last.
    pub(crate) first_at: Timestamp,
    pub(crate) last_at: Timestamp,
    /// What its text was measured to have, where that is limited.
    pub(crate) text: u64,
    /// What its file may have.
    pub(crate) most: Option<u64>,
}

/// The one part of a register that is not divided.
pub(crate) fn whole(build: &Build) -> Planned {
    let about = &build.summary;
    Planned {
        part: Part {
            part: 1,
            parts: 1,
            count: about.count,
            total: about.total,
        },
        first_at: about.first_accepted_at,
        last_at: about.last_accepted_at,
        text: 0,
        most: None,
    }
}

/// A part that says as much about itself as any could: what is measured with it is not larger when it is written.
pub(crate) fn widest(build: &Build) -> Planned {
    let mut widest = whole(build);
    widest.part.part = PARTS_MAX;
    widest.part.parts = PARTS_MAX;
    widest
}

/// Divides the rows.
pub(crate) fn plan(spec: &FileSpec, limits: Limits, mut pages: Receiver<Page>) -> Result<Vec<Planned>, BuildError> {
    let mut scale = limits.bytes.map(|_| Scale::of(spec)).transpose()?;
    let own = scale.as_ref().map_or(0, |scale| scale.own);
    let mut plan: Vec<Planned> = Vec::new();
    loop {
        let rows = match pages.blocking_recv() {
            Some(Page::Rows(rows)) => rows,
            Some(Page::End) => break,
            None => return Err(BuildError::BrokenOff),
        };
        rows.each(&mut |row| {
            let width = scale.as_mut().map_or(Ok(0), |scale| scale.width(row))?;
            let is_full = |part: &Planned| {
                limits.rows.is_some_and(|most| part.part.count >= most)
                    || limits.text.is_some_and(|most| part.text + width > most)
            };
            match plan.last_mut() {
                Some(part) if !is_full(part) => take(part, row, width),
                _ => {
                    // However little text a file gets, it has one payment.
                    let bytes = own + width;
                    if let Some(most) = limits.bytes.filter(|most| bytes > *most) {
                        return Err(BuildError::RowTooLarge { bytes, most });
                    }
                    plan.push(Planned {
                        text: bytes,
                        most: limits.bytes,
                        ..begun(row, plan.len())?
                    });
                }
            }
            Ok(())
        })?;
    }
    // At most PARTS_MAX.
    let parts = i32::try_from(plan.len()).unwrap_or(PARTS_MAX);
    plan.iter_mut().for_each(|planned| planned.part.parts = parts);
    Ok(plan)
}

fn begun(row: &Row<'_>, before: usize) -> Result<Planned, BuildError> {
    let part = i32::try_from(before + 1).ok().filter(|part| *part <= PARTS_MAX);
    let part = part.ok_or(BuildError::TooManyParts(PARTS_MAX))?;
    Ok(Planned {
        part: Part {
            part,
            parts: 0,
            count: 1,
            total: row.amount,
        },
        first_at: row.at,
        last_at: row.at,
        text: 0,
        most: None,
    })
}

fn take(part: &mut Planned, row: &Row<'_>, width: u64) {
    part.text += width;
    part.part.count += 1;
    part.part.total = part.part.total.wrapping_add(row.amount);
    part.last_at = row.at;
}

/// Measures rows: a register that is written to nowhere.
struct Scale<'s> {
    counted: Counted,
    register: Writer<'s, Counted>,
    /// What is not rows.
    own: u64,
}

impl<'s> Scale<'s> {
    fn of(spec: &'s FileSpec) -> Result<Self, BuildError> {
        let empty = Counted::default();
        // No part says more of itself than the whole register would, in its header and in its trailer.
        let Head { count, total, .. } = spec.head;
        let most = Tally {
            count,
            total,
            fees: FEES_MOST,
        };
        spec.layout.begin(&spec.head, empty.clone())?.finish_as(most)?;
        let counted = Counted::default();
        let register = spec.layout.begin(&spec.head, counted.clone())?;
        Ok(Self {
            own: empty.bytes(),
            counted,
            register,
        })
    }

    fn width(&mut self, row: &Row<'_>) -> Result<u64, BuildError> {
        let before = self.counted.bytes();
        self.register.row(row)?;
        Ok(self.counted.bytes() - before)
    }
}

/// Counts what is written and keeps nothing.
#[derive(Clone, Debug, Default)]
struct Counted(Rc<Cell<u64>>);

impl Counted {
    fn bytes(&self) -> u64 {
        self.0.get()
    }
}

impl Write for Counted {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.set(self.0.get() + data.len() as u64);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
