//! What a register's file is wrapped in: stages in the payee's order, the first one nearest to the text. Nothing here opens a
//! file, resolves a secret or parses a key for good: the worker that seals does.

use serde::{Deserialize, Serialize};

use super::RegisterProfile;
use crate::declaration::{Findings, SecretRef, check_age_recipient, has_repeats};

/// More stages than any payee wants.
const STAGES_MAX: usize = 8;
/// More keys than any payee has.
const KEYS_MAX: usize = 32;
/// The longest argument of a command and the most of them.
const ARGUMENT_MAX_BYTES: usize = 4096;
const ARGUMENTS_MAX: usize = 128;
/// The longest run of a command, in seconds: a day.
const TIMEOUT_MAX_SECONDS: u32 = 86_400;
/// The longest armoured key, in bytes.
const KEY_MAX_BYTES: usize = 64 * 1024;

/// What stands for the file that a command reads.
pub const INPUT: &str = "{in}";
/// What stands for the file that a command writes.
pub const OUTPUT: &str = "{out}";

/// One `[[register.seal]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "with", rename_all = "lowercase")]
pub enum SealStage {
    /// A ZIP archive of one file.
    Zip(ZipSeal),
    /// gzip.
    Gzip(GzipSeal),
    /// An age file.
    Age(AgeSeal),
    /// An OpenPGP message.
    OpenPgp(OpenPgpSeal),
    /// What a program makes of it: certified cryptography.
    Command(CommandSeal),
}

/// A ZIP archive of one file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZipSeal {
    /// How hard to press, 1 to 9; 6 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<u8>,
    /// Encrypts with AES-256; `env:NAME` or `file:PATH`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
}

/// gzip.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GzipSeal {
    /// How hard to press, 1 to 9; 6 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<u8>,
}

/// An age file, to keys or by a passphrase.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgeSeal {
    /// Who can open it: `age1…`, `ssh-ed25519 …`, `ssh-rsa …`. Each of them alone can.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
    /// The passphrase instead of keys; `env:NAME` or `file:PATH`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<SecretRef>,
}

/// An OpenPGP message to public keys.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenPgpSeal {
    /// Who can open it, each alone: armoured public keys, or `file:PATH` of one.
    pub keys: Vec<String>,
}

/// A program that seals, run without a shell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandSeal {
    /// The program by its absolute path, and its arguments. It reads its standard input and writes its standard output, or
    /// the files that stand for `{in}` and `{out}`.
    pub argv: Vec<String>,
    /// What it adds to the file's name, without a point; nothing unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension: Option<String>,
    /// How long it may run, in seconds, the time that its input takes to be made included; 300 unless given.
    #[serde(default = "CommandSeal::default_timeout")]
    pub timeout_seconds: u32,
    /// The exit codes that mean success; 0 unless given.
    #[serde(default = "CommandSeal::default_exit_codes")]
    pub exit_codes: Vec<i32>,
    /// The variables it gets of the worker's own environment. Of all others it gets `PATH` and `LANG` only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<String>,
    /// A program that is given what came out, at its standard input or as `{in}`, and says by its exit code, 0, that it is
    /// right. Its output is dropped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verify: Vec<String>,
}

impl CommandSeal {
    fn default_timeout() -> u32 {
        300
    }

    fn default_exit_codes() -> Vec<i32> {
        vec![0]
    }
}

impl SealStage {
    /// What it adds to the file's name, without a point.
    pub fn extension(&self) -> Option<&str> {
        match self {
            Self::Zip(_) => Some("zip"),
            Self::Gzip(_) => Some("gz"),
            Self::Age(_) => Some("age"),
            Self::OpenPgp(_) => Some("pgp"),
            Self::Command(command) => command.extension.as_deref(),
        }
    }

    fn check(&self) -> Findings {
        let mut found = Findings::default();
        match self {
            Self::Zip(zip) => {
                check_level(&mut found, zip.level);
                check_reference(&mut found, "password", zip.password.as_ref());
            }
            Self::Gzip(gzip) => check_level(&mut found, gzip.level),
            Self::Age(age) => age.check(&mut found),
            Self::OpenPgp(pgp) => pgp.check(&mut found),
            Self::Command(command) => command.check(&mut found),
        }
        found
    }
}

impl AgeSeal {
    fn check(&self, found: &mut Findings) {
        for (at, recipient) in self.recipients.iter().enumerate() {
            let is_ssh = recipient.starts_with("ssh-") && !recipient.contains(char::is_control);
            if !is_ssh {
                found.take(check_age_recipient(&format!("recipients[{at}]"), recipient));
            }
        }
        found.refuse_if(self.recipients.len() > KEYS_MAX, "recipients", "are more than 32");
        found.refuse_if(has_repeats(&self.recipients), "recipients", "names a key twice");
        found.refuse_if(
            self.recipients.is_empty() == self.passphrase.is_none(),
            "recipients",
            "or a passphrase has to be said, and not both",
        );
        check_reference(found, "passphrase", self.passphrase.as_ref());
    }
}

