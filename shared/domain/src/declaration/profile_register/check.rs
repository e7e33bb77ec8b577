//! What can be known to be wrong with the look of a register before there is one.

use super::format::TELLING;
use super::layout::{ColumnProfile, Fact, LayoutProfile};
use super::{FormatKind, RegisterEncoding, RegisterProfile, TextEscape, presets, separator};
use crate::declaration::osmp::check_date_format;
use crate::declaration::{FieldRule, Findings};
use crate::template::{Escape, Template};
use crate::text::no_control;

/// The names that templates of a header, a trailer and a file may use.
pub const HEAD_NAMES: [&str; 27] = [
    "payee",
    "payee_name",
    "inn",
    "kpp",
    "settlement_account",
    "bank",
    "bik",
    "corr_account",
    "mail",
    "series",
    "sequence",
    "sequence_of_day",
    "sequence_of_year",
    "part",
    "parts",
    "copy",
    "open",
    "count",
    "total",
    "currency",
    "date",
    "time",
    "cutoff",
    "year",
    "first_date",
    "last_date",
    "constants",
];
/// What is known only when every payment has been written.
const TRAILER_NAMES: [&str; 2] = ["total_fee", "total_paid"];

/// Columns of one file.
const COLUMNS_MAX: usize = 100;
/// The longest template, in characters.
const TEMPLATE_MAX: usize = 8_000;
/// The widest column, in characters; a field of a DBF has at most 254.
const WIDTH_MAX: u16 = 500;
const DBF_WIDTH_MAX: u16 = 254;
/// The longest name of a DBF's field, in bytes.
const DBF_NAME_MAX: usize = 10;
const EXTENSION_MAX: usize = 10;

/// The names that the template of a row may use besides those of [`HEAD_NAMES`].
pub fn row_names() -> Vec<&'static str> {
    let facts = Fact::PLAIN.iter().map(|(name, _)| *name);
    facts.chain(["fields"]).chain(HEAD_NAMES).collect()
}

/// The names that the template of a trailer may use.
pub(super) fn trailer_names() -> Vec<&'static str> {
    HEAD_NAMES.into_iter().chain(TRAILER_NAMES).collect()
}

impl RegisterProfile {
    /// What the file looks like: the preset, with what the payee's own layout says otherwise.
    pub fn full_layout(&self) -> LayoutProfile {
        self.layout.over(&presets::layout(self.format))
    }

    /// How its text becomes bytes.
    pub fn full_encoding(&self) -> RegisterEncoding {
        self.encoding.unwrap_or_else(|| presets::encoding(self.format))
    }

    /// The template of the header, if there is one.
    pub fn header_template(&self) -> Option<Result<Template, crate::TemplateError>> {
        let layout = self.full_layout();
        let escape = escape_of(&layout);
        layout.header.map(|text| Template::parse(&text, escape, &HEAD_NAMES))
    }

    /// The template of a payment, if there is one.
    pub fn row_template(&self) -> Option<Result<Template, crate::TemplateError>> {
        let layout = self.full_layout();
        let escape = escape_of(&layout);
        layout.row.map(|text| Template::parse(&text, escape, &row_names()))
    }

    /// The template of the trailer, if there is one.
    pub fn trailer_template(&self) -> Option<Result<Template, crate::TemplateError>> {
        let layout = self.full_layout();
        let escape = escape_of(&layout);
        layout
            .trailer
            .map(|text| Template::parse(&text, escape, &trailer_names()))
    }

    /// The template of the file's name, if there is one.
    pub fn name_template(&self) -> Option<Result<Template, crate::TemplateError>> {
        let text = self.file_name.as_ref()?;
        Some(Template::parse(text, Escape::Nothing, &HEAD_NAMES))
    }

    /// Everything about the file that is wrong.
    pub(in crate::declaration) fn check_file(&self, fields: &[FieldRule]) -> Findings {
        let mut found = Findings::default();
        let layout = self.full_layout();
        let kind = self.format.kind();
        let mut inner = Findings::default();
        self.check_templates(fields, &mut inner);
        check_columns(kind, &layout, fields, &mut inner);
        check_text(kind, &layout, &mut inner);
        if kind == FormatKind::Delimited {
            separator::check(&layout, &mut inner);
        }
        found.within("layout", inner);
        self.check_name(&mut found);
        for rule in fields.iter().filter(|rule| hides_usual(kind, &layout, &rule.name)) {
            let why = format!(
                "calls its columns by name, and the [[field]] `{}` has that of a usual one: say layout.columns",
                rule.name
            );
            found.refuse_if(true, "format", &why);
        }
        let encoding = self.full_encoding();
        let has_its_own = matches!(kind, FormatKind::Xlsx | FormatKind::Jsonl);
        found.refuse_if(
            has_its_own && encoding != RegisterEncoding::Utf8,
            "encoding",
            "is not for this format, which has its own",
        );
        found.refuse_if(
            kind == FormatKind::Xlsx && self.max_bytes.is_some(),
            "max_bytes",
            "is not for a workbook, whose size shows when it is whole; say max_rows",
        );
        found.refuse_if(
            kind == FormatKind::Dbf && !matches!(encoding, RegisterEncoding::Cp866 | RegisterEncoding::Windows1251),
            "encoding",
            "of a DBF must be cp866 or windows-1251",
        );
        found
    }

