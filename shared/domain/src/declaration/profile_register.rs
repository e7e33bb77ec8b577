//! How a payee gets registers: when a range is closed, how the file is made, whom it is mailed to.

mod calendar;
mod check;
mod deliver;
mod format;
mod layout;
mod presets;
mod seal;
mod separator;
mod series;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use calendar::{Calendar, CalendarChoice, DayOff, OnDayOff};
pub use check::{HEAD_NAMES, row_names};
pub use deliver::{DirectoryProfile, MailProfile, RETRY_SECONDS_USUAL, Recipient};
pub use format::{FormatKind, RegisterEncoding, RegisterFormat, Unmappable};
pub use layout::{Align, ColumnProfile, DecimalMark, Fact, Formulas, LayoutProfile, LineEnd, TextEscape, TooLong};
pub use seal::{AgeSeal, CommandSeal, GzipSeal, INPUT, OUTPUT, OpenPgpSeal, SealStage, ZipSeal, key_file};
pub use series::{DELIVERED_SERIES, MAIN_SERIES, SeriesProfile, SeriesWhen};

use super::{Findings, Schedule, Zone, check_age_recipient, has_repeats, is_false};
use crate::invalid::Invalid;
use crate::register::upcoming;

/// The longest interval in hours: a year.
const EVERY_HOURS_MAX: u32 = 8_784;
/// The longest mail address, in bytes.
const ADDRESS_MAX_BYTES: usize = 254;
/// The longest part of one before the `@`, and the longest label of a host (RFC 5321, 4.5.3.1; RFC 1035, 2.3.4), in bytes.
const USER_MAX_BYTES: usize = 64;
const LABEL_MAX_BYTES: usize = 63;

/// The least that a file may be limited to, in bytes: a header and one payment have to fit.
const MAX_BYTES_LEAST: u64 = 10_000;

/// The `[register]` of a payee.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterProfile {
    /// A cron expression in `time_zone`. Whichever of these is due first closes the range.
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
    /// Close so many hours after the last cut-off; the same as `every_seconds` in other words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_hours: Option<u32>,
    /// Whether a cut-off with nothing to close makes a register without payments.
    #[serde(default, skip_serializing_if = "is_false")]
    pub send_empty: bool,
    /// Days on which neither schedule nor interval closes anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<CalendarChoice>,
    /// What becomes of a cut-off on such a day.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_day_off: OnDayOff,
    /// Further series, each with the payments that it takes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub series: Vec<SeriesProfile>,
    /// Payments in one file at most; a register of more is several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rows: Option<u64>,
    /// Bytes of one file at most, before it is compressed and encrypted and after; a register of more is several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// How the file's text becomes bytes; UTF-8, or what the preset says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<RegisterEncoding>,
    /// What becomes of a character that the encoding lacks.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unmappable: Unmappable,
    /// What the file is called, without its extension: a template. Else `<payee>-<series>-<sequence>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_name: Option<String>,
    /// What differs from the format or the preset.
    #[serde(default, skip_serializing_if = "is_default")]
    pub layout: LayoutProfile,
    /// What the file is wrapped in, in this order, instead of `zip` and `age_recipients`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seal: Vec<SealStage>,
    /// How the mail reads and goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail: Option<MailProfile>,
    /// Where the file is put, besides being mailed or instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<DirectoryProfile>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl RegisterProfile {
    /// A format or preset as it stands, for a payee that has declared none.
    pub fn plain(format: RegisterFormat) -> Self {
        Self {
            format,
            ..Self::default()
        }
    }

    /// The same in another format, as that stands: layout and encoding are of its own format, and left out. Whatever else
    /// is declared is kept, also what files are called, limited to and wrapped in.
    #[must_use]
    pub fn in_format(&self, format: RegisterFormat) -> Self {
        if self.format == format {
            return self.clone();
        }
        Self {
            format,
            encoding: None,
            unmappable: Unmappable::default(),
            layout: LayoutProfile::default(),
            ..self.clone()
        }
    }

    pub(super) fn check(&self) -> Findings {
        let mut found = Findings::default();
        self.check_closing(&mut found);
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
        self.check_seal(&mut found);
        if let Some(mail) = &self.mail {
            found.within("mail", mail.check());
        }
        if let Some(directory) = &self.directory {
            found.within("directory", directory.check());
        }
        found
    }

    fn check_closing(&self, found: &mut Findings) {
        let timed = self.schedule.is_some() || self.interval().is_some();
        found.refuse_if(
            !timed && self.every_payments.is_none(),
            "schedule",
            "is missing: say schedule, every_payments, every_hours or every_seconds, or the register never closes",
        );
        found.refuse_if(self.every_payments == Some(0), "every_payments", "must be 1 or more");
        found.refuse_if(self.every_seconds == Some(0), "every_seconds", "must be 1 or more");
        found.refuse_if(
            self.every_hours
                .is_some_and(|hours| !(1..=EVERY_HOURS_MAX).contains(&hours)),
            "every_hours",
            "must be from 1 to 8784",
        );
        found.refuse_if(
            self.every_hours.is_some() && self.every_seconds.is_some(),
            "every_hours",
            "and every_seconds say the same thing: say one of them",
        );
        found.refuse_if(
            self.send_empty && !timed,
            "send_empty",
            "needs a schedule or an interval: a count is never reached without payments",
        );
        if let Some(calendar) = self.days_off() {
            found.within("calendar", calendar.check());
        }
        found.refuse_if(
            self.calendar.is_some() && !timed,
            "calendar",
            "is about schedule and interval, and there is neither",
        );
        found.refuse_if(
            self.calendar.is_none() && self.on_day_off != OnDayOff::default(),
            "on_day_off",
            "needs a calendar",
        );
        // Only a calendar can keep a cut-off from ever coming.
        found.refuse_if(
            found.is_empty() && self.days_off().is_some() && upcoming(self, Timestamp::UNIX_EPOCH, 1).is_empty(),
            "calendar",
            "leaves no cut-off: every one falls on a day off and is skipped",
        );
    }

    /// After how many seconds a range is closed, however that is said.
    pub fn interval(&self) -> Option<u32> {
        let hours = self.every_hours.map(|hours| hours.saturating_mul(3600));
        hours.or(self.every_seconds)
    }

    /// The days off, where there are any.
    pub fn days_off(&self) -> Option<&Calendar> {
        match &self.calendar {
            Some(CalendarChoice::Own(calendar)) => Some(&**calendar),
            // Not applied like this.
            Some(CalendarChoice::Named(_)) | None => None,
        }
    }
}

