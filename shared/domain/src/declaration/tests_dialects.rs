//! What a profile may say of a dialect, and that everything it says wrongly is refused by its place.

use super::*;

fn payee(profile: &str) -> Result<Payee, Vec<Invalid>> {
    let text = format!(
        r#"
        id = "isp"
        name = "ISP"
        gateway = "unikassa"
        currency = "RUB"
        account = {{ pattern = "^.+$" }}
        amount = {{ min = 100, max = 1000000 }}
        [[field]]
        name = "payer"
        label = "Payer"
        [[field]]
        name = "flat"
        label = "Flat"
        required = true
        [unikassa]
        url = "https://billing.example.org/pay"
        {profile}
    "#
    );
    read(toml::Deserializer::parse(&text).unwrap())
}

fn profile(toml: &str) -> UnikassaProfile {
    payee(toml).unwrap().unikassa.unwrap()
}

#[track_caller]
fn refused(toml: &str, place: &str, why: &str) {
    let found = payee(toml).unwrap_err();
    let words: Vec<String> = found.iter().map(ToString::to_string).collect();
    let named = found.iter().any(|one| one.field == place && one.why.contains(why));
    assert!(named, "{words:?} should name {place} and say {why}");
}

const PAY: &str = r#"dialect = "template"
    [unikassa.template.pay]
    method = "POST"
    form = { id = "{{ number }}", acc = "{{ account }}" }
    answer = { format = "json", result = "/code", codes = { 0 = "success" } }
"#;

#[test]
fn what_is_left_out_depends_on_the_dialect() {
    let osmp = profile("dialect = \"osmp\"");
    assert_eq!((osmp.idempotent(), osmp.concurrency()), (false, 1));
    assert_eq!(
        (osmp.offers_status(), osmp.offers_cancel(), osmp.offers_check()),
        (false, false, true)
    );
    let template = profile(PAY);
    assert_eq!((template.idempotent(), template.concurrency()), (false, 1));
    assert_eq!(
        (
            template.offers_status(),
            template.offers_cancel(),
            template.offers_check()
        ),
        (false, false, false)
    );
    let asked = profile(
        r#"dialect = "osmp"
        credits_on_check = true
        [unikassa.template.status]
        query = { txn = "{{ number }}" }
        answer = { format = "xml", result = "/r/@code", codes = { 0 = "success", 1 = "not_found" } }"#,
    );
    assert_eq!((asked.offers_status(), asked.offers_check()), (true, false));
}

#[test]
fn declarations_come_back_as_they_were_written() {
    let text = format!(
        "{PAY}\n[unikassa.template.check]\nquery = {{ a = \"{{{{ account }}}}\" }}\nanswer = {{ format = \"text\", result = \"(.)\", codes = {{ 1 = \"success\" }} }}"
    );
    for declared in [
        payee("dialect = \"osmp\"\n[unikassa.osmp]\ncodes = { 300 = \"already_done\" }"),
        payee(&text),
    ] {
        let declared = declared.unwrap();
        let json = serde_json::to_value(&declared).unwrap();
        assert_eq!(read::<Payee, _>(json).unwrap(), declared);
    }
}

#[test]
fn what_an_osmp_profile_says_wrongly_is_refused() {
    let osmp = |more: &str| format!("dialect = \"osmp\"\n[unikassa.osmp]\n{more}");
    refused(&osmp("method = \"PUT\""), "unikassa.osmp.method", "GET or POST");
    refused(
        &osmp("codes = { 5 = \"perhaps\" }"),
        "unikassa.osmp.codes.5",
        "already_done",
    );
    refused(&osmp("plain_text = \"OK\""), "unikassa.osmp.plain_text", "one group");
    refused(&osmp("date_format = \"%\""), "unikassa.osmp.date_format", "pattern");
    refused(&osmp("methd = \"GET\""), "unikassa.osmp.methd", "unknown field");
    refused(
        "dialect = \"osmp\"\noffers_status = true",
        "unikassa.offers_status",
        "template.status",
    );
    refused(
        "secret = \"whsec_AAAA\"\n[unikassa.osmp]",
        "unikassa.osmp",
        "only with dialect",
    );
    let own = PAY.replace("dialect = \"template\"", "dialect = \"osmp\"");
    refused(&own, "unikassa.template.pay", "dialect's own");
}

