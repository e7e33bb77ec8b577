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
    }
}

static TO: LazyLock<Vec<String>> =
    LazyLock::new(|| vec!["buh@example.org".to_owned(), "Бухгалтерия <b2@example.org>".to_owned()]);
static ZONE: LazyLock<TimeZone> = LazyLock::new(|| TimeZone::get("Europe/Moscow").unwrap());
static REGISTER: LazyLock<Summary> = LazyLock::new(summary);

fn build<'a>(change: impl FnOnce(&mut RegisterMail<'a>, &mut Summary)) -> Result<String, MessageError> {
    let mut register = summary();
    let mut mail = RegisterMail {
        message_id: ID,
        from: "Unigate <unigate@example.org>",
        to: &TO,
        date: "2026-11-23T00:00:00Z".parse().unwrap(),
        payee_name: "Горводоканал",
        time_zone: &ZONE,
        register: &REGISTER,
        file_name: "gorvodokanal-main-000012.csv.zip",
        file: b"PK\x03\x04 some bytes",
    };
    change(&mut mail, &mut register);
    let bytes = RegisterMail {
        register: &register,
        ..mail
    }
    .to_bytes()?;
    Ok(String::from_utf8(bytes).unwrap())
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
        "=D0=BD=D0=B0=D0=BB (gorvodokanal)",
        "",
        "Payments: 345",
        "Total: 51750.00 RUB",
        "Accepted from: 2026-11-22 03:00:01 +03:00",
        "Accepted to: 2026-11-22 23:59:59 +03:00",
        "File: gorvodokanal-main-000012.csv.zip (15 bytes)",
        "Register id: 0199aa00-0000-7000-8000-000000000002",
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
    assert_ne!(message, build(|mail, _| mail.file = b"other").unwrap());
}

#[test]
fn a_copy_says_so() {
    let message = build(|_, register| register.is_copy = true).unwrap();
    assert!(message.contains("\r\nSubject: COPY: Register 000012,"));
    assert!(message.contains("\r\nX-Unigate-Kind: copy\r\n"));
    assert!(message.contains("This is a copy"));
}

#[test]
fn another_series_is_named() {
    let message = build(|_, register| register.series = "night".to_owned()).unwrap();
    assert!(message.contains("\r\nSubject: Register night 000012,"));
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
            build(|mail, _| mail.payee_name = evil).unwrap(),
            build(|mail, _| mail.file_name = evil).unwrap(),
            build(|_, register| register.series = evil.to_owned()).unwrap(),
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
    let long = "я".repeat(1000);
    let message = build(|mail, _| mail.file_name = &long).unwrap();
    assert!(message.split("\r\n").all(|line| line.len() <= 998));
}

#[test]
fn long_names_and_many_recipients_keep_lines_short() {
    let name = "Очень длинное название ".repeat(50);
    let to: Vec<String> = (0..100)
        .map(|n| format!("Бухгалтер {n} <someone-{n}@example.org>"))
        .collect();
    let message = build(|mail, _| {
        mail.payee_name = &name;
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
    let unknown = build(|_, register| register.currency = "???".to_owned());
    assert!(matches!(unknown, Err(MessageError::Currency(_))));
}

#[test]
fn the_default_sender_is_an_address() {
    assert!(mailbox("unigate@localhost").is_ok());
}
