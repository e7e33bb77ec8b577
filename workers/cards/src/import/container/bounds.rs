//! Readers that say where it went wrong, and that stop what unpacks to too much.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};

/// An error that already says what and where, so that outer layers add nothing.
#[derive(Debug)]
struct Told(String);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Told {}

/// What to tell of a failed read: the innermost layer's own words where it has any.
pub(in super::super) fn told(error: &io::Error) -> String {
    let mut source: Option<&(dyn std::error::Error + 'static)> = error.get_ref().map(|inner| inner as _);
    while let Some(inner) = source {
        if let Some(Told(what)) = inner.downcast_ref() {
            return what.clone();
        }
        source = inner.source();
    }
    error.to_string()
}

fn already_told(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Told>())
}

/// A layer whose failures are told under its name, with the place.
pub(super) struct Named<R> {
    what: String,
    inner: R,
    position: u64,
}

impl<R> Named<R> {
    pub(super) fn new(what: impl Into<String>, inner: R) -> Self {
        Self {
            what: what.into(),
            inner,
            position: 0,
        }
    }

    fn told(&self, error: io::Error) -> io::Error {
        if already_told(&error) || error.kind() == io::ErrorKind::Interrupted {
            return error;
        }
        let what = format!(
            "{} is damaged or cut off after {} bytes of what is in it: {}",
            self.what,
            self.position,
            told(&error)
        );
        io::Error::new(error.kind(), Told(what))
    }
}

impl<R: Read> Read for Named<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buffer) {
            Ok(read) => {
                self.position += read as u64;
                Ok(read)
            }
            Err(error) => Err(self.told(error)),
        }
    }
}

impl<R: Seek> Seek for Named<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self.inner.seek(to) {
            Ok(position) => {
                self.position = position;
                Ok(position)
            }
            Err(error) => Err(self.told(error)),
        }
    }
}

/// A layer that may unpack to so many bytes and no more.
pub(super) struct Bounded<R> {
    inner: R,
    left: u64,
    most: u64,
    what: String,
}

impl<R> Bounded<R> {
    pub(super) fn new(what: impl Into<String>, inner: R, most: u64) -> Self {
        Self {
            inner,
            left: most,
            most,
            what: what.into(),
        }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        match self.left.checked_sub(read as u64) {
            Some(left) => {
                self.left = left;
                Ok(read)
            }
            None => Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                Told(format!(
                    "{} unpacks to more than {} bytes, too much for what it is packed in",
                    self.what, self.most
                )),
            )),
        }
    }
}

impl<R> fmt::Debug for Named<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Named(…)")
    }
}
