//! What a database says of itself: its tables, and what an account may do there. There may be any number of them.

use sql::{Access, Database, DatabaseError, ROWS_MAX, Row, Statement, Values};

/// All rows of a query in one order, page by page: of each statement only so many are kept.
pub(crate) async fn rows(database: &Database, ordered: &str) -> Result<Vec<Row>, DatabaseError> {
    let mut tx = database.begin(Access::Read).await?;
    let mut rows = Vec::new();
    loop {
        let page = Statement {
            place: "catalogue".to_owned(),
            sql: format!("{ordered} limit {ROWS_MAX} offset {}", rows.len()).into(),
            parameters: Vec::new(),
            optional: true,
        };
        let found = tx.run(&page, &Values::default()).await?.rows;
        let is_last = found.len() < ROWS_MAX;
        rows.extend(found);
        if is_last {
            tx.rollback().await?;
            return Ok(rows);
        }
    }
}
