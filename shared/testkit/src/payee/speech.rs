//! The tongues the payee speaks. Whatever the tongue, a request becomes the members that the ledger knows, and what the
//! ledger says becomes an answer of the tongue:
//!
//! - under `/unikassa` our protocol;
//! - under `/osmp` the OSMP provider protocol, in a query or a form: XML with a code;
//! - under `/rest` one that nobody has heard of: JSON with words of its own, HTTP statuses that mean something.
//!
//! They are written by hand from what such payees really send, and share nothing with the code under test.

use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::ledger::echo;
use super::request::{Request, Verb};

/// Which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tongue {
    /// Our protocol.
    #[default]
    Unikassa,
    /// The OSMP provider protocol.
    Osmp,
    /// One of the payee's own.
    Rest,
}

/// What may be done to an answer that is good otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Twist {
    /// Nothing.
    None,
    /// Another sum is echoed.
    OtherSum,
    /// White space comes first.
    WhiteSpace,
    /// The names are in capitals.
    Capitals,
}

impl Tongue {
    /// The tongue of a path.
    pub(super) fn of(path: &str) -> Option<Self> {
        let under = |base: &str| {
            path.strip_prefix(base)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        [
            (super::BASE, Self::Unikassa),
            ("/osmp", Self::Osmp),
            ("/rest", Self::Rest),
        ]
        .into_iter()
        .find(|(base, _)| under(base))
        .map(|(_, tongue)| tongue)
    }

    /// The verb of a request, and its members as the ledger knows them.
    pub(super) fn understand(self, method: &Method, uri: &Uri, raw: &[u8]) -> (Option<Verb>, Value) {
        match self {
            Self::Unikassa => (
                Verb::of_path(uri.path()),
                serde_json::from_slice(raw).unwrap_or_default(),
            ),
            Self::Osmp => {
                let query = if *method == Method::GET {
                    uri.query().unwrap_or_default().as_bytes()
                } else {
                    raw
                };
                osmp(&pairs(query))
            }
            Self::Rest => rest(method, uri, raw),
        }
    }

    /// Answers a request; `answer` is the ledger's.
    pub(super) fn say(self, request: &Request, answer: Value, twist: Twist) -> Response {
        match self {
            Self::Unikassa => {
                let echoed = echo(answer, request.body.get("number"));
                ([(header::CONTENT_TYPE, "application/json")], echoed.to_string()).into_response()
            }
            Self::Osmp => say_osmp(request, &answer, twist),
            Self::Rest => say_rest(request, &answer, twist),
        }
    }
}

fn osmp(members: &Map<String, Value>) -> (Option<Verb>, Value) {
    let verb = match members.get("command").and_then(Value::as_str) {
        Some("check") => Some(Verb::Check),
        Some("pay") => Some(Verb::Pay),
        Some("status") => Some(Verb::Status),
        _ => None,
    };
    let mut body = members.clone();
    rename(&mut body, "txn_id", "number");
    if let Some(sum) = body.get("sum").and_then(Value::as_str).and_then(minor) {
        body.insert("amount".to_owned(), json!(sum));
    }
    (verb, Value::Object(body))
}

fn rest(method: &Method, uri: &Uri, raw: &[u8]) -> (Option<Verb>, Value) {
    let mut steps = uri.path().split('/').skip(2);
    let (what, number) = (steps.next().unwrap_or_default(), steps.next());
    let mut body = pairs(uri.query().unwrap_or_default().as_bytes());
    if let Ok(Value::Object(members)) = serde_json::from_slice(raw) {
        body.extend(members);
    }
    if let Some(number) = number {
        body.insert("number".to_owned(), json!(number));
    }
    rename(&mut body, "sum_minor", "amount");
    let verb = match (method.as_str(), what) {
        ("PUT", "payments") => Some(Verb::Pay),
        ("GET", "payments") if number.is_some() => Some(Verb::Status),
        ("GET", "payments") => Some(Verb::List),
        ("POST", "cancel") => Some(Verb::Cancel),
        ("GET", "accounts") => Some(Verb::Check),
        _ => None,
    };
    if let Some(amount) = body
        .get("amount")
        .and_then(Value::as_str)
        .and_then(|text| text.parse::<i64>().ok())
    {
        body.insert("amount".to_owned(), json!(amount));
    }
    (verb, Value::Object(body))
}

fn rename(members: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = members.remove(from) {
        members.insert(to.to_owned(), value);
    }
}

/// `150.00` in minor units; the currencies of tests have two digits.
fn minor(sum: &str) -> Option<i64> {
    let (major, rest) = sum.split_once('.')?;
    (rest.len() == 2).then(|| format!("{major}{rest}").parse().ok())?
}

fn major(minor: i64) -> String {
    format!("{}.{:02}", minor / 100, minor % 100)
}

/// A query or a form, decoded.
fn pairs(text: &[u8]) -> Map<String, Value> {
    let text = String::from_utf8_lossy(text);
    let decoded = |part: &str| {
        let bytes = part.as_bytes();
        let mut out = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while at < bytes.len() {
            let hex = (bytes[at] == b'%').then(|| part.get(at + 1..at + 3)).flatten();
            match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
                Some(byte) => {
                    out.push(byte);
                    at += 3;
                }
                None => {
                    out.push(if bytes[at] == b'+' { b' ' } else { bytes[at] });
                    at += 1;
                }
            }
        }
        String::from_utf8_lossy(&out).into_owned()
    };
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decoded(name), json!(decoded(value))))
        .collect()
}

