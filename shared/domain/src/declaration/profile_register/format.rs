//! The words of `[register]` that say what a register's file is: its format or preset, its encoding, and what becomes of a
//! character that the encoding lacks.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::invalid::Invalid;
use crate::text::deserialize_with;

/// What a register looks like: a format, or a preset of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RegisterFormat {
    /// Delimited text; as it stands the contract's default: UTF-8, `;`, CRLF, a header, no trailer.
    #[default]
    Csv,
    /// Columns of fixed width.
    Fixed,
    /// A template per payment.
    Text,
    /// A workbook.
    Xlsx,
    /// A table of dBase III.
    Dbf,
    /// An element per payment.
    Xml,
    /// A JSON object per line.
    Jsonl,
    /// Preset: QIWI's standard register.
    Qiwi,
    /// Preset: the payments that LANBilling loads.
    Lanbilling,
    /// Preset: as Sberbank's registers of payments are.
    Sberbank,
    /// Preset: 1CClientBankExchange 1.03.
    #[serde(rename = "1c")]
    OneC,
}

/// How a file is made, presets apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormatKind {
    /// Columns and a separator.
    Delimited,
    /// Columns of fixed width.
    Fixed,
    /// A template per payment.
    Text,
    /// A workbook.
    Xlsx,
    /// A table of dBase III.
    Dbf,
    /// An element per payment.
    Xml,
    /// A JSON object per line.
    Jsonl,
}

impl RegisterFormat {
    /// Every one.
    pub const ALL: [Self; 11] = [
        Self::Csv,
        Self::Fixed,
        Self::Text,
        Self::Xlsx,
        Self::Dbf,
        Self::Xml,
        Self::Jsonl,
        Self::Qiwi,
        Self::Lanbilling,
        Self::Sberbank,
        Self::OneC,
    ];

    /// The word of the declaration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Fixed => "fixed",
            Self::Text => "text",
            Self::Xlsx => "xlsx",
            Self::Dbf => "dbf",
            Self::Xml => "xml",
            Self::Jsonl => "jsonl",
            Self::Qiwi => "qiwi",
            Self::Lanbilling => "lanbilling",
            Self::Sberbank => "sberbank",
            Self::OneC => "1c",
        }
    }

    /// Reads the word of the declaration.
    pub fn parse(word: &str) -> Result<Self, Invalid> {
        Self::ALL
            .into_iter()
            .find(|format| format.as_str() == word)
            .ok_or_else(|| {
                let words: Vec<&str> = Self::ALL.iter().map(|format| format.as_str()).collect();
                Invalid::new("format", format!("must be one of {}", words.join(", ")))
            })
    }

    /// How its file is made.
    pub fn kind(self) -> FormatKind {
        match self {
            Self::Csv | Self::Qiwi | Self::Lanbilling | Self::Sberbank => FormatKind::Delimited,
            Self::Fixed => FormatKind::Fixed,
            Self::Text | Self::OneC => FormatKind::Text,
            Self::Xlsx => FormatKind::Xlsx,
            Self::Dbf => FormatKind::Dbf,
            Self::Xml => FormatKind::Xml,
            Self::Jsonl => FormatKind::Jsonl,
        }
    }
}

/// How a file's text becomes bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RegisterEncoding {
    /// Without a byte order mark.
    #[serde(rename = "utf-8")]
    Utf8,
    /// With one: some spreadsheets want it.
    #[serde(rename = "utf-8-bom")]
    Utf8Bom,
    /// Cyrillic of Windows.
    #[serde(rename = "windows-1251")]
    Windows1251,
    /// Cyrillic of DOS.
    #[serde(rename = "cp866")]
    Cp866,
    /// Cyrillic of Unix.
    #[serde(rename = "koi8-r")]
    Koi8R,
    /// The same with Ukrainian letters.
    #[serde(rename = "koi8-u")]
    Koi8U,
}

impl RegisterEncoding {
    /// All of them, by the words of the declaration.
    pub const ALL: [(&'static str, Self); 6] = [
        ("utf-8", Self::Utf8),
        ("utf-8-bom", Self::Utf8Bom),
        ("windows-1251", Self::Windows1251),
        ("cp866", Self::Cp866),
        ("koi8-r", Self::Koi8R),
        ("koi8-u", Self::Koi8U),
    ];

    /// Reads the word of the declaration.
    pub fn parse(word: &str) -> Result<Self, Invalid> {
        let known = Self::ALL.into_iter().find(|(name, _)| *name == word);
        known.map(|(_, encoding)| encoding).ok_or_else(|| {
            let words = Self::ALL.map(|(name, _)| name);
            Invalid::new("encoding", format!("must be one of {}", words.join(", ")))
        })
    }
}

/// What means something to a spreadsheet, to markup or to a template, full-width signs of formulas among it: none of them
/// may stand for another character.
pub(super) const TELLING: &str = "\"'=+-@<>&{}＝＋－＠";

/// What becomes of a character that the encoding lacks. Either way it is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmappable {
    /// The register is not built, and the payment and its column are named.
    Error,
    /// This ASCII character stands for it.
    Substitute(char),
}

impl Default for Unmappable {
    /// A question mark: one payer's odd character must not hold up everybody's payments.
    fn default() -> Self {
        Self::Substitute('?')
    }
}

impl Unmappable {
    /// Reads `error`, or one visible ASCII character.
    pub fn parse(word: &str) -> Result<Self, Invalid> {
        let mut letters = word.chars();
        match (word, letters.next(), letters.next()) {
            ("error", ..) => Ok(Self::Error),
            (_, Some(only), None) if only.is_ascii_graphic() && !TELLING.contains(only) => Ok(Self::Substitute(only)),
            _ => Err(Invalid::new(
                "unmappable",
                "must be error, or one ASCII character that means nothing anywhere, such as ?",
            )),
        }
    }
}

impl Serialize for Unmappable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Error => serializer.serialize_str("error"),
            Self::Substitute(letter) => serializer.serialize_char(*letter),
        }
    }
}

impl<'de> Deserialize<'de> for Unmappable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_with(deserializer, "error, or one character such as ?", Self::parse)
    }
}
