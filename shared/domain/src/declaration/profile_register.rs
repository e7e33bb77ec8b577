//! How a payee gets registers: when a range is closed, how the file is made, whom it is mailed to.

use serde::{Deserialize, Serialize};

use super::{Findings, Schedule, Zone, check_age_recipient, has_repeats, is_false};
use crate::invalid::Invalid;

/// The longest mail address, in bytes.
const ADDRESS_MAX_BYTES: usize = 254;

/// The least that a file may be limited to, in bytes: a header and one payment have to fit.
const MAX_BYTES_LEAST: u64 = 10_000;

/// The `[register]` of a payee.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterProfile {
    /// A cron expression in `time_zone`. Whichever of the three is due first closes the range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// Close once so many payments are open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_payments: Option<u64>,
    /// Close so many seconds after the last cut-off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_seconds: Option<u32>,
    /// The zone of the schedule and of the times in the file.
    #[serde(default = "Zone::utc")]
    pub time_zone: Zone,
    /// What the file looks like.
    #[serde(default)]
    pub format: RegisterFormat,
    /// Whether the file is put into a ZIP archive.
    #[serde(default, skip_serializing_if = "is_false")]
    pub zip: bool,
    /// Whom the file is encrypted to; nobody = it is not encrypted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub age_recipients: Vec<String>,
    /// Whom it is mailed to; nobody = it is fetched with `registers save`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mail_to: Vec<String>,
    /// Payments in one file at most; a register of more is several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rows: Option<u64>,
    /// Bytes of one file at most, counted before it is compressed and encrypted; a register of more is several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
}

/// What a register looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RegisterFormat {
    /// The contract's default: UTF-8, `;`, CRLF, a header, no trailer.
    #[default]
    Csv,
}

impl RegisterFormat {
    /// The word of the declaration, which is the extension of the file too.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
        }
    }
}

impl RegisterProfile {
    pub(super) fn check(&self) -> Findings {
        let mut found = Findings::default();
        found.refuse_if(
            self.schedule.is_none() && self.every_payments.is_none() && self.every_seconds.is_none(),
            "schedule",
            "is missing: say schedule, every_payments or every_seconds, or the register never closes",
        );
        found.refuse_if(self.every_payments == Some(0), "every_payments", "must be 1 or more");
        found.refuse_if(self.every_seconds == Some(0), "every_seconds", "must be 1 or more");
        for (at, recipient) in self.age_recipients.iter().enumerate() {
            found.take(check_age_recipient(&format!("age_recipients[{at}]"), recipient));
        }
        for (at, address) in self.mail_to.iter().enumerate() {
            found.take(check_address(&format!("mail_to[{at}]"), address));
        }
        found.refuse_if(has_repeats(&self.mail_to), "mail_to", "names an address twice");
        found.refuse_if(self.max_rows == Some(0), "max_rows", "must be 1 or more");
        found.refuse_if(
            self.max_bytes.is_some_and(|most| most < MAX_BYTES_LEAST),
            "max_bytes",
            &format!("must be {MAX_BYTES_LEAST} or more"),
        );
        found
    }
}

impl RegisterProfile {
    /// Of an online payee: a register of what was delivered to it.
    pub(super) fn check_of_delivered(&self) -> Findings {
        let mut found = self.check();
        found.refuse_if(
            self.every_payments.is_some(),
            "every_payments",
            "is not for what is delivered online: say schedule or every_seconds",
        );
        found
    }
}

/// Reads a mail address from outside a declaration, by the same rule.
pub fn parse_mail_address(address: &str) -> Result<String, Invalid> {
    check_address("address", address).map(|()| address.to_owned())
}

/// Something a mail server can make sense of: the rest is between it and the recipient's server.
pub(super) fn check_address(field: &str, address: &str) -> Result<(), Invalid> {
    let hostile = |c: char| c.is_control() || c.is_whitespace() || "<>()[],;:\\\"".contains(c);
    let looks_right = address.len() <= ADDRESS_MAX_BYTES
        && !address.contains(hostile)
        && address.split_once('@').is_some_and(|(user, host)| {
            !user.is_empty() && !host.contains('@') && host.split('.').all(|label| !label.is_empty())
        });
    if looks_right {
        Ok(())
    } else {
        Err(Invalid::new(field, "must be one mail address, such as buh@example.org"))
    }
}