    fn check_templates(&self, fields: &[FieldRule], found: &mut Findings) {
        let templates = [
            ("header", self.header_template()),
            ("row", self.row_template()),
            ("trailer", self.trailer_template()),
        ];
        for (name, template) in templates {
            match template {
                Some(Err(error)) => found.refuse_if(true, name, &error.to_string()),
                Some(Ok(template)) => {
                    for field in template.fields() {
                        let why = format!("speaks of fields.{field}, which is no [[field]]");
                        found.refuse_if(!is_declared(fields, field), name, &why);
                    }
                }
                None => {}
            }
        }
    }

    /// Two registers must not be called the same: a payee that keeps both would keep one.
    fn check_name(&self, found: &mut Findings) {
        match self.name_template() {
            Some(Err(error)) => found.refuse_if(true, "file_name", &error.to_string()),
            Some(Ok(name)) => {
                let speaks = |word| name.speaks_of(word);
                found.refuse_if(
                    !self.series.is_empty() && !speaks("series"),
                    "file_name",
                    "must say series, where a payee has several: each counts its own registers",
                );
                let dated = speaks("date") || speaks("cutoff");
                let unique = speaks("sequence")
                    || (speaks("sequence_of_day") && dated)
                    || (speaks("sequence_of_year") && (dated || speaks("year")));
                found.refuse_if(
                    !unique,
                    "file_name",
                    "must differ from register to register: say sequence, sequence_of_day with date, or sequence_of_year with year",
                );
            }
            None => {}
        }
    }
}

/// What values in this layout's templates are escaped for.
fn escape_of(layout: &LayoutProfile) -> Escape {
    match layout.escape.unwrap_or_default() {
        TextEscape::Nothing => Escape::Nothing,
        TextEscape::Xml => Escape::Xml,
        TextEscape::Json => Escape::Json,
    }
}

fn is_declared(fields: &[FieldRule], name: &str) -> bool {
    fields.iter().any(|rule| rule.name == name)
}

/// Whether one name would stand over two columns, or a member of an object be there twice. The names in a DBF are made
/// different.
fn hides_usual(kind: FormatKind, layout: &LayoutProfile, field: &str) -> bool {
    let named = match kind {
        FormatKind::Delimited => layout.names != Some(false),
        FormatKind::Xlsx | FormatKind::Xml | FormatKind::Jsonl => true,
        FormatKind::Fixed | FormatKind::Text | FormatKind::Dbf => false,
    };
    let is_usual = |fact: &Fact| {
        [false, true]
            .map(|delivered| fact.usual_name(delivered))
            .contains(&field)
    };
    named && layout.columns.is_empty() && Fact::USUAL.iter().any(is_usual)
}

fn check_columns(kind: FormatKind, layout: &LayoutProfile, fields: &[FieldRule], found: &mut Findings) {
    found.refuse_if(layout.columns.len() > COLUMNS_MAX, "columns", "there are more than 100");
    found.refuse_if(
        kind == FormatKind::Fixed && layout.columns.is_empty(),
        "columns",
        "are missing: a file of fixed width has no usual ones",
    );
    let mut names: Vec<&str> = Vec::new();
    for (at, column) in layout.columns.iter().enumerate() {
        let mut one = Findings::default();
        check_column(kind, column, fields, &mut one);
        if let Some(name) = column.name.as_deref().or_else(|| column.value.as_ref().map(Fact::word)) {
            let keyed = matches!(kind, FormatKind::Dbf | FormatKind::Xml | FormatKind::Jsonl);
            one.refuse_if(keyed && names.contains(&name), "name", "is that of another column too");
            names.push(name);
        }
        found.within(&format!("columns[{at}]"), one);
    }
}

