//! How a register gets to its payee: what the mail says, whose relay it goes through, and the directory it is put into.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::online::check_retries;
use super::super::{Findings, RelayTls, RelayUrl, SecretRef};
use super::{RegisterProfile, check_address};
use crate::invalid::Invalid;
use crate::letter::{self, Language, Templates};
use crate::text::no_control;

/// The longest name of a sender, and the longest path of a directory, in characters.
const SENDER_NAME_MAX: usize = 100;
const PATH_MAX: usize = 1_000;
/// The longest name of the file that marks one, in characters.
const MARK_MAX: usize = 100;
/// The largest mail that may be allowed, and the smallest, in bytes as it goes out.
const MAIL_BYTES_MIN: u64 = 16 * 1024;
const MAIL_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// A mail that nothing is said of: with a file of 25 MiB, which grows by a third. Hardly any server takes more.
const MAIL_BYTES_USUAL: u64 = 36 * 1024 * 1024;
/// Waits before further tries that nothing is said of. The first are short: a greylisting server wants patience, a restarted
/// one does not.
pub const RETRY_SECONDS_USUAL: [u32; 9] = [10, 30, 120, 300, 900, 1800, 3600, 7200, 14400];

/// The `[register.mail]` of a payee.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MailProfile {
    /// Of the ready text: `en` or `ru`.
    pub language: Language,
    /// A template of the subject instead of the ready one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// A template of the text instead of the ready one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The sender, `address` or `Name <address>`, instead of the installation's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The relay, `smtp://[user@]host[:port][?tls=…]` or `smtps://…`, instead of the installation's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay: Option<RelayUrl>,
    /// The password of the relay's user: `env:NAME` or `file:PATH`, where the mailer runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay_password: Option<SecretRef>,
    /// PEM: who may have signed the relay's certificate, instead of the system's authorities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay_ca: Option<SecretRef>,
    /// The largest mail, in bytes as it goes out; a file grows by a third on its way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// How long to wait before the second try, the third and so on, in seconds, of which the last repeats until the mail is
    /// given up; none = the usual waits, from ten seconds to four hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_seconds: Option<Vec<u32>>,
}

/// The `[register.directory]` of a payee.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryProfile {
    /// Where the file is put: an absolute path on the mailer's machine. The directory must be there.
    pub path: PathBuf,
    /// A file in it by which it is known to be the payee's: without it nothing is put there, and what goes there waits. For
    /// a share that leaves an empty directory when it is not mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
}

/// Where a register goes, as a mailing keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipient {
    /// To a mail address.
    Address(String),
    /// Into a directory: `directory:/srv/registers`, which is no mail address.
    Directory(PathBuf),
}

impl Recipient {
    const DIRECTORY: &str = "directory:";

    /// Reads what [`RegisterProfile::recipients`] wrote.
    pub fn of(text: &str) -> Self {
        match text.strip_prefix(Self::DIRECTORY) {
            Some(path) => Self::Directory(PathBuf::from(path)),
            None => Self::Address(text.to_owned()),
        }
    }
}

impl MailProfile {
    /// What the mail says.
    pub fn templates(&self) -> Templates<'_> {
        Templates {
            language: self.language,
            subject: self.subject.as_deref(),
            body: self.body.as_deref(),
        }
    }

    /// The waits before further tries, in seconds; the last one repeats.
    pub fn retries(&self) -> &[u32] {
        self.retry_seconds.as_deref().unwrap_or(&RETRY_SECONDS_USUAL)
    }

    /// The largest mail, in bytes as it goes out.
    pub fn most_bytes(&self) -> u64 {
        self.max_bytes.unwrap_or(MAIL_BYTES_USUAL)
    }

    pub(super) fn check(&self) -> Findings {
        let mut found = Findings::default();
        found.take(letter::check(self.templates()));
        if let Some(from) = &self.from {
            found.take(check_sender("from", from));
        }
        found.refuse_if(
            self.max_bytes
                .is_some_and(|most| !(MAIL_BYTES_MIN..=MAIL_BYTES_MAX).contains(&most)),
            "max_bytes",
            "must be from 16384 to 134217728",
        );
        if let Some(seconds) = &self.retry_seconds {
            found.0.extend(check_retries(seconds).0);
        }
        self.check_relay(&mut found);
        found
    }

    fn check_relay(&self, found: &mut Findings) {
        for (field, secret) in [("relay_password", &self.relay_password), ("relay_ca", &self.relay_ca)] {
            let Some(secret) = secret else { continue };
            found.refuse_if(self.relay.is_none(), field, "is read only with a relay of its own");
            found.refuse_if(!secret.is_reference(), field, "must be env:NAME or file:PATH");
        }
        let Some(relay) = &self.relay else { return };
        found.refuse_if(
            relay.user().is_some() != self.relay_password.is_some(),
            "relay_password",
            "goes with a user in relay: both or neither",
        );
        found.refuse_if(
            relay.tls() == RelayTls::None && relay.user().is_some() && !relay.is_loopback(),
            "relay",
            "would get its password unencrypted: tls=none with a user is for the loopback only",
        );
        found.refuse_if(
            relay.tls() == RelayTls::None && self.relay_ca.is_some(),
            "relay_ca",
            "is not read with tls=none",
        );
    }
}

