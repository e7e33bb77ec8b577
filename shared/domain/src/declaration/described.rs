//! The `[unikassa.template]` of a payee: requests and answers described instead of programmed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use url::Url;

use super::osmp::check_date_format;
use super::{AmountAs, Codes, Findings, Meaning, Payee, Zone};
use crate::exchange::{self, Selector, Verb};

/// The most entries of a query, a form or the headers.
const PAIRS_MAX: usize = 50;
/// Headers that belong to the connection.
const OWN_HEADERS: [&str; 6] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "traceparent",
    "upgrade",
];

const NO_SUCCESS: &str = "says of nothing that it is a success";

/// Requests by what they ask; what is not described is not offered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Described(BTreeMap<Verb, RequestTemplate>);

/// One request and how its answer is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestTemplate {
    /// `GET`, `POST` or `PUT`.
    #[serde(default)]
    pub method: HttpMethod,
    /// Under the payee's URL; begins with `/`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Each value is a template; one that comes to nothing is left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, String>,
    /// The same.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// A body as a form; the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<BTreeMap<String, String>>,
    /// A body as JSON: what is put in is escaped for the inside of a string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<String>,
    /// A body as XML.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xml: Option<String>,
    /// What is answered.
    pub answer: AnswerRules,
}

/// How a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// Without a body.
    #[default]
    Get,
    /// With one.
    Post,
    /// With one.
    Put,
}

impl HttpMethod {
    /// The word of HTTP.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }
}

/// What an answer is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnswerFormat {
    /// Selectors are JSON pointers.
    Json,
    /// Selectors are paths.
    Xml,
    /// Selectors are regular expressions.
    Text,
}

/// How an answer is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Parsing {
    /// As its format says.
    #[default]
    Strict,
    /// White space in front, another case and bytes that are not UTF-8 are borne.
    Lenient,
}

/// Where everything stands in an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerRules {
    /// What it is written in.
    pub format: AnswerFormat,
    /// How it is read.
    #[serde(default)]
    pub parsing: Parsing,
    /// The code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// What codes mean.
    #[serde(default, skip_serializing_if = "Codes::is_empty")]
    pub codes: Codes,
    /// HTTP statuses that have a meaning of their own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub http: BTreeMap<String, Meaning>,
    /// Where an answer in plain text has its code, although it should not be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain_text: Option<String>,
    /// The number it says it is about; compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// The sum, as `amount_as` says; compared, of a list taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    /// What sums look like in it.
    #[serde(default = "usual_amounts", skip_serializing_if = "are_usual_amounts")]
    pub amount_as: AmountAs,
    /// The payee's own name for the payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Words for people; of a check, what the payer is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Of a check: what is owed, as `amount_as` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount_due: Option<String>,
    /// Of a list: where its items are; the other selectors then begin inside of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<String>,
    /// Of a list: when an item was credited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credited_at: Option<String>,
    /// How that is written; RFC 3339 where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date_format: Option<String>,
    /// Of a list: what to ask the next page with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// In most protocols a sum is written as people write it.
fn usual_amounts() -> AmountAs {
    AmountAs::Decimal
}

fn are_usual_amounts(amount_as: &AmountAs) -> bool {
    *amount_as == usual_amounts()
}

impl AnswerRules {
    /// Rules that find nothing yet.
    pub(super) fn of(format: AnswerFormat) -> Self {
        Self {
            format,
            parsing: Parsing::Strict,
            result: None,
            codes: Codes::default(),
            http: BTreeMap::new(),
            plain_text: None,
            number: None,
            amount: None,
            amount_as: usual_amounts(),
            reference: None,
            comment: None,
            amount_due: None,
            items: None,
            credited_at: None,
            date_format: None,
            next: None,
        }
    }

    fn check(&self, verb: Verb) -> Findings {
        let mut found = Findings::default();
        let selectors = [
            ("result", &self.result),
            ("number", &self.number),
            ("amount", &self.amount),
            ("reference", &self.reference),
            ("comment", &self.comment),
            ("amount_due", &self.amount_due),
            ("items", &self.items),
            ("credited_at", &self.credited_at),
            ("next", &self.next),
        ];
        for (name, selector) in selectors {
            if let Some(written) = selector {
                let parsed = Selector::parse(self.format, written);
                found.take(parsed.map(drop).map_err(|refused| refused.within(name)));
            }
        }
        if let Some(expression) = &self.plain_text {
            let parsed = Selector::parse(AnswerFormat::Text, expression);
            found.take(parsed.map(drop).map_err(|refused| refused.within("plain_text")));
        }
        if let Some(format) = &self.date_format {
            check_date_format("date_format", format, &mut found);
        }
        let sums = self.amount.is_some() || self.amount_due.is_some();
        let idle = !are_usual_amounts(&self.amount_as) && !sums;
        found.refuse_if(idle, "amount_as", "is of use only where amount or amount_due is read");
        self.codes.check("codes", &mut found);
        for status in self.http.keys() {
            let is_status = status.parse().is_ok_and(|code: u16| (200..=599).contains(&code));
            found.refuse_if(
                !is_status,
                &format!("http.{status}"),
                "must be an HTTP status from 200 to 599",
            );
        }
        if verb == Verb::List {
            self.check_list(&mut found)
        } else {
            self.check_outcome(verb, &mut found)
        }
        found
    }

