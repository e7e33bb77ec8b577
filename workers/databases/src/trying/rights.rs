//! Whether the accounts that a payee's database gave us may do more than the scenario needs.

use std::collections::{BTreeMap, BTreeSet};

use domain::declaration::StepKind;
use sql::{Database, DatabaseError, Dialect};

use super::{Findings, Severity, needs};
use crate::catalogue;
use crate::source::{Server, Source};

/// The most tables that are named of those an account may do too much to.
const NAMED_MAX: usize = 10;

/// What an account of PostgreSQL may do beyond tables, itself or as a member of a role. A superuser is a member of all.
const POSTGRES_ROLE: &str = "select distinct excess from (
        select unnest(array[case when r.rolsuper then 'superuser' end, case when r.rolcreatedb then 'createdb' end,
            case when r.rolcreaterole then 'createrole' end, case when r.rolbypassrls then 'bypassrls' end,
            case when r.rolname in ('pg_read_all_data', 'pg_write_all_data', 'pg_maintain', 'pg_read_server_files',
                'pg_write_server_files', 'pg_execute_server_program', 'pg_signal_backend') then r.rolname::text end]) as excess
        from pg_roles r join pg_roles me on me.rolname = current_user
        where r.oid = me.oid or not me.rolsuper and pg_has_role(me.oid, r.oid, 'member')) found
      where excess is not null order by 1";
/// What it may do to which table. That everybody may read one is not for this account to give up.
const POSTGRES_TABLES: &str = "select distinct table_name::text as name, lower(privilege_type)::text as verb
      from information_schema.table_privileges
      where privilege_type in ('SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')
        and table_schema not in ('pg_catalog', 'information_schema')
        and case when grantee = 'PUBLIC' then privilege_type <> 'SELECT'
            else pg_has_role(current_user, grantee, 'usage') end
      order by 1, 2";
/// What an account of MySQL may do everywhere.
const MYSQL_EVERYWHERE: &str = "select lower(privilege_type) as excess from information_schema.user_privileges
      where grantee = concat('''', replace(current_user(), '@', '''@'''), '''') and privilege_type <> 'USAGE' order by 1";
/// What it may do to tables one by one, and to all of a database.
const MYSQL_TABLES: &str = "select table_name as name, lower(privilege_type) as verb from information_schema.table_privileges
      where privilege_type in ('SELECT', 'INSERT', 'UPDATE', 'DELETE', 'DROP', 'ALTER')
      union select concat(table_schema, '.*') as name, lower(privilege_type) as verb from information_schema.schema_privileges
      where privilege_type in ('SELECT', 'INSERT', 'UPDATE', 'DELETE', 'DROP', 'ALTER')
        and grantee = concat('''', replace(current_user(), '@', '''@'''), '''') order by 1, 2";

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
    let reads_apart = source.profile.read_url.is_some();
    for (field, database) in [("url", &server.write), ("read_url", &server.read)] {
        let kinds: &[StepKind] = match field {
            "url" if reads_apart => &[StepKind::Pay, StepKind::Status, StepKind::Cancel, StepKind::List],
            "url" => &StepKind::ALL,
            _ if reads_apart => &[StepKind::Check],
            _ => continue,
        };
        let place = format!("databases.{field}");
        let excess: Vec<String> = catalogue::rows(database, role)
            .await?
            .iter()
            .filter_map(|row| row.text("excess"))
            .collect();
        if !excess.is_empty() {
            let excess = listed(excess);
            let text = format!(
                "this account may do far more than the scenario needs ({excess}): give it rights on its tables only"
            );
            findings.note(Severity::Warning, place, text);
            continue;
        }
        let beyond = beyond(server, kinds, database, tables).await?;
        if !beyond.is_empty() {
            let beyond = listed(beyond.into_iter().map(|(table, verbs)| {
                let verbs: Vec<String> = verbs.into_iter().collect();
                format!("{table} ({})", verbs.join(", "))
            }));
            let text = format!("this account may do what the scenario does not need: {beyond}");
            findings.note(Severity::Warning, place, text);
        }
    }
    Ok(())
}

/// What an account may do to which tables, and no statement of these steps does.
async fn beyond(
    server: &Server,
    kinds: &[StepKind],
    database: &Database,
    tables: &str,
) -> Result<BTreeMap<String, BTreeSet<String>>, DatabaseError> {
    let dialect = database.dialect();
    let statements = kinds.iter().flat_map(|kind| server.compiled.of(*kind));
    let statements: Vec<Vec<String>> = statements.map(|statement| statement.words(dialect)).collect();
    let mut beyond: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in catalogue::rows(database, tables).await? {
        let (Some(table), Some(verb)) = (row.text("name"), row.text("verb")) else {
            continue;
        };
        let needed = |words: &Vec<String>| needs::done_to(words, &table).contains(verb.as_str());
        if !statements.iter().any(needed) {
            beyond.entry(table).or_default().insert(verb);
        }
    }
    Ok(beyond)
}

fn listed(all: impl IntoIterator<Item = String>) -> String {
    let mut all: Vec<String> = all.into_iter().collect();
    let more = all.len().saturating_sub(NAMED_MAX);
    all.truncate(NAMED_MAX);
    match more {
        0 => all.join(", "),
        _ => format!("{}, and {more} more", all.join(", ")),
    }
}
