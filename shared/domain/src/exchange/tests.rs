//! Requests made of hostile values, and answers as payees really write them.

use proptest::prelude::*;

use super::*;
use crate::declaration::{
    AmountAs, AnswerFormat, AnswerRules, Codes, Meaning, OsmpProfile, Parsing, RequestTemplate, Zone,
};
use crate::money::Currency;

fn rub() -> Currency {
    Currency::parse("RUB").unwrap()
}

fn template(toml: &str) -> RequestTemplate {
    toml::from_str(&format!("{toml}\nanswer = {{ format = \"json\" }}")).unwrap()
}

fn values(account: &str) -> Values {
    Values::new(&Zone::parse("Europe/Moscow").unwrap())
        .secret("s3")
        .text("number", "17")
        .text("account", account)
        .amount("amount", Some(15_000), rub())
        .moment("paid_at", "2026-11-23T07:02:11Z".parse().unwrap())
}

fn rendered(toml: &str, account: &str) -> Rendered {
    render(
        &template(toml),
        &"https://pay.example.org/api/".parse().unwrap(),
        &values(account),
    )
    .unwrap()
}

#[test]
fn a_request_is_what_its_template_says() {
    let request = rendered(
        r#"method = "POST"
        path = "/v2/{{ account }}/pay"
        query = { sum = "{{ amount }}", kop = "{{ amount_minor }}", none = "{% if number == '1' %}x{% endif %}" }
        headers = { x-key = "{{ secret }}" }
        json = '{"id": "{{ number }}", "at": "{{ paid_at | date("%d.%m.%Y %H:%M") }}"}'"#,
        "a b/ж",
    );
    assert_eq!(
        request.url.as_str(),
        "https://pay.example.org/api/v2/a%20b%2F%D0%B6/pay?kop=15000&sum=150.00"
    );
    assert_eq!(
        request.body, r#"{"id": "17", "at": "23.11.2026 10:02"}"#,
        "in the payee's zone"
    );
    assert_eq!(request.headers[0], ("x-key".to_owned(), "s3".to_owned()));
    assert_eq!(
        request.headers[1],
        ("content-type".to_owned(), "application/json".to_owned())
    );
    let form = rendered(r#"form = { a = "{{ account }}" }"#, "x&b=1+2");
    assert_eq!(form.body, "a=x%26b%3D1%2B2");
}

#[test]
fn a_value_cannot_lead_out_of_the_path() {
    let out = template(r#"path = "/pay/{{ account }}""#);
    for account in ["..", "."] {
        let refused = render(&out, &"https://pay.example.org".parse().unwrap(), &values(account)).unwrap_err();
        assert_eq!(refused.field, "path", "{account}");
    }
}

#[test]
fn a_header_takes_no_line_break() {
    let header = template(r#"headers = { x-account = "{{ account }}" }"#);
    let refused = render(
        &header,
        &"https://pay.example.org".parse().unwrap(),
        &values("a\r\nhost: x"),
    )
    .unwrap_err();
    assert_eq!(refused.field, "headers.x-account");
}

proptest! {
    #[test]
    fn whatever_a_payer_types_is_one_value(account in "\\PC{1,40}") {
        let json = rendered(r#"json = '{"account": "{{ account }}", "sum": {{ amount_minor }}}'"#, &account);
        let read: serde_json::Value = serde_json::from_str(&json.body).unwrap();
        prop_assert_eq!(&read, &serde_json::json!({"account": account, "sum": 15_000}));
        let xml = rendered(r#"xml = '<pay a="{{ account }}"><acc>{{ account }}</acc></pay>'"#, &account);
        let root = super::xml::parse(&xml.body).unwrap();
        prop_assert_eq!(&root.children[0].text, &account);
        prop_assert_eq!(root.children.len(), 1);
        let query = rendered(r#"query = { account = "{{ account }}", z = "1" }"#, &account);
        let pairs: Vec<(String, String)> = query.url.query_pairs().into_owned().collect();
        prop_assert_eq!(pairs, [("account".to_owned(), account.clone()), ("z".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn whatever_a_payee_sends_is_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..300), lenient in any::<bool>()) {
        let parsing = if lenient { Parsing::Lenient } else { Parsing::Strict };
        for format in [AnswerFormat::Json, AnswerFormat::Xml, AnswerFormat::Text] {
            let _ = Document::read(format, parsing, &body);
        }
    }
}

fn osmp(toml: &str) -> (AnswerRules, Codes) {
    let profile: OsmpProfile = toml::from_str(toml).unwrap();
    (profile.answer(), profile.codes())
}

fn heard(toml: &str, body: &str) -> Result<Heard, String> {
    let (rules, codes) = osmp(toml);
    read(&rules, &codes, 200, body.as_bytes())
}

const PAID: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<response>\n<osmp_txn_id>17</osmp_txn_id>\n\
    <prv_txn>2016</prv_txn>\n<sum>150.00</sum>\n<result>0</result>\n<comment>OK &amp; &#1078;</comment>\n</response>\n";

#[test]
fn an_osmp_answer_is_read() {
    let expected = Heard {
        code: "0".to_owned(),
        meaning: Some(Meaning::Success),
        number: Some("17".to_owned()),
        amount: Some(Sum::new("150.00", AmountAs::Decimal)),
        reference: Some("2016".to_owned()),
        comment: Some("OK & ж".to_owned()),
        amount_due: None,
    };
    assert_eq!(heard("", PAID).unwrap(), expected);
}

#[test]
fn the_usual_codes_have_their_usual_meanings_and_a_profile_has_the_last_word() {
    use Meaning as M;
    let meaning = |toml: &str, code: &str| {
        let body = format!("<response><result>{code}</result></response>");
        heard(toml, &body).unwrap().meaning
    };
    for (code, expected) in [
        ("0", Some(M::Success)),
        ("1", Some(M::Retry)),
        ("90", Some(M::Unfinished)),
        ("5", Some(M::AccountNotFound)),
        ("7", Some(M::Refused)),
        ("79", Some(M::AccountInactive)),
        ("241", Some(M::AmountOutOfRange)),
        ("300", Some(M::Refused)),
        ("17", None),
        ("00", None),
    ] {
        assert_eq!(meaning("", code), expected, "{code}");
    }
    let own = "codes = { 5 = \"already_done\", 17 = \"pending\" }";
    assert_eq!(
        (meaning(own, "5"), meaning(own, "17")),
        (Some(M::AlreadyDone), Some(M::Pending))
    );
    assert_eq!(meaning(own, "0"), Some(M::Success));
}

#[test]
fn what_is_not_quite_an_answer_is_borne_only_where_that_is_declared() {
    let lenient = "parsing = \"lenient\"";
    for body in [
        format!("\n {PAID}"),
        format!("\u{feff}\n{PAID}"),
        PAID.replace("response>", "Response>").replace("result>", "RESULT>"),
    ] {
        assert!(heard("", &body).is_err(), "{body}");
        assert_eq!(heard(lenient, &body).unwrap().meaning, Some(Meaning::Success), "{body}");
    }
    let (rules, codes) = osmp(lenient);
    let mut bytes = PAID.replace("OK", "\u{1}").into_bytes();
    bytes
        .iter_mut()
        .filter(|byte| **byte == 1)
        .for_each(|byte| *byte = 0xcf);
    assert_eq!(
        read(&rules, &codes, 200, &bytes).unwrap().meaning,
        Some(Meaning::Success)
    );
    let plain = "plain_text = '^result=(\\d+)'";
    assert_eq!(heard(plain, "result=0").unwrap().meaning, Some(Meaning::Success));
    assert_eq!(heard(plain, PAID).unwrap().meaning, Some(Meaning::Success));
    assert!(heard("", "result=0").is_err());
    assert!(heard(plain, "thank you").is_err());
}

#[test]
fn what_is_no_answer_says_nothing() {
    let deep = format!("{}{}", "<a>".repeat(33), "</a>".repeat(33));
    let many = "<response><result>0</result><result>5</result></response>";
    let entity = "<!DOCTYPE r [<!ENTITY x \"0\">]><response><result>&x;</result></response>";
    for body in [
        "",
        "  \n",
        "<response>",
        "<response><result>0</response>",
        "<response/>",
        "<response><result/></response>",
        "<response><result>0</result></response><response/>",
        "<html><body>OK</body></html>",
        "<response><result>&x;</result></response>",
        "OK",
        &deep,
        many,
        entity,
    ] {
        for toml in ["", "parsing = \"lenient\""] {
            assert!(heard(toml, body).is_err(), "{body}");
        }
    }
}

#[test]
fn json_and_text_answers_are_read_by_their_selectors() {
    let rules: AnswerRules = toml::from_str(
        r#"format = "json"
        result = "/state/code"
        number = "/id"
        amount = "/sum"
        codes = { OK = "success", 7 = "refused" }
        http = { 409 = "already_done", 404 = "not_found" }"#,
    )
    .unwrap();
    let heard = |status, body: &str| read(&rules, &rules.codes, status, body.as_bytes());
    let ok = heard(200, r#"{"id": 17, "sum": 150.5, "state": {"code": "OK"}}"#).unwrap();
    assert_eq!((ok.meaning, ok.number.as_deref()), (Some(Meaning::Success), Some("17")));
    assert_eq!(ok.amount, Some(Sum::new("150.5", AmountAs::Decimal)));
    assert_eq!(
        heard(200, r#"{"state": {"code": 7}}"#).unwrap().meaning,
        Some(Meaning::Refused)
    );
    assert_eq!(heard(200, r#"{"state": {"code": "ok"}}"#).unwrap().meaning, None);
    assert!(heard(200, r#"{"state": {}}"#).is_err());
    assert_eq!(heard(409, r#"{"id": 17}"#).unwrap().number.as_deref(), Some("17"));
    assert_eq!(heard(404, "<html>").unwrap().meaning, Some(Meaning::NotFound));
    let text: AnswerRules =
        toml::from_str("format = 'text'\nresult = '^([A-Z]+)'\nnumber = ' id=(\\d+)'\ncodes = { OK = 'success' }")
            .unwrap();
    let ok = read(&text, &text.codes, 200, b"OK id=17").unwrap();
    assert_eq!((ok.meaning, ok.number.as_deref()), (Some(Meaning::Success), Some("17")));
    assert!(read(&text, &text.codes, 200, b"sorry").is_err());
}

#[test]
fn whatever_a_payee_writes_its_words_are_clean_and_cut() {
    let rules: AnswerRules = toml::from_str(
        r#"format = "json"
        result = "/code"
        number = "/id"
        amount = "/sum"
        reference = "/ref"
        comment = "/text"
        amount_due = "/due"
        codes = { OK = "success" }"#,
    )
    .unwrap();
    let hostile = format!("1\0\u{1b}[2J\r\n{}", "0".repeat(60_000));
    let said = serde_json::json!({
        "code": hostile, "id": hostile, "sum": hostile, "ref": hostile, "text": hostile, "due": hostile,
    });
    let read_all = read(&rules, &rules.codes, 200, said.to_string().as_bytes()).unwrap();
    let plain = heard("plain_text = '(?s)^result=(.+)$'", &format!("result={hostile}")).unwrap();
    let details = [
        read_all.number,
        read_all.amount.map(|sum| sum.to_string()),
        read_all.reference,
        read_all.comment,
        read_all.amount_due.map(|sum| sum.to_string()),
    ];
    for words in [read_all.code, plain.code]
        .into_iter()
        .chain(details.into_iter().flatten())
    {
        assert!(words.starts_with("1  [2J  0"), "{words}");
        assert!(words.chars().count() <= 500, "{}", words.chars().count());
    }
    assert_eq!((read_all.meaning, plain.meaning), (None, None));
}

#[test]
fn a_list_is_read_whole_or_not() {
    let json: AnswerRules = toml::from_str(
        r#"format = "json"
        items = "/payments"
        number = "/id"
        amount = "/sum"
        credited_at = "/at"
        date_format = "%d.%m.%Y %H:%M:%S"
        reference = "/ref"
        next = "/next""#,
    )
    .unwrap();
    let zone = Zone::parse("Europe/Moscow").unwrap();
    let body =
        r#"{"payments": [{"id": "17", "sum": "150.00", "at": "23.11.2026 10:02:11", "ref": "x"}], "next": "p2"}"#;
    let page = read_list(&json, rub(), &zone, body.as_bytes()).unwrap();
    assert_eq!((page.items.len(), page.next.as_deref()), (1, Some("p2")));
    let item = &page.items[0];
    assert_eq!((item.number.get(), item.amount.minor()), (17, 15_000));
    assert_eq!(item.credited_at.to_string(), "2026-11-23T07:02:11Z");
    let broken = body.replace("150.00", "a lot");
    assert!(
        read_list(&json, rub(), &zone, broken.as_bytes())
            .unwrap_err()
            .contains("item 1")
    );
    let minor = AnswerRules {
        amount_as: AmountAs::Minor,
        ..json
    };
    let body = body.replace("\"150.00\"", "15000");
    let page = read_list(&minor, rub(), &zone, body.as_bytes()).unwrap();
    assert_eq!(page.items[0].amount.minor(), 15_000);
    let xml: AnswerRules = toml::from_str(
        "format = 'xml'\nitems = '/list/payment'\nnumber = '/@id'\namount = '/sum'\ncredited_at = '/at'",
    )
    .unwrap();
    let body = "<list><payment id='17'><sum>150</sum><at>2026-11-23T07:02:11Z</at></payment>\
        <payment id='18'><sum>1</sum><at>2026-11-23T07:02:12Z</at></payment></list>";
    let page = read_list(&xml, rub(), &zone, body.as_bytes()).unwrap();
    assert_eq!((page.items.len(), page.items[1].number.get(), page.next), (2, 18, None));
    assert!(read_list(&xml, rub(), &zone, b"<list/>").unwrap().items.is_empty());
}

#[test]
fn a_list_that_is_not_there_is_no_empty_list() {
    const REST: &str = "number = '/id'\namount = '/sum'\ncredited_at = '/at'";
    let rules = |text: &str| -> AnswerRules { toml::from_str(&format!("{text}\n{REST}")).unwrap() };
    let zone = Zone::parse("UTC").unwrap();
    let read =
        |rules: &AnswerRules, body: &str| read_list(rules, rub(), &zone, body.as_bytes()).map(|page| page.items.len());
    let json = rules("format = 'json'\nitems = '/payments'");
    assert_eq!(read(&json, r#"{"payments": []}"#), Ok(0));
    for body in [r#"{"payments": null}"#, r#"{"error": "later"}"#, "[]", "null"] {
        assert!(read(&json, body).unwrap_err().starts_with("has no list at "), "{body}");
    }
    let (flat, deep) = (
        rules("format = 'xml'\nitems = '/list/payment'"),
        rules("format = 'xml'\nitems = '/answer/list/payment'"),
    );
    assert_eq!(
        (read(&flat, "<list/>"), read(&deep, "<answer><list/></answer>")),
        (Ok(0), Ok(0))
    );
    for (rules, body) in [
        (&flat, "<html><body>maintenance</body></html>"),
        (&deep, "<answer><error>later</error></answer>"),
        (&deep, "<list/>"),
        (&rules("format = 'xml'\nitems = '/payment'"), "<error/>"),
    ] {
        assert!(read(rules, body).unwrap_err().starts_with("has no list at "), "{body}");
    }
}

#[test]
fn a_list_with_a_code_is_read_when_the_code_is_a_success() {
    let rules: AnswerRules = toml::from_str(
        "format = 'xml'\nresult = '/list/@code'\ncodes = { 0 = 'success', 1 = 'retry' }\nitems = '/list/payment'\n\
         number = '/@id'\namount = '/sum'\ncredited_at = '/at'",
    )
    .unwrap();
    let read = |body: &str| read_list(&rules, rub(), &Zone::parse("UTC").unwrap(), body.as_bytes());
    assert!(read("<list code='0'/>").unwrap().items.is_empty());
    for (body, why) in [
        ("<list code='1'/>", "has the code 1"),
        ("<list code='7'/>", "has the code 7"),
        ("<list/>", "has no /list/@code"),
    ] {
        assert!(read(body).unwrap_err().starts_with(why), "{body}");
    }
}

#[test]
fn a_sum_is_read_in_the_units_in_which_a_payee_counts() {
    use AmountAs::{Decimal, Minor};
    let minor = |text: &str, amount_as| Sum::new(text, amount_as).amount(rub()).map(|sum| sum.minor());
    for same in ["150", "150.00", "150,0", "150.0000", " 150.00 "] {
        assert_eq!(minor(same, Decimal), Some(15_000), "{same}");
    }
    for other in ["150.01", "15000", "", "a", "-150", "150.001"] {
        assert_ne!(minor(other, Decimal), Some(15_000), "{other}");
    }
    for same in ["15000", "15 000", "15000.0", " 15000,00"] {
        assert_eq!(minor(same, Minor), Some(15_000), "{same}");
    }
    for other in ["150.00", "15000.5", "1.5e4", "-15000", "a", ""] {
        assert_ne!(minor(other, Minor), Some(15_000), "{other}");
    }
}
