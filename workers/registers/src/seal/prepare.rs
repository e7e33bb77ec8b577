//! Stages with all they need in their hands: secrets fetched, keys parsed. A reason never repeats a secret.

use std::str::FromStr;

use ::age::Recipient;
use ::openpgp::PublicKey;
use domain::declaration::{SealStage, SecretRef};
use secrecy::{ExposeSecret, SecretString};

use super::command::Program;
use super::{Out, Place, Wrapping, age, command, gzip, openpgp, zip};
use crate::BuildError;

/// A stage that can begin.
pub(crate) enum Prepared {
    Zip { level: u8, password: Option<SecretString> },
    Gzip { level: u8 },
    Age(Vec<Box<dyn Recipient + Send>>),
    OpenPgp(Vec<PublicKey>),
    Command(Program),
}

/// How hard a passphrase of age is to try: 2^16 takes 64 MiB for a fraction of a second, here and at the payee.
const SCRYPT_LOG_N: u8 = 16;
/// The level of zlib that everybody calls the default.
const LEVEL: u8 = 6;

/// Looks up all that a stage needs, or says what is missing.
pub(super) fn prepare(stage: &SealStage) -> Result<Prepared, String> {
    Ok(match stage {
        SealStage::Zip(zip) => Prepared::Zip {
            level: zip.level.unwrap_or(LEVEL),
            password: zip
                .password
                .as_ref()
                .map(|secret| fetch("password", secret))
                .transpose()?,
        },
        SealStage::Gzip(gzip) => Prepared::Gzip {
            level: gzip.level.unwrap_or(LEVEL),
        },
        SealStage::Age(declared) => Prepared::Age(match &declared.passphrase {
            Some(passphrase) => {
                let passphrase = fetch("passphrase", passphrase)?;
                let mut recipient = ::age::scrypt::Recipient::new(passphrase);
                recipient.set_work_factor(SCRYPT_LOG_N);
                vec![Box::new(recipient)]
            }
            None => keyed("recipients", &declared.recipients, recipient)?,
        }),
        SealStage::OpenPgp(declared) => Prepared::OpenPgp(keyed("keys", &declared.keys, openpgp::key)?),
        SealStage::Command(declared) => Prepared::Command(Program::find(declared)?),
    })
}

/// Reads all keys of a list. A list that is empty would encrypt to nobody.
fn keyed<K>(field: &str, texts: &[String], read: impl Fn(&str) -> Result<K, String>) -> Result<Vec<K>, String> {
    if texts.is_empty() {
        return Err(format!("{field}: is empty"));
    }
    let read = |(at, text): (usize, &String)| read(text).map_err(|why| format!("{field}[{at}]: {why}"));
    texts.iter().enumerate().map(read).collect()
}

/// Reads who can open an age file: `age1…`, `ssh-ed25519 …` or `ssh-rsa …`.
pub(super) fn recipient(text: &str) -> Result<Box<dyn Recipient + Send>, String> {
    use ::age::ssh::ParseRecipientKeyError;
    if !text.starts_with("ssh-") {
        let parsed = ::age::x25519::Recipient::from_str(text);
        return parsed
            .map(|parsed| Box::new(parsed) as Box<dyn Recipient + Send>)
            .map_err(|why| format!("is not an age recipient: {why}"));
    }
    let parsed = ::age::ssh::Recipient::from_str(text).map_err(|why| match why {
        ParseRecipientKeyError::RsaModulusTooSmall => "is an RSA key of less than 2048 bits".to_owned(),
        ParseRecipientKeyError::RsaModulusTooLarge => "is an RSA key of too many bits".to_owned(),
        _ => "is not a public ssh key of kind ssh-ed25519 or ssh-rsa".to_owned(),
    });
    parsed.map(|parsed| Box::new(parsed) as Box<dyn Recipient + Send>)
}

/// A secret from where its reference says it is.
fn fetch(field: &str, secret: &SecretRef) -> Result<SecretString, String> {
    match runtime::secret::password(secret) {
        Ok(text) if text.expose_secret().is_empty() => Err(format!("{field}: is empty")),
        Ok(text) => Ok(text),
        Err(why) => Err(format!("{field}: {why}")),
    }
}

impl Prepared {
    /// Begins the stage, in front of `out`; what it gets is called `name`.
    pub(super) fn begin(self, place: Place, name: &str, of: &Wrapping<'_>, out: Out) -> Result<Out, BuildError> {
        match self {
            Self::Zip { level, password } => zip::begin(place, level, password, name, of, out),
            Self::Gzip { level } => Ok(gzip::begin(place, level, name, of.dated, out)),
            Self::Age(recipients) => age::begin(place, &recipients, out),
            Self::OpenPgp(keys) => openpgp::begin(place, keys, out),
            Self::Command(program) => command::begin(place, program, out),
        }
    }
}
