//! What each dialect sends, to the letter, and what it makes of answers.

use contract::message::PaymentCheck;
use domain::declaration::Payee;
use domain::delivery::{Ending, Flag, Verdict};
use domain::payment::{Act, PaymentState};
use serde_json::json;
use store::deliveries::Due;

use super::{Dialect, HttpRequest};
use crate::client::{Answer, Wire};
use crate::mask::Mask;
use crate::profiles::Target;
use couriers::Told;

fn payee(profile: &str) -> Payee {
    let text = format!(
        "id = 'isp'\nname = 'ISP'\ngateway = 'unikassa'\ncurrency = 'RUB'\naccount = {{ pattern = '^.+$' }}\n\
         amount = {{ min = 100, max = 1000000 }}\n[unikassa]\nurl = 'https://billing.example.org/pay.cgi'\n\
         time_zone = 'Europe/Moscow'\n{profile}"
    );
    let payee: Payee = toml::from_str(&text).unwrap();
    payee.check().unwrap();
    payee
}

fn dialect(profile: &str) -> std::sync::Arc<dyn Dialect> {
    Target::of(&payee(profile)).unwrap().dialect
}

fn due() -> Due {
    Due {
        payment_id: domain::PaymentId::parse("0199c0de-0000-7000-8000-000000000017").unwrap(),
        number: domain::Number::new(17).unwrap(),
        payee: "isp".to_owned(),
        terminal: "T-1".to_owned(),
        account: "Иванов & сын=1".to_owned(),
        amount: 15_050,
        fee: 0,
        currency: "RUB".to_owned(),
        fields: json!({}),
        paid_at: "2026-11-23T07:02:11Z".parse().unwrap(),
        state: PaymentState::Delivering,
        step: 0,
        attempts: 1,
        maybes: 0,
        not_found: 0,
        give_up_at: None,
        last_call_at: None,
        traceparent: None,
        revoke_reason: None,
        settled: false,
        provider_reference: None,
    }
}

fn told(dialect: &dyn Dialect, act: Act, status: u16, body: &str) -> Told {
    told_with(&Mask::of(&[], None), dialect, act, status, body)
}

fn told_with(mask: &Mask, dialect: &dyn Dialect, act: Act, status: u16, body: &str) -> Told {
    let wire = Wire::Answer(Answer {
        status,
        retry_after: None,
        body: body.as_bytes().to_vec(),
        whole: true,
    });
    crate::heard::of_act(
        wire,
        mask,
        |status| dialect.judges(act, status),
        |answer| dialect.read_act(act, &due(), answer),
    )
}

fn line(request: &HttpRequest) -> String {
    format!("{} {}", request.method, request.url)
}

const OSMP: &str = "dialect = 'osmp'\n";
const ACCOUNT: &str = "%D0%98%D0%B2%D0%B0%D0%BD%D0%BE%D0%B2%20%26%20%D1%81%D1%8B%D0%BD%3D1";

#[test]
fn an_osmp_payment_is_a_query_or_a_form() {
    let query = format!("command=pay&txn_id=17&account={ACCOUNT}&sum=150.50&txn_date=20261123100211");
    let get = dialect(OSMP).act(Act::Pay, &due()).unwrap();
    assert_eq!(line(&get), format!("GET https://billing.example.org/pay.cgi?{query}"));
    assert_eq!((get.body.len(), get.headers.len()), (0, 0));
    let post = dialect(&format!("{OSMP}[unikassa.osmp]\nmethod = 'POST'"))
        .act(Act::Pay, &due())
        .unwrap();
    assert_eq!(line(&post), "POST https://billing.example.org/pay.cgi");
    assert_eq!(String::from_utf8(post.body).unwrap(), query);
    assert!(post.headers[0].1.starts_with("application/x-www-form-urlencoded"));
    let bare = dialect(&format!("{OSMP}[unikassa.osmp]\ntxn_date = false"))
        .act(Act::Pay, &due())
        .unwrap();
    assert!(!bare.shown.contains("txn_date"));
    assert!(
        dialect(OSMP)
            .act(Act::Status, &due())
            .unwrap_err()
            .contains("template.status")
    );
}

