//! The mail that carries a register, as bytes. Equal inputs give equal bytes, however often and wherever it is built:
//! nothing here asks for the time, the host or chance. It does not send.
//!
//! One message goes to every recipient of a register, so `To` names them all and a copy to one of them is no secret from
//! the others. The file travels as base64 and arrives byte for byte. It is put in on the way: in memory there is the file,
//! and what stands before and after it in the mail, but never the whole.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use domain::declaration::ascii_host;
use domain::letter::Part;
use jiff::Timestamp;
use lettre::Address;
use lettre::address::AddressError;
use lettre::message::header::{ContentTransferEncoding, ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Body, Mailbox, Message, MultiPart, SinglePart};
use store::registers::Summary;

use crate::clean::{ascii, file_name, one_line};

/// Boundaries may have 70 characters (RFC 2046).
const BOUNDARY_MAX: usize = 70;
/// Bytes of a file on one line of base64, which then has 76 characters (RFC 2045), and bytes encoded at a time.
const LINE_BYTES: usize = 57;
const PIECE_BYTES: usize = 1024 * LINE_BYTES;

/// What a register mail is made of, besides the file.
#[derive(Debug, Clone, Copy)]
pub struct RegisterMail<'a> {
    /// With angle brackets; the same for all recipients and over all retries.
    pub message_id: &'a str,
    /// The sender, `unigate@example.org` or `Unigate <unigate@example.org>`.
    pub from: &'a str,
    /// All addresses the register goes to, in their order.
    pub to: &'a [String],
    /// The date of the mail: the same over all retries, so not the time of sending.
    pub date: Timestamp,
    /// What it says in its subject.
    pub subject: &'a str,
    /// What it says, in lines that end in CRLF.
    pub body: &'a str,
    /// The register.
    pub register: &'a Summary,
    /// Which of its files is attached, where there are several.
    pub part: Option<Part>,
    /// Payments in the file, and their sum.
    pub holds: (i64, i64),
    /// The name of the file.
    pub file_name: &'a str,
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
        source: AddressError,
    },
    /// The message lacks something, for example a recipient.
    #[error("the message is incomplete")]
    Incomplete(#[source] lettre::error::Error),
    /// The message has no place for its file.
    #[error("the message has no place for its file")]
    Placeless,
}

/// A mail with the place where its file goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Up to the blank line after the headers of the file's part.
    pub head: Vec<u8>,
    /// From the line break after the file on.
    pub tail: Vec<u8>,
}

impl RegisterMail<'_> {
    /// The message without its file.
    pub fn to_frame(&self) -> Result<Frame, MessageError> {
        let boundary = boundary(self.message_id)?;
        let mut message = Message::builder()
            .from(mailbox(self.from)?)
            .date(self.date.max(Timestamp::UNIX_EPOCH).into())
            .message_id(Some(self.message_id.to_owned()))
            .subject(self.subject);
        for recipient in self.to {
            message = message.to(mailbox(recipient)?);
        }
        let (count, total) = self.holds;
        let mut headers = vec![
            ("X-Unigate-Register", self.register.register_id.to_string()),
            ("X-Unigate-Kind", self.register.kind().to_owned()),
            ("X-Unigate-Count", count.to_string()),
            ("X-Unigate-Total", total.to_string()),
        ];
        headers.extend(
            self.part
                .map(|Part { number, of }| ("X-Unigate-Part", format!("{number}/{of}"))),
        );
        if self.register.open > 0 {
            headers.push(("X-Unigate-Open", self.register.open.to_string()));
        }
        // Keeps absence notices and mailing-list programs from answering a machine (RFC 3834).
        headers.push(("Auto-Submitted", "auto-generated".to_owned()));
        for (name, value) in headers {
            message = message.raw_header(HeaderValue::new(HeaderName::new_from_ascii_str(name), value));
        }
        let parts = MultiPart::mixed()
            .boundary(&boundary)
            .singlepart(text_part(self.body.to_owned()))
            .singlepart(self.empty_file_part());
        let message = message.multipart(parts).map_err(MessageError::Incomplete)?;
        let mut head = message.formatted();
        // The last part is empty: right before the end of the message the file belongs.
        let end = format!("\r\n--{boundary}--\r\n");
        let place = head
            .len()
            .checked_sub(end.len())
            .filter(|at| head[*at..] == *end.as_bytes());
        let tail = head.split_off(place.ok_or(MessageError::Placeless)?);
        Ok(Frame { head, tail })
    }

    fn empty_file_part(&self) -> SinglePart {
        let name = file_name(self.file_name);
        let kind = if name.ends_with(".zip") {
            "application/zip"
        } else {
            "application/octet-stream"
        };
        part(kind, ContentTransferEncoding::Base64, Some(Attached(name)), Vec::new())
    }
}

