//! A payee's layout, ready to write with: the preset, what the payee says otherwise, and what the format takes for granted.

use std::collections::BTreeMap;
use std::io::Write;

use domain::TemplateError;
use domain::declaration::{
    Fact, FormatKind, LineEnd, Payee, RegisterEncoding, RegisterFormat, RegisterProfile, Requisites, TextEscape,
    TooLong, Zone,
};
use domain::template::Template;

use crate::FormatError;
use crate::charset::Charset;
use crate::column::{Column, Style};
use crate::head::Head;
use crate::values::formulas_unless_said;
use crate::write::{self, Writer};

/// Everything a register's file depends on besides its head and its rows.
#[derive(Debug, Clone)]
pub struct Layout {
    pub(crate) format: RegisterFormat,
    pub(crate) columns: Vec<Column>,
    pub(crate) names: bool,
    pub(crate) separator: u8,
    pub(crate) quotes: bool,
    pub(crate) replacement: String,
    pub(crate) line_end: LineEnd,
    pub(crate) style: Style,
    pub(crate) header: Option<Template>,
    pub(crate) row: Option<Template>,
    pub(crate) trailer: Option<Template>,
    /// What the values in these are escaped for.
    pub(crate) escape: TextEscape,
    pub(crate) file_name: Option<Template>,
    pub(crate) too_long: TooLong,
    pub(crate) extension: String,
    pub(crate) root: String,
    pub(crate) element: String,
    pub(crate) constants: BTreeMap<String, String>,
    pub(crate) charset: Charset,
    pub(crate) payee: PayeeFacts,
    /// The payee's fields, in declared order.
    pub(crate) fields: Vec<String>,
}

/// Who the register is for.
#[derive(Debug, Clone)]
pub(crate) struct PayeeFacts {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) requisites: Requisites,
    /// The first recipient.
    pub(crate) mail: String,
}

impl Layout {
    /// The layout of a payee's registers.
    pub fn of(payee: &Payee) -> Result<Self, FormatError> {
        let profile = payee.register.as_ref().ok_or(FormatError::NoProfile)?;
        Self::with(payee, profile)
    }

    /// The same in another format than declared ([`RegisterProfile::in_format`]).
    pub fn in_format(payee: &Payee, format: RegisterFormat) -> Result<Self, FormatError> {
        match &payee.register {
            Some(declared) => Self::with(payee, &declared.in_format(format)),
            None => Self::with(payee, &RegisterProfile::plain(format)),
        }
    }

    fn with(payee: &Payee, profile: &RegisterProfile) -> Result<Self, FormatError> {
        let said = profile.full_layout();
        let kind = profile.format.kind();
        let template = |name, parsed: Option<Result<Template, TemplateError>>| {
            parsed
                .transpose()
                .map_err(|source| FormatError::Template { name, source })
        };
        let fields: Vec<String> = payee.field.iter().map(|rule| rule.name.clone()).collect();
        let delivered = payee.gateway.is_online();
        let columns = if said.columns.is_empty() {
            usual_columns(&fields, delivered)
        } else {
            said.columns.iter().map(|column| Column::of(column, None)).collect()
        };
        let [date, time, moment] =
            [said.date_or_usual(), said.time_or_usual(), said.moment_or_usual()].map(str::to_owned);
        let separator = said.separator_or_usual().as_bytes().first().copied();
        let or = |text: Option<String>, usual: &str| text.unwrap_or_else(|| usual.to_owned());
        Ok(Self {
            format: profile.format,
            columns,
            names: said.names.unwrap_or(kind == FormatKind::Delimited),
            separator: separator.unwrap_or(b';'),
            quotes: said.quotes.unwrap_or(true),
            replacement: or(said.replacement, " "),
            line_end: said.line_end.unwrap_or_default(),
            style: Style {
                formulas: said.formulas.unwrap_or(formulas_unless_said(kind)),
                decimal: said.decimal.unwrap_or_default(),
                date,
                time,
                moment,
                zone: profile.time_zone.clone(),
            },
            header: template("layout.header", profile.header_template())?,
            row: template("layout.row", profile.row_template())?,
            trailer: template("layout.trailer", profile.trailer_template())?,
            escape: said.escape.unwrap_or_default(),
            file_name: template("file_name", profile.name_template())?,
            too_long: said.too_long.unwrap_or_default(),
            extension: or(said.extension, extension(kind)),
            root: or(said.root, "register"),
            element: or(said.element, "payment"),
            constants: said.constants,
            charset: Charset::new(profile.full_encoding(), profile.unmappable),
            payee: PayeeFacts {
                id: payee.id.to_string(),
                name: payee.name.clone(),
                requisites: payee.requisites.clone(),
                mail: profile.mail_to.first().cloned().unwrap_or_default(),
            },
            fields,
        })
    }

