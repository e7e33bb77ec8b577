//! Who can open an answer, and the answer sealed to them.

use std::io::{self, Write};

use age::stream::StreamWriter;
use age::x25519::Recipient;
use openpgp::{Encrypting, PublicKey};
use store::StoreError;
use store::disclosures::Claimed;

use crate::vault::{VaultError, recipient};

/// Who can open an answer.
pub(super) enum Readers {
    /// Each of these.
    Age(Vec<Recipient>),
    /// Each of these, as an OpenPGP message.
    OpenPgp(Vec<PublicKey>),
}

/// An answer on its way through a seal.
pub(super) enum Sealed<W: Write> {
    Age(StreamWriter<W>),
    OpenPgp(Encrypting<W>),
}

impl Readers {
    /// Those that were asked for. A key that is not the one it is named as is refused: the audit log has only the name.
    pub(super) fn of(claimed: &Claimed) -> Result<Self, StoreError> {
        if claimed.pgp_keys.is_empty() {
            let recipients = claimed.recipients.iter().map(|text| recipient(text));
            return Ok(Self::Age(recipients.collect::<Result<_, _>>()?));
        }
        let read = |text: &String| PublicKey::read(text.as_bytes()).map_err(StoreError::unreadable);
        let keys = claimed.pgp_keys.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        if !keys.iter().map(PublicKey::name).eq(claimed.recipients.iter().cloned()) {
            return Err(StoreError::unreadable(
                "the keys are not those of the recipients that are named",
            ));
        }
        Ok(Self::OpenPgp(keys))
    }

    /// Seals what is written to it, into `out`.
    pub(super) fn seal<W: Write + Send + 'static>(self, out: W) -> Result<Sealed<W>, VaultError> {
        match self {
            Self::Age(recipients) => {
                let dynamic = recipients.iter().map(|one| one as &dyn age::Recipient);
                let encryptor = age::Encryptor::with_recipients(dynamic).map_err(VaultError::Sealing)?;
                encryptor.wrap_output(out).map(Sealed::Age)
            }
            Self::OpenPgp(keys) => Encrypting::begin(keys, out).map(Sealed::OpenPgp),
        }
        .map_err(VaultError::Io)
    }
}

impl<W: Write + Send + 'static> Sealed<W> {
    /// Ends the seal, and gives back what it was written into.
    pub(super) fn finish(self) -> io::Result<W> {
        match self {
            Self::Age(writer) => writer.finish(),
            Self::OpenPgp(writer) => writer.finish(),
        }
    }
}

impl<W: Write> Write for Sealed<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Self::Age(writer) => writer.write(data),
            Self::OpenPgp(writer) => writer.write(data),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Age(writer) => writer.flush(),
            Self::OpenPgp(writer) => writer.flush(),
        }
    }
}