impl OpenPgpSeal {
    fn check(&self, found: &mut Findings) {
        found.refuse_if(self.keys.is_empty(), "keys", "is empty: nobody could open the file");
        found.refuse_if(self.keys.len() > KEYS_MAX, "keys", "are more than 32");
        found.refuse_if(has_repeats(&self.keys), "keys", "names a key twice");
        for (at, key) in self.keys.iter().enumerate() {
            let is_file = key.strip_prefix("file:").is_some_and(|path| path.starts_with('/'));
            let is_armoured =
                key.trim_start().starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----") && key.len() <= KEY_MAX_BYTES;
            found.refuse_if(
                !is_file && !is_armoured,
                &format!("keys[{at}]"),
                "must be an armoured public key (-----BEGIN PGP PUBLIC KEY BLOCK-----) or file:/PATH of one",
            );
        }
    }
}

impl CommandSeal {
    fn check(&self, found: &mut Findings) {
        check_argv(found, "argv", &self.argv);
        if !self.verify.is_empty() {
            check_argv(found, "verify", &self.verify);
            let writes = self.verify.iter().any(|argument| argument.contains(OUTPUT));
            found.refuse_if(writes, "verify", "writes no file: {out} is for argv");
        }
        let word = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let is_word =
            |text: &String| (1..=16).contains(&text.len()) && text.chars().all(word) && !text.starts_with('.');
        found.refuse_if(
            self.extension.as_ref().is_some_and(|text| !is_word(text)),
            "extension",
            "must be up to 16 letters, digits, points and dashes, without the first point",
        );
        found.refuse_if(
            !(1..=TIMEOUT_MAX_SECONDS).contains(&self.timeout_seconds),
            "timeout_seconds",
            "must be 1 to 86400",
        );
        found.refuse_if(
            self.exit_codes.is_empty(),
            "exit_codes",
            "is empty: no run would be a success",
        );
        for (at, name) in self.environment.iter().enumerate() {
            let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            found.refuse_if(
                !is_name,
                &format!("environment[{at}]"),
                "must be the name of a variable; its value is the worker's own",
            );
        }
    }
}

fn check_level(found: &mut Findings, level: Option<u8>) {
    found.refuse_if(
        level.is_some_and(|level| !(1..=9).contains(&level)),
        "level",
        "must be 1 to 9",
    );
}

/// A value would be stored with the declaration and shown to whoever reads it.
fn check_reference(found: &mut Findings, field: &str, secret: Option<&SecretRef>) {
    found.refuse_if(
        secret.is_some_and(|secret| !secret.is_reference()),
        field,
        "must be env:NAME or file:PATH, not the secret itself",
    );
}

fn check_argv(found: &mut Findings, field: &str, argv: &[String]) {
    found.refuse_if(
        argv.first().is_none_or(|program| !program.starts_with('/')),
        field,
        "must begin with the program's absolute path",
    );
    found.refuse_if(argv.len() > ARGUMENTS_MAX, field, "has more than 128 arguments");
    for (at, argument) in argv.iter().enumerate() {
        found.refuse_if(
            argument.len() > ARGUMENT_MAX_BYTES || argument.contains(char::is_control),
            &format!("{field}[{at}]"),
            "must be one line of at most 4096 bytes",
        );
    }
}

impl RegisterProfile {
    /// What the file is wrapped in, the first stage first. `zip` and `age_recipients` mean zip, then age.
    pub fn stages(&self) -> Vec<SealStage> {
        let mut stages = self.seal.clone();
        if self.zip {
            stages.push(SealStage::Zip(ZipSeal::default()));
        }
        if !self.age_recipients.is_empty() {
            stages.push(SealStage::Age(AgeSeal {
                recipients: self.age_recipients.clone(),
                passphrase: None,
            }));
        }
        stages
    }

    pub(super) fn check_seal(&self, found: &mut Findings) {
        found.refuse_if(
            !self.seal.is_empty() && (self.zip || !self.age_recipients.is_empty()),
            "seal",
            "stands beside zip or age_recipients: say one or the other",
        );
        found.refuse_if(self.seal.len() > STAGES_MAX, "seal", "has more than 8 stages");
        for (at, stage) in self.seal.iter().enumerate() {
            found.within(&format!("seal[{at}]"), stage.check());
        }
    }

    /// The same file's name, once it is sealed.
    pub fn sealed_name(&self, inner: &str) -> String {
        let stages = self.stages();
        let extensions = stages.iter().filter_map(SealStage::extension);
        extensions.fold(inner.to_owned(), |name, extension| format!("{name}.{extension}"))
    }
}

