//! The mail that carries a register, as bytes. Equal inputs give equal bytes, however often and wherever it is built:
//! nothing here asks for the time, the host or chance. It does not send.
//!
//! One message goes to every recipient of a register, so `To` names them all and a copy to one of them is no secret from
//! the others. The file travels as base64 and arrives byte for byte.

use domain::Invalid;
use domain::money::{Currency, format_minor};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use lettre::message::header::{ContentTransferEncoding, ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Body, Mailbox, Message, MultiPart, SinglePart};
use store::registers::Summary;

use crate::clean::{ascii, file_name, one_line};

/// The longest name of a payee in a subject.
const NAME_MAX: usize = 120;
/// The longest name of a file. Percent-encoded it still fits one line of a header.
const FILE_NAME_MAX: usize = 120;
/// Boundaries may have 70 characters (RFC 2046).
const BOUNDARY_MAX: usize = 70;

/// What a register mail is made of.
#[derive(Debug, Clone, Copy)]
pub struct RegisterMail<'a> {
    /// With angle brackets; the same for all recipients and over all retries.
    pub message_id: &'a str,
    /// The sender, `unigate@example.org` or `Unigate <unigate@example.org>`.
    pub from: &'a str,
    /// All recipients of the register, in their order.
    pub to: &'a [String],
    /// The date of the mail: the same over all retries, so not the time of sending.
    pub date: Timestamp,
    /// The payee's name.
    pub payee_name: &'a str,
    /// The payee's time zone, for the times in the text.
    pub time_zone: &'a TimeZone,
    /// The register.
    pub register: &'a Summary,
    /// The name of its file.
    pub file_name: &'a str,
    /// Its file.
    pub file: &'a [u8],
}

/// Why a register cannot be mailed as it is. None of these passes by itself.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// The Message-ID is not `<left@right>` in printable ASCII.
    #[error("{0:?} is no Message-ID")]
    MessageId(String),
    /// An address cannot be read.
    #[error("{address:?} is no mail address")]
    Address {
        /// The text that should be one.
        address: String,
        /// What is wrong with it.
        #[source]
        source: lettre::address::AddressError,
    },
    /// The register's currency is not known.
    #[error("the register's currency is not known")]
    Currency(#[source] Invalid),
    /// The message lacks something, for example a recipient.
    #[error("the message is incomplete")]
    Incomplete(#[source] lettre::error::Error),
}

impl RegisterMail<'_> {
    /// The whole message, ready for the wire.
    pub fn to_bytes(&self) -> Result<Vec<u8>, MessageError> {
        let boundary = boundary(self.message_id)?;
        let total = self.total()?;
        let mut message = Message::builder()
            .from(mailbox(self.from)?)
            .date(self.date.max(Timestamp::UNIX_EPOCH).into())
            .message_id(Some(self.message_id.to_owned()))
            .subject(self.subject(&total));
        for recipient in self.to {
            message = message.to(mailbox(recipient)?);
        }
        let register = self.register;
        for (name, value) in [
            ("X-Unigate-Register", register.register_id.to_string()),
            ("X-Unigate-Kind", register.kind().to_owned()),
            ("X-Unigate-Count", register.count.to_string()),
            ("X-Unigate-Total", register.total.to_string()),
            // Keeps absence notices and mailing-list programs from answering a machine (RFC 3834).
            ("Auto-Submitted", "auto-generated".to_owned()),
        ] {
            message = message.raw_header(HeaderValue::new(HeaderName::new_from_ascii_str(name), value));
        }
        let parts = MultiPart::mixed()
            .boundary(boundary)
            .singlepart(text_part(self.text(&total)))
            .singlepart(self.file_part());
        let message = message.multipart(parts).map_err(MessageError::Incomplete)?;
        Ok(message.formatted())
    }

    fn total(&self) -> Result<String, MessageError> {
        let currency = Currency::parse(&self.register.currency).map_err(MessageError::Currency)?;
        Ok(format!("{} {currency}", format_minor(self.register.total, currency)))
    }

    fn payee(&self) -> String {
        format!("{} ({})", one_line(self.payee_name, NAME_MAX), self.register.payee)
    }

    /// `000012`, or `night 000012` for a series that is not the usual one.
    fn sequence(&self) -> String {
        match self.register.series.as_str() {
            "main" => format!("{:06}", self.register.sequence),
            series => format!("{} {:06}", one_line(series, NAME_MAX), self.register.sequence),
        }
    }

    fn subject(&self, total: &str) -> String {
        let copy = if self.register.is_copy { "COPY: " } else { "" };
        format!(
            "{copy}Register {}, {}: {} payments, {total}",
            self.sequence(),
            self.payee(),
            self.register.count
        )
    }

    fn text(&self, total: &str) -> String {
        let register = self.register;
        let at = |time: Timestamp| {
            time.to_zoned(self.time_zone.clone())
                .strftime("%Y-%m-%d %H:%M:%S %:z")
                .to_string()
        };
        let mut lines = vec![
            format!("Register {} of {}", self.sequence(), self.payee()),
            String::new(),
            format!("Payments: {}", register.count),
            format!("Total: {total}"),
            format!("Accepted from: {}", at(register.first_accepted_at)),
            format!("Accepted to: {}", at(register.last_accepted_at)),
            format!(
                "File: {} ({} bytes)",
                file_name(self.file_name, FILE_NAME_MAX),
                self.file.len()
            ),
            format!("Register id: {}", register.register_id),
        ];
        if register.is_copy {
            lines.push(String::new());
            lines.push(
                "This is a copy: its payments were in regular registers before, under the same numbers.".to_owned(),
            );
        }
        lines.join("\r\n") + "\r\n"
    }

    fn file_part(&self) -> SinglePart {
        let name = file_name(self.file_name, FILE_NAME_MAX);
        let kind = if name.ends_with(".zip") {
            "application/zip"
        } else {
            "application/octet-stream"
        };
        part(
            kind,
            ContentTransferEncoding::Base64,
            Some(Attached(name)),
            self.file.to_vec(),
        )
    }
}