fn echoed_amount(request: &Request, twist: Twist) -> i64 {
    let amount = request.body.get("amount").and_then(Value::as_i64).unwrap_or(0);
    if twist == Twist::OtherSum { amount + 1 } else { amount }
}

fn echoed_number(request: &Request, answer: &Value) -> String {
    let said = answer.get("number").and_then(Value::as_str).map(str::to_owned);
    said.or_else(|| request.number()).unwrap_or_default()
}

fn say_osmp(request: &Request, answer: &Value, twist: Twist) -> Response {
    let code = match (answer["result"].as_str(), answer["reason"].as_str()) {
        (Some("accepted" | "already_accepted" | "payable"), _) => "0",
        (Some("later"), _) => "1",
        (Some("pending"), _) => "90",
        (Some("duplicate"), _) => "300",
        (Some("not_found"), _) => "210",
        (Some("refused"), Some("account_not_found")) => "5",
        (Some("refused"), _) => "7",
        _ => "666",
    };
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<response>\n  <osmp_txn_id>{}</osmp_txn_id>\n  \
         <prv_txn>{}</prv_txn>\n  <sum>{}</sum>\n  <result>{code}</result>\n  <comment>{}</comment>\n\
         </response>\n",
        echoed_number(request, answer),
        answer["provider_reference"].as_str().unwrap_or_default(),
        major(echoed_amount(request, twist)),
        answer["padding"].as_str().unwrap_or("so it is scripted"),
    );
    let body = match twist {
        Twist::WhiteSpace => format!("\r\n \t{body}"),
        Twist::Capitals => body.replace("result>", "RESULT>").replace("response>", "Response>"),
        Twist::None | Twist::OtherSum => body,
    };
    ([(header::CONTENT_TYPE, "text/xml")], body).into_response()
}

fn say_rest(request: &Request, answer: &Value, twist: Twist) -> Response {
    if let Some(items) = answer.get("items") {
        let with_sums: Vec<Value> = items
            .as_array()
            .into_iter()
            .flatten()
            .map(|item| {
                let mut item = item.clone();
                item["sum"] = json!(major(item["amount"].as_i64().unwrap_or(0)));
                item
            })
            .collect();
        return axum::Json(json!({"payments": with_sums})).into_response();
    }
    let (status, word) = match answer["result"].as_str().unwrap_or_default() {
        "accepted" => (StatusCode::CREATED, "done"),
        "already_accepted" => (StatusCode::OK, "done_before"),
        "duplicate" => (StatusCode::CONFLICT, "dup"),
        "payable" => (StatusCode::OK, "fine"),
        "later" => (StatusCode::OK, "later"),
        "pending" => (StatusCode::ACCEPTED, "wait"),
        "not_found" => (StatusCode::NOT_FOUND, "none"),
        "cancelled" | "already_cancelled" => (StatusCode::OK, "undone"),
        "refused" => (StatusCode::UNPROCESSABLE_ENTITY, "no"),
        _ => (StatusCode::OK, "perhaps"),
    };
    let mut body = json!({
        "id": echoed_number(request, answer),
        "state": word,
        "ref": answer["provider_reference"],
        "sum": major(echoed_amount(request, twist)),
    });
    if let Some(padding) = answer.get("padding") {
        body["padding"] = padding.clone();
    }
    if request.body.get("amount").is_none() {
        body.as_object_mut().map(|members| members.remove("sum"));
    }
    let text = match twist {
        Twist::WhiteSpace => format!("\u{feff}\n {body}"),
        Twist::Capitals => body.to_string().to_uppercase(),
        Twist::None | Twist::OtherSum => body.to_string(),
    };
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}