    /// The same in another encoding: what the other side really writes.
    pub fn encoded(mut self, encoding: RegisterEncoding) -> Self {
        self.charset = Charset::new(encoding, self.charset.unmappable());
        self
    }

    /// The same with days and times by another clock.
    pub fn in_zone(mut self, zone: Zone) -> Self {
        self.style.zone = zone;
        self
    }

    /// Begins a register's file.
    pub fn begin<'l, W: Write + 'l>(&'l self, head: &'l Head, out: W) -> Result<Writer<'l, W>, FormatError> {
        Writer::begin(self, head, out)
    }

    /// The file's extension, without the point.
    pub fn extension(&self) -> &str {
        &self.extension
    }

    /// How many payments one file holds, where there is a limit: more of them come in parts.
    pub fn rows_max(&self) -> Option<u64> {
        match self.format.kind() {
            FormatKind::Xlsx => Some(write::xlsx::rows_max(self.columns.len())),
            FormatKind::Dbf => Some(write::dbf::ROWS_MAX),
            _ => None,
        }
    }

    /// A file of this layout as people read it, where it is text.
    pub fn shown(&self, bytes: &[u8]) -> Option<String> {
        match (self.format.kind(), self.charset.legacy()) {
            (FormatKind::Xlsx | FormatKind::Dbf, _) => None,
            (_, Some(encoding)) => Some(encoding.decode_without_bom_handling(bytes).0.into_owned()),
            (_, None) => Some(String::from_utf8_lossy(bytes).into_owned()),
        }
    }

    /// Whether a file shows this fact of its payments. The template of a row may show anything, and that of a trailer what
    /// payers paid on top.
    pub fn shows(&self, fact: &Fact) -> bool {
        let summed_up = self.trailer.is_some() && matches!(fact, Fact::Fee | Fact::Paid);
        summed_up || self.row.is_some() || self.columns.iter().any(|column| column.fact.as_ref() == Some(fact))
    }

    /// Which of the fields that payers enter the file shows.
    pub fn shown_fields(&self) -> Vec<String> {
        let mut shown: Vec<String> = match &self.row {
            Some(_) => self.fields.clone(),
            None => Vec::new(),
        };
        for column in &self.columns {
            if let Some(Fact::Field(field)) = &column.fact
                && !shown.contains(field)
            {
                shown.push(field.clone());
            }
        }
        shown
    }

    /// Whether the file leaves as it is made. Else it is made in memory, as much of it as [`Layout::rows_max`] lets
    /// there be, and comes with [`Writer::finish`].
    pub fn streams(&self) -> bool {
        self.format.kind() != FormatKind::Xlsx
    }
}

/// The contract's columns: the usual ones of every format.
fn usual_columns(fields: &[String], delivered: bool) -> Vec<Column> {
    let own = Fact::USUAL.map(|fact| {
        let name = fact.usual_name(delivered).to_owned();
        Column::plain(fact, &name)
    });
    let entered = fields
        .iter()
        .map(|field| Column::plain(Fact::Field(field.clone()), field));
    own.into_iter().chain(entered).collect()
}

fn extension(kind: FormatKind) -> &'static str {
    match kind {
        FormatKind::Delimited => "csv",
        FormatKind::Fixed | FormatKind::Text => "txt",
        FormatKind::Xlsx => "xlsx",
        FormatKind::Dbf => "dbf",
        FormatKind::Xml => "xml",
        FormatKind::Jsonl => "jsonl",
    }
}
