//! A mail as it was received, and what a reader sees in it. Parsing never refuses: what cannot be read is empty, and
//! the raw bytes are there.

use bytes::Bytes;
use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::{ContentType, Encoding, Message, MessageParser, MessagePart, MimeHeaders};

/// One kept mail. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The envelope's sender; empty for `<>`.
    pub from: String,
    /// The envelope's recipients.
    pub to: Vec<String>,
    /// The message, byte for byte as it was before the sender's dot-stuffing.
    pub raw: Bytes,
    /// The decoded subject.
    pub subject: String,
    /// The Message-ID, without angle brackets.
    pub message_id: String,
    /// All headers in their order, unfolded but otherwise as written.
    pub headers: Vec<(String, String)>,
    /// The first text, decoded.
    pub text: String,
    /// The attached files.
    pub attachments: Vec<Attachment>,
}

/// One attached file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Its decoded name; the one of RFC 2231 where there are two.
    pub file_name: String,
    /// Its content, decoded.
    pub bytes: Bytes,
}

impl Mail {
    /// The first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn parse(from: String, to: Vec<String>, raw: Vec<u8>) -> Self {
        let parsed = MessageParser::default().parse(&raw);
        let read = |of: &dyn Fn(&Message<'_>) -> Option<String>| parsed.as_ref().and_then(of).unwrap_or_default();
        Self {
            from,
            to,
            subject: read(&|mail| mail.subject().map(str::to_owned)),
            message_id: read(&|mail| mail.message_id().map(str::to_owned)),
            text: read(&|mail| mail.body_text(0).map(|text| text.into_owned())),
            headers: parsed.as_ref().map(headers).unwrap_or_default(),
            attachments: parsed.as_ref().map(attachments).unwrap_or_default(),
            raw: raw.into(),
        }
    }
}

fn headers(mail: &Message<'_>) -> Vec<(String, String)> {
    mail.headers_raw()
        .map(|(name, value)| {
            let unfolded = value.replace("\r\n", "");
            (name.to_owned(), unfolded.trim().to_owned())
        })
        .collect()
}

fn attachments(mail: &Message<'_>) -> Vec<Attachment> {
    mail.attachments()
        .map(|part| Attachment {
            file_name: file_name(part).unwrap_or_default().to_owned(),
            bytes: content(mail, part).into(),
        })
        .collect()
}

/// Where a name is given twice, the parser lists the one of RFC 2231 last.
fn file_name<'a>(part: &'a MessagePart<'_>) -> Option<&'a str> {
    let given = part.content_disposition().and_then(ContentType::attributes);
    given
        .unwrap_or_default()
        .iter()
        .rfind(|attribute| attribute.name == "filename")
        .map(|attribute| &*attribute.value)
        .or_else(|| part.attachment_name())
}

/// The file's own bytes. Not the parser's idea of them: it turns text of any encoding into UTF-8.
fn content(mail: &Message<'_>, part: &MessagePart<'_>) -> Vec<u8> {
    let place = part.offset_body as usize..part.offset_end as usize;
    let sent = mail.raw_message.get(place).unwrap_or_default();
    let decoded = match part.encoding {
        Encoding::None => None,
        Encoding::QuotedPrintable => quoted_printable_decode(sent),
        Encoding::Base64 => base64_decode(sent),
    };
    decoded.unwrap_or_else(|| sent.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(raw: &str) -> Mail {
        Mail::parse(String::new(), Vec::new(), raw.replace('\n', "\r\n").into())
    }

    #[test]
    fn a_reader_sees_decoded_headers_text_and_files() {
        let mail = parse(
            "Subject: =?utf-8?B?0KDQtdC10YHRgtGA?= 1\nMessage-ID: <1@unigate.example>\n\
             X-Unigate-Count:\n 12\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b\"\n\n\
             --b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n\
             =D0=94=D0=B0\n--b\nContent-Type: application/zip\nContent-Transfer-Encoding: base64\n\
             Content-Disposition: attachment; filename=\"_.zip\";\n filename*=utf-8''%D0%94%D0%B0.zip\n\n\
             AAEC\n--b--\n",
        );
        assert_eq!(mail.subject, "Реестр 1");
        assert_eq!(mail.message_id, "1@unigate.example");
        assert_eq!(mail.header("x-unigate-count"), Some("12"));
        assert_eq!(mail.text.trim_end(), "Да");
        assert_eq!(mail.attachments.len(), 1);
        assert_eq!(mail.attachments[0].file_name, "Да.zip");
        assert_eq!(mail.attachments[0].bytes, &[0, 1, 2][..]);
    }

    #[test]
    fn what_is_no_mail_is_kept_all_the_same() {
        for raw in ["", "\n", "no headers at all", "Subject\n\n", "\u{0}\u{7}:\n"] {
            let mail = parse(raw);
            assert_eq!(mail.raw, raw.replace('\n', "\r\n").as_bytes());
            assert_eq!(mail.attachments, []);
        }
    }

    #[test]
    fn a_text_file_keeps_its_bytes() {
        let mail = parse(
            "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nhi\n\
             --b\nContent-Type: text/csv; charset=windows-1251; name=\"a.csv\"\n\
             Content-Disposition: attachment; filename=a.csv\nContent-Transfer-Encoding: base64\n\nz/DoDQo=\n--b--\n",
        );
        assert_eq!(mail.attachments[0].bytes, &b"\xcf\xf0\xe8\r\n"[..]);
    }
}
