//! Mails as people read them, and templates that would leave something out or put something in.

use super::*;

fn letter(zone: &Zone) -> Letter<'_> {
    Letter {
        payee: "gorvodokanal",
        name: "Горводоканал",
        series: "main",
        sequence: 12,
        is_copy: false,
        open: 0,
        part: None,
        count: 345,
        total: 5_175_000,
        currency: Currency::parse("RUB").unwrap(),
        accepted: (
            "2026-11-22T00:00:01Z".parse().unwrap(),
            "2026-11-22T20:59:59Z".parse().unwrap(),
        ),
        zone,
        file_name: "gorvodokanal-main-000012.csv.zip",
        file_bytes: 15,
        register_id: RegisterId::parse("0199aa00-0000-7000-8000-000000000002").unwrap(),
    }
}

fn moscow() -> Zone {
    Zone::parse("Europe/Moscow").unwrap()
}

fn in_language(language: Language) -> Templates<'static> {
    Templates {
        language,
        ..Templates::default()
    }
}

fn own<'a>(subject: &'a str, body: &'a str) -> Templates<'a> {
    Templates {
        language: Language::En,
        subject: Some(subject),
        body: Some(body),
    }
}

const SUBJECT: &str = "{{ name }}: {{ sequence }}, {{ count }}, {{ total }}";

#[test]
fn ready_texts_say_what_there_is_to_know() {
    let zone = moscow();
    let english = write(in_language(Language::En), &letter(&zone));
    assert_eq!(
        english.subject,
        "Register 000012, Горводоканал (gorvodokanal): 345 payments, 51750.00 RUB"
    );
    assert_eq!(
        english.body,
        "Register 000012 of Горводоканал (gorvodokanal)\r\n\r\nPayments: 345\r\nTotal: 51750.00 RUB\r\n\
         Accepted from: 2026-11-22 03:00:01 +03:00\r\nAccepted to: 2026-11-22 23:59:59 +03:00\r\n\
         File: gorvodokanal-main-000012.csv.zip (15 bytes)\r\n\
         Register id: 0199aa00-0000-7000-8000-000000000002\r\n"
    );
    let russian = write(in_language(Language::Ru), &letter(&zone));
    assert_eq!(
        russian.subject,
        "Реестр 000012, Горводоканал (gorvodokanal): платежей 345, сумма 51750.00 RUB"
    );
    assert_eq!(
        russian.body,
        "Реестр 000012, получатель Горводоканал (gorvodokanal)\r\n\r\nПлатежей: 345\r\nСумма: 51750.00 RUB\r\n\
         Приняты с: 22.11.2026 03:00:01 +03:00\r\nПриняты по: 22.11.2026 23:59:59 +03:00\r\n\
         Файл: gorvodokanal-main-000012.csv.zip, размер в байтах: 15\r\n\
         Идентификатор реестра: 0199aa00-0000-7000-8000-000000000002\r\n"
    );
    assert_eq!((english.fallback, russian.fallback), (None, None));
}

#[test]
fn a_part_of_a_copy_of_another_series_says_all_of_that() {
    let zone = moscow();
    let odd = Letter {
        is_copy: true,
        series: "night",
        part: Some(Part { number: 1, of: 3 }),
        count: 1,
        ..letter(&zone)
    };
    let english = write(in_language(Language::En), &odd);
    assert_eq!(
        english.subject,
        "COPY: Register night 000012, part 1 of 3, Горводоканал (gorvodokanal): 1 payment, 51750.00 RUB"
    );
    assert!(
        english
            .body
            .contains("\r\nPart 1 of 3; count and total are of this part.\r\n\r\nPayments: 1\r\n")
    );
    assert!(english.body.ends_with(
        "\r\n\r\nThis is a copy: its payments were in regular registers before, under the same numbers.\r\n"
    ));
    let russian = write(in_language(Language::Ru), &odd);
    assert_eq!(
        russian.subject,
        "COPY (повтор): Реестр night 000012, часть 1 из 3, Горводоканал (gorvodokanal): платежей 1, сумма 51750.00 RUB"
    );
    assert!(russian.body.contains("Это повтор (COPY)"));
}

#[test]
fn a_copy_with_open_payments_says_how_many_they_are() {
    let zone = moscow();
    let copy = Letter {
        is_copy: true,
        open: 7,
        ..letter(&zone)
    };
    for (language, subject, body) in [
        (
            Language::En,
            "COPY with open payments: Register 000012",
            "But 7 of them were not",
        ),
        (Language::Ru, "COPY (повтор с платежами вне реестров): ", "ещё нет (7)"),
    ] {
        let written = write(in_language(language), &copy);
        assert!(written.subject.starts_with(subject), "{}", written.subject);
        assert!(written.body.contains(body), "{}", written.body);
        assert_eq!(written.fallback, None);
    }
}

#[test]
fn an_empty_register_says_so() {
    let zone = moscow();
    let empty = Letter {
        count: 0,
        total: 0,
        ..letter(&zone)
    };
    let english = write(in_language(Language::En), &empty);
    assert_eq!(
        english.subject,
        "Register 000012, Горводоканал (gorvodokanal): 0 payments, 0.00 RUB"
    );
    assert!(
        english.body.contains(
            "\r\n\r\nThere were no payments in this period.\r\nPayments: 0\r\nTotal: 0.00 RUB\r\nPeriod from: "
        )
    );
    let russian = write(in_language(Language::Ru), &empty);
    assert!(
        russian
            .body
            .contains("\r\n\r\nЗа этот период платежей не было.\r\nПлатежей: 0\r\n"),
        "{}",
        russian.body
    );
}

