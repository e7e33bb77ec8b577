//! `unigate cards imports` and `cancel-import`: what became of files handed in, row by row if asked for, and taking one back.
//! A row is named by its line and by what is wrong with it, never by what it holds.

use anyhow::Context;
use serde_json::{Value, json};
use store::audit::Act;
use store::imports::{self, Import};
use uuid::Uuid;

use crate::ending::{Ending, Outcome};
use crate::operator::{Operator, reason};
use crate::output::{self, Column, FormatArg, Row, say};

/// All files, or the rows of one.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// The import whose rows to list: those left out or refused, the first thousand of a kind
    import: Option<Uuid>,
    #[command(flatten)]
    format: FormatArg,
}

/// Which file, and why.
#[derive(Debug, clap::Args)]
pub(crate) struct CancelArgs {
    /// The import
    import: Uuid,
    /// Why; for the audit log
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
}

/// A row of a file that did not come in.
pub(crate) struct LeftOut {
    line: u64,
    kind: &'static str,
    why: String,
}

/// The kinds of a report, as people call them.
pub(super) const KINDS: [(&str, &str); 3] = [
    ("refused", "refused"),
    ("duplicates", "duplicate"),
    ("expired", "expired"),
];

pub(super) async fn list(args: ListArgs) -> Outcome {
    let store = Operator::new()?.store;
    let format = args.format.format;
    match args.import {
        None => output::list(format, &imports::list(&store).await?)?,
        Some(id) => {
            let found = imports::find(&store, id).await?;
            let import = found.with_context(|| format!("there is no import {id}"))?;
            output::list(format, &left_out(&import.report.unwrap_or_default()))?;
        }
    }
    Ok(Ending::Done)
}

pub(super) async fn cancel(args: CancelArgs) -> Outcome {
    let operator = Operator::new()?;
    let (id, reason) = (args.import, args.reason);
    let act = Act {
        who: &operator.who,
        act: "cards cancel-import",
        subject_kind: "card_import",
        subject: &id.to_string(),
        reason: Some(&reason),
        before: None,
        after: None,
    };
    match imports::cancel(&operator.store, id, &operator.who, &reason).await {
        Err(error) => return Err(operator.denied(act, error).await),
        Ok(None) => say(format!("import {id} is cancelled; no card of it is in stock"))?,
        Ok(Some(gone)) => say(format!(
            "import {id} is taken back: its cards ({gone}) are in stock no longer, and the file may come in again"
        ))?,
    }
    Ok(Ending::Done)
}

fn left_out(report: &Value) -> Vec<LeftOut> {
    let notes = |(key, kind): (&str, &'static str)| {
        let lines = report[key]["lines"].as_array().cloned().unwrap_or_default();
        let named = move |note: Value| LeftOut {
            line: note["line"].as_u64().unwrap_or(0),
            kind,
            why: note["why"].as_str().unwrap_or_default().to_owned(),
        };
        lines.into_iter().map(named)
    };
    let mut rows: Vec<LeftOut> = KINDS.into_iter().flat_map(notes).collect();
    rows.sort_by_key(|row| row.line);
    rows
}

impl Row for LeftOut {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("line", |row| json!(row.line)),
        Column::new("kind", |row| json!(row.kind)),
        Column::new("why", |row| json!(row.why)),
    ];
}

impl Row for Import {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("import_id", |row| json!(row.import_id)),
        Column::new("product", |row| json!(row.product)),
        Column::new("file", |row| json!(row.file_name)),
        Column::new("state", |row| json!(row.state)),
        Column::new("rows_done", |row| json!(row.rows_done)),
        Column::new("rows_total", |row| json!(row.rows_total)),
        Column::new("added", |row| json!(row.added)),
        Column::new("duplicates", |row| json!(row.duplicates)),
        Column::new("malformed", |row| json!(row.malformed)),
        Column::new("expired", |row| json!(row.expired)),
        Column::new("requested_by", |row| json!(row.requested_by)),
        Column::new("requested_at", |row| json!(row.requested_at)),
        Column::new("finished_at", |row| json!(row.finished_at)),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_in_the_order_of_the_file_with_their_kind() {
        let report = json!({
            "refused": {"total": 1, "lines": [{"line": 7, "why": "pin: is too long"}]},
            "duplicates": {"total": 1, "lines": [{"line": 3, "why": "serial: stands on line 2 before"}]},
        });
        let rows = left_out(&report);
        let told: Vec<_> = rows.iter().map(|row| (row.line, row.kind)).collect();
        assert_eq!(told, [(3, "duplicate"), (7, "refused")]);
        assert!(left_out(&Value::Null).is_empty());
    }
}
