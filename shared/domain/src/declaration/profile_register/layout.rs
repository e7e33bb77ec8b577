//! The `[register.layout]` of a payee: what differs from the format, or from the preset, it has named.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::invalid::Invalid;
use crate::moment;
use crate::text::{deserialize_with, is_field_key};

/// What a register looks like, key by key. What is not said is as the format or the preset has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LayoutProfile {
    /// In the order of the file. Empty = those of the format.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<ColumnProfile>,
    /// Whether the first row says what the columns are called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub names: Option<bool>,
    /// Between the columns of delimited text: one ASCII character.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
    /// Whether a text that holds a separator or a quote is quoted; else it is replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quotes: Option<bool>,
    /// What stands for a separator where there are no quotes: one character, a blank unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replacement: Option<String>,
    /// What is done with text that a spreadsheet would take for a formula.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub formulas: Option<Formulas>,
    /// How a line of text ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line_end: Option<LineEnd>,
    /// Between the two parts of an amount: `.` or `,`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decimal: Option<DecimalMark>,
    /// How a day is written: a pattern of strftime.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// The same of a time of day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The same of a moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moment: Option<String>,
    /// What stands before the payments: a template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// A payment, for format `text`: a template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<String>,
    /// What stands after the payments: a template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trailer: Option<String>,
    /// What the values put into templates are escaped for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escape: Option<TextEscape>,
    /// What happens to a text that is longer than its column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub too_long: Option<TooLong>,
    /// The file's extension, without the point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extension: Option<String>,
    /// The element around all payments, for format `xml`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// The element of one payment, for format `xml`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub element: Option<String>,
    /// Values of the operator's own, for templates: `constants.<name>`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub constants: BTreeMap<String, String>,
}

/// A column: a fact, a constant, or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ColumnProfile {
    /// What stands in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Fact>,
    /// The same text in every row. Without it and `value` the column is empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constant: Option<String>,
    /// What it is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// In characters: of fixed width, and of a DBF field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u16>,
    /// Where a text stands that is shorter; text to the left and amounts to the right unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub align: Option<Align>,
}

/// Whether and how formulas are disarmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Formulas {
    /// Text that begins like a formula gets an apostrophe in front.
    #[default]
    Disarm,
    /// The same, but a number with its sign stays as it is: `+79161234567`.
    DisarmText,
    /// Nothing is done: no spreadsheet ever reads the file.
    Keep,
}

/// How a line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LineEnd {
    /// Carriage return and line feed.
    #[default]
    Crlf,
    /// Line feed.
    Lf,
}

impl LineEnd {
    /// The characters themselves.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Crlf => "\r\n",
            Self::Lf => "\n",
        }
    }
}

/// What stands between the two parts of an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum DecimalMark {
    /// `150.00`.
    #[default]
    #[serde(rename = ".")]
    Point,
    /// `150,00`.
    #[serde(rename = ",")]
    Comma,
}

/// What a value in a template is escaped for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TextEscape {
    /// Plain text.
    #[default]
    Nothing,
    /// XML.
    Xml,
    /// The inside of a JSON string.
    Json,
}

/// What happens to what is too long for its column. A number, an account, an amount or a date is never cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TooLong {
    /// The register is not built.
    Error,
    /// It is cut, visibly (the last character becomes `~`), and reported.
    #[default]
    Cut,
}

/// Where a text stands in a wider column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Align {
    /// Blanks follow.
    #[default]
    Left,
    /// Blanks come first.
    Right,
    /// Zeros come first.
    Zeros,
}

/// What is known of a payment, or of the register it stands in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fact {
    /// What the payee knows it by.
    Number,
    /// What the terminal knows it by.
    PaymentId,
    /// When it was accepted, or delivered where that is listed.
    AcceptedAt,
    /// The day of that.
    AcceptedDate,
    /// The time of day of that.
    AcceptedTime,
    /// When the payer paid.
    PaidAt,
    /// The day of that.
    PaidDate,
    /// The time of day of that.
    PaidTime,
    /// The payer's account.
    Account,
    /// What the payee gets.
    Amount,
    /// What the payer paid on top.
    Fee,
    /// Both together.
    Paid,
    /// ISO 4217.
    Currency,
    /// As printed for the payer.
    ReceiptNumber,
    /// Who took the money.
    Terminal,
    /// The row's place in the file, from 1.
    Line,
    /// The payee's id.
    Payee,
    /// The payee's name.
    PayeeName,
    /// The payee's taxpayer number.
    Inn,
    /// The payee's tax registration code.
    Kpp,
    /// The payee's settlement account.
    SettlementAccount,
    /// The code of the payee's bank.
    Bik,
    /// The register's sequence number.
    Sequence,
    /// What the payer entered under this key.
    Field(String),
}