    fn check_list(&self, found: &mut Findings) {
        let needed = [
            ("items", &self.items),
            ("number", &self.number),
            ("amount", &self.amount),
            ("credited_at", &self.credited_at),
        ];
        for (name, selector) in needed {
            found.refuse_if(selector.is_none(), name, "is missing: a list needs it");
        }
        found.refuse_if(self.format == AnswerFormat::Text, "format", "a list is json or xml");
        found.refuse_if(
            !self.http.is_empty(),
            "http",
            "a list has no http: it is read when it comes with 200",
        );
        if self.result.is_some() || !self.codes.is_empty() {
            self.check_codes(self.result.is_some(), found);
            found.refuse_if(!self.codes.has(Meaning::Success), "codes", NO_SUCCESS);
        }
    }

    /// A code is of use only where it is known what it means, and the other way round.
    fn check_codes(&self, stands_somewhere: bool, found: &mut Findings) {
        found.refuse_if(
            !stands_somewhere && !self.codes.is_empty(),
            "result",
            "is missing: where does the code stand?",
        );
        found.refuse_if(
            stands_somewhere && self.codes.is_empty(),
            "codes",
            "is missing: what does the result mean?",
        );
    }

    fn check_outcome(&self, verb: Verb, found: &mut Findings) {
        let of_a_list = self.items.is_some() || self.credited_at.is_some() || self.next.is_some();
        found.refuse_if(
            of_a_list,
            "items",
            "items, credited_at and next are read in a list only",
        );
        let due = self.amount_due.is_some() && verb != Verb::Check;
        found.refuse_if(due, "amount_due", "is read in a check only");
        let has = |meaning| self.codes.has(meaning) || self.http.values().any(|known| *known == meaning);
        self.check_codes(self.result.is_some() || self.plain_text.is_some(), found);
        found.refuse_if(
            !has(Meaning::Success) && !has(Meaning::AlreadyDone),
            "codes",
            NO_SUCCESS,
        );
    }
}

impl Described {
    /// The request for this, where it is described.
    pub fn get(&self, verb: Verb) -> Option<&RequestTemplate> {
        self.0.get(&verb)
    }

    /// Whether nothing is described.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is wrong with each: what can be seen, then what comes of trying it.
    pub(super) fn check(&self, base: &Url, zone: &Zone, payee: &Payee) -> Findings {
        let mut found = Findings::default();
        for (verb, template) in &self.0 {
            let mut of_one = template.check(*verb);
            if of_one.is_empty() {
                exchange::check(*verb, template, base, zone, payee)
                    .into_iter()
                    .for_each(|refused| of_one.take(Err(refused)));
            }
            found.within(verb.as_str(), of_one);
        }
        found
    }
}

impl RequestTemplate {
    fn check(&self, verb: Verb) -> Findings {
        let mut found = Findings::default();
        let bodies = [self.form.is_some(), self.json.is_some(), self.xml.is_some()];
        let bodies = bodies.into_iter().filter(|one| *one).count();
        found.refuse_if(bodies > 1, "form", "a request has one body: form, json or xml");
        let get_with_body = self.method == HttpMethod::Get && bodies > 0;
        found.refuse_if(get_with_body, "method", "GET has no body: say POST or PUT");
        let rooted = self.path.is_empty() || self.path.starts_with('/');
        found.refuse_if(!rooted, "path", "must begin with /");
        let pairs = [&self.query, &self.headers].into_iter().chain(&self.form);
        let too_many = pairs.clone().any(|pairs| pairs.len() > PAIRS_MAX);
        found.refuse_if(
            too_many,
            "query",
            "query, headers and form have at most 50 entries each",
        );
        for name in self.headers.keys() {
            let place = format!("headers.{name}");
            let is_token = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
            found.refuse_if(!is_token, &place, "is not a name of a header");
            let own = OWN_HEADERS.contains(&&*name.to_ascii_lowercase());
            found.refuse_if(own, &place, "is set by the connection itself");
        }
        let says_number = [Verb::Pay, Verb::Status, Verb::Cancel].contains(&verb);
        found.refuse_if(
            says_number && !self.speaks_of("number"),
            "path",
            "nothing in the request has {{ number }}: it is what the payee tells payments apart by",
        );
        found.within("answer", self.answer.check(verb));
        found
    }

    /// Whether the request tells a value of this name.
    pub fn speaks_of(&self, name: &str) -> bool {
        let pairs = [&self.query, &self.headers].into_iter().chain(&self.form);
        pairs
            .flat_map(|pairs| pairs.values())
            .chain([&self.path])
            .chain(&self.json)
            .chain(&self.xml)
            .any(|text| text.split("{{").skip(1).any(|rest| rest.trim_start().starts_with(name)))
    }
}