pub(crate) fn text_part(text: String) -> SinglePart {
    part(
        "text/plain; charset=utf-8",
        ContentTransferEncoding::QuotedPrintable,
        None,
        text.into_bytes(),
    )
}

/// A part in an encoding that we choose: lettre's own choice would send a file of text as text and change its line ends.
fn part(kind: &str, encoding: ContentTransferEncoding, attached: Option<Attached>, content: Vec<u8>) -> SinglePart {
    let kind = ContentType::parse(kind).unwrap_or(ContentType::TEXT_PLAIN);
    let mut part = SinglePart::builder().content_type(kind);
    if let Some(attached) = attached {
        part = part.header(attached);
    }
    // Base64 and quoted-printable take any bytes; should that change, the part is empty rather than wrong.
    part.body(Body::new_with_encoding(content, encoding).unwrap_or_else(|_| Body::new(String::new())))
}

/// `Content-Disposition` with the name twice where it is not ASCII: for programs that know ASCII only, and by RFC 2231.
/// The name must have gone through `clean::file_name`.
#[derive(Clone)]
struct Attached(String);

impl Header for Attached {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Content-Disposition")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Err("only written, never read".into())
    }

    fn display(&self) -> HeaderValue {
        let mut value = format!("attachment;\r\n filename=\"{}\"", ascii(&self.0));
        if !self.0.is_ascii() {
            value.push_str(";\r\n filename*=utf-8''");
            for byte in self.0.bytes() {
                if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
                    value.push(byte.into());
                } else {
                    value.push_str(&format!("%{byte:02X}"));
                }
            }
        }
        HeaderValue::dangerous_new_pre_encoded(Self::name(), value.clone(), value)
    }
}

/// Reads `address` or `Name <address>`. Here nothing is cleaned: what is left of two lines could be a third address.
pub(crate) fn mailbox(address: &str) -> Result<Mailbox, MessageError> {
    let refused = |source| MessageError::Address {
        address: one_line(address, 400),
        source,
    };
    if address.chars().any(char::is_control) {
        return Err(refused(lettre::address::AddressError::InvalidInput));
    }
    address.parse().map_err(refused)
}

/// A boundary that depends on nothing but the Message-ID. `=_` occurs neither in base64 nor in quoted-printable, so no
/// part can contain it.
fn boundary(message_id: &str) -> Result<String, MessageError> {
    let refused = || MessageError::MessageId(one_line(message_id, 400));
    let inner = message_id
        .strip_prefix('<')
        .and_then(|id| id.strip_suffix('>'))
        .ok_or_else(refused)?;
    let (left, right) = inner.split_once('@').ok_or_else(refused)?;
    let plain = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"<>@".contains(&byte))
    };
    // With its name the header has to fit a line.
    if !plain(left) || !plain(right) || message_id.len() > 900 {
        return Err(refused());
    }
    let known = left.chars().filter(char::is_ascii_alphanumeric);
    Ok("=_unigate_".chars().chain(known).take(BOUNDARY_MAX).collect())
}

#[cfg(test)]
pub(crate) mod tests;
