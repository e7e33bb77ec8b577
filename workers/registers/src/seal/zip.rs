//! A ZIP archive of one file: deflated, and nothing exotic. Small ones tell their sizes in the header, which the oldest
//! readers need (PKZIP 2.04g opens them); in large ones the sizes follow the data, which readers of the last thirty years
//! understand. With a password it is WinZip's AES-256, which needs a reader that knows that.

use std::io::{self, Cursor, Write};

use secrecy::{ExposeSecret, SecretString};
use store::artifacts::Finished;
use zip::write::{FileOptions, SimpleFileOptions, StreamWriter};
use zip::{AesMode, CompressionMethod, DateTime, ZipWriter};

use super::{Out, Place, Stage, Wrapping};
use crate::BuildError;

/// Up to so many bytes of text are held until their sizes are known.
const HELD_BYTES_MAX: usize = 8 * 1024 * 1024;

struct Zip {
    entry: Entry,
    state: State,
    place: Place,
}

/// The file in the archive.
struct Entry {
    name: String,
    dated: DateTime,
    level: u8,
    password: Option<SecretString>,
}

enum State {
    Held(Vec<u8>, Out),
    Streamed(Box<ZipWriter<StreamWriter<Tail>>>),
    /// Between the two, or after the archive could not be begun.
    Broken,
}

pub(super) fn begin(
    place: Place,
    level: u8,
    password: Option<SecretString>,
    name: &str,
    of: &Wrapping<'_>,
    out: Out,
) -> Result<Out, BuildError> {
    let mut zip = Zip {
        entry: Entry {
            name: name.to_owned(),
            dated: DateTime::try_from(of.dated.datetime()).unwrap_or_default(),
            level,
            password,
        },
        state: State::Held(Vec::new(), out),
        place,
    };
    if of.is_large {
        zip.stream()?;
    }
    Ok(Box::new(zip))
}

impl Entry {
    fn options(&self) -> FileOptions<'_, '_, ()> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(self.level.into()))
            .last_modified_time(self.dated)
            .unix_permissions(0o644);
        match &self.password {
            Some(password) => options.with_aes_encryption(AesMode::Aes256, password.expose_secret()),
            None => options,
        }
    }
}

impl Zip {
    /// There is too much to hold: what is held goes first, the rest follows as it comes.
    fn stream(&mut self) -> Result<(), BuildError> {
        let State::Held(held, out) = std::mem::replace(&mut self.state, State::Broken) else {
            return Ok(());
        };
        let mut archive = ZipWriter::new_stream(Tail { out, failed: false });
        let begun = archive.start_file(&*self.entry.name, self.entry.options());
        begun.map_err(|error| self.place.error(error))?;
        archive.write_all(&held).map_err(|error| self.place.error(error))?;
        self.state = State::Streamed(Box::new(archive));
        Ok(())
    }
}

impl Write for Zip {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if let State::Held(held, _) = &mut self.state {
            if held.len() + data.len() <= HELD_BYTES_MAX {
                held.extend_from_slice(data);
                return Ok(data.len());
            }
            self.stream().map_err(|error| self.place.trouble.keep(error))?;
        }
        match &mut self.state {
            State::Streamed(archive) => archive.write(data),
            State::Held(..) | State::Broken => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stage for Zip {
    fn finish(self: Box<Self>) -> Result<Finished, BuildError> {
        let Self { entry, state, place } = *self;
        match state {
            State::Held(held, mut out) => {
                let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
                let begun = archive.start_file(&*entry.name, entry.options());
                begun.map_err(|error| place.error(error))?;
                archive.write_all(&held).map_err(|error| place.error(error))?;
                drop(held);
                let archive = archive.finish().map_err(|error| place.error(error))?;
                out.write_all(archive.get_ref()).map_err(BuildError::Write)?;
                out.finish()
            }
            State::Streamed(archive) => {
                let tail = archive.finish().map_err(|error| place.error(error))?.into_inner();
                tail.out.finish()
            }
            State::Broken => Err(place.error("the archive could not be begun")),
        }
    }
}

/// What is behind a streamed archive. The archive's drop still wants to write: nobody wants that of one that failed.
struct Tail {
    out: Out,
    failed: bool,
}

impl Write for Tail {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.failed {
            return Ok(data.len());
        }
        self.out.write(data).inspect_err(|_| self.failed = true)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
