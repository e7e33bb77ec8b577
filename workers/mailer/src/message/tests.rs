//! Messages as a reader sees them. How they look to another program's parser is in the tests of `relay`.

use std::sync::LazyLock;

use domain::{PayeeId, RegisterId};

use super::*;

const ID: &str = "<0199aa00-0000-7000-8000-000000000001@unigate.example.org>";

pub(crate) fn summary() -> Summary {
    Summary {
        register_id: RegisterId::parse("0199aa00-0000-7000-8000-000000000002").unwrap(),
        payee: PayeeId::parse("gorvodokanal").unwrap(),
        series: "main".to_owned(),
        is_copy: false,
        sequence: 12,
        first_accepted_at: "2026-11-22T00:00:01Z".parse().unwrap(),
        last_accepted_at: "2026-11-22T20:59:59Z".parse().unwrap(),
        count: 345,
        total: 5_175_000,
        currency: "RUB".to_owned(),
        open: 0,
    }
}

static TO: LazyLock<Vec<String>> =
    LazyLock::new(|| vec!["buh@example.org".to_owned(), "Бухгалтерия <b2@example.org>".to_owned()]);
static REGISTER: LazyLock<Summary> = LazyLock::new(summary);

fn build<'a>(change: impl FnOnce(&mut RegisterMail<'a>, &mut Summary)) -> Result<String, MessageError> {
    let mut register = summary();
    let mut mail = RegisterMail {
        message_id: ID,
        from: "Unigate <unigate@example.org>",
        to: &TO,
        date: "2026-11-23T00:00:00Z".parse().unwrap(),
        subject: "Register 000012, Горводоканал (gorvodokanal): 345 payments, 51750.00 RUB",
        body: "Register 000012 of Горводоканал\r\n",
        register: &REGISTER,
        part: None,
        holds: (345, 5_175_000),
        file_name: "gorvodokanal-main-000012.csv.zip",
    };
    change(&mut mail, &mut register);
    let frame = RegisterMail {
        register: &register,
        ..mail
    }
    .to_frame()?;
    let raw = Raw::framed(&frame.head, b"PK\x03\x04 some bytes", &frame.tail);
    Ok(String::from_utf8(bytes_of(raw)).unwrap())
}

/// As it goes out.
pub(crate) fn bytes_of(raw: Raw<'_>) -> Vec<u8> {
    let mut bytes = raw.pieces().collect::<Vec<_>>().concat();
    bytes.extend(b"\r\n");
    assert_eq!(bytes.len() as u64, raw.bytes());
    bytes
}

fn header_lines(message: &str) -> Vec<&str> {
    message.split("\r\n\r\n").next().unwrap().split("\r\n").collect()
}

#[test]
fn a_register_mail_looks_like_this() {
    let message = build(|_, _| {}).unwrap();
    let expected = [
        "From: Unigate <unigate@example.org>",
        "Date: Mon, 23 Nov 2026 00:00:00 +0000",
        "Message-ID: <0199aa00-0000-7000-8000-000000000001@unigate.example.org>",
        "Subject: Register 000012, =?utf-8?b?0JPQvtGA0LLQvtC00L7QutCw0L3QsNC7?=",
        " (gorvodokanal): 345 payments, 51750.00 RUB",
        "To: buh@example.org, =?utf-8?b?0JHRg9GF0LPQsNC70YLQtdGA0LjRjw==?= <b2@example.org>",
        "X-Unigate-Register: 0199aa00-0000-7000-8000-000000000002",
        "X-Unigate-Kind: regular",
        "X-Unigate-Count: 345",
        "X-Unigate-Total: 5175000",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        "Content-Type: multipart/mixed;",
        " boundary=\"=_unigate_0199aa00000070008000000000000001\"",
        "",
        "--=_unigate_0199aa00000070008000000000000001",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: quoted-printable",
        "",
        "Register 000012 of =D0=93=D0=BE=D1=80=D0=B2=D0=BE=D0=B4=D0=BE=D0=BA=D0=B0=",
        "=D0=BD=D0=B0=D0=BB",
        "",
        "--=_unigate_0199aa00000070008000000000000001",
        "Content-Type: application/zip",
        "Content-Disposition: attachment;",
        " filename=\"gorvodokanal-main-000012.csv.zip\"",
        "Content-Transfer-Encoding: base64",
        "",
        "UEsDBCBzb21lIGJ5dGVz",
        "--=_unigate_0199aa00000070008000000000000001--",
        "",
    ];
    assert_eq!(message.split("\r\n").collect::<Vec<_>>(), expected);
}

#[test]
fn equal_inputs_give_equal_bytes_and_ascii() {
    let message = build(|_, _| {}).unwrap();
    assert_eq!(message, build(|_, _| {}).unwrap());
    assert!(message.is_ascii());
    assert_ne!(message, build(|mail, _| mail.subject = "other").unwrap());
}

#[test]
fn a_copy_and_a_part_say_so_in_headers() {
    let message = build(|mail, register| {
        register.is_copy = true;
        mail.part = Some(Part { number: 2, of: 3 });
        mail.holds = (5, 700);
    });
    let message = message.unwrap();
    for header in [
        "X-Unigate-Kind: copy",
        "X-Unigate-Part: 2/3",
        "X-Unigate-Count: 5",
        "X-Unigate-Total: 700",
    ] {
        assert!(message.contains(&format!("\r\n{header}\r\n")), "{header}");
    }
}

