//! A file of the payee's in place of a database: loaded into an embedded table, and read again when it changes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::super::{Findings, TextEncoding};
use crate::text::is_field_key;

/// How often a file is looked at, in seconds.
const REFRESH_MAX_SECONDS: u32 = 3600;

/// A file that the payee sends or shares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSource {
    /// Where it lies, as seen by the worker.
    pub path: PathBuf,
    /// What it is.
    pub format: FileFormat,
    /// The table that statements find its rows in; every column holds text, and null where a cell is empty.
    #[serde(default = "default_table")]
    pub table: String,
    /// How text is written in it; for `csv` and `dbf`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<TextEncoding>,
    /// Between the values of a line; for `csv`.
    #[serde(default = "default_separator")]
    pub separator: char,
    /// Which sheet, for `xlsx` and `xls`; nothing = the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sheet: Option<String>,
    /// The line of the table's heading, counted from 1; for all but `dbf`, whose columns have names.
    #[serde(default = "one")]
    pub header: u32,
    /// The names that statements use, by the heading's words.
    pub columns: BTreeMap<String, String>,
    /// The columns that rows are looked up by: they are indexed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub index: Vec<String>,
    /// How often it is looked at whether it has changed, in seconds.
    #[serde(default = "default_refresh_seconds")]
    pub refresh_seconds: u32,
    /// The least rows that it has when it is whole. One with less is not used. It is all that the first file after a start of a
    /// worker is held against.
    #[serde(default = "one")]
    pub min_rows: u32,
    /// By how much of its rows it may have become shorter since this process last read it, in percent. One that has lost more
    /// is not used; 100 = it may lose all.
    #[serde(default = "default_max_shrink_percent")]
    pub max_shrink_percent: u32,
}

/// What a payee's file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileFormat {
    /// Separated values.
    Csv,
    /// dBase.
    Dbf,
    /// Excel since 2007.
    Xlsx,
    /// Excel before that.
    Xls,
}

impl FileSource {
    pub(super) fn check(&self) -> Findings {
        let mut found = Findings::default();
        found.refuse_if(!self.path.is_absolute(), "path", "must be a whole path, from / on");
        found.refuse_if(!is_field_key(&self.table), "table", "must match ^[a-z][a-z0-9_]{0,31}$");
        found.refuse_if(self.columns.is_empty(), "columns", "is empty: which columns are read?");
        for (heading, name) in &self.columns {
            let place = format!("columns.{heading}");
            found.refuse_if(!is_field_key(name), &place, "must match ^[a-z][a-z0-9_]{0,31}$");
            let twice = self.columns.values().filter(|other| *other == name).count() > 1;
            found.refuse_if(twice, &place, "is the name of two columns");
        }
        for name in &self.index {
            let known = self.columns.values().any(|column| column == name);
            found.refuse_if(!known, "index", "names a column that is not among columns");
        }
        found.refuse_if(self.header == 0, "header", "is counted from 1");
        let refresh = (1..=REFRESH_MAX_SECONDS).contains(&self.refresh_seconds);
        found.refuse_if(!refresh, "refresh_seconds", "must be from 1 to 3600");
        let shrinks = self.max_shrink_percent <= 100;
        found.refuse_if(!shrinks, "max_shrink_percent", "must be from 0 to 100");
        let text = matches!(self.format, FileFormat::Csv | FileFormat::Dbf);
        found.refuse_if(
            self.encoding.is_some() && !text,
            "encoding",
            "is read only for csv and dbf: workbooks say it themselves",
        );
        let separator = self.separator.is_ascii() && (!self.separator.is_control() || self.separator == '\t');
        found.refuse_if(!separator, "separator", "must be one ASCII character");
        found
    }
}

fn default_table() -> String {
    "list".to_owned()
}

fn default_separator() -> char {
    ';'
}

fn default_refresh_seconds() -> u32 {
    10
}

fn default_max_shrink_percent() -> u32 {
    50
}

fn one() -> u32 {
    1
}
