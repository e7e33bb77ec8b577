//! What a register's file is called and wrapped in, and the identity of the mails that carry it.

use domain::Currency;
use domain::declaration::{Payee, SealStage};
use formats::{Head, Layout, Row};
use jiff::Zoned;
use store::StoreError;
use store::registers::{Build, Part, RegisterRow, Summary};

use crate::BuildError;
use crate::parts::Planned;

/// Everything the file depends on besides its rows.
pub(crate) struct FileSpec {
    /// The name of the text itself; inside the archive, if there is one.
    pub(crate) inner_name: String,
    /// The file's name.
    pub(crate) name: String,
    /// What the text looks like.
    pub(crate) layout: Layout,
    /// What it tells about itself.
    pub(crate) head: Head,
    /// What it is wrapped in.
    pub(crate) stages: Vec<SealStage>,
    /// When the range was closed, in the payee's time zone.
    pub(crate) dated: Zoned,
}

impl FileSpec {
    pub(crate) fn of(build: &Build, planned: &Planned) -> Result<Self, BuildError> {
        let Payee {
            register: Some(profile),
            ..
        } = &build.payee
        else {
            return Err(BuildError::NoProfile);
        };
        let layout = Layout::of(&build.payee)?;
        let head = head_of(build, planned)?;
        let inner_name = marked(layout.file_name(&head)?, build.open);
        let zone = profile.time_zone.tz().clone();
        Ok(Self {
            name: profile.sealed_name(&inner_name),
            inner_name,
            layout,
            head,
            stages: profile.stages(),
            dated: build.closed_at.to_zoned(zone),
        })
    }
}

/// A copy that holds payments not yet in a regular register says so beside the mark that every copy's name has.
fn marked(name: String, open: i64) -> String {
    match name.rfind("COPY").filter(|_| open > 0) {
        Some(at) => format!("{}COPY-OPEN{}", &name[..at], &name[at + 4..]),
        None => name,
    }
}

/// What a part tells about itself.
fn head_of(build: &Build, planned: &Planned) -> Result<Head, BuildError> {
    let about = &build.summary;
    let n = |part: i32| u32::try_from(part).unwrap_or(1);
    Ok(Head {
        series: about.series.clone(),
        sequence: about.sequence,
        of_day: build.numbering.of_day,
        of_year: build.numbering.of_year,
        part: (n(planned.part.part), n(planned.part.parts)),
        count: planned.part.count,
        total: planned.part.total,
        currency: Currency::parse(&about.currency).map_err(StoreError::from)?,
        is_copy: about.is_copy,
        first_at: planned.first_at,
        last_at: planned.last_at,
        cutoff: build.numbering.cutoff,
    })
}

/// A payment as the file shows it.
pub(crate) fn row_of(row: &RegisterRow) -> Row<'_> {
    Row {
        number: row.number,
        payment_id: row.payment_id,
        at: row.at,
        paid_at: row.paid_at,
        account: &row.account,
        amount: row.amount,
        fee: row.fee,
        currency: row.currency,
        receipt_number: row.receipt_number.as_deref(),
        terminal: &row.terminal,
        fields: &row.fields,
    }
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
