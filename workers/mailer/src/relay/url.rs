//! `UNIGATE_SMTP_URL`. Errors never quote it: it may hold a password.

use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// How a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// Not at all.
    None,
    /// By `STARTTLS`, where the relay offers it.
    Offered,
    /// By `STARTTLS`, or nothing is sent.
    Required,
    /// From the first byte (`smtps`).
    Wrapper,
}

/// What is wrong with the URL of the mail relay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RelayUrlError {
    /// It cannot be read at all.
    #[error("not a URL")]
    Unreadable(#[from] url::ParseError),
    /// Something in it is wrong.
    #[error("{0}")]
    Wrong(&'static str),
}

pub(super) struct Place {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: Tls,
    pub(super) login: Option<(String, String)>,
}

/// Port of submission with `STARTTLS`, and with TLS from the first byte (RFC 8314).
const SUBMISSION_PORT: u16 = 587;
const SUBMISSIONS_PORT: u16 = 465;

pub(super) fn parse(url: &SecretString) -> Result<Place, RelayUrlError> {
    let url = Url::parse(url.expose_secret())?;
    let (default_port, tls) = match url.scheme() {
        "smtp" => (SUBMISSION_PORT, tls_of(&url)?),
        "smtps" if url.query().is_none() => (SUBMISSIONS_PORT, Tls::Wrapper),
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
    Ok(Place {
        // An address of version 6 stands in brackets.
        host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
        port: url.port().unwrap_or(default_port),
        tls,
        login: login_of(&url)?,
    })
}

fn tls_of(url: &Url) -> Result<Tls, RelayUrlError> {
    let mut tls = None;
    for (name, value) in url.query_pairs() {
        let read = match (&*name, &*value) {
            ("tls", "none") => Tls::None,
            ("tls", "starttls") => Tls::Offered,
            ("tls", "required") => Tls::Required,
            ("tls", _) => return Err(RelayUrlError::Wrong("tls is none, starttls or required")),
            _ => return Err(RelayUrlError::Wrong("the only parameter is tls")),
        };
        if tls.replace(read).is_some() {
            return Err(RelayUrlError::Wrong("tls is given twice"));
        }
    }
    Ok(tls.unwrap_or(Tls::Offered))
}

fn login_of(url: &Url) -> Result<Option<(String, String)>, RelayUrlError> {
    match (url.username(), url.password()) {
        ("", None) => Ok(None),
        ("", Some(_)) | (_, None) => Err(RelayUrlError::Wrong("needs both user and password, or neither")),
        (user, Some(password)) => Ok(Some((decoded(user)?, decoded(password)?))),
    }
}

/// Percent-decoded.
fn decoded(text: &str) -> Result<String, RelayUrlError> {
    let wrong = RelayUrlError::Wrong("user and password are percent-encoded UTF-8");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let byte = byte.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.ok_or_else(|| wrong.clone())?);
        rest = &after[2..];
    }
    String::from_utf8(bytes).map_err(|_| wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = (String, u16, Tls, Option<(String, String)>);

    fn read(url: &str) -> Result<Read, RelayUrlError> {
        let place = parse(&SecretString::from(url))?;
        Ok((place.host, place.port, place.tls, place.login))
    }

    #[test]
    fn every_form_is_read() {
        let login = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        for (url, host, port, tls, expected) in [
            ("smtp://127.0.0.1:2525", "127.0.0.1", 2525, Tls::Offered, None),
            ("smtp://mail.example.org", "mail.example.org", 587, Tls::Offered, None),
            (
                "smtp://mail.example.org:25/?tls=none",
                "mail.example.org",
                25,
                Tls::None,
                None,
            ),
            ("smtp://m:25?tls=starttls", "m", 25, Tls::Offered, None),
            (
                "smtp://u:p@m:587?tls=required",
                "m",
                587,
                Tls::Required,
                login("u", "p"),
            ),
            ("smtps://u%40d:p%2F+%25@m", "m", 465, Tls::Wrapper, login("u@d", "p/+%")),
            ("smtp://[::1]:2525?tls=none", "::1", 2525, Tls::None, None),
            ("smtps://u:%D0%BF@m:4650", "m", 4650, Tls::Wrapper, login("u", "п")),
        ] {
            assert_eq!(read(url), Ok((host.to_owned(), port, tls, expected)), "{url}");
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
            "smtp://hunter2@m",
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
    }
}
