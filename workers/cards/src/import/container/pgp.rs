//! OpenPGP messages, to the workers' key or by passphrase. They stream; so what comes out is checked for damage only at its
//! end. Nothing is entered before a file was read to its end once. Signatures are not looked at: nobody declared whose.

use std::fmt;
use std::io::BufReader;
use std::path::Path;

use pgp::composed::{DecryptionOptions, Deserializable, Message, SignedSecretKey, TheRing};
use pgp::types::{Password, Seipdv1ReadMode};
use secrecy::{ExposeSecret, SecretString};

use super::{Bounded, LAYERS_MAX, Layer, Named, Openers, Stream, Take, peel as peel_layer};

/// The workers' OpenPGP secret key. It prints nothing of itself.
pub struct PgpKey {
    key: SignedSecretKey,
    password: Password,
}

impl fmt::Debug for PgpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PgpKey(…)")
    }
}

/// Why the key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("UNIGATE_PGP_KEY_FILE {file}: {why}")]
pub struct PgpKeyError {
    file: String,
    why: String,
}

impl PgpKey {
    /// Reads a secret key, armoured or not. Its own password, where it has one, is not tried before a message needs it.
    pub fn read(file: &Path, password: Option<&SecretString>) -> Result<Self, PgpKeyError> {
        let refused = |why: String| PgpKeyError {
            file: file.display().to_string(),
            why,
        };
        let bytes = std::fs::File::open(file).map_err(|error| refused(error.to_string()))?;
        let (key, _) = SignedSecretKey::from_reader_single(bytes)
            .map_err(|error| refused(format!("is not an OpenPGP secret key: {error}")))?;
        let password = password.map_or("", |password| password.expose_secret());
        Ok(Self {
            key,
            password: Password::from(password),
        })
    }
}

/// rPGP wants to be able to print its source.
struct Source<'s>(&'s mut dyn Stream);

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source(…)")
    }
}

impl std::io::Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

pub(super) fn peel(
    mut source: impl Stream,
    openers: &Openers<'_>,
    left: u8,
    take: &mut Take<'_>,
) -> Result<(), String> {
    let unreadable = |error: pgp::errors::Error| format!("the OpenPGP message cannot be read: {error}");
    let source = BufReader::new(Source(&mut source));
    let (mut message, _) = Message::from_reader(source).map_err(unreadable)?;
    if message.is_encrypted() {
        message = decrypt(message, openers)?;
    }
    for _ in 0..LAYERS_MAX {
        if message.is_compressed() {
            message = message.decompress().map_err(unreadable)?;
        }
    }
    let what = "the OpenPGP message";
    let mut message = Named::new(what, Bounded::new(what, message, openers.unpacked_max()));
    peel_layer(Layer::Stream(&mut message), openers, left, take)
}

fn decrypt<'m>(message: Message<'m>, openers: &Openers<'_>) -> Result<Message<'m>, String> {
    let password = match &openers.password {
        Some(Ok(password)) => Some(Password::from(password.expose_secret())),
        _ => None,
    };
    if openers.pgp.is_none() && password.is_none() {
        return Err(
            "the OpenPGP message is encrypted: only a cards worker with UNIGATE_PGP_KEY_FILE, or a password, opens it"
                .to_owned(),
        );
    }
    let ring = TheRing {
        secret_keys: openers.pgp.iter().map(|own| &own.key).collect(),
        key_passwords: openers.pgp.iter().map(|own| &own.password).collect(),
        message_password: password.iter().collect(),
        decrypt_options: DecryptionOptions::new()
            .enable_gnupg_aead()
            .set_seipdv1_read_mode(Seipdv1ReadMode::Streaming),
        ..TheRing::default()
    };
    let opened = message.decrypt_the_ring(ring, true);
    opened
        .map(|(message, _)| message)
        .map_err(|error| format!("the OpenPGP message: neither key nor password opens it ({error})"))
}
