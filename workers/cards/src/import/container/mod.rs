//! What an issuer wraps a card file in, taken off layer by layer and never as a whole: zip (also with a password), age (to
//! the vault, or by passphrase), OpenPGP. What a layer is, its first bytes say, not its name.
//!
//! Text streams through in bounded memory. What has to be sought in (an archive, a workbook) inside something that only
//! streams is held in memory, up to [`HELD_MAX`]. A file that unpacks to too much is refused while it does.

mod archive;
mod bounds;
mod pgp;

use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};

use age::armor::ArmoredReader;
use age::{DecryptError, Decryptor};
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::vault::Vault;

pub(super) use archive::check_workbook;
pub(super) use bounds::told;
use bounds::{Bounded, Named};
pub use pgp::{PgpKey, PgpKeyError};

/// Layers around a file; more than an issuer ever has.
const LAYERS_MAX: u8 = 4;
/// The largest archive or workbook inside something that only streams.
const HELD_MAX: u64 = 64 * 1024 * 1024;
/// The most that a table may unpack to.
const UNPACKED_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// What may unpack to any multiple of its size; the rest to [`RATIO_MAX`] times.
const UNPACKED_FREE: u64 = 64 * 1024 * 1024;
/// How many times larger than the file its contents may be. Card files shrink to a tenth at best.
const RATIO_MAX: u64 = 100;
/// How hard a passphrase of age may be to try: 2^20 costs a gigabyte for some seconds.
const SCRYPT_MAX: u8 = 20;
/// Enough to tell every kind.
const HEAD_BYTES: usize = 64;

/// What opens layers. A file that needs none is read without any.
#[derive(Default)]
pub(super) struct Openers<'k> {
    /// Opens what is sealed to the vault.
    pub(super) vault: Option<&'k Vault>,
    /// Opens what is encrypted to the workers' OpenPGP key.
    pub(super) pgp: Option<&'k PgpKey>,
    /// Opens archives and what has a passphrase; or why it cannot be had.
    pub(super) password: Option<Result<SecretString, String>>,
    /// The size of the file as it came.
    pub(super) bytes: u64,
}

/// What can be read once.
pub(super) trait Stream: Read + Send {}
impl<R: Read + Send> Stream for R {}

/// What can be read anywhere.
pub(super) trait Seekable: Read + Seek + Send {}
impl<R: Read + Seek + Send> Seekable for R {}

/// A layer still wrapped, maybe.
pub(super) enum Layer<'l> {
    Stream(&'l mut dyn Stream),
    Seekable(&'l mut dyn Seekable),
}

/// What is inside of all layers.
pub(super) enum Table<'t> {
    Text(&'t mut dyn Stream),
    Workbook(&'t mut dyn Seekable),
}

/// Takes the table. An error is about the file as a whole.
pub(super) type Take<'t> = dyn FnMut(Table<'_>) -> Result<(), String> + 't;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Age,
    Zip,
    Pgp,
    /// Known, and not opened: why.
    Foreign(&'static str),
    Text,
}

impl Openers<'_> {
    fn password(&self) -> Result<&SecretString, String> {
        match &self.password {
            Some(Ok(password)) => Ok(password),
            Some(Err(why)) => Err(format!("card_file.password: {why}")),
            None => Err("has a password: declare card_file.password, or give it with --password".into()),
        }
    }

    fn unpacked_max(&self) -> u64 {
        (self.bytes.saturating_mul(RATIO_MAX)).clamp(UNPACKED_FREE, UNPACKED_MAX)
    }
}

/// Takes all layers off and hands the table on.
pub(super) fn open(source: &mut dyn Seekable, openers: &Openers<'_>, take: &mut Take<'_>) -> Result<(), String> {
    peel(Layer::Seekable(source), openers, LAYERS_MAX, take)
}

fn peel(layer: Layer<'_>, openers: &Openers<'_>, left: u8, take: &mut Take<'_>) -> Result<(), String> {
    let mut head = Zeroizing::new(Vec::with_capacity(HEAD_BYTES));
    match layer {
        Layer::Seekable(source) => {
            read_head(source, &mut head)?;
            source.seek(SeekFrom::Start(0)).map_err(|error| told(&error))?;
            let kind = kind_of(&head);
            match inner(kind, left)? {
                Kind::Age => peel(Layer::Seekable(&mut unseal(source, openers)?), openers, left - 1, take),
                Kind::Zip => archive::peel(source, openers, left - 1, take),
                Kind::Pgp => pgp::peel(source, openers, left - 1, take),
                Kind::Text | Kind::Foreign(_) => take(Table::Text(&mut &mut *source)),
            }
        }
        Layer::Stream(source) => {
            read_head(source, &mut head)?;
            let kind = kind_of(&head);
            let mut whole = Cursor::new(head.as_slice()).chain(source);
            match inner(kind, left)? {
                Kind::Age => peel(
                    Layer::Stream(&mut unseal(&mut whole, openers)?),
                    openers,
                    left - 1,
                    take,
                ),
                Kind::Zip => archive::peel(&mut Cursor::new(held(&mut whole)?.as_slice()), openers, left - 1, take),
                Kind::Pgp => pgp::peel(&mut whole, openers, left - 1, take),
                Kind::Text | Kind::Foreign(_) => take(Table::Text(&mut whole)),
            }
        }
    }
}