#[test]
fn what_a_description_says_wrongly_is_refused() {
    let with = |from: &str, to: &str| {
        assert!(PAY.contains(from), "{from}");
        PAY.replace(from, to)
    };
    let at = "unikassa.template.pay";
    refused("dialect = \"template\"", at, "is missing");
    refused(
        &with("acc = \"{{ account }}\"", "acc = \"{{ acount }}\""),
        &format!("{at}.form.acc"),
        "`acount`",
    );
    refused(
        &with("{{ account }}", "{{ fields.name }}"),
        &format!("{at}.form.acc"),
        "[[field]]",
    );
    refused(
        &with("{{ account }}", "{{ fields.payer }}"),
        &format!("{at}.form.acc"),
        "undefined",
    );
    assert!(
        payee(&with("{{ account }}", "{{ fields.flat }}")).is_ok(),
        "a required one is always there"
    );
    assert!(payee(&with("{{ account }}", "{{ fields.payer | default('') }}")).is_ok());
    refused(
        &with("{{ account }}", "{{ account * 9 }}"),
        &format!("{at}.form.acc"),
        "does not calculate",
    );
    refused(
        &with("{{ account }}", "{{ account"),
        &format!("{at}.form.acc"),
        "syntax error",
    );
    refused(
        &with("id = \"{{ number }}\", ", ""),
        &format!("{at}.path"),
        "{{ number }}",
    );
    refused(
        &with("method = \"POST\"", "method = \"GET\""),
        &format!("{at}.method"),
        "no body",
    );
    refused(
        &with("method = \"POST\"", "method = \"POST\"\npath = \"pay\""),
        &format!("{at}.path"),
        "begin with /",
    );
    refused(
        &with("method = \"POST\"", "method = \"POST\"\nheaders = { Host = \"x\" }"),
        &format!("{at}.headers.Host"),
        "itself",
    );
    refused(
        &with("result = \"/code\"", "result = \"code\""),
        &format!("{at}.answer.result"),
        "JSON pointer",
    );
    refused(
        &with("result = \"/code\", ", ""),
        &format!("{at}.answer.result"),
        "is missing",
    );
    refused(
        &with("0 = \"success\"", "0 = \"refused\""),
        &format!("{at}.answer.codes"),
        "success",
    );
    refused(
        &with("result = \"/code\"", "result = \"/code\", http = { 99 = \"success\" }"),
        &format!("{at}.answer.http.99"),
        "status",
    );
    let body = |body: &str| with("form = { id = \"{{ number }}\", acc = \"{{ account }}\" }", body);
    refused(
        &body(r#"json = '{"id": "{{ number }}", "a": {{ account }}}'"#),
        &format!("{at}.json"),
        "in quotes",
    );
    refused(
        &body(r#"xml = '<a id="{{ number }}"><{{ account }}/></a>'"#),
        &format!("{at}.xml"),
        "once it is filled in",
    );
    refused(
        &body(r#"xml = '<a id="{{ number }}">'"#),
        &format!("{at}.xml"),
        "well-formed",
    );
    assert!(
        payee(&body(
            r#"xml = '<a id="{{ number }}" b="{{ account }}">{{ account }}</a>'"#
        ))
        .is_ok()
    );
    let list = format!(
        "{PAY}\n[unikassa.template.list]\nanswer = {{ format = \"json\", items = \"/a\", number = \"/n\", amount = \"/s\" }}"
    );
    refused(&list, "unikassa.template.list.answer.credited_at", "is missing");
    let judged = |more: &str| {
        list.replace(
            "amount = \"/s\"",
            &format!("amount = \"/s\", credited_at = \"/c\", {more}"),
        )
    };
    assert!(payee(&judged("amount_as = \"minor\"")).is_ok());
    let idle = PAY.replace("codes =", "amount_as = \"minor\", codes =");
    refused(&idle, &format!("{at}.answer.amount_as"), "is of use only where");
    assert!(payee(&judged("result = \"/r\", codes = { OK = \"success\", NO = \"retry\" }")).is_ok());
    for (more, place, why) in [
        ("result = \"/r\"", "codes", "is missing: what does"),
        ("codes = { OK = \"success\" }", "result", "is missing: where does"),
        (
            "result = \"/r\", codes = { NO = \"retry\" }",
            "codes",
            "that it is a success",
        ),
        ("http = { 204 = \"success\" }", "http", "a list has no http"),
    ] {
        refused(&judged(more), &format!("unikassa.template.list.answer.{place}"), why);
    }
}
