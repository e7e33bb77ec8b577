//! What a statement answers, row by row, up to where it is broken off: the same for every driver of sqlx.

use futures::{Stream, TryStreamExt as _};
use sqlx::{Column, Database, Either, TypeInfo as _};

use super::cell::Row;
use super::{DatabaseError, Outcome, RETURNED_MAX, ROWS_MAX};

/// Takes an answer to its end. Rows beyond those that are kept are counted, and not read.
pub(super) async fn collect<D, R>(
    mut steps: impl Stream<Item = Result<Either<D, R>, sqlx::Error>> + Unpin,
    affected: impl Fn(&D) -> u64,
    read: impl Fn(&R) -> Result<Row, DatabaseError>,
) -> Result<Outcome, DatabaseError> {
    let (mut outcome, mut returned) = (Outcome::default(), 0);
    while let Some(step) = steps.try_next().await? {
        match step {
            Either::Left(done) => outcome.touched += affected(&done),
            Either::Right(row) => {
                returned += 1;
                if outcome.rows.len() < ROWS_MAX {
                    outcome.rows.push(read(&row)?);
                } else if returned > RETURNED_MAX {
                    return Err(DatabaseError::TooMany);
                }
            }
        }
    }
    outcome.touched = outcome.touched.max(returned);
    Ok(outcome)
}

/// A column that a statement returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returned {
    /// Its name, in small letters.
    pub name: String,
    /// Its type, as the database calls it; `None` where columns have none, and only values do.
    pub type_name: Option<String>,
    /// Whether values of its type are read.
    pub is_read: bool,
}

impl Returned {
    /// One whose type is known only by its values.
    pub(super) fn untyped(name: &str) -> Self {
        Self {
            name: name.to_lowercase(),
            type_name: None,
            is_read: true,
        }
    }
}

/// Columns of a database that has types for them.
pub(super) fn returned<C: Column>(
    columns: &[C],
    is_read: impl Fn(&<C::Database as Database>::TypeInfo) -> bool,
) -> Vec<Returned> {
    let one = |column: &C| Returned {
        type_name: Some(column.type_info().name().to_lowercase()),
        is_read: is_read(column.type_info()),
        ..Returned::untyped(column.name())
    };
    columns.iter().map(one).collect()
}
