//! What a register's file is called and wrapped in, and the identity of the mails that carry it.

use domain::Currency;
use domain::declaration::{Fact, Payee, SealStage};
use formats::{Entered, Head, Layout, Row};
use jiff::Zoned;
use store::StoreError;
use store::registers::{Build, Page, Part, Shown, Summary};

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
        let inner_name = layout.file_name(&head)?;
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
        open: about.open,
        first_at: planned.first_at,
        last_at: planned.last_at,
        cutoff: build.numbering.cutoff,
    })
}

/// Payments as the file shows them.
pub(crate) trait Rows: Send {
    /// Hands them over one by one, in their order.
    fn each(&self, take: &mut dyn FnMut(&Row<'_>) -> Result<(), BuildError>) -> Result<(), BuildError>;
}

impl Rows for Page {
    fn each(&self, take: &mut dyn FnMut(&Row<'_>) -> Result<(), BuildError>) -> Result<(), BuildError> {
        Self::each(self, |row| {
            let fields = Fields {
                names: self.fields(),
                texts: row.fields,
            };
            take(&Row {
                number: row.number,
                payment_id: row.payment_id,
                at: row.at,
                paid_at: row.paid_at,
                account: row.account,
                amount: row.amount,
                fee: row.fee,
                currency: row.currency,
                receipt_number: row.receipt_number,
                terminal: row.terminal,
                fields: &fields,
            })
        })
    }
}

/// What was read of the fields: a text for each name, in the same order.
#[derive(Debug)]
struct Fields<'r> {
    names: &'r [String],
    texts: &'r [Option<&'r str>],
}

impl Entered for Fields<'_> {
    fn entered(&self, field: &str) -> Option<&str> {
        let mut all = self.names.iter().zip(self.texts);
        all.find_map(|(name, text)| text.filter(|_| name == field))
    }
}

/// What of payments a layout shows.
pub(crate) fn shown_by(layout: &Layout) -> Shown {
    Shown {
        fee: layout.shows(&Fact::Fee) || layout.shows(&Fact::Paid),
        payment_id: layout.shows(&Fact::PaymentId),
        terminal: layout.shows(&Fact::Terminal),
        fields: layout.shown_fields(),
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