fn check_column(kind: FormatKind, column: &ColumnProfile, fields: &[FieldRule], found: &mut Findings) {
    found.refuse_if(
        column.value.is_some() && column.constant.is_some(),
        "constant",
        "stands beside value; say one of them",
    );
    if let Some(Fact::Field(field)) = &column.value {
        let why = format!("fields.{field} is no [[field]]");
        found.refuse_if(!is_declared(fields, field), "value", &why);
    }
    for (key, text) in [("constant", &column.constant), ("name", &column.name)] {
        if let Some(text) = text {
            found.take(no_control(key, text, 200));
        }
    }
    let widest = if kind == FormatKind::Dbf {
        DBF_WIDTH_MAX
    } else {
        WIDTH_MAX
    };
    let wrong_width = column.width.is_some_and(|width| !(1..=widest).contains(&width));
    found.refuse_if(wrong_width, "width", &format!("must be from 1 to {widest}"));
    found.refuse_if(
        kind == FormatKind::Fixed && column.width.is_none(),
        "width",
        "is missing: every column of fixed width has one",
    );
    let nameless = column.value.is_none() && column.name.is_none();
    let keyed = matches!(kind, FormatKind::Dbf | FormatKind::Xml | FormatKind::Jsonl);
    found.refuse_if(
        keyed && nameless,
        "name",
        "is missing: this format calls its columns by name",
    );
    match kind {
        FormatKind::Dbf => {
            let fits = |name: &String| {
                name.len() <= DBF_NAME_MAX
                    && name.starts_with(|c: char| c.is_ascii_alphabetic())
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            };
            let wrong = column.name.as_ref().is_some_and(|name| !fits(name));
            found.refuse_if(
                wrong,
                "name",
                "must be at most 10 Latin letters, digits and underscores",
            );
        }
        FormatKind::Xml => {
            let wrong = column.name.as_ref().is_some_and(|name| !is_element(name));
            found.refuse_if(wrong, "name", "must be the name of an element");
        }
        _ => {}
    }
}

fn check_text(kind: FormatKind, layout: &LayoutProfile, found: &mut Findings) {
    let one_ascii = |text: &String| text.len() == 1 && text.is_ascii();
    let separates = |text: &String| {
        one_ascii(text) && !text.contains(|c: char| c.is_ascii_alphanumeric() || "\"\r\n\0.-+".contains(c))
    };
    found.refuse_if(
        layout.separator.as_ref().is_some_and(|text| !separates(text)),
        "separator",
        "must be one ASCII character that stands in no number, such as ; or a tab",
    );
    let tells = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') || TELLING.contains(c);
    let replaces = |text: &String| text.chars().count() == 1 && !text.contains(tells);
    let clash = layout.replacement.is_some() && layout.replacement == layout.separator;
    found.refuse_if(
        clash || layout.replacement.as_ref().is_some_and(|text| !replaces(text)),
        "replacement",
        "must be one character that means nothing anywhere, such as a blank, and not the separator",
    );
    for (key, pattern) in [
        ("date", &layout.date),
        ("time", &layout.time),
        ("moment", &layout.moment),
    ] {
        if let Some(pattern) = pattern {
            check_date_format(key, pattern, found);
        }
    }
    let templates = [
        ("header", &layout.header),
        ("row", &layout.row),
        ("trailer", &layout.trailer),
    ];
    for (key, text) in templates {
        let Some(text) = text else { continue };
        found.refuse_if(
            text.chars().count() > TEMPLATE_MAX,
            key,
            "is longer than 8000 characters",
        );
        let textual = match key {
            "row" => kind == FormatKind::Text,
            _ => matches!(kind, FormatKind::Delimited | FormatKind::Fixed | FormatKind::Text),
        };
        found.refuse_if(!textual, key, "is not for this format");
    }
    found.refuse_if(
        kind == FormatKind::Text && layout.row.is_none(),
        "row",
        "is missing: format = \"text\" needs the template of a payment",
    );
    for (key, name) in [("root", &layout.root), ("element", &layout.element)] {
        found.refuse_if(
            name.as_ref().is_some_and(|name| !is_element(name)),
            key,
            "must be the name of an element",
        );
    }
    let extends = |text: &String| {
        (1..=EXTENSION_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    found.refuse_if(
        layout.extension.as_ref().is_some_and(|text| !extends(text)),
        "extension",
        "must be at most 10 Latin letters and digits",
    );
    for (name, value) in &layout.constants {
        found.take(no_control(&format!("constants.{name}"), value, 500));
    }
}

/// A plain name of XML, without a namespace.
fn is_element(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c))
        && !name.to_ascii_lowercase().starts_with("xml")
}