#[test]
fn an_osmp_check_has_the_payments_number_and_a_sum() {
    let asked = PaymentCheck {
        payment_id: due().payment_id,
        terminal: domain::TerminalId::parse("T-1").unwrap(),
        payee: domain::PayeeId::parse("isp").unwrap(),
        account: domain::Account::new("7").unwrap(),
        amount: None,
        currency: None,
        fields: domain::Fields::default(),
    };
    let osmp = dialect(OSMP);
    assert!(osmp.number_at_check());
    let request = osmp.check(&asked, Some(due().number)).unwrap();
    assert_eq!(request.shown, "command=check&txn_id=17&account=7&sum=1.00");
    assert!(osmp.check(&asked, None).is_err());
    let answer = |result: &str| {
        let body = format!(
            "<response><osmp_txn_id>17</osmp_txn_id><result>{result}</result><comment>Ivan</comment></response>"
        );
        let answer = Answer {
            status: 200,
            retry_after: None,
            body: body.into_bytes(),
            whole: true,
        };
        osmp.read_check(Some(due().number), &answer)
    };
    assert_eq!(answer("0").unwrap().display.as_deref(), Some("Ivan"));
    assert_eq!(answer("5").unwrap().reason.as_deref(), Some("account_not_found"));
    assert_eq!(answer("300").unwrap().reason.as_deref(), Some("Ivan"));
    assert!(answer("1").is_err() && answer("77").is_err());
}

fn osmp_answer(number: &str, sum: &str, result: &str) -> String {
    format!(
        "<response><osmp_txn_id>{number}</osmp_txn_id><prv_txn>r1</prv_txn><sum>{sum}</sum><result>{result}</result></response>"
    )
}

#[test]
fn every_osmp_answer_has_one_of_three_ends() {
    let osmp = dialect(OSMP);
    let maybe = Ending::Maybe { retry_safe: false };
    let answered = Ending::Answered;
    for (status, body, ending, flag) in [
        (200, osmp_answer("17", "150.50", "0"), answered(Verdict::Accepted), None),
        (200, osmp_answer("17", "150,5", "0"), answered(Verdict::Accepted), None),
        (
            200,
            osmp_answer("17", "150.49", "0"),
            answered(Verdict::Accepted),
            Some(Flag::EchoedAmountDiffers),
        ),
        (
            200,
            osmp_answer("71", "150.50", "0"),
            maybe,
            Some(Flag::EchoedNumberDiffers),
        ),
        (
            200,
            osmp_answer("71", "150.50", "7"),
            maybe,
            Some(Flag::EchoedNumberDiffers),
        ),
        (200, osmp_answer("17", "1.00", "7"), answered(Verdict::Refused), None),
        (200, osmp_answer("17", "150.50", "1"), answered(Verdict::TryLater), None),
        (
            200,
            osmp_answer("17", "150.50", "90"),
            answered(Verdict::Unfinished),
            None,
        ),
        (200, osmp_answer("17", "150.50", "666"), maybe, None),
        (
            200,
            "<response><result>0</result></response>".to_owned(),
            answered(Verdict::Accepted),
            None,
        ),
        (200, String::new(), maybe, None),
        (200, "OK".to_owned(), maybe, None),
        (500, String::new(), maybe, None),
        (500, osmp_answer("17", "150.50", "7"), maybe, None),
        (202, osmp_answer("17", "150.50", "0"), answered(Verdict::Accepted), None),
        (204, String::new(), maybe, None),
        (302, osmp_answer("17", "150.50", "7"), maybe, None),
        (
            404,
            osmp_answer("17", "150.50", "0"),
            answered(Verdict::Concerning),
            None,
        ),
    ] {
        let told = told(&*osmp, Act::Pay, status, &body);
        assert_eq!((told.ending, told.flag), (ending, flag), "{status} {body}");
        let paid_well = flag.is_none() && ending == answered(Verdict::Accepted);
        assert_eq!(told.error.is_none(), paid_well, "{status} {body}: {:?}", told.error);
    }
}