/// A message as it goes out, in pieces.
#[derive(Debug, Clone, Copy)]
pub struct Raw<'a> {
    head: &'a [u8],
    file: &'a [u8],
    tail: &'a [u8],
}

impl<'a> Raw<'a> {
    /// Bytes as they stand.
    pub fn whole(bytes: &'a [u8]) -> Self {
        // lettre ends the last line itself; ended twice, the recipient would get a line more than we sent.
        Self {
            head: bytes.strip_suffix(b"\r\n").unwrap_or(bytes),
            file: b"",
            tail: b"",
        }
    }

    /// A frame with its file.
    pub fn framed(head: &'a [u8], file: &'a [u8], tail: &'a [u8]) -> Self {
        let tail = tail.strip_suffix(b"\r\n").unwrap_or(tail);
        Self { head, file, tail }
    }

    /// The size on the wire, the end of the last line included.
    pub fn bytes(&self) -> u64 {
        framed_bytes(self.head, self.file.len() as u64, self.tail) + 2
    }

    /// Whether only the bytes of US-ASCII occur. A file is base64.
    pub fn is_ascii(&self) -> bool {
        self.head.is_ascii() && self.tail.is_ascii()
    }

    /// Whether only those occur in its headers. Others are of addresses: all else is encoded there.
    pub fn has_ascii_headers(&self) -> bool {
        let end = self.head.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        self.head[..end.unwrap_or(self.head.len())].is_ascii()
    }

    /// The pieces, without the end of the last line.
    pub fn pieces(&self) -> impl Iterator<Item = Cow<'a, [u8]>> + use<'a> {
        let last = self.file.len().div_ceil(PIECE_BYTES);
        let file = self.file.chunks(PIECE_BYTES).zip(1..).map(move |(piece, nth)| {
            let mut lines = encoded(piece);
            if nth < last {
                lines.extend(b"\r\n");
            }
            Cow::Owned(lines)
        });
        [Cow::Borrowed(self.head)]
            .into_iter()
            .chain(file)
            .chain([Cow::Borrowed(self.tail)])
            .filter(|piece| !piece.is_empty())
    }
}

/// The size on the wire of a file in its frame.
pub(crate) fn framed_bytes(head: &[u8], file_bytes: u64, tail: &[u8]) -> u64 {
    let breaks = file_bytes.div_ceil(LINE_BYTES as u64).saturating_sub(1);
    head.len() as u64 + file_bytes.div_ceil(3) * 4 + 2 * breaks + tail.len() as u64
}

/// Lines of base64, with breaks between them.
fn encoded(bytes: &[u8]) -> Vec<u8> {
    let mut lines = String::with_capacity(bytes.len() * 3 / 2);
    for (n, line) in bytes.chunks(LINE_BYTES).enumerate() {
        if n > 0 {
            lines.push_str("\r\n");
        }
        BASE64_STANDARD.encode_string(line, &mut lines);
    }
    lines.into_bytes()
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

/// Reads `address` or `Name <address>`, the domain in ASCII: hardly a relay takes others, and each has such a name. Here
/// nothing is cleaned: what is left of two lines could be a third address.
pub(crate) fn mailbox(address: &str) -> Result<Mailbox, MessageError> {
    let refused = |source| MessageError::Address {
        address: one_line(address, 400),
        source,
    };
    if address.chars().any(char::is_control) {
        return Err(refused(AddressError::InvalidInput));
    }
    let Mailbox { name, email } = address.parse().map_err(refused)?;
    let domain = ascii_host(email.domain()).ok_or_else(|| refused(AddressError::InvalidDomain))?;
    let email = Address::new(email.user(), domain).map_err(refused)?;
    Ok(Mailbox { name, email })
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
