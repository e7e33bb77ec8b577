//! age: to X25519 keys, ssh keys, or by a passphrase. Binary, not armoured.

use std::io::{self, Write};

use age::stream::StreamWriter;
use age::{Encryptor, Recipient};
use store::artifacts::Finished;

use super::{Out, Place, Stage};
use crate::BuildError;

struct Age {
    out: StreamWriter<Out>,
    place: Place,
}

pub(super) fn begin(place: Place, recipients: &[Box<dyn Recipient + Send>], out: Out) -> Result<Out, BuildError> {
    let recipients = recipients.iter().map(|recipient| &**recipient as &dyn Recipient);
    let encryptor = Encryptor::with_recipients(recipients).map_err(|error| place.error(error))?;
    let out = encryptor.wrap_output(out).map_err(|error| place.error(error))?;
    Ok(Box::new(Age { out, place }))
}

impl Write for Age {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.out.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stage for Age {
    fn finish(self: Box<Self>) -> Result<Finished, BuildError> {
        let out = self.out.finish().map_err(|error| self.place.error(error))?;
        out.finish()
    }
}