const DESCRIBED: &str = r#"dialect = 'template'
secret = 'k3y'
[unikassa.template.pay]
method = "POST"
path = "/payments/{{ number }}"
headers = { authorization = "Bearer {{ secret }}" }
json = '{"account": "{{ account }}", "sum": "{{ amount }}", "key": "{{ secret }}"}'
[unikassa.template.pay.answer]
format = "json"
result = "/status"
number = "/id"
codes = { done = "success", dup = "already_done" }
http = { 201 = "success", 409 = "already_done", 422 = "refused" }
[unikassa.template.status]
path = "/payments/{{ number }}"
answer = { format = "json", result = "/status", codes = { done = "success" }, http = { 404 = "not_found" } }
[unikassa.template.cancel]
method = "POST"
path = "/payments/{{ number }}/cancel"
form = { why = "{{ reason }}" }
answer = { format = "json", result = "/status", codes = { undone = "success", late = "refused" } }
"#;

#[test]
fn a_described_payee_needs_no_code() {
    let dialect = dialect(DESCRIBED);
    let pay = dialect.act(Act::Pay, &due()).unwrap();
    assert_eq!(line(&pay), "POST https://billing.example.org/pay.cgi/payments/17");
    assert_eq!(pay.headers[0], ("authorization".to_owned(), "Bearer k3y".to_owned()));
    let body: serde_json::Value = serde_json::from_slice(&pay.body).unwrap();
    assert_eq!(
        body,
        json!({"account": "Иванов & сын=1", "sum": "150.50", "key": "k3y"})
    );
    assert!(
        pay.shown.contains("***") && !format!("{pay:?}").contains("k3y"),
        "{pay:?}"
    );
    let cancel = dialect.act(Act::Cancel, &due()).unwrap();
    assert_eq!(cancel.body, b"why=revoked%20by%20the%20terminal");
    let maybe = Ending::Maybe { retry_safe: false };
    let answered = Ending::Answered;
    for (act, status, body, ending) in [
        (
            Act::Pay,
            200,
            r#"{"id": 17, "status": "done"}"#,
            answered(Verdict::Accepted),
        ),
        (Act::Pay, 201, "", answered(Verdict::Accepted)),
        (Act::Pay, 409, "", answered(Verdict::AlreadyAccepted)),
        (Act::Pay, 409, r#"{"id": 71}"#, maybe),
        (Act::Pay, 422, "{}", answered(Verdict::Refused)),
        (Act::Pay, 400, "{}", answered(Verdict::Concerning)),
        // Nobody listed these, and yet it may have been credited.
        (Act::Pay, 202, r#"{"status": "done"}"#, answered(Verdict::Accepted)),
        (Act::Pay, 202, "", maybe),
        (Act::Pay, 303, r#"{"status": "done"}"#, maybe),
        (Act::Status, 303, "", answered(Verdict::Concerning)),
        (Act::Pay, 200, r#"{"status": "DONE"}"#, maybe),
        (Act::Status, 404, "", answered(Verdict::NotFound)),
        (Act::Status, 200, r#"{"status": "done"}"#, answered(Verdict::Accepted)),
        (
            Act::Cancel,
            200,
            r#"{"status": "undone"}"#,
            answered(Verdict::Cancelled),
        ),
        (Act::Cancel, 200, r#"{"status": "late"}"#, answered(Verdict::Refused)),
    ] {
        assert_eq!(
            told(&*dialect, act, status, body).ending,
            ending,
            "{act} {status} {body}"
        );
    }
}

#[test]
fn a_payee_that_counts_in_minor_units_is_understood() {
    let in_minor = "number = \"/id\"\namount = \"/sum\"\namount_as = \"minor\"\n";
    let check = "[unikassa.template.check]\npath = '/{{ account }}'\nanswer = { format = 'json', result = '/status', \
                 amount_due = '/debt', amount_as = 'minor', codes = { fine = 'success' } }\n";
    let profile = DESCRIBED.replace("number = \"/id\"\n", in_minor);
    let dialect = dialect(&format!("{profile}{check}"));
    for (sum, flag) in [
        (json!(15_050), None),
        (json!("15050"), None),
        (json!(15_051), Some(Flag::EchoedAmountDiffers)),
        (json!("150.50"), Some(Flag::EchoedAmountDiffers)),
    ] {
        let told = told(
            &*dialect,
            Act::Pay,
            200,
            &json!({"status": "done", "sum": sum}).to_string(),
        );
        assert_eq!(
            (told.ending, told.flag),
            (Ending::Answered(Verdict::Accepted), flag),
            "{sum}"
        );
        let error = told.error.unwrap_or_default();
        assert_eq!(error.ends_with(" in minor units"), flag.is_some(), "{error}");
    }
    let answer = Answer {
        status: 200,
        retry_after: None,
        body: br#"{"status": "fine", "debt": 125040}"#.to_vec(),
        whole: true,
    };
    assert_eq!(dialect.read_check(None, &answer).unwrap().amount_due, Some(125_040));
}

const KEY: &str = "k3y/of-17";
const PASSWORD: &str = "pass-word-17";

/// The described payee, called with a secret and a password, whose answers have words.
fn talkative() -> Target {
    let secrets = format!("secret = '{KEY}'\nbasic = {{ user = 'unigate', password = '{PASSWORD}' }}");
    let profile = DESCRIBED.replace("secret = 'k3y'", &secrets).replace(
        "number = \"/id\"\n",
        "number = \"/id\"\ncomment = \"/words\"\nreference = \"/ref\"\n",
    );
    let check = "[unikassa.template.check]\npath = '/{{ account }}'\nanswer = { format = 'json', result = '/status', \
                 comment = '/words', codes = { fine = 'success', no = 'refused' } }\n";
    Target::of(&payee(&format!("{profile}{check}"))).unwrap()
}

#[test]
fn what_a_payee_says_back_of_a_secret_is_told_to_nobody() {
    let target = talkative();
    let told = |status, body: &str| told_with(&target.mask, &*target.dialect, Act::Pay, status, body);
    let words = "unknown key k3y%2Fof-17, user unigate:pass-word-17";
    let body = |status: &str| json!({"status": status, "words": words, "ref": format!("{KEY}.1")}).to_string();
    for (status, code, error) in [
        (200, "done", None),
        (
            200,
            KEY,
            Some("the profile does not say what *** means: unknown key ***, user unigate:***"),
        ),
        (422, "no", Some("HTTP 422: unknown key ***, user unigate:***")),
        (
            401,
            "no",
            Some("HTTP 401: the payee does not take this request; see its URL and secret"),
        ),
    ] {
        let told = told(status, &body(code));
        assert_eq!(told.error.as_deref(), error, "{status} {code}");
        let all = format!("{told:?}");
        assert!(
            !all.contains(KEY) && !all.contains("of-17") && !all.contains(PASSWORD),
            "{all}"
        );
        assert!(told.response.unwrap().contains("unknown key ***"));
    }
    assert_eq!(told(200, &body("done")).provider_reference.as_deref(), Some("***.1"));
    let checked = |code: &str| {
        let answer = Answer {
            status: 200,
            retry_after: None,
            body: body(code).into_bytes(),
            whole: true,
        };
        target.read_check(None, &answer)
    };
    let masked = Some("unknown key ***, user unigate:***");
    assert_eq!(checked("fine").unwrap().display.as_deref(), masked);
    assert_eq!(checked("no").unwrap().reason.as_deref(), masked);
    assert!(checked(KEY).unwrap_err().starts_with("has the code ***, of which"));
}
