//! A file as it lies where somebody else may write: a link to what never ends, a pipe that nobody writes into, another file than
//! the one that was looked at. What is read is held against what is open, and nothing is waited for by opening it.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::{CHANGED, Stamp, Wrong};

/// The largest file that is read, in bytes.
const BYTES_MAX: u64 = 256 * 1024 * 1024;

impl Stamp {
    /// An error: it is no plain file.
    pub(super) fn of(found: &Metadata) -> io::Result<Self> {
        if !found.is_file() {
            return Err(io::Error::other("is no plain file"));
        }
        Ok(Self {
            modified: found.modified()?,
            bytes: found.len(),
        })
    }
}

/// Reads the file that looked like this, whole.
pub(super) fn read(path: &Path, stamp: Stamp) -> Result<Vec<u8>, Wrong> {
    let passing = |error: io::Error| Wrong::Passing(error.to_string());
    if stamp.bytes > BYTES_MAX {
        return Err(Wrong::File("is larger than 256 MiB".to_owned()));
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| passing(error.into()))?;
    let file = File::from(file);
    let is_same = Stamp::of(&file.metadata().map_err(passing)?).map_err(passing)? == stamp;
    let mut bytes = Vec::new();
    file.take(stamp.bytes + 1).read_to_end(&mut bytes).map_err(passing)?;
    if !is_same || bytes.len() as u64 != stamp.bytes {
        return Err(Wrong::Passing(CHANGED.to_owned()));
    }
    Ok(bytes)
}