impl RegisterProfile {
    /// Of an online payee: a register of what was delivered to it.
    pub(super) fn check_of_delivered(&self) -> Findings {
        let mut found = self.check();
        found.refuse_if(
            self.every_payments.is_some(),
            "every_payments",
            "is not for what is delivered online: say schedule, every_hours or every_seconds",
        );
        found.refuse_if(
            !self.series.is_empty(),
            "series",
            "is not for what is delivered online: that is one list",
        );
        found
    }
}

/// Reads a mail address from outside a declaration, by the same rule.
pub fn parse_mail_address(address: &str) -> Result<String, Invalid> {
    check_address("address", address).map(|()| address.to_owned())
}

/// An address without quotes, comments or a literal, as RFC 5321 (4.1.2) has one, letters of any script included: what the
/// mailer can write into a mail. Whether there is such a box is between it and the recipient's server.
pub(super) fn check_address(field: &str, address: &str) -> Result<(), Invalid> {
    let looks_right = address.len() <= ADDRESS_MAX_BYTES
        && address.split_once('@').is_some_and(|(user, host)| {
            user.len() <= USER_MAX_BYTES
                && user.split('.').all(is_atom)
                && host.split('.').all(is_label)
                && ascii_host(host).is_some_and(|host| host.split('.').all(is_label))
        });
    if looks_right {
        Ok(())
    } else {
        Err(Invalid::new(field, "must be one mail address, such as buh@example.org"))
    }
}

/// A host as every mail server knows it: one in another script by its ASCII name, `xn--…` (RFC 5891). `None`: it has none.
pub fn ascii_host(host: &str) -> Option<String> {
    if host.is_ascii() {
        return Some(host.to_owned());
    }
    idna::domain_to_ascii(host).ok()
}

fn is_atom(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c))
}

fn is_label(text: &str) -> bool {
    (1..=LABEL_MAX_BYTES).contains(&text.len())
        && text.chars().all(|c| c.is_alphanumeric() || c == '-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}
