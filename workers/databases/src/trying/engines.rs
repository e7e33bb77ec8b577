//! Tables of MySQL and MariaDB whose changes stay, whatever becomes of the transaction: their older engines know none.

use std::collections::BTreeSet;

use domain::declaration::StepKind;
use sql::{DatabaseError, Dialect};

use super::{Findings, Severity};
use crate::catalogue;
use crate::source::Server;

const SCHEMAS: &str = "select schema_name as name from information_schema.schemata
      where schema_name not in ('mysql', 'information_schema', 'performance_schema', 'sys') order by 1";
/// Of one schema, or of the one where statements are run.
const KEPT: &str = "select lower(t.table_name) as name from information_schema.tables t
      where t.table_schema = coalesce(?, database()) and t.table_type = 'BASE TABLE'
        and not exists (select 1 from information_schema.engines e where e.engine = t.engine and e.transactions = 'YES')
      order by 1";

/// A statement that changes what cannot be rolled back.
pub(super) struct Kept {
    pub(super) place: String,
    pub(super) text: String,
    /// It only calls a procedure, which may.
    pub(super) perhaps: bool,
}

pub(super) async fn look(server: &Server, findings: &mut Findings) -> Result<(), DatabaseError> {
    for kept in kept(server, &[StepKind::Pay, StepKind::Cancel]).await? {
        let severity = if kept.perhaps {
            Severity::Warning
        } else {
            Severity::Error
        };
        findings.note(severity, kept.place, kept.text);
    }
    Ok(())
}

/// What of these steps is not undone by a rollback.
pub(super) async fn kept(server: &Server, kinds: &[StepKind]) -> Result<Vec<Kept>, DatabaseError> {
    if server.write.dialect() != Dialect::Mysql {
        return Ok(Vec::new());
    }
    let schemas = names(server, SCHEMAS, &[]).await?;
    let here = names(server, KEPT, &[None]).await?;
    let mut found = Vec::new();
    for statement in kinds.iter().flat_map(|kind| server.compiled.of(*kind)) {
        let words = statement.words(Dialect::Mysql);
        let mut tables: BTreeSet<String> = here.iter().filter(|table| words.contains(table)).cloned().collect();
        for schema in schemas.iter().filter(|schema| words.contains(&schema.to_lowercase())) {
            let there = names(server, KEPT, &[Some(schema)]).await?.into_iter();
            let named = there.filter(|table| words.contains(table));
            tables.extend(named.map(|table| format!("{schema}.{table}")));
        }
        found.extend(tables.into_iter().map(|table| Kept {
            place: statement.place.clone(),
            text: format!("uses the table {table}, whose engine cannot roll back: alter table {table} engine = InnoDB"),
            perhaps: false,
        }));
        if statement.is_call() && !here.is_empty() {
            found.push(Kept {
                place: statement.place.clone(),
                text: format!(
                    "calls a procedure, and there are tables whose engine cannot roll back: see that it changes none of {}",
                    here.join(", ")
                ),
                perhaps: true,
            });
        }
    }
    Ok(found)
}

async fn names(server: &Server, sql: &str, given: &[Option<&str>]) -> Result<Vec<String>, DatabaseError> {
    let rows = catalogue::rows_of(&server.write, sql, given).await?;
    Ok(rows.iter().filter_map(|row| row.text("name")).collect())
}
