//! Reports: rows of typed cells with totals, as table, JSON, CSV or spreadsheet. Rows are printed as they come, but for a
//! table, whose columns are as wide as what stands in them.

use std::path::{Path, PathBuf};

use anyhow::Context;
use comfy_table::{Table, presets};
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use sheet::{Cell, Column, Xlsx};

use super::{Format, harmless, printable, render_table, text_of, write_out};

/// Rows printed at once.
const AT_ONCE: usize = 1_000;

/// A report being printed or written.
pub(crate) struct Sheet {
    columns: Vec<Column<'static>>,
    out: Out,
}

enum Out {
    Table(Box<Table>),
    Lines {
        csv: bool,
        waiting: Vec<Vec<Value>>,
        any: bool,
    },
    File {
        path: PathBuf,
        xlsx: Box<Xlsx>,
        rows: u64,
    },
}

impl Sheet {
    /// Begins a report in this format, or, where one is named, in a spreadsheet file whose sheet is called `title`.
    pub(crate) fn begin(
        title: &str,
        columns: Vec<Column<'static>>,
        format: Format,
        file: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let out = match (file, format) {
            (Some(path), _) => Out::File {
                path: path.to_owned(),
                xlsx: Box::new(Xlsx::new(title, &columns)?),
                rows: 0,
            },
            (None, Format::Table) => {
                let mut table = Table::new();
                table
                    .load_preset(presets::NOTHING)
                    .set_header(columns.iter().map(|column| column.name));
                Out::Table(Box::new(table))
            }
            (None, format) => Out::Lines {
                csv: format == Format::Csv,
                waiting: Vec::new(),
                any: false,
            },
        };
        Ok(Self { columns, out })
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: &[Cell]) -> anyhow::Result<()> {
        if let Out::File { xlsx, rows, .. } = &mut self.out {
            *rows += 1;
            return Ok(xlsx.row(cells)?);
        }
        self.add(cells)
    }

    /// Adds a row of totals.
    pub(crate) fn total(&mut self, cells: &[Cell]) -> anyhow::Result<()> {
        if let Out::File { xlsx, .. } = &mut self.out {
            return Ok(xlsx.total(cells)?);
        }
        self.add(cells)
    }

    /// Whether it is for people, who want totals below a list of rows; programs add up themselves.
    pub(crate) fn is_for_people(&self) -> bool {
        !matches!(self.out, Out::Lines { .. })
    }

    fn add(&mut self, cells: &[Cell]) -> anyhow::Result<()> {
        match &mut self.out {
            Out::Table(table) => {
                table.add_row(cells.iter().map(|cell| printable(&text_of(&value_of(cell)))));
            }
            Out::Lines { waiting, .. } => {
                waiting.push(cells.iter().map(value_of).collect());
                if waiting.len() == AT_ONCE {
                    self.print()?;
                }
            }
            Out::File { .. } => {}
        }
        Ok(())
    }

    fn print(&mut self) -> anyhow::Result<()> {
        let Out::Lines { csv, waiting, any } = &mut self.out else {
            return Ok(());
        };
        let rows = std::mem::take(waiting);
        let names = self.columns.iter().map(|column| column.name);
        let mut text = Vec::new();
        if *csv {
            let mut writer = csv::WriterBuilder::new()
                .terminator(csv::Terminator::CRLF)
                .from_writer(&mut text);
            if !std::mem::replace(any, true) {
                writer.write_record(names)?;
            }
            for row in &rows {
                writer.write_record(row.iter().map(harmless))?;
            }
            writer.flush()?;
            drop(writer);
        } else {
            for row in rows {
                let members = names.clone().map(str::to_owned).zip(row).collect::<Map<_, _>>();
                text.extend(format!("{}\n", Value::Object(members)).bytes());
            }
        }
        write_out(&text)
    }

    /// Prints what is left, or writes the file and says so. A file that could not be written whole is not left behind.
    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        self.print()?;
        match self.out {
            Out::Lines { .. } => Ok(()),
            Out::Table(table) => {
                let mut text = Vec::new();
                render_table(&table, &mut text)?;
                write_out(&text)
            }
            Out::File { path, xlsx, rows } => {
                let mut name = path.file_name().unwrap_or_default().to_owned();
                name.push(".part");
                let draft = path.with_file_name(name);
                let saved = xlsx.save(&draft).map_err(anyhow::Error::from);
                let saved = saved.and_then(|()| Ok(std::fs::rename(&draft, &path)?));
                if saved.is_err() {
                    let _ = std::fs::remove_file(&draft);
                }
                saved.with_context(|| path.display().to_string())?;
                super::say(format!("{}: {rows} rows", path.display()))
            }
        }
    }
}

/// A cell for programs: money in minor units, moments with their offset.
fn value_of(cell: &Cell) -> Value {
    match cell {
        Cell::Empty => Value::Null,
        Cell::Text(text) => json!(text),
        Cell::Count(count) => json!(count),
        Cell::Money { minor, .. } => json!(minor),
        Cell::Moment(moment) if *moment.time_zone() == TimeZone::UTC => json!(moment.timestamp()),
        Cell::Moment(moment) => json!(moment.timestamp().display_with_offset(moment.offset()).to_string()),
        Cell::Day(day) => json!(day),
        Cell::Flag(flag) => json!(flag),
    }
}
