//! Whether the accounts that a payee's database gave us may do more than the scenario needs.

use domain::declaration::StepKind;
use sql::{Database, DatabaseError, Dialect};

use super::{Findings, Severity};
use crate::catalogue;
use crate::source::{Server, Source};

/// What an account of PostgreSQL may do beyond tables.
const POSTGRES_ROLE: &str = "select case when rolsuper then 'superuser' when rolcreatedb then 'createdb'
      when rolcreaterole then 'createrole' end as excess from pg_roles where rolname = current_user
      and (rolsuper or rolcreatedb or rolcreaterole) order by 1";
/// The tables it may change.
const POSTGRES_TABLES: &str = "select distinct table_name::text as name from information_schema.table_privileges
      where privilege_type in ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE') and table_schema not in ('pg_catalog', 'information_schema')
        and (grantee = 'PUBLIC' or pg_has_role(current_user, grantee, 'usage')) order by 1";
/// What an account of MySQL may do everywhere.
const MYSQL_EVERYWHERE: &str = "select lower(privilege_type) as excess from information_schema.user_privileges
      where grantee = concat('''', replace(current_user(), '@', '''@'''), '''') and privilege_type <> 'USAGE' order by 1";
/// The tables that it may change one by one, and the databases of which it may change all.
const MYSQL_TABLES: &str = "select distinct table_name as name from information_schema.table_privileges
      where privilege_type in ('INSERT', 'UPDATE', 'DELETE')
      union select concat(table_schema, '.*') as name from information_schema.schema_privileges
      where privilege_type in ('INSERT', 'UPDATE', 'DELETE')
        and grantee = concat('''', replace(current_user(), '@', '''@'''), '''') order by 1";
/// Tables whose changes stay, whatever becomes of the transaction: MySQL's older engines know none.
const MYSQL_KEPT: &str = "select lower(t.table_name) as name from information_schema.tables t
      where t.table_schema = database() and t.table_type = 'BASE TABLE'
        and not exists (select 1 from information_schema.engines e where e.engine = t.engine and e.transactions = 'YES')
      order by 1";

pub(super) async fn look(source: &Source, server: &Server, findings: &mut Findings) -> Result<(), DatabaseError> {
    let (role, tables) = match server.write.dialect() {
        Dialect::Sqlite => return Ok(()),
        Dialect::Odbc => {
            let text = "what this account may do cannot be seen by way of ODBC: see that it is no more than the scenario needs";
            findings.note(Severity::Warning, "databases.url", text);
            return Ok(());
        }
        Dialect::Postgres => (POSTGRES_ROLE, POSTGRES_TABLES),
        Dialect::Mysql => (MYSQL_EVERYWHERE, MYSQL_TABLES),
    };
    if server.write.dialect() == Dialect::Mysql {
        look_at_engines(server, findings).await?;
    }
    for (field, database, kinds) in [
        ("url", &server.write, &StepKind::ALL[..]),
        ("read_url", &server.read, &[StepKind::Check][..]),
    ] {
        if field == "read_url" && source.profile.read_url.is_none() {
            continue;
        }
        let place = format!("databases.{field}");
        let excess = ask(database, role, "excess").await?;
        if let Some(excess) = excess.first() {
            let text = format!(
                "this account may do far more than the scenario needs ({excess}): give it rights on its tables only"
            );
            findings.note(Severity::Warning, place, text);
            continue;
        }
        let may_change = ask(database, tables, "name").await?;
        let named = |table: &String| {
            let statements = kinds.iter().flat_map(|kind| server.compiled.of(*kind));
            statements.into_iter().any(|statement| names(&statement.sql, table))
        };
        let beyond: Vec<String> = match field {
            "url" => may_change.into_iter().filter(|table| !named(table)).collect(),
            _ => may_change,
        };
        if !beyond.is_empty() {
            let text = format!(
                "this account may change {}, which the scenario does not need",
                beyond.join(", ")
            );
            findings.note(Severity::Warning, place, text);
        }
    }
    Ok(())
}

async fn look_at_engines(server: &Server, findings: &mut Findings) -> Result<(), DatabaseError> {
    let kept = ask(&server.write, MYSQL_KEPT, "name").await?;
    for statement in [StepKind::Pay, StepKind::Cancel]
        .iter()
        .flat_map(|kind| server.compiled.of(*kind))
    {
        for table in kept.iter().filter(|table| names(&statement.sql, table)) {
            let text =
                format!("uses the table {table}, whose engine cannot roll back: alter table {table} engine = InnoDB");
            findings.note(Severity::Error, &statement.place, text);
        }
    }
    Ok(())
}

async fn ask(database: &Database, sql: &str, column: &str) -> Result<Vec<String>, DatabaseError> {
    let rows = catalogue::rows(database, sql).await?;
    Ok(rows.iter().filter_map(|row| row.text(column)).collect())
}

/// Whether a statement names a table, as a word of its own.
fn names(sql: &str, table: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    sql.to_lowercase()
        .split(|c| !is_word(c))
        .any(|word| word == table.to_lowercase())
}
