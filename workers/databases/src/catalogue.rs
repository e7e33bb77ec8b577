//! What a database says of itself: its tables, and what an account may do there. There may be any number of them.

use sql::{Access, Database, DatabaseError, Kind, Parameter, ROWS_MAX, Row, Statement, Values};

/// All rows of a query in one order, page by page: of each statement only so many are kept.
pub(crate) async fn rows(database: &Database, ordered: &str) -> Result<Vec<Row>, DatabaseError> {
    rows_of(database, ordered, &[]).await
}

/// The same of a query with parameters, all of them text or null.
pub(crate) async fn rows_of(
    database: &Database,
    ordered: &str,
    given: &[Option<&str>],
) -> Result<Vec<Row>, DatabaseError> {
    let mut values = Values::default();
    let parameters: Vec<Parameter> = given
        .iter()
        .enumerate()
        .map(|(at, text)| {
            let name = at.to_string();
            values.optional_text(&name, text.map(str::to_owned));
            let kind = Kind::Text;
            Parameter { name, kind }
        })
        .collect();
    let mut tx = database.begin(Access::Read).await?;
    let mut rows = Vec::new();
    loop {
        let page = Statement {
            place: "catalogue".to_owned(),
            sql: format!("{ordered} limit {ROWS_MAX} offset {}", rows.len()).into(),
            parameters: parameters.clone(),
            optional: true,
        };
        let found = tx.run(&page, &values).await?.rows;
        let is_last = found.len() < ROWS_MAX;
        rows.extend(found);
        if is_last {
            tx.rollback().await?;
            return Ok(rows);
        }
    }
}
