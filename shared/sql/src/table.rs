//! An embedded table made of somebody's file, so that what is looked up in it is looked up by SQL. It is written once, as a
//! file of its own, and only read after that.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};

use crate::DatabaseError;

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

/// Writes a table into a new file.
pub async fn write_table(path: &Path, table: Table<'_>) -> Result<(), DatabaseError> {
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        // Nobody misses it if this process dies.
        .journal_mode(SqliteJournalMode::Off)
        .synchronous(SqliteSynchronous::Off)
        .connect()
        .await?;
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
    Ok(connection.close().await?)
}
