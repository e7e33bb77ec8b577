//! gzip: one member, with the file's name in it where that is plain ASCII.

use std::io::{self, Write};

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use jiff::Zoned;
use store::artifacts::Finished;

use super::{Out, Place, Stage};
use crate::BuildError;

struct Gzip {
    encoder: GzEncoder<Out>,
    place: Place,
}

pub(super) fn begin(place: Place, level: u8, name: &str, dated: &Zoned, out: Out) -> Out {
    // RFC 1952 has names in Latin-1 only.
    let builder = if name.is_ascii() {
        GzBuilder::new().filename(name)
    } else {
        GzBuilder::new()
    };
    let seconds = u32::try_from(dated.timestamp().as_second()).unwrap_or(0);
    let encoder = builder.mtime(seconds).write(out, Compression::new(level.into()));
    Box::new(Gzip { encoder, place })
}

impl Write for Gzip {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.encoder.write(data)
    }

    /// Nothing is pressed worse only to be out earlier.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stage for Gzip {
    fn finish(self: Box<Self>) -> Result<Finished, BuildError> {
        let out = self.encoder.finish().map_err(|error| self.place.error(error))?;
        out.finish()
    }
}
