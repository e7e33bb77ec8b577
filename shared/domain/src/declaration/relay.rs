//! Where mail is handed over: `UNIGATE_SMTP_URL`, and the relay of a payee's own. Errors never quote it: it may hold a
//! password.

use std::fmt;
use std::net::IpAddr;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use crate::invalid::Invalid;
use crate::text::deserialize_with;

/// How a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayTls {
    /// Not at all.
    None,
    /// By `STARTTLS`, where the relay offers it.
    Offered,
    /// By `STARTTLS`, or nothing is sent.
    Required,
    /// From the first byte (`smtps`).
    Wrapper,
}

/// What is wrong with the URL of a mail relay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RelayUrlError {
    /// It cannot be read at all.
    #[error("not a URL")]
    Unreadable(#[from] url::ParseError),
    /// Something in it is wrong.
    #[error("{0}")]
    Wrong(&'static str),
}

/// `smtp://[user[:password]@]host[:port][?tls=none|starttls|required]` or `smtps://[user[:password]@]host[:port]`. Without
/// `tls`, `smtp` is `starttls`: encrypted where the relay offers it. User and password are percent-encoded.
#[derive(Clone)]
pub struct RelayUrl {
    written: SecretString,
    host: String,
    port: u16,
    tls: RelayTls,
    user: Option<String>,
    password: Option<SecretString>,
}

/// Port of submission with `STARTTLS`, and with TLS from the first byte (RFC 8314).
const SUBMISSION_PORT: u16 = 587;
const SUBMISSIONS_PORT: u16 = 465;

impl RelayUrl {
    /// Reads it.
    pub fn parse(written: &str) -> Result<Self, RelayUrlError> {
        let url = Url::parse(written)?;
        let (default_port, tls) = match url.scheme() {
            "smtp" => (SUBMISSION_PORT, tls_of(&url)?),
            "smtps" if url.query().is_none() => (SUBMISSIONS_PORT, RelayTls::Wrapper),
            "smtps" => return Err(RelayUrlError::Wrong("smtps:// takes no parameters")),
            _ => return Err(RelayUrlError::Wrong("begins with smtp:// or smtps://")),
        };
        let host = url
            .host_str()
            .filter(|host| !host.is_empty())
            .ok_or(RelayUrlError::Wrong("names no host"))?;
        if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
            return Err(RelayUrlError::Wrong("has nothing after host and port but ?tls=…"));
        }
        let user = Some(url.username()).filter(|user| !user.is_empty());
        if user.is_none() && url.password().is_some() {
            return Err(RelayUrlError::Wrong("has a password without a user"));
        }
        Ok(Self {
            written: written.into(),
            // An address of version 6 stands in brackets.
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: url.port().unwrap_or(default_port),
            tls,
            user: user.map(decoded).transpose()?,
            password: url.password().map(decoded).transpose()?.map(SecretString::from),
        })
    }

    /// The relay's name or address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How the connection is encrypted.
    pub fn tls(&self) -> RelayTls {
        self.tls
    }

    /// Who we log in as.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The password, where it stands in the URL.
    pub fn password(&self) -> Option<&SecretString> {
        self.password.as_ref()
    }

    /// Whether it is on this machine, so that nobody listens on the way.
    pub fn is_loopback(&self) -> bool {
        let name = self.host.eq_ignore_ascii_case("localhost");
        name || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

fn tls_of(url: &Url) -> Result<RelayTls, RelayUrlError> {
    let mut tls = None;
    for (name, value) in url.query_pairs() {
        let read = match (&*name, &*value) {
            ("tls", "none") => RelayTls::None,
            ("tls", "starttls") => RelayTls::Offered,
            ("tls", "required") => RelayTls::Required,
            ("tls", _) => return Err(RelayUrlError::Wrong("tls is none, starttls or required")),
            _ => return Err(RelayUrlError::Wrong("the only parameter is tls")),
        };
        if tls.replace(read).is_some() {
            return Err(RelayUrlError::Wrong("tls is given twice"));
        }
    }
    Ok(tls.unwrap_or(RelayTls::Offered))
}

/// Percent-decoded. A `%` that begins nothing is a slip, and would go out as it stands.
fn decoded(text: &str) -> Result<String, RelayUrlError> {
    let wrong = RelayUrlError::Wrong("user and password are percent-encoded UTF-8");
    let whole = |rest: &str| {
        rest.get(..2)
            .is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
    };
    if text.match_indices('%').any(|(at, _)| !whole(&text[at + 1..])) {
        return Err(wrong);
    }
    let read = percent_encoding::percent_decode_str(text).decode_utf8();
    read.map(std::borrow::Cow::into_owned).map_err(|_| wrong)
}

impl PartialEq for RelayUrl {
    fn eq(&self, other: &Self) -> bool {
        self.written.expose_secret() == other.written.expose_secret()
    }
}

impl Eq for RelayUrl {}

impl fmt::Debug for RelayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayUrl")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &self.tls)
            .field("login", &self.user.is_some())
            .finish_non_exhaustive()
    }
}

