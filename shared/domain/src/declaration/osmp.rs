//! The `[unikassa.osmp]` of a payee: what its OSMP provider protocol does otherwise than usual.

use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::described::{AnswerFormat, AnswerRules, HttpMethod, Parsing};
use super::{Codes, Findings};
use crate::exchange::Selector;

/// How `txn_date` is written unless the profile says otherwise.
const TXN_DATE: &str = "%Y%m%d%H%M%S";
/// The longest pattern of a date, in characters.
pub(super) const DATE_FORMAT_MAX: usize = 40;

/// What differs. Everything has the usual value when it is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OsmpProfile {
    /// `GET`, or `POST` with a form.
    pub method: HttpMethod,
    /// Codes that mean something else here, or are the payee's own.
    pub codes: Codes,
    /// Whether white space before `<?xml`, names in another case and bytes that are not UTF-8 are borne.
    pub parsing: Parsing,
    /// Where an answer in plain text has its code: a regular expression with one group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plain_text: Option<String>,
    /// Whether a payment tells its date.
    pub txn_date: bool,
    /// How it is written.
    pub date_format: String,
}

impl Default for OsmpProfile {
    fn default() -> Self {
        Self {
            method: HttpMethod::Get,
            codes: Codes::default(),
            parsing: Parsing::Strict,
            plain_text: None,
            txn_date: true,
            date_format: TXN_DATE.to_owned(),
        }
    }
}

impl OsmpProfile {
    /// Every code and what it means.
    pub fn codes(&self) -> Codes {
        Codes::osmp().overridden_by(&self.codes)
    }

    /// What its answers look like.
    pub fn answer(&self) -> AnswerRules {
        let at = |name: &str| Some(format!("/response/{name}"));
        AnswerRules {
            parsing: self.parsing,
            plain_text: self.plain_text.clone(),
            result: at("result"),
            number: at("osmp_txn_id"),
            amount: at("sum"),
            reference: at("prv_txn"),
            comment: at("comment"),
            ..AnswerRules::of(AnswerFormat::Xml)
        }
    }

    pub(super) fn check(&self) -> Findings {
        let mut found = Findings::default();
        let method = matches!(self.method, HttpMethod::Get | HttpMethod::Post);
        found.refuse_if(!method, "method", "must be GET or POST");
        self.codes.check("codes", &mut found);
        if let Some(expression) = &self.plain_text {
            let parsed = Selector::parse(AnswerFormat::Text, expression);
            found.take(parsed.map(drop).map_err(|refused| refused.within("plain_text")));
        }
        check_date_format("date_format", &self.date_format, &mut found);
        found
    }
}

/// A pattern of strftime that can be written and is not too long.
pub(super) fn check_date_format(field: &str, format: &str, found: &mut Findings) {
    let sample = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
    let wrong =
        format.is_empty() || format.chars().count() > DATE_FORMAT_MAX || strtime::format(format, &sample).is_err();
    found.refuse_if(
        wrong,
        field,
        "must be a pattern such as %Y%m%d%H%M%S, of at most 40 characters",
    );
}
