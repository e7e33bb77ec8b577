//! What a register's file is called and wrapped in, and the identity of the mails that carry it.

use std::str::FromStr;

use age::x25519::Recipient;
use domain::declaration::Payee;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use store::registers::{Build, Part, Summary};

use crate::BuildError;
use crate::parts::Planned;

/// Everything the file depends on besides its rows.
pub(crate) struct FileSpec {
    /// The name of the text itself; inside the archive, if there is one.
    pub(crate) inner_name: String,
    /// The file's name.
    pub(crate) name: String,
    /// The payee's fields, in declared order.
    pub(crate) fields: Vec<String>,
    /// Whether times are those of delivery, not of acceptance.
    pub(crate) delivered: bool,
    pub(crate) zone: TimeZone,
    pub(crate) zip: bool,
    pub(crate) recipients: Vec<Recipient>,
    /// The date of the archive's entry.
    pub(crate) dated: Timestamp,
}

impl FileSpec {
    pub(crate) fn of(build: &Build, planned: &Planned) -> Result<Self, BuildError> {
        let Payee {
            register: Some(profile),
            field,
            ..
        } = &build.payee
        else {
            return Err(BuildError::NoProfile);
        };
        let recipients = profile
            .age_recipients
            .iter()
            .map(|text| Recipient::from_str(text).map_err(|why| BuildError::Recipient(text.clone(), why)))
            .collect::<Result<Vec<_>, _>>()?;
        let inner_name = format!("{}.{}", stem(&build.summary, planned.part), profile.format.as_str());
        let mut name = inner_name.clone();
        if profile.zip {
            name.push_str(".zip");
        }
        if !recipients.is_empty() {
            name.push_str(".age");
        }
        Ok(Self {
            inner_name,
            name,
            fields: field.iter().map(|rule| rule.name.clone()).collect(),
            delivered: build.delivered.is_some(),
            zone: profile.time_zone.tz().clone(),
            zip: profile.zip,
            recipients,
            dated: build.closed_at,
        })
    }
}

/// `gorvodokanal-main-000042`, or `gorvodokanal-main-COPY-000003`: copies are counted apart. Parts say which they are:
/// `gorvodokanal-main-000042-1of3`.
fn stem(summary: &Summary, part: Part) -> String {
    let copy = if summary.is_copy { "COPY-" } else { "" };
    let which = match part.parts {
        1 => String::new(),
        parts => format!("-{}of{parts}", part.part),
    };
    format!(
        "{}-{}-{copy}{:06}{which}",
        summary.payee, summary.series, summary.sequence
    )
}

/// The Message-ID of all mails of a part: `<register@domain of the sender>`, and from the second part on
/// `<register-part@domain>`.
pub(crate) fn message_id(summary: &Summary, part: Part, mail_from: &str) -> String {
    let domain = mail_from
        .rsplit_once('@')
        .map_or("", |(_, domain)| domain)
        .trim_end_matches('>');
    let fits = !domain.is_empty()
        && domain
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    let which = match part.part {
        1 => String::new(),
        part => format!("-{part}"),
    };
    format!(
        "<{}{which}@{}>",
        summary.register_id,
        if fits { domain } else { "unigate.invalid" }
    )
}
