//! Rows to file: text, archive, encryption, chunks, one into the other and all in bounded memory. Runs where blocking is
//! allowed. What is to be encrypted exists in the clear in this process's memory only.

use std::cell::Cell;
use std::io::{self, Cursor, Seek, SeekFrom, Write};
use std::rc::Rc;

use age::stream::StreamWriter;
use age::{Encryptor, Recipient};
use bytes::Bytes;
use formats::Written;
use store::artifacts::Finished;
use store::registers::RegisterRow;
use tokio::sync::mpsc::{Receiver, Sender};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::BuildError;
use crate::beside::Beside;
use crate::chunks::ChunkWriter;
use crate::file::{FileSpec, row_of};

/// Rows on their way into the file. Without an `End` the file is never finished: a reader that broke off is not a short
/// register.
pub(crate) enum Page {
    Rows(Vec<RegisterRow>),
    End,
}

/// How an archive is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Archive {
    /// Held in memory until its sizes are known, so that its header can tell them: the oldest readers need that. Given
    /// up when it takes more than so many bytes.
    Held(usize),
    /// Too large to hold: the sizes follow the data, which readers of the last thirty years understand.
    Streamed,
}

/// Writes the file of `spec` from `pages` into `chunks`.
pub(crate) fn pack(
    spec: &FileSpec,
    archive: Archive,
    mut pages: Receiver<Page>,
    chunks: Sender<Bytes>,
) -> Result<(Written, Finished), BuildError> {
    let out = Sealed::begin(spec, ChunkWriter::new(chunks))?;
    let (out, written) = match (spec.zip, archive) {
        (false, _) => write_rows(spec, &mut pages, out)?,
        (true, Archive::Held(most)) => {
            let (held, written) = hold_archive(spec, &mut pages, most)?;
            let mut out = out;
            out.write_all(&held).map_err(BuildError::Write)?;
            (out, written)
        }
        (true, Archive::Streamed) => {
            let mut zip = ZipWriter::new_stream(out);
            zip.start_file(&*spec.inner_name, options(spec))?;
            let (beside, written) = write_rows(spec, &mut pages, Beside::new(zip))?;
            let zip = beside.finish().map_err(BuildError::Write)?;
            (zip.finish()?.into_inner(), written)
        }
    };
    let finished = out.finish().and_then(ChunkWriter::finish).map_err(BuildError::Write)?;
    Ok((written, finished))
}

fn write_rows<W: Write>(spec: &FileSpec, pages: &mut Receiver<Page>, out: W) -> Result<(W, Written), BuildError> {
    let mut register = spec.layout.begin(&spec.head, out)?;
    loop {
        match pages.blocking_recv() {
            Some(Page::Rows(rows)) => rows.iter().try_for_each(|row| register.row(&row_of(row)))?,
            Some(Page::End) => return Ok(register.finish()?),
            None => return Err(BuildError::BrokenOff),
        }
    }
}

/// An archive of one deflated file and nothing exotic: PKZIP 2.04g opens it.
fn options(spec: &FileSpec) -> SimpleFileOptions {
    let local = spec.dated.to_zoned(spec.zone.clone()).datetime();
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::try_from(local).unwrap_or_default())
        .unix_permissions(0o644)
}

fn hold_archive(spec: &FileSpec, pages: &mut Receiver<Page>, most: usize) -> Result<(Vec<u8>, Written), BuildError> {
    let overflowed = Rc::new(Cell::new(false));
    let held = Held {
        bytes: Cursor::new(Vec::new()),
        most,
        overflowed: overflowed.clone(),
    };
    let archived = (|| {
        let mut zip = ZipWriter::new(held);
        zip.start_file(&*spec.inner_name, options(spec))?;
        let (zip, written) = write_rows(spec, pages, zip)?;
        Ok((zip.finish()?.bytes.into_inner(), written))
    })();
    if overflowed.get() {
        Err(BuildError::TooLargeToHold)
    } else {
        archived
    }
}

/// Memory for an archive, up to a limit.
struct Held {
    bytes: Cursor<Vec<u8>>,
    most: usize,
    /// Set when the limit was met: the error itself is wrapped by everything it passes through.
    overflowed: Rc<Cell<bool>>,
}

impl Write for Held {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.overflowed.get() {
            // What the archive's own drop still wants to write is not wanted any more.
            return Ok(data.len());
        }
        if self.bytes.get_ref().len() + data.len() > self.most {
            self.overflowed.set(true);
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Held {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(to)
    }
}

/// The way out: encrypted, if anybody is named who may read it.
enum Sealed {
    Plain(ChunkWriter),
    Age(Box<StreamWriter<ChunkWriter>>),
}

impl Sealed {
    fn begin(spec: &FileSpec, out: ChunkWriter) -> Result<Self, BuildError> {
        if spec.recipients.is_empty() {
            return Ok(Self::Plain(out));
        }
        let recipients = spec.recipients.iter().map(|recipient| recipient as &dyn Recipient);
        let encryptor = Encryptor::with_recipients(recipients)?;
        Ok(Self::Age(Box::new(
            encryptor.wrap_output(out).map_err(BuildError::Write)?,
        )))
    }

    fn finish(self) -> io::Result<ChunkWriter> {
        match self {
            Self::Plain(out) => Ok(out),
            Self::Age(out) => out.finish(),
        }
    }
}

impl Write for Sealed {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(out) => out.write(data),
            Self::Age(out) => out.write(data),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(out) => out.flush(),
            Self::Age(out) => out.flush(),
        }
    }
}

#[cfg(test)]
mod tests;
