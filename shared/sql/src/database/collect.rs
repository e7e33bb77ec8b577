//! What a statement answers, row by row, up to where it is broken off: the same for every driver of sqlx.

use futures::{Stream, TryStreamExt as _};
use sqlx::{Column, Either};

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

/// The names of columns, in small letters.
pub(super) fn names<C: Column>(columns: &[C]) -> Vec<String> {
    columns.iter().map(|column| column.name().to_lowercase()).collect()
}
