//! A look at a register before it is built, or at one that was: its first rows, as the file shows them.

use std::sync::Arc;

use formats::Report;
use store::Store;
use store::registers::{self, Build};

use crate::BuildError;
use crate::file::{FileSpec, Rows, shown_by};
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
    let shown = Arc::new(shown_by(&spec.layout));
    let rows = registers::page_after(store, build, &shown, None, most).await?;
    spec.head.count = rows.count();
    spec.head.total = 0;
    Rows::each(&rows, &mut |row| {
        spec.head.total = spec.head.total.wrapping_add(row.amount);
        Ok(())
    })?;
    let mut writer = spec.layout.begin(&spec.head, Vec::new())?;
    Rows::each(&rows, &mut |row| Ok(writer.row(row)?))?;
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
