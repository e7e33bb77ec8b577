//! What a mail of notices says. Names in it were written by payees, front-ends and operators: every line is cleaned to be
//! one line, in the subject and in the text.

use lettre::message::Message;
use lettre::message::header::{HeaderName, HeaderValue};
use store::notices::{NoticeMail, Waiting};
use uuid::Uuid;

use crate::clean::one_line;
use crate::message::{MessageError, mailbox, text_part};

/// Notices told in full; the list has the others.
const TOLD: usize = 50;
/// The longest line, in characters.
const LINE_MAX: usize = 300;
/// The longest title in a subject, in characters.
const TITLE_MAX: usize = 120;

/// Subject and text for one recipient.
pub(super) fn compose(notices: &[&Waiting]) -> (String, String) {
    let first = notices
        .first()
        .map(|notice| one_line(&notice.title, TITLE_MAX))
        .unwrap_or_default();
    let subject = match notices.len() {
        1 => format!("[unigate] {first}"),
        many => format!("[unigate] {many} alerts: {first}"),
    };
    let mut lines: Vec<String> = Vec::new();
    for (at, notice) in (1..).zip(notices.iter().take(TOLD)) {
        lines.push(format!("{at}. {}", one_line(&notice.title, LINE_MAX)));
        lines.extend(
            notice
                .lines
                .iter()
                .map(|line| format!("   {}", one_line(line, LINE_MAX))),
        );
        let (first, last) = (
            notice.first_at.strftime("%F %T UTC"),
            notice.last_at.strftime("%F %T UTC"),
        );
        lines.push(match notice.times {
            1 => format!("   At {first}"),
            times => format!("   {times} times, first at {first}, last at {last}"),
        });
        lines.push(String::new());
    }
    if notices.len() > TOLD {
        lines.push(format!("And {} more.", notices.len() - TOLD));
    }
    lines.push("All of them: unigate notices list".to_owned());
    (subject, lines.join("\r\n") + "\r\n")
}

/// Of the sender's domain, so that it is nobody else's.
pub(super) fn message_id(mail_id: Uuid, from: &str) -> String {
    let domain = mailbox(from).map(|from| from.email.domain().to_owned());
    format!(
        "<notice-{mail_id}@{}>",
        domain.unwrap_or_else(|_| "localhost".to_owned())
    )
}

/// A mail as it goes out, the same on every try.
pub(super) fn to_bytes(mail: &NoticeMail) -> Result<Vec<u8>, MessageError> {
    let mut message = Message::builder()
        .from(mailbox(&mail.mail_from)?)
        .to(mailbox(&mail.recipient)?)
        .date(mail.created_at.into())
        .message_id(Some(mail.message_id.clone()))
        .subject(mail.subject.clone());
    for (name, value) in [
        ("X-Unigate-Notices", mail.count.to_string()),
        // Keeps absence notices and mailing-list programs from answering a machine (RFC 3834).
        ("Auto-Submitted", "auto-generated".to_owned()),
    ] {
        message = message.raw_header(HeaderValue::new(HeaderName::new_from_ascii_str(name), value));
    }
    let message = message
        .singlepart(text_part(mail.body.clone()))
        .map_err(MessageError::Incomplete)?;
    Ok(message.formatted())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(title: &str, times: i32) -> Waiting {
        Waiting {
            notice_id: Uuid::nil(),
            title: title.to_owned(),
            lines: vec!["Product: MTS 100\r\nBcc: all@example.org".to_owned()],
            mail_to: Vec::new(),
            times,
            first_at: "2026-11-23T07:00:00.25Z".parse().unwrap(),
            last_at: "2026-11-23T07:05:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn a_line_of_a_notice_stays_one() {
        let (one, again) = (
            waiting("Stock of a\r\nBcc: x@y is low\u{202e}", 1),
            waiting("Payee down", 3),
        );
        let (subject, body) = compose(&[&one]);
        assert_eq!(subject, "[unigate] Stock of a Bcc: x@y is low");
        assert_eq!(
            body,
            "1. Stock of a Bcc: x@y is low\r\n   Product: MTS 100 Bcc: all@example.org\r\n   \
             At 2026-11-23 07:00:00 UTC\r\n\r\nAll of them: unigate notices list\r\n"
        );
        let (subject, body) = compose(&[&one, &again]);
        assert_eq!(subject, "[unigate] 2 alerts: Stock of a Bcc: x@y is low");
        assert!(body.contains("   3 times, first at 2026-11-23 07:00:00 UTC, last at 2026-11-23 07:05:00 UTC"));
    }

    #[test]
    fn a_flood_is_told_in_part() {
        let many: Vec<Waiting> = (0..70).map(|at| waiting(&format!("alert {at}"), 1)).collect();
        let (subject, body) = compose(&many.iter().collect::<Vec<_>>());
        assert!(subject.starts_with("[unigate] 70 alerts"));
        assert!(body.contains("50. alert 49") && !body.contains("alert 50\r\n") && body.contains("And 20 more."));
    }

    #[test]
    fn a_message_id_is_of_the_senders_domain() {
        assert_eq!(
            message_id(Uuid::nil(), "Unigate <unigate@example.org>"),
            "<notice-00000000-0000-0000-0000-000000000000@example.org>"
        );
    }
}
