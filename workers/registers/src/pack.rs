//! Rows to file: text, then the stages that seal it, then chunks, one into the other and all in bounded memory. Runs where
//! blocking is allowed.

use std::io::{BufWriter, Write};

use bytes::Bytes;
use formats::Written;
use store::artifacts::Finished;
use tokio::sync::mpsc::{Receiver, Sender};

use crate::BuildError;
use crate::beside::Beside;
use crate::chunks::ChunkWriter;
use crate::file::{FileSpec, Rows};
use crate::seal::{Prepared, Trouble, Wrapping};

/// Text goes into the stages in blocks of so many bytes.
const BUFFER_BYTES: usize = 64 * 1024;
/// Of a file of more payments, text is made on one thread and sealed on another.
const BESIDE_ROWS: i64 = 20_000;
/// A file of more payments is large without a look at how long they are.
const LARGE_ROWS: i64 = 200_000;

/// Rows on their way into the file. Without an `End` the file is never finished: a reader that broke off is not a short
/// register.
pub(crate) enum Page {
    Rows(Box<dyn Rows>),
    End,
}

/// Writes the file of `spec`, whose stages are prepared, from `pages` into `chunks`.
pub(crate) fn pack(
    spec: &FileSpec,
    prepared: Vec<Prepared>,
    mut pages: Receiver<Page>,
    chunks: Sender<Bytes>,
) -> Result<(Written, Finished), BuildError> {
    let trouble = Trouble::default();
    let wrapping = Wrapping {
        stages: &spec.stages,
        inner_name: &spec.inner_name,
        dated: &spec.dated,
        is_large: spec.head.count > LARGE_ROWS,
    };
    let begun = wrapping.begin(prepared, ChunkWriter::new(chunks), &trouble);
    let packed = begun.and_then(|out| {
        let (out, written) = if spec.head.count > BESIDE_ROWS {
            let (beside, written) = write_rows(spec, &mut pages, Beside::new(out))?;
            (beside.finish().map_err(BuildError::Write)?, written)
        } else {
            let (out, written) = write_rows(spec, &mut pages, BufWriter::with_capacity(BUFFER_BYTES, out))?;
            let out = out.into_inner().map_err(|error| BuildError::Write(error.into_error()));
            (out?, written)
        };
        Ok((written, out.finish()?))
    });
    packed.map_err(|error| trouble.or(error))
}

fn write_rows<W: Write>(spec: &FileSpec, pages: &mut Receiver<Page>, out: W) -> Result<(W, Written), BuildError> {
    let mut register = spec.layout.begin(&spec.head, out)?;
    loop {
        match pages.blocking_recv() {
            Some(Page::Rows(rows)) => rows.each(&mut |row| Ok(register.row(row)?))?,
            Some(Page::End) => return Ok(register.finish()?),
            None => return Err(BuildError::BrokenOff),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