/// Reads the path of an OpenPGP key, if it is kept in a file.
pub fn key_file(key: &str) -> Option<&std::path::Path> {
    key.strip_prefix("file:").map(std::path::Path::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(more: &str) -> Result<RegisterProfile, String> {
        let text = format!("every_payments = 1\n{more}");
        let read: RegisterProfile = toml::from_str(&text).map_err(|error| error.to_string())?;
        let found = read.check().finish();
        found
            .map(|()| read)
            .map_err(|wrong| wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn the_contracts_keys_mean_zip_then_age() {
        let read = profile("zip = true\nage_recipients = [\"age1qqqq\"]").unwrap();
        assert_eq!(read.sealed_name("gvk-main-000001.csv"), "gvk-main-000001.csv.zip.age");
        let stages = read.stages();
        assert!(
            matches!(&stages[..], [SealStage::Zip(zip), SealStage::Age(age)]
                if *zip == ZipSeal::default() && age.recipients == ["age1qqqq"]),
            "{stages:?}"
        );
        assert!(profile("").unwrap().stages().is_empty());
    }

    #[test]
    fn stages_come_in_the_payees_order_and_name_the_file() {
        let read = profile(
            "[[seal]]\nwith = \"command\"\nargv = [\"/usr/bin/openssl\", \"cms\"]\nextension = \"p7s\"\n\
             [[seal]]\nwith = \"gzip\"\nlevel = 9\n[[seal]]\nwith = \"openpgp\"\nkeys = [\"file:/etc/unigate/gvk.asc\"]\n\
             [[seal]]\nwith = \"zip\"\npassword = \"env:GVK_ZIP\"",
        )
        .unwrap();
        assert_eq!(read.sealed_name("a.csv"), "a.csv.p7s.gz.pgp.zip");
        let SealStage::Command(command) = &read.stages()[0] else {
            panic!("{read:?}")
        };
        assert_eq!((command.timeout_seconds, &*command.exit_codes), (300, &[0][..]));
        let stored = serde_json::to_value(&read).unwrap();
        assert_eq!(serde_json::from_value::<RegisterProfile>(stored).unwrap(), read);
    }

    #[test]
    fn what_would_not_seal_is_refused_with_its_place() {
        for (text, place) in [
            ("zip = true\n[[seal]]\nwith = \"gzip\"", "seal: "),
            ("[[seal]]\nwith = \"zip\"\nlevel = 0", "seal[0].level"),
            ("[[seal]]\nwith = \"gzip\"\nlevel = 10", "seal[0].level"),
            ("[[seal]]\nwith = \"zip\"\npassword = \"hunter2\"", "seal[0].password"),
            ("[[seal]]\nwith = \"age\"", "seal[0].recipients"),
            ("[[seal]]\nwith = \"age\"\nrecipients = []", "seal[0].recipients"),
            (
                "[[seal]]\nwith = \"age\"\nrecipients = [\"AGE-SECRET-KEY-1\"]",
                "seal[0].recipients[0]",
            ),
            (
                "[[seal]]\nwith = \"age\"\nrecipients = [\"age1qq\"]\npassphrase = \"env:A\"",
                "seal[0].recipients",
            ),
            (
                "[[seal]]\nwith = \"gzip\"\n[[seal]]\nwith = \"openpgp\"\nkeys = []",
                "seal[1].keys",
            ),
            ("[[seal]]\nwith = \"openpgp\"\nkeys = [\"0xABCD\"]", "seal[0].keys[0]"),
            ("[[seal]]\nwith = \"command\"\nargv = []", "seal[0].argv"),
            ("[[seal]]\nwith = \"command\"\nargv = [\"openssl\"]", "seal[0].argv"),
            (
                "[[seal]]\nwith = \"command\"\nargv = [\"/bin/cat\"]\ntimeout_seconds = 0",
                "seal[0].timeout_seconds",
            ),
            (
                "[[seal]]\nwith = \"command\"\nargv = [\"/bin/cat\"]\nenvironment = [\"A=B\"]",
                "seal[0].environment[0]",
            ),
            (
                "[[seal]]\nwith = \"command\"\nargv = [\"/bin/cat\"]\nextension = \"../p7m\"",
                "seal[0].extension",
            ),
            (
                "[[seal]]\nwith = \"command\"\nargv = [\"/bin/cat\"]\nverify = [\"/bin/cat\", \"{out}\"]",
                "seal[0].verify",
            ),
            ("[[seal]]\nwith = \"zip\"\ncipher = \"aes\"", "cipher"),
            ("[[seal]]\nwith = \"rar\"", "rar"),
        ] {
            let refused = profile(text).unwrap_err();
            assert!(refused.contains(place), "{text}: {refused}");
            assert!(!refused.contains("hunter2"), "{refused}");
        }
    }
}
