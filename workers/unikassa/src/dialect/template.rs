//! Any protocol that its payee's profile describes: requests are made of templates, answers are read by selectors and
//! tables of codes. What is not described is not offered.

use contract::message::PaymentCheck;
use contract::unikassa::{CheckAnswer, List, ListAnswer, ListItem};
use domain::declaration::{HttpMethod, Payee, RequestTemplate, UnikassaProfile};
use domain::exchange::{Rendered, Values, Verb, read, read_list, render};
use domain::ids::Number;
use domain::money::Currency;
use domain::payment::Act;
use domain::text::Fields;
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use store::deliveries::Due;

use super::{Dialect, HttpRequest, heard};
use crate::client::Answer;
use crate::mask::MASK;
use couriers::Told;

/// The protocol towards one payee.
#[derive(Debug)]
pub(super) struct Template {
    payee: Payee,
    profile: UnikassaProfile,
    secret: Option<SecretString>,
}

impl Template {
    pub(super) fn new(payee: Payee, profile: UnikassaProfile, secret: Option<SecretString>) -> Self {
        Self { payee, profile, secret }
    }

    fn described(&self, verb: Verb) -> Result<&RequestTemplate, String> {
        let missing = || {
            format!(
                "the payee has no {}: template.{} is not described",
                verb.as_str(),
                verb.as_str()
            )
        };
        self.profile.template.get(verb).ok_or_else(missing)
    }

    fn request(&self, verb: Verb, values: &Values) -> Result<HttpRequest, String> {
        let template = self.described(verb)?;
        let filled = |secret: &str| -> Result<Rendered, String> {
            render(template, &self.profile.url, &values.clone().secret(secret)).map_err(|why| why.to_string())
        };
        let shown = filled(MASK)?.shown();
        let rendered = filled(self.secret.as_ref().map_or("", |secret| secret.expose_secret()))?;
        Ok(HttpRequest {
            method: match rendered.method {
                HttpMethod::Get => Method::GET,
                HttpMethod::Post => Method::POST,
                HttpMethod::Put => Method::PUT,
            },
            url: rendered.url,
            headers: rendered.headers,
            body: rendered.body.into_bytes(),
            shown,
        })
    }

    fn values(&self) -> Values {
        Values::new(&self.profile.time_zone)
    }

    fn reads(&self, verb: Verb, status: u16) -> bool {
        status == 200 || self.lists(verb, status)
    }

    /// The profile says what this HTTP status means.
    fn lists(&self, verb: Verb, status: u16) -> bool {
        let listed = |template: &RequestTemplate| template.answer.http.contains_key(&status.to_string());
        self.profile.template.get(verb).is_some_and(listed)
    }
}

fn of_payment(values: Values, due: &Due) -> Result<Values, String> {
    let currency = Currency::parse(&due.currency).map_err(|why| why.to_string())?;
    let fields: Fields = serde_json::from_value(due.fields.clone()).map_err(|why| format!("fields: {why}"))?;
    Ok(values
        .text("number", &due.number.to_string())
        .text("payment_id", &due.payment_id.to_string())
        .text("terminal", &due.terminal)
        .text("account", &due.account)
        .amount("amount", Some(due.amount), currency)
        .amount("fee", Some(due.fee), currency)
        .text("currency", currency.code())
        .moment("paid_at", due.paid_at)
        .fields(&fields))
}

impl Dialect for Template {
    fn act(&self, act: Act, due: &Due) -> Result<HttpRequest, String> {
        let mut values = of_payment(self.values(), due)?;
        if act == Act::Cancel {
            values = values.text(
                "reason",
                due.revoke_reason.as_deref().unwrap_or("revoked by the terminal"),
            );
        }
        self.request(heard::verb(act), &values)
    }

    fn judges(&self, act: Act, status: u16) -> bool {
        heard::may_have_credited(act, status) || self.reads(heard::verb(act), status)
    }

    fn read_act(&self, act: Act, due: &Due, answer: &Answer) -> Told {
        let (verb, status) = (heard::verb(act), answer.status);
        let heard = self.described(verb).and_then(|template| {
            let rules = &template.answer;
            let read = || read(rules, &rules.codes, status, &answer.body);
            if self.lists(verb, status) {
                read()
            } else {
                heard::of_body(status, read)
            }
        });
        heard::told(act, due, heard)
    }

    fn number_at_check(&self) -> bool {
        self.profile
            .template
            .get(Verb::Check)
            .is_some_and(|check| check.speaks_of("number"))
    }

    fn check(&self, asked: &PaymentCheck, number: Option<Number>) -> Result<HttpRequest, String> {
        let mut values = self
            .values()
            .text("payment_id", &asked.payment_id.to_string())
            .text("terminal", asked.terminal.as_str())
            .text("account", asked.account.as_str())
            .of_amount(asked.amount, self.payee.currency)
            .text("currency", self.payee.currency.code())
            .fields(&asked.fields);
        if let Some(number) = number {
            values = values.text("number", &number.to_string());
        }
        self.request(Verb::Check, &values)
    }

    fn judges_check(&self, status: u16) -> bool {
        self.reads(Verb::Check, status)
    }

    fn read_check(&self, number: Option<Number>, answer: &Answer) -> Result<CheckAnswer, String> {
        let rules = &self.described(Verb::Check)?.answer;
        let heard = read(rules, &rules.codes, answer.status, &answer.body)?;
        heard::checked(&self.payee, number, heard)
    }

    fn list(&self, page: &List) -> Result<HttpRequest, String> {
        let values = self
            .values()
            .moment("from", page.from)
            .moment("to", page.to)
            .text("after", page.after.as_deref().unwrap_or_default());
        self.request(Verb::List, &values)
    }

    fn read_list(&self, body: &[u8]) -> Result<ListAnswer, String> {
        let rules = &self.described(Verb::List)?.answer;
        let currency = self.payee.currency;
        let page = read_list(rules, currency, &self.profile.time_zone, body)?;
        let items = page.items.into_iter().map(|item| ListItem {
            number: item.number,
            amount: item.amount,
            currency,
            credited_at: item.credited_at,
            provider_reference: item.reference,
        });
        Ok(ListAnswer {
            items: items.collect(),
            next: page.next,
        })
    }
}