/// In a declaration, which never holds the password.
impl Serialize for RelayUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.written.expose_secret())
    }
}

impl<'de> Deserialize<'de> for RelayUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_with(deserializer, "the URL of a mail relay", |written| {
            let relay = Self::parse(written).map_err(|error| Invalid::new("relay", error.to_string()))?;
            match relay.password {
                None => Ok(relay),
                Some(_) => Err(Invalid::new(
                    "relay",
                    "must hold no password: relay_password says where that is, as env:NAME or file:PATH",
                )),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = (String, u16, RelayTls, Option<String>, Option<String>);

    fn read(url: &str) -> Result<Read, RelayUrlError> {
        let relay = RelayUrl::parse(url)?;
        let password = relay.password().map(|password| password.expose_secret().to_owned());
        Ok((
            relay.host().to_owned(),
            relay.port(),
            relay.tls(),
            relay.user().map(str::to_owned),
            password,
        ))
    }

    #[test]
    fn every_form_is_read() {
        use RelayTls::{None as Clear, Offered, Required, Wrapper};
        for (url, host, port, tls, user, password) in [
            ("smtp://127.0.0.1:2525", "127.0.0.1", 2525, Offered, None, None),
            ("smtp://mail.example.org", "mail.example.org", 587, Offered, None, None),
            (
                "smtp://mail.example.org:25/?tls=none",
                "mail.example.org",
                25,
                Clear,
                None,
                None,
            ),
            ("smtp://m:25?tls=starttls", "m", 25, Offered, None, None),
            (
                "smtp://u:p@m:587?tls=required",
                "m",
                587,
                Required,
                Some("u"),
                Some("p"),
            ),
            ("smtps://u%40d:p%2F+%25@m", "m", 465, Wrapper, Some("u@d"), Some("p/+%")),
            ("smtp://[::1]:2525?tls=none", "::1", 2525, Clear, None, None),
            ("smtps://u:%D0%BF@m:4650", "m", 4650, Wrapper, Some("u"), Some("п")),
            ("smtps://u@m", "m", 465, Wrapper, Some("u"), None),
        ] {
            let expected = (
                host.to_owned(),
                port,
                tls,
                user.map(str::to_owned),
                password.map(str::to_owned),
            );
            assert_eq!(read(url), Ok(expected), "{url}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_quoting_the_password() {
        for url in [
            "",
            "127.0.0.1:25",
            "http://u:hunter2@m",
            "smtp://",
            "smtp://u:hunter2@",
            "smtp://:hunter2@m",
            "smtp://u:hunter2%FF@m",
            "smtp://u:hunter2%2@m",
            "smtp://u:hunter2@m:0x19",
            "smtp://u:hunter2@m?tls=maybe",
            "smtp://u:hunter2@m?tls=none&tls=required",
            "smtp://u:hunter2@m?starttls=1",
            "smtp://u:hunter2@m/inbox",
            "smtps://u:hunter2@m?tls=none",
        ] {
            let refused = read(url).unwrap_err();
            assert!(
                !format!("{refused} {refused:?}").contains("hunter2"),
                "{url}: {refused}"
            );
        }
        let relay = RelayUrl::parse("smtp://u:hunter2@m").unwrap();
        assert!(!format!("{relay:?}").contains("hunter2"));
    }

    #[test]
    fn the_loopback_is_known() {
        for (url, loopback) in [
            ("smtp://127.0.0.9:25", true),
            ("smtp://[::1]", true),
            ("smtp://LocalHost", true),
            ("smtp://10.0.0.1", false),
            ("smtp://localhost.example.org", false),
        ] {
            assert_eq!(RelayUrl::parse(url).unwrap().is_loopback(), loopback, "{url}");
        }
    }
}
