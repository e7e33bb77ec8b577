//! OpenPGP: an encrypted message to the payee's public keys, AES-256 with a modification check (SEIPD version 1), which
//! every reader of the last twenty years opens. Binary, neither signed nor compressed: zip or gzip before it are for that.
//!
//! The library reads what it encrypts, so it has a thread of its own, fed block by block.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use domain::declaration::key_file;
use pgp::composed::{Deserializable, MessageBuilder, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::sym::SymmetricKeyAlgorithm;
use pgp::packet::{Signature, SignatureType};
use pgp::types::{KeyDetails, Tag};
use rand_core::OsRng;
use store::artifacts::Finished;

use super::{Out, Place, Stage};
use crate::BuildError;

/// What is encrypted at a time, and how many blocks of it are under way.
const BLOCK_BYTES: usize = 64 * 1024;
const UNDER_WAY: usize = 4;

/// Reads a public key, armoured or from the file that is named, with everything in it that says what it may be used for.
pub(super) fn key(text: &str) -> Result<SignedPublicKey, String> {
    let bytes = match key_file(text) {
        Some(path) => std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?,
        None => text.as_bytes().to_vec(),
    };
    let (key, _) = SignedPublicKey::from_reader_single(&bytes[..])
        .map_err(|error| format!("is not an OpenPGP public key: {error}"))?;
    if !key.details.revocation_signatures.is_empty() {
        return Err(format!("{} is revoked", key.fingerprint()));
    }
    let newest = newest(own_signatures(&key)).ok_or("is damaged: no signature of its own on it is valid")?;
    if is_over(&key, newest) {
        return Err(format!("{} has expired", key.fingerprint()));
    }
    match encryption_subkey(&key) {
        Some(_) => Ok(key),
        None => Err(format!("{} has no subkey that may be encrypted to", key.fingerprint())),
    }
}

/// What the key says of itself. What others have signed on it is their word.
fn own_signatures(key: &SignedPublicKey) -> impl Iterator<Item = &Signature> {
    let primary = &key.primary_key;
    let of_users = key.details.users.iter().flat_map(move |user| {
        let own = |one: &&Signature| one.verify_certification(primary, Tag::UserId, &user.id).is_ok();
        user.signatures.iter().filter(own)
    });
    let direct = key.details.direct_signatures.iter();
    of_users.chain(direct.filter(move |one| one.verify_key(primary).is_ok()))
}

/// The newest subkey that is meant to be encrypted to, not revoked and in date.
fn encryption_subkey(key: &SignedPublicKey) -> Option<&SignedPublicSubKey> {
    let fits = |subkey: &&SignedPublicSubKey| {
        let is_revocation = |one: &Signature| one.typ() == Some(SignatureType::SubkeyRevocation);
        let bound = subkey.verify_bindings(&key.primary_key).is_ok() && !subkey.signatures.iter().any(is_revocation);
        subkey.key.algorithm().can_encrypt()
            && bound
            && newest(&subkey.signatures).is_some_and(|binding| {
                let flags = binding.key_flags();
                (flags.encrypt_comms() || flags.encrypt_storage()) && !is_over(&subkey.key, binding)
            })
    };
    let usable = key.public_subkeys.iter().filter(fits);
    usable.max_by_key(|subkey| subkey.key.created_at().as_secs())
}

fn newest<'s>(signatures: impl IntoIterator<Item = &'s Signature>) -> Option<&'s Signature> {
    let made = |signature: &&Signature| signature.created().map(|at| at.as_secs());
    signatures.into_iter().max_by_key(made)
}

/// Whether a key's time, which its newest signature tells, has run out.
fn is_over(key: &impl KeyDetails, signature: &Signature) -> bool {
    let lasts = signature
        .key_expiration_time()
        .map_or(0, |lasts| i64::from(lasts.as_secs()));
    // None, and zero, is for ever.
    lasts > 0 && i64::from(key.created_at().as_secs()) + lasts <= domain::clock::now().as_second()
}

/// What the thread is told: bytes, or that there are no more. A channel that is closed instead is a build that broke off.
enum Block {
    Bytes(Vec<u8>),
    End,
}

struct OpenPgp {
    open: Vec<u8>,
    blocks: SyncSender<Block>,
    thread: JoinHandle<Result<Out, pgp::errors::Error>>,
    place: Place,
}

pub(super) fn begin(place: Place, keys: Vec<SignedPublicKey>, out: Out) -> Result<Out, BuildError> {
    let (blocks_in, blocks) = sync_channel(UNDER_WAY);
    let thread = std::thread::Builder::new()
        .name("openpgp".into())
        .spawn(move || encrypt(&keys, blocks, out));
    Ok(Box::new(OpenPgp {
        open: Vec::with_capacity(BLOCK_BYTES),
        blocks: blocks_in,
        thread: thread.map_err(|error| place.error(error))?,
        place,
    }))
}

fn encrypt(keys: &[SignedPublicKey], blocks: Receiver<Block>, mut out: Out) -> Result<Out, pgp::errors::Error> {
    let source = Blocks {
        blocks,
        block: Vec::new(),
        read: 0,
        ended: false,
    };
    // The name within is empty, as privacy has it: it would tell the payee nothing new.
    let mut message = MessageBuilder::from_reader("", source).seipd_v1(OsRng, SymmetricKeyAlgorithm::AES256);
    for key in keys {
        if let Some(subkey) = encryption_subkey(key) {
            message.encrypt_to_key(OsRng, &subkey)?;
        }
    }
    message.to_writer(OsRng, &mut out)?;
    Ok(out)
}

impl Write for OpenPgp {
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

impl Stage for OpenPgp {
    fn finish(self: Box<Self>) -> Result<Finished, BuildError> {
        let Self {
            open,
            blocks,
            thread,
            place,
        } = *self;
        // A thread that is gone says why when it is joined.
        let _ = blocks.send(Block::Bytes(open)).and_then(|()| blocks.send(Block::End));
        match thread.join() {
            Ok(Ok(out)) => out.finish(),
            Ok(Err(error)) => Err(place.error(error)),
            Err(_) => Err(place.error("the encrypting thread died")),
        }
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
