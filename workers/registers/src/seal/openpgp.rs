//! OpenPGP: an encrypted message to the payee's public keys.

use std::io::{self, Write};

use domain::declaration::key_file;
use openpgp::{Encrypting, PublicKey};
use store::artifacts::Finished;

use super::{Out, Place, Stage};
use crate::BuildError;

/// Reads a public key, armoured or from the file that is named.
pub(super) fn key(text: &str) -> Result<PublicKey, String> {
    match key_file(text) {
        Some(path) => PublicKey::read(&runtime::declared::read(path)?),
        None => PublicKey::read(text.as_bytes()),
    }
}

struct OpenPgp {
    message: Encrypting<Out>,
    place: Place,
}

pub(super) fn begin(place: Place, keys: Vec<PublicKey>, out: Out) -> Result<Out, BuildError> {
    match Encrypting::begin(keys, out) {
        Ok(message) => Ok(Box::new(OpenPgp { message, place })),
        Err(error) => Err(place.error(error)),
    }
}

impl Write for OpenPgp {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.message.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.message.flush()
    }
}

impl Stage for OpenPgp {
    fn finish(self: Box<Self>) -> Result<Finished, BuildError> {
        let Self { message, place } = *self;
        match message.finish() {
            Ok(out) => out.finish(),
            Err(error) => Err(place.error(error)),
        }
    }
}
