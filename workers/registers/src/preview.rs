//! A look at a register before it is built, or at one that was: its first rows, as the file shows them.

use formats::Report;
use store::Store;
use store::registers::{self, Build};

use crate::BuildError;
use crate::file::{FileSpec, row_of};
use crate::parts;

/// A file of the first rows.
#[derive(Debug)]
pub struct Preview {
    /// What the whole file is called, before it is packed and sealed.
    pub name: String,
    /// The file.
    pub bytes: Vec<u8>,
    /// The same as people read it, where it is text.
    pub text: Option<String>,
    /// What it shows otherwise than it came.
    pub report: Report,
    /// Payments in it.
    pub shown: i64,
    /// Payments of the register.
    pub of: i64,
}

/// Renders at most `most` payments of a register, or of what is open, as [`registers::look_at`] and
/// [`registers::look_at_open`] find them. Count and total are those of what is shown.
pub async fn preview(store: &Store, build: &Build, most: i64) -> Result<Preview, BuildError> {
    let mut spec = FileSpec::of(build, &parts::whole(build))?;
    let rows = registers::page_after(store, build, None, most).await?.rows()?;
    spec.head.count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    spec.head.total = rows.iter().map(|row| row.amount).sum();
    let mut writer = spec.layout.begin(&spec.head, Vec::new())?;
    rows.iter().try_for_each(|row| writer.row(&row_of(row)))?;
    let (bytes, written) = writer.finish()?;
    Ok(Preview {
        name: spec.inner_name,
        text: spec.layout.shown(&bytes),
        bytes,
        report: written.report,
        shown: written.tally.count,
        of: build.summary.count,
    })
}
