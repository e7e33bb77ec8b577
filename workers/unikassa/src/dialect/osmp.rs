//! The OSMP provider protocol: `check` and `pay` in a query or a form, an answer in XML with a code.
//!
//! It has no request for what became of a payment, none to take one back and none for a list; a payee that has one all the
//! same describes it in its profile.

use contract::message::PaymentCheck;
use contract::unikassa::{CheckAnswer, List, ListAnswer};
use domain::declaration::{AnswerRules, Codes, HttpMethod, OsmpProfile, Payee, UnikassaProfile};
use domain::exchange::{percent_encoded_pairs, read};
use domain::ids::Number;
use domain::money::{Currency, format_minor};
use domain::payment::Act;
use jiff::Timestamp;
use jiff::fmt::strtime;
use reqwest::Method;
use store::deliveries::Due;

use super::template::Template;
use super::{Dialect, HttpRequest, heard};
use crate::client::Answer;
use couriers::Told;

/// The protocol towards one payee.
#[derive(Debug)]
pub(super) struct Osmp {
    payee: Payee,
    profile: UnikassaProfile,
    osmp: OsmpProfile,
    codes: Codes,
    answer: AnswerRules,
    /// What the payee has besides.
    besides: Template,
}

impl Osmp {
    pub(super) fn new(payee: Payee, profile: UnikassaProfile, besides: Template) -> Self {
        let osmp = profile.osmp();
        Self {
            codes: osmp.codes(),
            answer: osmp.answer(),
            payee,
            profile,
            osmp,
            besides,
        }
    }

    fn request(&self, parameters: &[(&str, &str)]) -> HttpRequest {
        let pairs = percent_encoded_pairs(parameters.iter().copied());
        let mut url = self.profile.url.clone();
        let shown = pairs.clone();
        match self.osmp.method {
            HttpMethod::Get => {
                url.set_query(Some(&pairs));
                HttpRequest {
                    method: Method::GET,
                    url,
                    headers: Vec::new(),
                    body: Vec::new(),
                    shown,
                }
            }
            HttpMethod::Post | HttpMethod::Put => HttpRequest {
                method: Method::POST,
                url,
                headers: vec![(
                    "content-type".to_owned(),
                    "application/x-www-form-urlencoded; charset=utf-8".to_owned(),
                )],
                body: pairs.into_bytes(),
                shown,
            },
        }
    }

    fn date(&self, moment: Timestamp) -> Result<String, String> {
        let local = moment.to_zoned(self.profile.time_zone.tz().clone());
        strtime::format(&self.osmp.date_format, &local).map_err(|why| format!("txn_date: {why}"))
    }
}

impl Dialect for Osmp {
    fn act(&self, act: Act, due: &Due) -> Result<HttpRequest, String> {
        if act != Act::Pay {
            return self.besides.act(act, due);
        }
        let currency = Currency::parse(&due.currency).map_err(|why| why.to_string())?;
        let (number, sum) = (due.number.to_string(), format_minor(due.amount, currency));
        let mut parameters = vec![
            ("command", "pay"),
            ("txn_id", &*number),
            ("account", &*due.account),
            ("sum", &*sum),
        ];
        let date = self.date(due.paid_at)?;
        if self.osmp.txn_date {
            parameters.push(("txn_date", &*date));
        }
        Ok(self.request(&parameters))
    }

    fn judges(&self, act: Act, status: u16) -> bool {
        match act {
            Act::Pay => heard::may_have_credited(act, status),
            Act::Status | Act::Cancel => self.besides.judges(act, status),
        }
    }

    fn read_act(&self, act: Act, due: &Due, answer: &Answer) -> Told {
        if act != Act::Pay {
            return self.besides.read_act(act, due, answer);
        }
        let heard = heard::of_body(answer.status, || {
            read(&self.answer, &self.codes, answer.status, &answer.body)
        });
        heard::told(act, due, heard)
    }

    fn number_at_check(&self) -> bool {
        true
    }

    /// A check without an amount asks about the least: the protocol knows none without a sum.
    fn check(&self, asked: &PaymentCheck, number: Option<Number>) -> Result<HttpRequest, String> {
        let number = number.ok_or("a check has no number")?.to_string();
        let amount = asked.amount.unwrap_or(self.payee.amount.min);
        let sum = format_minor(amount.minor(), self.payee.currency);
        Ok(self.request(&[
            ("command", "check"),
            ("txn_id", &number),
            ("account", asked.account.as_str()),
            ("sum", &sum),
        ]))
    }

    fn read_check(&self, number: Option<Number>, answer: &Answer) -> Result<CheckAnswer, String> {
        let heard = read(&self.answer, &self.codes, answer.status, &answer.body)?;
        heard::checked(&self.payee, number, heard)
    }

    fn list(&self, page: &List) -> Result<HttpRequest, String> {
        self.besides.list(page)
    }

    fn read_list(&self, body: &[u8]) -> Result<ListAnswer, String> {
        self.besides.read_list(body)
    }
}