fn inner(kind: Kind, left: u8) -> Result<Kind, String> {
    match kind {
        Kind::Foreign(why) => Err(why.to_owned()),
        Kind::Text => Ok(kind),
        _ if left == 0 => Err(format!("the file is wrapped more than {LAYERS_MAX} times")),
        _ => Ok(kind),
    }
}

fn read_head(source: &mut (impl Read + ?Sized), head: &mut Vec<u8>) -> Result<(), String> {
    source
        .take(HEAD_BYTES as u64)
        .read_to_end(head)
        .map(drop)
        .map_err(|error| told(&error))
}

fn held(source: &mut dyn Stream) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut held = Zeroizing::new(Vec::new());
    source
        .take(HELD_MAX + 1)
        .read_to_end(&mut held)
        .map_err(|error| told(&error))?;
    if held.len() as u64 > HELD_MAX {
        return Err(format!(
            "an archive or workbook inside of another layer is larger than {HELD_MAX} bytes: take that layer off"
        ));
    }
    Ok(held)
}

fn kind_of(head: &[u8]) -> Kind {
    let armored = head.trim_ascii_start();
    if head.starts_with(b"age-encryption.org/") || armored.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----") {
        return Kind::Age;
    }
    if armored.starts_with(b"-----BEGIN PGP MESSAGE") || is_pgp_packet(head) {
        return Kind::Pgp;
    }
    let foreign: [(&[u8], &str); 5] = [
        (
            b"\xd0\xcf\x11\xe0",
            "the file is an Excel workbook with a password, or of the time before 2007: save it as .xlsx without one",
        ),
        (
            b"\x1f\x8b",
            "the file is packed with gzip: unpack it, or pack it with zip",
        ),
        (
            b"7z\xbc\xaf",
            "the file is packed with 7-Zip: unpack it, or pack it with zip",
        ),
        (b"Rar!", "the file is packed with RAR: unpack it, or pack it with zip"),
        (b"%PDF", "the file is a PDF: ask for a table"),
    ];
    if let Some((_, why)) = foreign.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Kind::Foreign(why);
    }
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        return Kind::Zip;
    }
    Kind::Text
}

/// Whether the first packet is a session key of OpenPGP: for a key (tag 1, version 3 or 6) or a passphrase (tag 3, version 4
/// to 6). The version is a control character, which no table has there.
fn is_pgp_packet(head: &[u8]) -> bool {
    let (tag, after) = match head {
        [first, second, rest @ ..] if first & 0xc0 == 0xc0 => match second {
            0..192 => (first & 0x3f, rest),
            192..224 => (first & 0x3f, rest.get(1..).unwrap_or_default()),
            _ => return false,
        },
        [first, rest @ ..] if first & 0xc0 == 0x80 => {
            let length = [1, 2, 4, 0][usize::from(first & 3)];
            ((first >> 2) & 0x0f, rest.get(length..).unwrap_or_default())
        }
        _ => return false,
    };
    match (tag, after.first()) {
        (1, Some(version)) => [3, 6].contains(version),
        (3, Some(version)) => [4, 5, 6].contains(version),
        _ => false,
    }
}

/// An age file, armoured or not, opened.
fn unseal<R: Read>(
    source: R,
    openers: &Openers<'_>,
) -> Result<Named<age::stream::StreamReader<ArmoredReader<BufReader<R>>>>, String> {
    let opened = open_age(ArmoredReader::new(source), openers)?;
    Ok(Named::new("the age file", opened))
}

fn open_age<R: io::BufRead>(source: R, openers: &Openers<'_>) -> Result<age::stream::StreamReader<R>, String> {
    let decryptor = Decryptor::new_buffered(source).map_err(|error| age_refused(&error))?;
    if decryptor.is_scrypt() {
        let password = openers.password().map_err(|why| format!("the age file {why}"))?;
        let mut identity = age::scrypt::Identity::new(password.clone());
        identity.set_max_work_factor(SCRYPT_MAX);
        let opened = decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity));
        return opened.map_err(|error| match error {
            DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => {
                "the age file: the passphrase does not open it".to_owned()
            }
            other => age_refused(&other),
        });
    }
    let Some(vault) = openers.vault else {
        return Err("the age file is sealed to keys: only a cards worker can open it".to_owned());
    };
    vault.decrypt(decryptor).map_err(|error| match error {
        DecryptError::NoMatchingKeys => "the age file is not sealed to this vault".to_owned(),
        other => age_refused(&other),
    })
}

fn age_refused(error: &DecryptError) -> String {
    match error {
        DecryptError::Io(error) => format!("the age file: {}", told(error)),
        other => format!("the age file: {other}"),
    }
}

#[cfg(test)]
mod tests;
