//! The one place that prints. A list is declared once as its columns; table, JSON and CSV are made from them, so the three
//! cannot disagree. What payers and payees wrote is hostile: no control character reaches a terminal, no formula a
//! spreadsheet.

mod sheet;

use std::io::{self, Write};
use std::pin::pin;

use clap::ValueEnum;
use comfy_table::{Table, presets};
use domain::line::turns_around;
use futures::{Stream, StreamExt};
use serde_json::{Map, Value};

pub(crate) use sheet::Sheet;

/// How a list is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// One JSON object per line
    Json,
    /// With a header
    Csv,
}

/// The option that every list takes.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct FormatArg {
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// The option that everything takes that shows one thing.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct ShowFormatArg {
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ShowFormat,
}

/// How one thing is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShowFormat {
    /// For people
    #[default]
    Table,
    /// One JSON object on one line
    Json,
}

/// A column of a list of `T`: its name and what stands in it.
pub(crate) struct Column<T> {
    name: &'static str,
    value: fn(&T) -> Value,
}

impl<T> Column<T> {
    /// Declares a column.
    pub(crate) const fn new(name: &'static str, value: fn(&T) -> Value) -> Self {
        Self { name, value }
    }
}

/// Something that is listed: a row with its columns.
pub(crate) trait Row: Sized + 'static {
    /// In the order of printing.
    const COLUMNS: &'static [Column<Self>];
}

/// Prints a list.
pub(crate) fn list<T: Row>(format: Format, rows: &[T]) -> anyhow::Result<()> {
    let mut text = Vec::new();
    render(format, rows, true, &mut text)?;
    write_out(&text)
}

/// Prints a list as its rows come, and says how many there were. A table takes all of them: its columns are as wide as the widest.
pub(crate) async fn list_each<T: Row, E: Into<anyhow::Error>>(
    format: Format,
    rows: impl Stream<Item = Result<T, E>>,
) -> anyhow::Result<usize> {
    let at_once = if format == Format::Table { usize::MAX } else { AT_ONCE };
    let mut rows = pin!(rows);
    let (mut waiting, mut printed, mut text) = (Vec::new(), 0, Vec::new());
    loop {
        let row = rows.next().await.transpose().map_err(Into::into)?;
        let is_last = row.is_none();
        waiting.extend(row);
        if is_last || waiting.len() >= at_once {
            text.clear();
            render(format, &waiting, printed == 0, &mut text)?;
            printed += waiting.len();
            waiting.clear();
            if !written(&text)? || is_last {
                return Ok(printed);
            }
        }
    }
}

/// Rows that are printed together.
const AT_ONCE: usize = 1000;

/// A row as one JSON object, keys as the columns.
pub(crate) fn object<T: Row>(row: &T) -> Value {
    let members = T::COLUMNS
        .iter()
        .map(|column| (column.name.to_owned(), (column.value)(row)));
    Value::Object(members.collect::<Map<_, _>>())
}

/// The names of a list's columns.
#[cfg(test)]
pub(crate) fn names<T: Row>() -> Vec<&'static str> {
    T::COLUMNS.iter().map(|column| column.name).collect()
}

/// `first`: no rows of the list were printed before.
fn render<T: Row>(format: Format, rows: &[T], first: bool, out: &mut Vec<u8>) -> anyhow::Result<()> {
    match format {
        Format::Json => {
            for row in rows {
                writeln!(out, "{}", inert(&object(row).to_string()))?;
            }
        }
        Format::Table => {
            let mut table = Table::new();
            table
                .load_preset(presets::NOTHING)
                .set_header(T::COLUMNS.iter().map(|column| column.name));
            for row in rows {
                table.add_row(
                    T::COLUMNS
                        .iter()
                        .map(|column| printable(&text_of(&(column.value)(row)))),
                );
            }
            render_table(&table, out)?;
        }
        Format::Csv => {
            let mut csv = csv::WriterBuilder::new()
                .terminator(csv::Terminator::CRLF)
                .from_writer(out);
            if first {
                csv.write_record(T::COLUMNS.iter().map(|column| column.name))?;
            }
            for row in rows {
                csv.write_record(T::COLUMNS.iter().map(|column| harmless(&(column.value)(row))))?;
            }
            csv.flush()?;
        }
    }
    Ok(())
}