#[test]
fn files_of_any_length_come_out_as_they_went_in() {
    let frame = Frame {
        head: b"head\r\n\r\n".to_vec(),
        tail: b"\r\n--end--\r\n".to_vec(),
    };
    for length in [
        0,
        1,
        56,
        57,
        58,
        114,
        PIECE_BYTES - 1,
        PIECE_BYTES,
        PIECE_BYTES + 1,
        3 * PIECE_BYTES + 5,
    ] {
        let file: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
        let message = bytes_of(Raw::framed(&frame.head, &file, &frame.tail));
        let inner = message.strip_prefix(b"head\r\n\r\n").unwrap();
        let inner = std::str::from_utf8(inner.strip_suffix(b"\r\n--end--\r\n").unwrap()).unwrap();
        let lines: Vec<&str> = inner.split("\r\n").collect();
        assert!(lines.iter().rev().skip(1).all(|line| line.len() == 76), "{length}");
        assert_eq!(BASE64_STANDARD.decode(lines.concat()).unwrap(), file, "{length}");
        assert_eq!(
            message.len() as u64,
            framed_bytes(&frame.head, length as u64, &frame.tail)
        );
    }
    assert_eq!(bytes_of(Raw::whole(b"a\r\nb\r\n")), b"a\r\nb\r\n");
    assert_eq!(bytes_of(Raw::whole(b"a\r\nb")), b"a\r\nb\r\n");
}

#[test]
fn a_name_cannot_become_a_header() {
    let usual = build(|_, _| {}).unwrap();
    for evil in [
        "Ltd\r\nBcc: thief@example.net",
        "Ltd\nX-Unigate-Total: 0",
        "Ltd\r\n\r\nanother body",
        "Ltd\rBcc: thief@example.net",
        "Ltd\u{2028}Bcc: thief@example.net",
    ] {
        for message in [
            build(|mail, _| mail.subject = evil).unwrap(),
            build(|mail, _| mail.file_name = evil).unwrap(),
        ] {
            let names = |text: &str| -> Vec<String> {
                let lines = header_lines(text).into_iter().filter(|line| !line.starts_with(' '));
                lines.map(|line| line.split(':').next().unwrap().to_owned()).collect()
            };
            assert_eq!(names(&message), names(&usual), "{evil:?}");
            assert!(!message.contains("\nBcc"), "{evil:?}");
            assert!(!message.contains("\r\n\r\nanother"), "{evil:?}");
        }
        assert!(
            matches!(build(|mail, _| mail.message_id = evil), Err(MessageError::MessageId(_))),
            "{evil:?}"
        );
        let from = format!("{evil} <unigate@example.org>");
        let message = build(|mail, _| mail.from = &from);
        assert!(message.is_err() || !message.unwrap().contains("\nBcc"), "{evil:?}");
    }
}

#[test]
fn file_names_come_in_both_forms() {
    let message = build(|mail, _| mail.file_name = "реестр \"май\".csv").unwrap();
    assert!(message.contains(
        "Content-Disposition: attachment;\r\n filename=\"______ _____.csv\";\r\n \
         filename*=utf-8''%D1%80%D0%B5%D0%B5%D1%81%D1%82%D1%80%20_%D0%BC%D0%B0%D0%B9_.csv\r\n"
    ));
    let long = format!("{}-000042-1of3.csv.zip", "я".repeat(1000));
    let message = build(|mail, _| mail.file_name = &long).unwrap();
    assert!(message.split("\r\n").all(|line| line.len() <= 998));
    assert!(message.contains("-000042-1of3.csv.zip\";") && message.contains("-000042-1of3.csv.zip\r\n"));
    assert!(message.contains("Content-Type: application/zip"));
}

#[test]
fn long_names_and_many_recipients_keep_lines_short() {
    let name = "Очень длинное название ".repeat(13);
    let to: Vec<String> = (0..100)
        .map(|n| format!("Бухгалтер {n} <someone-{n}@example.org>"))
        .collect();
    let message = build(|mail, _| {
        mail.subject = &name;
        mail.to = &to;
    });
    let message = message.unwrap();
    assert!(message.split("\r\n").all(|line| line.len() <= 100), "{message}");
}

#[test]
fn what_cannot_be_mailed_is_refused() {
    for id in ["", "a@b", "<a>", "<@b>", "<a@>", "<a b@c>", "<a@b@c>", "<я@b>"] {
        assert!(
            matches!(build(|mail, _| mail.message_id = id), Err(MessageError::MessageId(_))),
            "{id}"
        );
    }
    for from in ["", "nobody", "a@b@c", "<>"] {
        assert!(
            matches!(build(|mail, _| mail.from = from), Err(MessageError::Address { .. })),
            "{from}"
        );
    }
    assert!(matches!(
        build(|mail, _| mail.to = &[]),
        Err(MessageError::Incomplete(_))
    ));
}

#[test]
fn the_default_sender_is_an_address() {
    assert!(mailbox("unigate@localhost").is_ok());
}

#[test]
fn a_domain_goes_out_in_ascii_and_another_script_before_it_shows_in_the_headers() {
    let read = mailbox("Бухгалтерия <buh@Компания.рф>").unwrap();
    assert_eq!(read.email.to_string(), "buh@xn--80aqeigdi5k.xn--p1ai");
    assert_eq!(mailbox("a@EXAMPLE.org").unwrap().email.to_string(), "a@EXAMPLE.org");
    for (to, is_ascii) in [("buh@компания.рф", true), ("бух@example.org", false)] {
        let to = [to.to_owned()];
        let message = build(|mail, _| mail.to = &to).unwrap();
        assert_eq!(
            Raw::whole(message.as_bytes()).has_ascii_headers(),
            is_ascii,
            "{message}"
        );
    }
    let body = "Subject: a\r\n\r\nГорводоканал\r\n";
    let raw = Raw::whole(body.as_bytes());
    assert!(raw.has_ascii_headers() && !raw.is_ascii());
}