#[test]
fn a_payees_own_templates_are_filled_in() {
    let zone = moscow();
    let written = write(
        own(
            "Реестр №{{ sequence }} {{ name | upper }} {{ count }} шт. на {{ total | money(\",\") }} руб.",
            "За {{ accepted_from | date(\"%d.%m.%Y\") }}: {{ count }}\n\nФайл {{ file }}",
        ),
        &letter(&zone),
    );
    assert_eq!(written.subject, "Реестр №000012 ГОРВОДОКАНАЛ 345 шт. на 51 750,00 руб.");
    assert_eq!(
        written.body,
        "За 22.11.2026: 345\r\n\r\nФайл gorvodokanal-main-000012.csv.zip\r\n"
    );
    assert_eq!(written.fallback, None);
}

#[test]
fn what_a_template_chooses_to_leave_out_is_added() {
    let zone = moscow();
    let template = "{{ name }} {{ sequence }}{% if count != 345 %}: {{ count }}, {{ total }}{% endif %}";
    check(own(template, "x")).unwrap();
    let odd = Letter {
        is_copy: true,
        part: Some(Part { number: 1, of: 3 }),
        ..letter(&zone)
    };
    assert_eq!(
        write(own(template, "x"), &odd).subject,
        "COPY: Горводоканал 000012, part 1 of 3 [gorvodokanal 000012: 345, 51750.00 RUB]"
    );
}

#[test]
fn templates_that_will_not_do_are_refused_with_their_place() {
    let long = "x".repeat(600);
    for (subject, body, why) in [
        ("{{ name }}: {{ count }}, {{ total }}", "x", "its sequence is missing"),
        ("{{ sequence }}: {{ count }}, {{ total }}", "x", "the payee is missing"),
        ("{{ name }} {{ sequence }} {{ total }}", "x", "the count is missing"),
        ("{{ payee }} {{ sequence }} {{ count }}", "x", "the total is missing"),
        (
            "Hello",
            "x",
            "the payee and its sequence and the count and the total is missing",
        ),
        (
            "{{ name }} {{ sequence }}{% if count > 1 %} {{ count }} {{ total }}{% endif %}",
            "x",
            "is missing",
        ),
        (SUBJECT, "{{ password }}", "names `password`; there are payee, name"),
        (SUBJECT, "{{ fields.pin }}", "names `fields`"),
        (SUBJECT, "line\n{% if %}", "line 2"),
        (SUBJECT, "{{ name * 1000000 }}", "does not calculate"),
        (SUBJECT, "{count}", "write {{ count }}"),
        (SUBJECT, "{{ count | date }}", "date: is for dates"),
        (SUBJECT, "a\rb", "control character"),
        (&long, "x", "longer than 500"),
    ] {
        let refused = check(own(subject, body)).unwrap_err();
        assert!(refused.why.contains(why), "{subject} {body}: {refused}");
        assert_eq!(refused.field, if subject == SUBJECT { "body" } else { "subject" });
    }
    check(own(SUBJECT, "ok")).unwrap();
    check(Templates::default()).unwrap();
}

#[test]
fn a_template_that_fails_gives_way_to_the_ready_text() {
    let zone = moscow();
    let endless =
        "{% for a in file %}{% for b in file %}{% for c in file %}{{ name }}{% endfor %}{% endfor %}{% endfor %}";
    let written = write(own(SUBJECT, endless), &letter(&zone));
    assert!(written.body.starts_with("Register 000012 of "));
    assert!(written.fallback.is_some());
    assert!(check(own(SUBJECT, endless)).is_err());
}

#[test]
fn no_value_makes_a_line_of_its_own() {
    let zone = moscow();
    for evil in [
        "Ltd\r\nBcc: thief@example.net",
        "Ltd\u{2028}\u{85}x",
        "{{ register_id }}{% raw %}",
        "\u{202e}gpj",
    ] {
        let evil = Letter {
            name: evil,
            series: evil,
            file_name: evil,
            ..letter(&zone)
        };
        for templates in [
            in_language(Language::En),
            in_language(Language::Ru),
            own(SUBJECT, "{{ name }}|{{ file }}"),
        ] {
            let written = write(templates, &evil);
            assert!(
                !written.subject.contains(|c: char| c.is_control() || c == '\u{202e}'),
                "{:?}",
                written.subject
            );
            assert!(
                !written.body.contains("\nBcc") && !written.body.contains('\u{202e}'),
                "{:?}",
                written.body
            );
            assert!(written.body.lines().all(|line| !line.contains(char::is_control)));
        }
        let written = write(own(SUBJECT, "{{ name }}"), &evil);
        assert!(!written.body.contains("0199aa00"), "a value is not looked at again");
    }
    // A template of two lines is a subject of one.
    let written = write(
        own("{{ name }}: {{ sequence }}\n{{ count }} {{ total }}", "x"),
        &letter(&zone),
    );
    assert_eq!(written.subject, "Горводоканал: 000012 345 51750.00 RUB");
}

#[test]
fn every_sample_suits_the_ready_texts() {
    let zone = moscow();
    for language in [Language::En, Language::Ru] {
        let ready = texts::of(language);
        check(own(ready.subject, ready.body)).unwrap();
        for sample in values::samples(&zone) {
            let written = write(in_language(language), &sample);
            assert!(
                !written.body.is_empty() && written.subject.contains("000408"),
                "{written:?}"
            );
            assert!(
                !written.subject.contains('['),
                "nothing had to be added: {}",
                written.subject
            );
        }
    }
}
