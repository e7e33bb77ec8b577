//! What a receipt prints; what a template may not be; and that none of them can hang or grow without end.

use proptest::prelude::*;

use super::*;

const FIELDS: [(&str, &str); 2] = [("pin", "823144107741"), ("activation", "*111*{{ serial }}#")];

fn slip<'a>(fields: &'a [(&'a str, &'a str)]) -> Slip<'a> {
    Slip {
        product: "mts-100",
        name: "MTS 100",
        serial: "0042-17",
        price: Amount::new(1_234_550).unwrap(),
        face_value: Amount::new(1_300_000).unwrap(),
        currency: Currency::parse("RUB").unwrap(),
        held_until: "2026-11-23T07:05:00Z".parse().unwrap(),
        expires_on: Some("2027-12-31".parse().unwrap()),
        fields,
    }
}

fn printed(template: &str) -> String {
    render(template, &slip(&FIELDS)).unwrap()
}

fn refused(template: &str) -> String {
    check(template, &slip(&[]), None).unwrap_err().to_string()
}

#[test]
fn without_a_template_there_is_a_line_for_each() {
    assert_eq!(
        plain(&slip(&FIELDS)),
        "MTS 100\nserial: 0042-17\npin: 8231 4410 7741\nactivation: *111*{{ serial }}#\nprice: 12345.50 RUB"
    );
}

#[test]
fn a_template_is_filled_in_once() {
    assert_eq!(
        printed("{{ name }} {{ serial }}\n{{ activation }}\n{{ fields.pin }}, {{ price }} of {{ face_value }}"),
        "MTS 100 0042-17\n*111*{{ serial }}#\n823144107741, 12345.50 RUB of 13000.00 RUB"
    );
    let named = [("name", "a field of the card's own")];
    assert_eq!(
        render("{{ name }}, {{ fields.name }}", &slip(&named)).unwrap(),
        "a field of the card's own, a field of the card's own"
    );
    assert_eq!(printed("{{ '<b>&' }}"), "<b>&", "a slip is not HTML");
}

#[test]
fn values_are_printed_as_people_read_them() {
    for (template, text) in [
        ("{{ pin | groups }}", "8231 4410 7741"),
        ("{{ pin | groups(3, '-') }}", "823-144-107-741"),
        ("{{ activation | groups }}", "*111*{{ serial }}#"),
        ("{{ pin[:4] }}", "8231"),
        ("{{ price | money }}", "12 345.50"),
        ("{{ price | money(',') }} {{ currency }}", "12 345,50 RUB"),
        ("{{ expires_on | date('%d.%m.%Y') }}", "31.12.2027"),
        (
            "{{ held_until | date('%d.%m.%Y %H:%M', 'Europe/Moscow') }}",
            "23.11.2026 10:05",
        ),
        ("{{ serial | date('%d.%m.%Y') }}", "0042-17"),
        ("{{ name | lower | upper }}", "MTS 100"),
        (
            "{{ login | default('none') }}{% if login is defined %}!{% endif %}",
            "none",
        ),
        ("{% for field in fields %}{{ field }};{% endfor %}", "activation;pin;"),
        (
            "{% if expires_on %}\nuntil {{ expires_on }}\n{% else %}\nfor ever\n{% endif %}\n",
            "until 2027-12-31\n",
        ),
    ] {
        assert_eq!(printed(template), text, "{template}");
        check(template, &slip(&[]), None).unwrap_or_else(|error| panic!("{template}: {error}"));
    }
    let endless = Slip {
        expires_on: None,
        ..slip(&FIELDS)
    };
    assert_eq!(render("{{ expires_on | date }}{{ expires_on }}", &endless).unwrap(), "");
    let yen = Slip {
        currency: Currency::parse("JPY").unwrap(),
        ..slip(&FIELDS)
    };
    assert_eq!(
        render("{{ price | money }} {{ price }}", &yen).unwrap(),
        "1 234 550 1234550 JPY"
    );
}