fn render_table(table: &Table, out: &mut Vec<u8>) -> io::Result<()> {
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end().strip_prefix(' ').unwrap_or(&line))?;
    }
    Ok(())
}

/// A value as a cell: nothing for null, a list separated by blanks, JSON for what has members.
fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text_of).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// A spreadsheet takes text that begins like a formula for one; also behind a semicolon, where that is what divides its cells.
fn harmless(value: &Value) -> String {
    let text = printable(&text_of(value));
    if value.is_number() {
        return text;
    }
    let disarmed = |cell: &str| match formats::begins_formula(cell) {
        true => format!("'{cell}"),
        false => cell.to_owned(),
    };
    text.split(';').map(disarmed).collect::<Vec<_>>().join(";")
}

/// Control characters could move the cursor or change colours, and marks of direction show an amount the other way round.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() || turns_around(c) {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

/// JSON without what a terminal takes for a command, or shows the other way round, and JSON need not escape.
fn inert(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() || turns_around(c) {
            text.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            text.push(c);
        }
    }
    text
}

/// Prints one thing with everything in it: indented for people, one object for programs.
pub(crate) fn show(format: ShowFormat, thing: &Value) -> anyhow::Result<()> {
    if format == ShowFormat::Json {
        return write_out(format!("{}\n", inert(&thing.to_string())).as_bytes());
    }
    let mut text = String::new();
    describe(thing, 0, &mut text);
    write_out(text.as_bytes())
}

fn describe(value: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let name = printable(name);
                if is_nested(member) {
                    text.push_str(&format!("{indent}{name}:\n"));
                    describe(member, depth + 1, text);
                } else {
                    describe_text(&name, &text_of(member), &indent, text);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                text.push_str(&format!("{indent}-\n"));
                describe(item, depth + 1, text);
            }
        }
        plain => text.push_str(&format!("{indent}{}\n", printable(&text_of(plain)))),
    }
}

/// Lines of a text stand below its name, each marked: none can pass for a member of its own.
fn describe_text(name: &str, value: &str, indent: &str, text: &mut String) {
    if value.trim_end().contains('\n') {
        text.push_str(&format!("{indent}{name}:\n"));
        for line in value.lines() {
            text.push_str(&format!("{indent}  | {}\n", printable(line)));
        }
    } else {
        text.push_str(&format!(
            "{indent}{name}: {}\n",
            printable(value.trim_end_matches('\n'))
        ));
    }
}

fn is_nested(value: &Value) -> bool {
    match value {
        Value::Object(members) => !members.is_empty(),
        Value::Array(items) => items.iter().any(|item| item.is_object() || item.is_array()),
        _ => false,
    }
}

/// Prints a line that says what was done.
pub(crate) fn say(line: impl AsRef<str>) -> anyhow::Result<()> {
    write_out(format!("{}\n", printable(line.as_ref())).as_bytes())
}

/// Prints text as it is.
pub(crate) fn text(text: &str) -> anyhow::Result<()> {
    write_out(text.as_bytes())
}

/// Tells something on standard error, under the program's name.
#[expect(
    clippy::print_stderr,
    reason = "the one place that prints errors; a closed standard error is nobody's business"
)]
pub(crate) fn note(line: &str) {
    eprintln!("unigate: {}", printable(line));
}

fn write_out(bytes: &[u8]) -> anyhow::Result<()> {
    written(bytes).map(drop)
}

/// Whoever reads may have had enough (`unigate payments list | head`); that is no failure, and false.
fn written(bytes: &[u8]) -> anyhow::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        other => Ok(other.map(|()| true)?),
    }
}

#[cfg(test)]
mod tests;
