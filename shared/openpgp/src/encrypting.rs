//! A writer whose bytes come out encrypted. The library reads what it encrypts, so it has a thread of its own, fed block by
//! block: memory is bounded.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use pgp::composed::{MessageBuilder, SignedPublicSubKey};
use pgp::crypto::sym::SymmetricKeyAlgorithm;
use rand_core::OsRng;

use crate::PublicKey;

/// What is encrypted at a time, and how many blocks of it are under way.
const BLOCK_BYTES: usize = 64 * 1024;
const UNDER_WAY: usize = 4;

/// What the thread is told: bytes, or that there are no more. A channel that is closed instead is a message that broke off.
enum Block {
    Bytes(Vec<u8>),
    End,
}

/// Encrypts what is written to it, to all of some keys, into `W`. One that is dropped before it is finished has made nothing
/// that can be read.
pub struct Encrypting<W> {
    open: Vec<u8>,
    blocks: SyncSender<Block>,
    thread: JoinHandle<Result<W, pgp::errors::Error>>,
}

impl<W: Write + Send + 'static> Encrypting<W> {
    /// Begins a message that each of these keys opens. Without a key nobody could open it, and it is refused; and so it is when
    /// one of them has run out since it was read: whoever was to open it would be left out without a word.
    pub fn begin(keys: Vec<PublicKey>, out: W) -> io::Result<Self> {
        if keys.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "there is no key to encrypt to",
            ));
        }
        let subkeys: Vec<SignedPublicSubKey> = keys.iter().map(subkey_of).collect::<io::Result<_>>()?;
        let (blocks_in, blocks) = sync_channel(UNDER_WAY);
        let thread = std::thread::Builder::new()
            .name("openpgp".into())
            .spawn(move || encrypt(&subkeys, blocks, out))?;
        Ok(Self {
            open: Vec::with_capacity(BLOCK_BYTES),
            blocks: blocks_in,
            thread,
        })
    }

    /// Ends the message and gives back what it was written into, which is not flushed.
    pub fn finish(self) -> io::Result<W> {
        let Self { open, blocks, thread } = self;
        // A thread that is gone says why when it is joined.
        let _ = blocks.send(Block::Bytes(open)).and_then(|()| blocks.send(Block::End));
        match thread.join() {
            Ok(Ok(out)) => Ok(out),
            Ok(Err(error)) => Err(io::Error::other(error)),
            Err(_) => Err(io::Error::other("the encrypting thread died")),
        }
    }
}

fn subkey_of(key: &PublicKey) -> io::Result<SignedPublicSubKey> {
    let subkey = key.encryption_subkey().cloned();
    subkey.ok_or_else(|| {
        let why = format!("{} has no subkey that may be encrypted to any more", key.fingerprint());
        io::Error::new(io::ErrorKind::InvalidInput, why)
    })
}

fn encrypt<W: Write>(
    subkeys: &[SignedPublicSubKey],
    blocks: Receiver<Block>,
    mut out: W,
) -> Result<W, pgp::errors::Error> {
    let source = Blocks {
        blocks,
        block: Vec::new(),
        read: 0,
        ended: false,
    };
    // The name within is empty, as privacy has it: it would tell the recipient nothing new.
    let mut message = MessageBuilder::from_reader("", source).seipd_v1(OsRng, SymmetricKeyAlgorithm::AES256);
    for subkey in subkeys {
        message.encrypt_to_key(OsRng, subkey)?;
    }
    message.to_writer(OsRng, &mut out)?;
    Ok(out)
}

impl<W> Write for Encrypting<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let taken = data.len().min(BLOCK_BYTES - self.open.len());
        self.open.extend_from_slice(&data[..taken]);
        if self.open.len() == BLOCK_BYTES {
            let full = std::mem::replace(&mut self.open, Vec::with_capacity(BLOCK_BYTES));
            self.blocks
                .send(Block::Bytes(full))
                .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The blocks as a reader.
struct Blocks {
    blocks: Receiver<Block>,
    block: Vec<u8>,
    read: usize,
    ended: bool,
}

impl Read for Blocks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read == self.block.len() && !self.ended {
            match self.blocks.recv() {
                Ok(Block::Bytes(block)) => (self.block, self.read) = (block, 0),
                Ok(Block::End) => self.ended = true,
                Err(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let taken = buffer.len().min(self.block.len() - self.read);
        buffer[..taken].copy_from_slice(&self.block[self.read..self.read + taken]);
        self.read += taken;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use pgp::composed::{KeyType, SecretKeyParamsBuilder};

    use super::*;

    #[test]
    fn a_key_that_has_run_out_since_it_was_read_is_not_left_out_but_named() {
        let mut made = SecretKeyParamsBuilder::default();
        made.key_type(KeyType::Ed25519Legacy)
            .can_sign(true)
            .primary_user_id("Nobody <nobody@example.org>".to_owned());
        let made = made.build().unwrap().generate(OsRng).unwrap();
        let key = PublicKey::unread(made.to_public_key());
        let name = key.fingerprint();
        let why = Encrypting::begin(vec![key], Vec::new()).map(drop).unwrap_err();
        assert_eq!(why.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(
            why.to_string(),
            format!("{name} has no subkey that may be encrypted to any more")
        );
    }
}
