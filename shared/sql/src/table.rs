//! An embedded table made of somebody's file, so that what is looked up in it is looked up by SQL. It is written once, and only
//! read after that. It lies in memory: what people owe is in no file of ours that others could read, or that would stay behind
//! when this process is killed, and needs no directory that may be written to.

use secrecy::SecretString;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};

use crate::{Database, DatabaseError, Limits};

/// SQLite's own files in memory: connections of this process share the one of a name that begins with a slash, for as long as
/// one of them is open.
const IN_MEMORY: &str = "memdb";

/// Values bound by one statement; SQLite takes many more.
const BOUND_MAX: usize = 900;

/// What a table is made of. Names are plain: letters, digits and underscores.
#[derive(Debug, Clone, Copy)]
pub struct Table<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its columns, all of text.
    pub columns: &'a [String],
    /// Those it is looked up by.
    pub index: &'a [String],
    /// Its rows, each with as many values as there are columns.
    pub rows: &'a [Vec<Option<String>>],
}

/// A table that has been made, for as long as this is there and longer than that for who has it open. It may come to 1 GiB.
pub struct Kept {
    name: String,
    _open: SqliteConnection,
}

impl Kept {
    /// Writes it.
    pub async fn of(table: Table<'_>) -> Result<Self, DatabaseError> {
        let name = format!("/unigate-{}", uuid::Uuid::new_v4().simple());
        let options = SqliteConnectOptions::new().filename(&name).vfs(IN_MEMORY);
        // It is whole, or nobody ever reads it.
        let mut connection = options.journal_mode(SqliteJournalMode::Off).connect().await?;
        write(&mut connection, table).await?;
        Ok(Self {
            name,
            _open: connection,
        })
    }

    /// Opens it for questions. `limits` are for reading only.
    pub fn open(&self, limits: &Limits) -> Result<Database, DatabaseError> {
        let url = format!("sqlite:{}?vfs={IN_MEMORY}", self.name);
        Database::open(&SecretString::from(url), limits)
    }
}

async fn write(connection: &mut SqliteConnection, table: Table<'_>) -> Result<(), DatabaseError> {
    let columns = table.columns.join(", ");
    let create = format!(
        "create table {} ({})",
        table.name,
        columns.replace(", ", " text, ") + " text"
    );
    connection.execute(AssertSqlSafe(create)).await?;
    let at_once = (BOUND_MAX / table.columns.len().max(1)).max(1);
    let mut tx = connection.begin().await?;
    for rows in table.rows.chunks(at_once) {
        let one = format!("({})", vec!["?"; table.columns.len()].join(", "));
        let insert = format!("insert into {} values {}", table.name, vec![one; rows.len()].join(", "));
        let mut query = sqlx::query(AssertSqlSafe(insert));
        for value in rows.iter().flatten() {
            query = query.bind(value.as_deref());
        }
        query.execute(&mut *tx).await?;
    }
    tx.commit().await?;
    for column in table.index {
        let index = format!("create index by_{column} on {} ({column})", table.name);
        connection.execute(AssertSqlSafe(index)).await?;
    }
    Ok(())
}