impl Fact {
    /// Every fact that has a word of its own.
    pub const PLAIN: [(&'static str, Self); 23] = [
        ("number", Self::Number),
        ("payment_id", Self::PaymentId),
        ("accepted_at", Self::AcceptedAt),
        ("accepted_date", Self::AcceptedDate),
        ("accepted_time", Self::AcceptedTime),
        ("paid_at", Self::PaidAt),
        ("paid_date", Self::PaidDate),
        ("paid_time", Self::PaidTime),
        ("account", Self::Account),
        ("amount", Self::Amount),
        ("fee", Self::Fee),
        ("paid", Self::Paid),
        ("currency", Self::Currency),
        ("receipt_number", Self::ReceiptNumber),
        ("terminal", Self::Terminal),
        ("line", Self::Line),
        ("payee", Self::Payee),
        ("payee_name", Self::PayeeName),
        ("inn", Self::Inn),
        ("kpp", Self::Kpp),
        ("settlement_account", Self::SettlementAccount),
        ("bik", Self::Bik),
        ("sequence", Self::Sequence),
    ];

    /// What a file shows of a payment where its layout names no columns; the fields follow.
    pub const USUAL: [Self; 7] = [
        Self::Number,
        Self::AcceptedAt,
        Self::PaidAt,
        Self::Account,
        Self::Amount,
        Self::Currency,
        Self::ReceiptNumber,
    ];

    /// The name of a usual column. Of what is listed by its delivery, `accepted_at` says so.
    pub fn usual_name(&self, delivered: bool) -> &str {
        match self {
            Self::AcceptedAt if delivered => "delivered_at",
            usual => usual.word(),
        }
    }

    /// Reads `number` or `fields.meter_cold`.
    pub fn parse(word: &str) -> Result<Self, Invalid> {
        if let Some(field) = word.strip_prefix("fields.").filter(|field| is_field_key(field)) {
            return Ok(Self::Field(field.to_owned()));
        }
        let known = Self::PLAIN.into_iter().find(|(name, _)| *name == word);
        known.map(|(_, fact)| fact).ok_or_else(|| {
            let words: Vec<&str> = Self::PLAIN.iter().map(|(name, _)| *name).collect();
            Invalid::new("value", format!("must be fields.<name> or one of {}", words.join(", ")))
        })
    }

    /// The word of the declaration; of a field its key.
    pub fn word(&self) -> &str {
        match self {
            Self::Field(field) => field,
            plain => Self::PLAIN
                .iter()
                .find(|(_, fact)| fact == plain)
                .map_or("", |(name, _)| name),
        }
    }
}

impl Serialize for Fact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Field(field) => serializer.serialize_str(&format!("fields.{field}")),
            plain => serializer.serialize_str(plain.word()),
        }
    }
}

impl<'de> Deserialize<'de> for Fact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_with(
            deserializer,
            "a fact of a payment, such as account or fields.meter",
            Self::parse,
        )
    }
}

impl LayoutProfile {
    /// Between the columns of delimited text, said or not.
    pub fn separator_or_usual(&self) -> &str {
        self.separator.as_deref().unwrap_or(";")
    }

    /// How a day is written, said or not.
    pub fn date_or_usual(&self) -> &str {
        self.date.as_deref().unwrap_or("%Y-%m-%d")
    }

    /// The same of a time of day.
    pub fn time_or_usual(&self) -> &str {
        self.time.as_deref().unwrap_or("%H:%M:%S")
    }

    /// The same of a moment.
    pub fn moment_or_usual(&self) -> &str {
        self.moment.as_deref().unwrap_or(moment::PATTERN)
    }

    /// This, and where it says nothing, that.
    #[must_use]
    pub fn over(&self, base: &Self) -> Self {
        let own = self.clone();
        let base = base.clone();
        let mut constants = base.constants;
        constants.extend(own.constants);
        Self {
            columns: if own.columns.is_empty() {
                base.columns
            } else {
                own.columns
            },
            names: own.names.or(base.names),
            separator: own.separator.or(base.separator),
            quotes: own.quotes.or(base.quotes),
            replacement: own.replacement.or(base.replacement),
            formulas: own.formulas.or(base.formulas),
            line_end: own.line_end.or(base.line_end),
            decimal: own.decimal.or(base.decimal),
            date: own.date.or(base.date),
            time: own.time.or(base.time),
            moment: own.moment.or(base.moment),
            header: own.header.or(base.header),
            row: own.row.or(base.row),
            trailer: own.trailer.or(base.trailer),
            escape: own.escape.or(base.escape),
            too_long: own.too_long.or(base.too_long),
            extension: own.extension.or(base.extension),
            root: own.root.or(base.root),
            element: own.element.or(base.element),
            constants,
        }
    }
}