impl DirectoryProfile {
    pub(super) fn check(&self) -> Findings {
        let mut found = Findings::default();
        let text = self.path.to_string_lossy();
        found.take(no_control("path", &text, PATH_MAX));
        let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
        found.refuse_if(
            !self.path.is_absolute() || self.path == Path::new("/") || !self.path.components().all(plain),
            "path",
            "must be an absolute path without `..`, such as /srv/registers/gorvodokanal",
        );
        if let Some(mark) = &self.mark {
            found.take(no_control("mark", mark, MARK_MAX));
            let parts: Vec<_> = Path::new(mark).components().collect();
            found.refuse_if(
                mark.contains('/') || !matches!(parts[..], [Component::Normal(_)]),
                "mark",
                "must be the name of a file, such as .unigate",
            );
        }
        found
    }
}

impl RegisterProfile {
    /// Where registers go: mail addresses in their order, then the directory.
    pub fn recipients(&self) -> Vec<String> {
        let directory = self.directory.as_ref();
        let directory = directory.map(|it| format!("{}{}", Recipient::DIRECTORY, it.path.display()));
        self.mail_to.iter().cloned().chain(directory).collect()
    }
}

/// `address`, or `Name <address>` with a name that needs no quotes.
fn check_sender(field: &str, from: &str) -> Result<(), Invalid> {
    let refused = || Invalid::new(field, "must be an address, or a name of plain letters and <address>");
    let Some(rest) = from.strip_suffix('>') else {
        return check_address(field, from).map_err(|_| refused());
    };
    let (name, address) = rest.split_once('<').ok_or_else(refused)?;
    let plain = |c: char| c.is_alphanumeric() || " -_'".contains(c);
    if name.trim().is_empty() || name.chars().count() > SENDER_NAME_MAX || !name.chars().all(plain) {
        return Err(refused());
    }
    check_address(field, address).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(toml: &str) -> Vec<String> {
        let profile: RegisterProfile = toml::from_str(&format!("schedule = \"0 0 * * *\"\n{toml}")).unwrap();
        profile.check().0.iter().map(ToString::to_string).collect()
    }

    fn mail(toml: &str) -> String {
        checked(&format!("[mail]\n{toml}")).join("; ")
    }

    #[test]
    fn what_is_right_is_taken() {
        for toml in [
            "",
            "language = \"ru\"",
            "from = \"registers@operator.example\"\nmax_bytes = 10485760",
            "from = \"Реестры платежей <registers@operator.example>\"",
            "relay = \"smtps://user@relay.example:465\"\nrelay_password = \"env:RELAY\"\nrelay_ca = \"file:/ca.pem\"",
            "relay = \"smtp://relay.example?tls=required\"",
            "retry_seconds = [60, 3600]",
            "relay = \"smtp://user@127.0.0.1:25?tls=none\"\nrelay_password = \"file:/run/relay\"",
            "subject = \"{{ payee }} {{ sequence }} {{ count }} {{ total }}\"",
        ] {
            assert_eq!(mail(toml), "", "{toml}");
        }
        for mark in ["", "\nmark = \".unigate\"", "\nmark = \"Реестры сюда.txt\""] {
            let toml = format!("[directory]\npath = \"/srv/registers/gvk\"{mark}");
            assert_eq!(checked(&toml), Vec::<String>::new());
        }
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_place() {
        for (toml, refusal) in [
            ("subject = \"hello\"", "mail.subject: does not always name the payee"),
            ("body = \"{{ nobody }}\"", "mail.body: line 1: names `nobody`"),
            ("from = \"nobody\"", "mail.from: must be an address"),
            ("from = \"A, B <a@b.example>\"", "mail.from: must be an address"),
            ("from = \"A\\r\\nBcc <a@b.example>\"", "mail.from: must be an address"),
            ("max_bytes = 1", "mail.max_bytes: must be from"),
            ("retry_seconds = []", "mail.retry_seconds: is empty"),
            ("retry_seconds = [60, 0]", "mail.retry_seconds[1]: must be from 1"),
            (
                "relay_password = \"env:X\"",
                "mail.relay_password: is read only with a relay",
            ),
            ("relay = \"smtps://user@h\"", "mail.relay_password: goes with a user"),
            (
                "relay = \"smtps://h\"\nrelay_password = \"env:X\"",
                "mail.relay_password: goes with a user",
            ),
            (
                "relay = \"smtps://user@h\"\nrelay_password = \"hunter2\"",
                "mail.relay_password: must be env:NAME or file:PATH",
            ),
            (
                "relay = \"smtp://user@relay.example?tls=none\"\nrelay_password = \"env:X\"",
                "mail.relay: would get its password unencrypted",
            ),
        ] {
            let refused = mail(toml);
            assert!(
                refused.contains(refusal) || refusal.contains("names") && refused.contains("names `nobody`"),
                "{toml}: {refused}"
            );
            assert!(!refused.contains("hunter2"));
        }
        for path in ["registers", "/", "/srv/../etc", ""] {
            let refused = checked(&format!("[directory]\npath = \"{path}\""));
            assert!(
                refused[0].starts_with("directory.path: must be an absolute path"),
                "{path}: {refused:?}"
            );
        }
        for mark in ["", ".", "..", "a/b", "/a", "a/"] {
            let refused = checked(&format!("[directory]\npath = \"/srv/gvk\"\nmark = \"{mark}\""));
            assert!(
                refused[0].starts_with("directory.mark: must be the name of a file"),
                "{mark}: {refused:?}"
            );
        }
        for toml in [
            "[mail]\nlanguage = \"fr\"",
            "[mail]\nrelay = \"smtps://u:hunter2@h\"",
            "[mail]\nlang = \"en\"",
        ] {
            let refused = toml::from_str::<RegisterProfile>(toml).unwrap_err();
            assert!(!refused.message().contains("hunter2"), "{refused}");
        }
    }

    #[test]
    fn an_address_is_one_that_a_mail_can_have() {
        let (user, label) = ("a".repeat(64), "b".repeat(63));
        let longest = format!("{user}@{label}.example");
        for right in [
            "o'brien+x@example.org",
            "бухгалтер@пример.рф",
            "a@localhost",
            "1@1-2.3",
            &longest,
        ] {
            assert_eq!(check_address("mail_to", right), Ok(()), "{right}");
        }
        let (user, label) = (format!("a{longest}"), format!("a@b{label}.example"));
        // Short enough as it is, and too long in ASCII.
        let scattered: String = ('一'..'鿿').step_by(900).collect();
        let translated = format!("a@{scattered}.example");
        for wrong in [
            "",
            "a",
            "@",
            "a@",
            "@b",
            ".a@b",
            "a.@b",
            "a..b@c",
            "a b@c",
            "a@b c",
            "a@b.",
            "a@b..c",
            "a@-b",
            "a@b-.c",
            "a@b_c",
            "a@b@c",
            "a@[::1]",
            "\"a\"@b",
            "a@b\r\nBcc: c@d",
            "A <a@b>",
            &user,
            &label,
            &translated,
            "a@\u{93e}b.рф",
        ] {
            assert!(check_address("mail_to", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn recipients_are_told_apart() {
        let toml = "schedule = \"0 0 * * *\"\nmail_to = [\"a@example.org\"]\n[directory]\npath = \"/srv/gvk\"";
        let profile: RegisterProfile = toml::from_str(toml).unwrap();
        assert_eq!(profile.recipients(), ["a@example.org", "directory:/srv/gvk"]);
        let all: Vec<Recipient> = profile.recipients().iter().map(|text| Recipient::of(text)).collect();
        assert_eq!(
            all,
            [
                Recipient::Address("a@example.org".into()),
                Recipient::Directory("/srv/gvk".into())
            ]
        );
        assert!(
            check_address("mail_to", "directory:/srv/gvk").is_err(),
            "no address looks like a directory"
        );
    }
}