#[test]
fn a_template_that_cannot_work_is_refused_with_its_line() {
    for (template, why) in [
        ("a\n{{ serial", "line 2: syntax error"),
        (
            "a\nb {serial}",
            "line 2: `{serial}` would be printed as it stands; write {{ serial }}",
        ),
        ("{% if pin %}\n\na\nb {serial}\n{% endif %}", "line 4: `{serial}`"),
        ("\n{{ pin | digits }}", "line 2: unknown filter"),
        ("{{ pin is digits }}", "line 1: unknown test"),
        ("{{ serial.number }}", "line 1: undefined value"),
        ("{{ pin | groups(0) }}", "groups: from 1 to 100"),
        ("{{ pin | money }}", "money: is for"),
        ("{{ expires_on | date('%!') }}", "date: the pattern"),
        ("{{ held_until | date('%H', 'Mars/Olympus') }}", "date: the time zone"),
        ("{% set a = pin %}", "`set` is not part"),
        ("{% set a %}b{% endset %}", "`set` is not part"),
        ("{% with a = pin %}{{ a }}{% endwith %}", "`with` is not part"),
        ("{% filter upper %}b{% endfilter %}", "`filter` is not part"),
        ("{% autoescape true %}b{% endautoescape %}", "`autoescape` is not part"),
        ("{{ range(3) }}", "cannot call anything"),
        ("{{ pin.split() }}", "cannot call anything"),
        ("{% do pin() %}", "`do` is not part"),
        ("{{ 'a' * 1000000 }}", "does not calculate"),
        ("{{ pin ~ pin }}", "does not calculate"),
        ("{{ {'a': pin} }}", "no maps"),
        ("{% for a in fields recursive %}b{% endfor %}", "cannot be recursive"),
        ("{{ pin | groups(*fields) }}", "cannot be unpacked"),
        ("{% include '/etc/passwd' %}", "syntax error"),
        ("{% import 'a' as b %}", "syntax error"),
        ("{% extends 'a' %}", "syntax error"),
        ("{% macro a() %}b{% endmacro %}", "syntax error"),
    ] {
        let refused = refused(template);
        assert!(
            refused.starts_with("receipt: line") && refused.contains(why),
            "{template}: {refused}"
        );
    }
    assert!(refused(&"x".repeat(TEMPLATE_MAX + 1)).contains("is longer than"));
    assert!(refused("a\u{7}").contains("control character"));
    assert!(
        check("{{ pim }}", &slip(&[]), Some(&["pin"]))
            .unwrap_err()
            .to_string()
            .contains("names `pim`")
    );
    check("{{ fields.pin }}", &slip(&[]), Some(&["pin"])).unwrap();
}

#[test]
fn a_template_that_takes_too_long_or_too_much_is_stopped() {
    let loops = format!("{}x{}", "{% for a in fields %}".repeat(20), "{% endfor %}".repeat(20));
    let many: Vec<(String, String)> = (0..30).map(|at| (format!("f{at}"), "x".repeat(1_000))).collect();
    let fields: Vec<(&str, &str)> = many
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let slip = slip(&fields);
    assert!(render(&loops, &slip).unwrap_err().why.contains("too many steps"));
    let long = render("{% for a in fields %}{{ fields[a] }}{% endfor %}", &slip).unwrap_err();
    assert_eq!(long.to_string(), format!("line 1: comes to more than {TEXT_MAX} bytes"));
    let nested = format!("{{{{ {}pin{} }}}}", "(".repeat(1_900), ")".repeat(1_900));
    assert!(refused(&nested).contains("recursion"));
    let filters = format!("{{{{ pin {} }}}}", "|lower".repeat(650));
    assert_eq!(
        render(
            &filters,
            &super::Slip {
                fields: &FIELDS,
                ..slip
            }
        )
        .unwrap(),
        "823144107741"
    );
}

#[test]
fn what_goes_wrong_with_a_card_repeats_nothing_of_it() {
    let lacking = render("a\n{{ pin }} {{ login }}", &slip(&FIELDS)).unwrap_err();
    assert_eq!(lacking.to_string(), "line 2: undefined value; the card has no login");
    for template in [
        "{{ pin | money }}",
        "{% for a in pin.x %}{% endfor %}",
        "{{ pin[pin] }}",
        "{{ pin[0:'a'] }}",
    ] {
        if let Err(error) = render(template, &slip(&FIELDS)) {
            assert!(!format!("{error:?}").contains("8231"), "{error:?}");
        }
    }
    assert!(!format!("{:?}", slip(&FIELDS)).contains("8231"));
}

proptest! {
    /// Whatever an operator writes: it is refused, or it ends soon, within its bounds.
    #[test]
    fn any_template_ends_within_its_bounds(template in "(\\{\\{ ?(pin|fields|serial|price)( ?\\| ?(groups|money|date|default\\(1\\)|upper))* ?\\}\\}|\\{% ?(for a in fields|endfor|if pin|else|endif|set a = a) ?%\\}|[a-z {}%]){0,60}") {
        if check(&template, &slip(&[]), None).is_ok() && let Ok(text) = render(&template, &slip(&FIELDS)) {
            prop_assert!(text.len() <= TEXT_MAX);
        }
    }
}
